//! Models, validation and runs: choosing one, following what is under way, starting and stopping commands.

use crossterm::event::{KeyCode, KeyEvent};

use super::{program, quoted};
use crate::store::{Run, RunId, RunState, Standing};
use crate::tui::form::{Form, Kind};
use crate::tui::jobs::children::ChildEvent;

use crate::tui::jobs::products::{Lists, ProductsAnswer, ProductsAsk};
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::state::{Job, Overlay, State, ValidationPage, View};
use crate::tui::theme::Role;

/// Rows of a list or table that half a page and a page move by.
const LEAP: usize = 10;
/// Lines kept of what a command says.
const LOG_LINES: usize = 2000;

/// One line of the list of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Checkpoint(usize),
    Training(usize),
}

/// The checkpoints, then the trainings.
pub fn models(state: &State) -> Vec<Model> {
    let Some(lists) = &state.products.lists else { return vec![] };
    (0..lists.checkpoints.len())
        .map(Model::Checkpoint)
        .chain((0..lists.trainings.len()).map(Model::Training))
        .collect()
}

/// One line of the list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLine {
    /// A command started here, of which the catalog has no run (yet).
    Job(usize),
    /// A run of the catalog, and the job that it is of where it was started here.
    Run(usize, Option<usize>),
}

/// What was started here and is no run, then the runs.
pub fn run_lines(state: &State) -> Vec<RunLine> {
    let jobs = &state.products.jobs;
    let runs = state.products.lists.as_ref().map_or(&[][..], |lists| &lists.runs);
    let job_of = |run: &Run| {
        jobs.iter().position(|job| {
            job.process.is_some_and(|process| i64::from(process) == run.process_id)
                && run.arguments.ends_with(&job.arguments)
        })
    };
    let of_runs: Vec<Option<usize>> = runs.iter().map(job_of).collect();
    (0..jobs.len())
        .filter(|job| !of_runs.contains(&Some(*job)))
        .map(RunLine::Job)
        .chain(of_runs.iter().enumerate().map(|(run, job)| RunLine::Run(run, *job)))
        .collect()
}

/// How far a run is, where it runs and says so.
pub fn progress_of(lists: &Lists, run: RunId) -> Option<&Standing> {
    let writer = lists.writer.as_ref().filter(|writer| writer.run_id == Some(run.0))?;
    writer.standing.as_ref()
}

/// Rows of the list of a view.
fn rows(state: &State, view: View) -> usize {
    match (view, &state.products.lists) {
        (View::Models, _) => models(state).len(),
        (View::Validation, Some(lists)) => lists.validations.len(),
        (View::Runs, _) => run_lines(state).len(),
        _ => 0,
    }
}

fn cursor(state: &mut State) -> &mut usize {
    match state.view {
        View::Validation => &mut state.products.validation,
        View::Runs => &mut state.products.run,
        _ => &mut state.products.model,
    }
}

/// Asks for the lists and for what is behind the one chosen.
pub fn refresh(state: &mut State) -> Vec<Effect> {
    if state.view == View::Galaxies {
        return vec![];
    }
    let mut effects = vec![Effect::Products(ProductsAsk::Lists)];
    effects.extend(behind(state));
    effects
}

/// What runs is asked about every second: it says how far it is without writing to the catalog.
pub fn look(state: &mut State) -> Vec<Effect> {
    let runs = state.products.lists.as_ref().is_some_and(|lists| lists.writer.is_some());
    if runs || state.products.jobs.iter().any(Job::runs) { refresh(state) } else { vec![] }
}

/// What is behind the row under the cursor.
fn behind(state: &State) -> Option<Effect> {
    let products = &state.products;
    let lists = products.lists.as_ref()?;
    let ask = match state.view {
        View::Galaxies => return None,
        View::Models => match *models(state).get(products.model)? {
            Model::Checkpoint(i) => {
                let checkpoint = &lists.checkpoints[i];
                ProductsAsk::Checkpoint(checkpoint.id)
            }
            Model::Training(i) => ProductsAsk::Training(lists.trainings[i].id),
        },
        View::Validation => {
            let id = lists.validations.get(products.validation)?.id;
            if products.findings.as_ref().is_some_and(|findings| findings.id == id) {
                return None;
            }
            ProductsAsk::Validation(id)
        }
        View::Runs => match *run_lines(state).get(products.run)? {
            RunLine::Job(_) => return None,
            RunLine::Run(i, _) => ProductsAsk::Run(lists.runs[i].id),
        },
    };
    Some(Effect::Products(ask))
}

pub fn answered(state: &mut State, answer: ProductsAnswer) -> Vec<Effect> {
    let products = &mut state.products;
    match answer {
        ProductsAnswer::Lists(lists) => {
            let run = run_here(state);
            let products = &mut state.products;
            let before = products.lists.replace(lists);
            products.problem = None;
            keep_cursors(state, before.as_deref(), run);
            return if before.is_none() { behind(state).into_iter().collect() } else { vec![] };
        }
        ProductsAnswer::Curves { of, curves } => products.curves = Some((of, curves)),
        ProductsAnswer::Findings(findings) => {
            products.findings = Some(findings);
        }
        ProductsAnswer::Files(files) => products.files = Some(files),
        ProductsAnswer::Problem(text) => products.problem = Some(text),
    }
    vec![]
}

/// The run under the cursor of the runs; none for the newest, which stays the newest.
fn run_here(state: &State) -> Option<RunId> {
    match *run_lines(state).get(state.products.run).filter(|_| state.products.run > 0)? {
        RunLine::Run(i, _) => Some(state.products.lists.as_ref()?.runs.get(i)?.id),
        RunLine::Job(_) => None,
    }
}

/// New products are listed first; the cursors stay on what they were on, but go to a training that has begun here.
fn keep_cursors(state: &mut State, before: Option<&Lists>, run: Option<RunId>) {
    let lines = run_lines(state);
    let products = &mut state.products;
    let (Some(before), Some(lists)) = (before, &products.lists) else { return };
    fn moved<T, K: PartialEq>(old: &[T], new: &[T], at: usize, key: impl Fn(&T) -> K) -> usize {
        let found = old.get(at).and_then(|row| new.iter().position(|other| key(other) == key(row)));
        found.unwrap_or(at).min(new.len().saturating_sub(1))
    }
    products.validation =
        moved(&before.validations, &lists.validations, products.validation, |validation| validation.id);
    let n_old = before.checkpoints.len();
    products.model = if products.model < n_old {
        moved(&before.checkpoints, &lists.checkpoints, products.model, |checkpoint| checkpoint.id)
    } else {
        let at = moved(&before.trainings, &lists.trainings, products.model - n_old, |training| training.id);
        lists.checkpoints.len() + at
    };
    let running = |all: &Lists, id| {
        all.trainings.iter().any(|training| training.id == id && training.state == RunState::Running)
    };
    let begun = lists.trainings.iter().position(|t| running(lists, t.id) && !running(before, t.id));
    let here =
        products.jobs.iter().any(|job| job.runs() && job.arguments.first().is_some_and(|a| a == "train"));
    if let Some(at) = begun.filter(|_| here) {
        products.model = lists.checkpoints.len() + at;
    }
    let same = |line: &RunLine| matches!(line, RunLine::Run(i, _) if Some(lists.runs[*i].id) == run);
    products.run = lines.iter().position(same).unwrap_or(products.run).min(lines.len().saturating_sub(1));
}

/// What a command that was started here has said or done.
pub fn child(state: &mut State, event: ChildEvent) -> Vec<Effect> {
    let find = |jobs: &mut Vec<Job>, id: u64| jobs.iter().position(|job| job.id == id);
    let jobs = &mut state.products.jobs;
    match event {
        ChildEvent::Started { job, process, log } => {
            if let Some(at) = find(jobs, job) {
                (jobs[at].process, jobs[at].log) = (Some(process), Some(log));
            }
        }
        ChildEvent::Line { job, line } => {
            if let Some(at) = find(jobs, job) {
                if let Some(Overlay::Text { lines, of, .. }) = &mut state.overlay
                    && *of == Some(job)
                {
                    lines.push(line.clone());
                }
                jobs[at].lines.push_back(line);
                if jobs[at].lines.len() > LOG_LINES {
                    jobs[at].lines.pop_front();
                }
            }
        }
        ChildEvent::Ended { job, how } => {
            if let Some(at) = find(jobs, job) {
                let words = jobs[at].arguments.first().cloned().unwrap_or_default();
                state.said = Some(match &how {
                    Ok(()) => (Role::Good, format!("{words} is done")),
                    Err(text) => {
                        let last = jobs[at].lines.iter().rev().find(|line| line.starts_with("error: "));
                        (Role::Bad, format!("{words}: {}", last.unwrap_or(text)))
                    }
                });
                jobs[at].ended = Some(how);
            }
            return refresh(state);
        }
    }
    vec![]
}

pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if let Some(scroll) = scrolled(state, action) {
        state.products.scroll = scroll;
        return vec![];
    }
    let n = rows(state, state.view);
    let step = |by: isize| move |at: usize| at.saturating_add_signed(by).min(n.saturating_sub(1));
    let moved: Option<Box<dyn Fn(usize) -> usize>> = match action {
        Action::Down => Some(Box::new(step(1))),
        Action::Up => Some(Box::new(step(-1))),
        Action::HalfDown | Action::PageDown => Some(Box::new(step(LEAP as isize))),
        Action::HalfUp | Action::PageUp => Some(Box::new(step(-(LEAP as isize)))),
        Action::Top => Some(Box::new(|_| 0)),
        Action::Bottom => Some(Box::new(move |_| n.saturating_sub(1))),
        _ => None,
    };
    if let Some(to) = moved {
        let here = cursor(state);
        *here = to(*here);
        state.products.scroll = 0;
        return behind(state).into_iter().collect();
    }
    match action {
        Action::Left | Action::Right => {
            turn(state, action == Action::Right);
            vec![]
        }
        Action::Reload => refresh(state),
        Action::Start => {
            let form = match state.view {
                View::Models => Form::new(Kind::Train, &[]),
                View::Validation => form_of(state, Kind::Validate),
                _ => form_of(state, Kind::Ingest),
            };
            state.overlay = Some(Overlay::Form(form));
            vec![]
        }
        Action::Resume => {
            let form = form_of(state, Kind::Resume);
            state.overlay = Some(Overlay::Form(form));
            vec![]
        }
        Action::Stop => stop(state),
        Action::Compare => compare(state),
        Action::Log | Action::Open if state.view == View::Runs => {
            show_log(state);
            vec![]
        }
        _ => vec![],
    }
}

/// Where the tables of a validation are scrolled to by half pages and pages.
fn scrolled(state: &State, action: Action) -> Option<usize> {
    let products = &state.products;
    let of_subsets = match products.page {
        ValidationPage::Subsets => true,
        ValidationPage::Numbers => false,
        _ => return None,
    };
    let tables = [&products.findings, &products.kept];
    let last = tables.into_iter().flatten().map(|findings| findings.numbers(of_subsets).count()).max()?;
    match action {
        _ if state.view != View::Validation => None,
        Action::HalfDown | Action::PageDown => Some((products.scroll + LEAP).min(last.saturating_sub(1))),
        Action::HalfUp | Action::PageUp => Some(products.scroll.saturating_sub(LEAP)),
        _ => None,
    }
}

fn turn(state: &mut State, forward: bool) {
    let products = &mut state.products;
    match state.view {
        View::Models => products.by_time = !products.by_time,
        View::Validation => (products.page, products.scroll) = (products.page.turned(forward), 0),
        _ => {}
    }
}

/// A form filled in from the row under the cursor.
fn form_of(state: &State, kind: Kind) -> Form {
    let products = &state.products;
    let mut values: Vec<(&str, String)> = Vec::new();
    let lists = products.lists.as_deref();
    match (kind, lists) {
        (Kind::Resume, Some(lists)) => {
            if let Some(Model::Training(i)) = models(state).get(products.model)
                && let Some(name) = &lists.trainings[*i].name
            {
                values.push(("name", name.clone()));
            }
        }
        (Kind::Validate, Some(lists)) => {
            let chosen = lists.validations.get(products.validation).map(|row| row.checkpoint_name.clone());
            let newest = lists.checkpoints.last().map(|checkpoint| checkpoint.name.clone());
            values.extend(chosen.or(newest).map(|name| ("checkpoint", name)));
        }
        _ => {}
    }
    if kind == Kind::Release
        && let Some(set) = state.set_name()
    {
        values.push(("set", set.to_owned()));
    }
    if kind == Kind::Infer && !state.galaxies.spec.filter.is_empty() {
        values.push(("where", state.galaxies.spec.filter.clone()));
    }
    let values: Vec<(&str, &str)> = values.iter().map(|(label, value)| (*label, value.as_str())).collect();
    Form::new(kind, &values)
}

/// Keys of a form: fields up and down, other commands left and right of the first, Enter runs it.
pub fn form_key(state: &mut State, mut form: Form, key: KeyEvent) -> Vec<Effect> {
    let n = form.fields.len();
    match key.code {
        KeyCode::Esc => return vec![],
        KeyCode::Down | KeyCode::Tab => form.cursor = (form.cursor + 1) % n,
        KeyCode::Up | KeyCode::BackTab => form.cursor = (form.cursor + n - 1) % n,
        KeyCode::PageDown | KeyCode::PageUp if state.view == View::Runs => {
            let all = Kind::RUNS;
            let here = all.iter().position(|kind| *kind == form.kind).unwrap_or(0);
            let step = if key.code == KeyCode::PageDown { 1 } else { all.len() - 1 };
            form = form_of(state, all[(here + step) % all.len()]);
        }
        KeyCode::Enter => {
            if let Some(label) = form.lacks() {
                state.said = Some((Role::Bad, format!("`{label}` is lacking")));
            } else {
                return start(state, form.arguments());
            }
        }
        _ => {
            form.fields[form.cursor].line.key(key);
        }
    }
    state.overlay = Some(Overlay::Form(form));
    vec![]
}

fn start(state: &mut State, arguments: Vec<String>) -> Vec<Effect> {
    let id = state.products.jobs.iter().map(|job| job.id + 1).max().unwrap_or(1);
    let job = Job { id, arguments: arguments.clone(), ..Job::default() };
    state.said = Some((Role::Good, format!("started: {}", job_line(state, &job))));
    state.products.jobs.insert(0, job);
    vec![Effect::Start { job: id, arguments }]
}

/// The command line of a job.
pub fn job_line(state: &State, job: &Job) -> String {
    let words: Vec<String> = job.arguments.iter().map(|word| quoted(word)).collect();
    format!("{} {}", program(state), words.join(" "))
}

/// The job under the cursor of the runs.
fn job_here(state: &State) -> Option<&Job> {
    let job = match *run_lines(state).get(state.products.run)? {
        RunLine::Job(job) | RunLine::Run(_, Some(job)) => job,
        RunLine::Run(_, None) => return None,
    };
    state.products.jobs.get(job)
}

/// Stops the job under the cursor, or the newest that runs.
fn stop(state: &mut State) -> Vec<Effect> {
    let chosen = if state.view == View::Runs { job_here(state).filter(|job| job.runs()) } else { None };
    let job = chosen.or_else(|| state.products.jobs.iter().find(|job| job.runs()));
    match job.and_then(|job| job.process) {
        Some(process) => {
            state.said = Some((Role::Text, "asked it to stop at the next safe point".to_owned()));
            vec![Effect::Stop(process)]
        }
        None => {
            state.said = Some((Role::Warning, "nothing that was started here is running".to_owned()));
            vec![]
        }
    }
}

/// Keeps the open validation in sight beside those chosen next, or ends that.
fn compare(state: &mut State) -> Vec<Effect> {
    let products = &mut state.products;
    products.kept = if products.kept.is_some() { None } else { products.findings.clone() };
    vec![]
}

fn show_log(state: &mut State) {
    let here = run_lines(state).get(state.products.run).copied();
    let run = match (here, &state.products.lists) {
        (Some(RunLine::Run(i, _)), Some(lists)) => lists.runs.get(i),
        _ => None,
    };
    let (title, mut lines, of) = if let Some(job) = job_here(state) {
        (job_line(state, job), job.lines.iter().cloned().collect(), Some(job.id))
    } else if let Some(run) = run
        && let Some(files) = state.products.files.as_ref().filter(|files| files.id == run.id)
        && let Some((path, lines)) = &files.log
    {
        (path.to_string_lossy().into_owned(), lines.clone(), None)
    } else {
        let text =
            "only a run that was started from here has a log; its message and files are below the list";
        state.said = Some((Role::Warning, text.to_owned()));
        return;
    };
    if lines.is_empty() {
        lines.push("it has said nothing yet".to_owned());
    }
    state.overlay = Some(Overlay::Text { title, lines, scroll: usize::MAX, of });
}

pub fn command_line(state: &State) -> Option<String> {
    let products = &state.products;
    let lists = products.lists.as_ref();
    let program = program(state);
    Some(match state.view {
        View::Galaxies => return None,
        View::Models => match (lists, models(state).get(products.model)) {
            (Some(lists), Some(Model::Checkpoint(i))) => {
                format!("{program} plot training {}", quoted(&lists.checkpoints[*i].name))
            }
            (Some(lists), Some(Model::Training(i))) => {
                format!(
                    "{program} query 'SELECT * FROM training_history WHERE training_id = {}'",
                    lists.trainings[*i].id
                )
            }
            _ => format!("{program} query 'SELECT * FROM checkpoint'"),
        },
        View::Validation => match lists.and_then(|lists| lists.validations.get(products.validation)) {
            Some(row) => {
                let number = |key: &str| row.config[key].as_u64();
                let mut line = format!("{program} validate {}", quoted(&row.checkpoint_name));
                for key in ["mocks", "draws", "seed"] {
                    if let Some(value) = number(key) {
                        line += &format!(" --{key} {value}");
                    }
                }
                line
            }
            None => format!("{program} validate"),
        },
        View::Runs => match (run_lines(state).get(products.run), lists) {
            (Some(RunLine::Job(job) | RunLine::Run(_, Some(job))), _) => {
                job_line(state, products.jobs.get(*job)?)
            }
            (Some(RunLine::Run(i, None)), Some(lists)) => {
                let words: Vec<String> = lists.runs[*i].arguments.iter().map(|word| quoted(word)).collect();
                format!("sedflow {}", words.join(" "))
            }
            _ => format!("{program} log"),
        },
    })
}
