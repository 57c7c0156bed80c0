//! Models, validation and runs: choosing one, following what is under way, starting and stopping commands.

use crossterm::event::{KeyCode, KeyEvent};

use super::{program, quoted};
use crate::tui::form::{Form, Kind};
use crate::tui::jobs::children::ChildEvent;
use crate::tui::jobs::products::{ProductsAnswer, ProductsAsk};
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::state::{Job, Overlay, State, View};
use crate::tui::theme::Role;

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

/// Rows of the list of a view.
fn rows(state: &State, view: View) -> usize {
    match (view, &state.products.lists) {
        (View::Models, _) => models(state).len(),
        (View::Validation, Some(lists)) => lists.validations.len(),
        (View::Runs, Some(lists)) => state.products.jobs.len() + lists.runs.len(),
        (View::Runs, None) => state.products.jobs.len(),
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
        View::Runs => ProductsAsk::Run(lists.runs.get(products.run.checked_sub(products.jobs.len())?)?.id),
    };
    Some(Effect::Products(ask))
}

pub fn answered(state: &mut State, answer: ProductsAnswer) -> Vec<Effect> {
    let products = &mut state.products;
    match answer {
        ProductsAnswer::Lists(lists) => {
            let first = products.lists.is_none();
            products.lists = Some(lists);
            products.problem = None;
            for view in [View::Models, View::Validation, View::Runs] {
                let last = rows(state, view).saturating_sub(1);
                let here = match view {
                    View::Validation => &mut state.products.validation,
                    View::Runs => &mut state.products.run,
                    _ => &mut state.products.model,
                };
                *here = (*here).min(last);
            }
            return if first { behind(state).into_iter().collect() } else { vec![] };
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
                    Err(text) => (Role::Bad, format!("{words}: {text}")),
                });
                (jobs[at].ended, jobs[at].process) = (Some(how), None);
            }
            return refresh(state);
        }
    }
    vec![]
}

pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    let n = rows(state, state.view);
    let step = |by: isize| move |at: usize| at.saturating_add_signed(by).min(n.saturating_sub(1));
    let moved: Option<Box<dyn Fn(usize) -> usize>> = match action {
        Action::Down => Some(Box::new(step(1))),
        Action::Up => Some(Box::new(step(-1))),
        Action::HalfDown | Action::PageDown => Some(Box::new(step(10))),
        Action::HalfUp | Action::PageUp => Some(Box::new(step(-10))),
        Action::Top => Some(Box::new(|_| 0)),
        Action::Bottom => Some(Box::new(move |_| n.saturating_sub(1))),
        _ => None,
    };
    if let Some(to) = moved {
        let here = cursor(state);
        *here = to(*here);
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

fn turn(state: &mut State, forward: bool) {
    let products = &mut state.products;
    match state.view {
        View::Models => products.by_time = !products.by_time,
        View::Validation => products.page = products.page.turned(forward),
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

/// The job that Stop means: the one under the cursor, or the newest that runs.
fn stop(state: &mut State) -> Vec<Effect> {
    let chosen = if state.view == View::Runs { state.products.jobs.get(state.products.run) } else { None };
    let job = chosen.filter(|job| job.process.is_some());
    let job = job.or_else(|| state.products.jobs.iter().find(|job| job.process.is_some()));
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

fn compare(state: &mut State) -> Vec<Effect> {
    let products = &mut state.products;
    if products.beside.take().is_some() {
        return vec![];
    }
    let Some(lists) = &products.lists else { return vec![] };
    let Some(row) = lists.validations.get(products.validation) else { return vec![] };
    // the one open stays; the next one chosen goes beside it
    products.beside = products.findings.take();
    vec![Effect::Products(ProductsAsk::Validation(row.id))]
}

fn show_log(state: &mut State) {
    let Some(job) = state.products.jobs.get(state.products.run) else {
        state.said = Some((Role::Warning, "only runs that were started here have a log to show".to_owned()));
        return;
    };
    let mut lines: Vec<String> = job.lines.iter().cloned().collect();
    if lines.is_empty() {
        lines.push("it has said nothing yet".to_owned());
    }
    let scroll = lines.len();
    state.overlay = Some(Overlay::Text { title: job_line(state, job), lines, scroll });
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
        View::Runs => match products.jobs.get(products.run) {
            Some(job) => job_line(state, job),
            None => {
                let run =
                    lists.and_then(|lists| lists.runs.get(products.run.checked_sub(products.jobs.len())?));
                match run {
                    Some(run) => {
                        let words: Vec<String> = run.arguments.iter().map(|word| quoted(word)).collect();
                        format!("sedflow {}", words.join(" "))
                    }
                    None => format!("{program} log"),
                }
            }
        },
    })
}
