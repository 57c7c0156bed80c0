//! Models, validation and runs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::panel::panel;
use super::{notice, put, put_right, wrapped};
use crate::commands::log::typed;
use crate::plot::axes::Axis;
use crate::store::{Run, RunState, Standing};
use crate::tui::jobs::products::{Findings, HistoryCurves, Lists, ProductsAsk};
use crate::tui::portrait::label;
use crate::tui::raster::{Plot, Tone};
use crate::tui::state::{Job, State, ValidationPage};
use crate::tui::text::{clean, fit, number, pad, thousands, width};
use crate::tui::theme::Role;
use crate::tui::update::{Model, RunLine, job_line, models, progress_of, run_lines};

/// Rows of a list with the one under the cursor in sight; each row is its cells with their roles.
fn list(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    heads: &[(&str, usize, bool)],
    rows: &[Vec<(String, Role)>],
    cursor: usize,
) {
    let theme = &state.theme;
    let mut x = 1;
    for (head, wide, right) in heads {
        put(buffer, area, x, 0, &pad(head, *wide, *right), theme.style(Role::Title));
        x += *wide as u16 + 2;
    }
    let height = usize::from(area.height).saturating_sub(1).max(1);
    let first = (cursor + 1).saturating_sub(height);
    for (i, row) in rows.iter().enumerate().skip(first).take(height) {
        let y = 1 + (i - first) as u16;
        if i == cursor {
            buffer.set_style(Rect { y: area.y + y, height: 1, ..area }, theme.style(Role::Chosen));
        }
        let mut x = 1;
        for ((cell, role), (_, wide, right)) in row.iter().zip(heads) {
            put(buffer, area, x, y, &pad(&clean(cell), *wide, *right), theme.style(*role));
            x += *wide as u16 + 2;
        }
    }
}

/// The lists, or what is said in their place.
fn lists<'a>(state: &'a State, buffer: &mut Buffer, area: Rect) -> Option<&'a Lists> {
    if let Some(problem) = &state.products.problem {
        notice(state, buffer, area, Role::Bad, problem);
        return None;
    }
    if state.products.lists.is_none() {
        put(buffer, area, 1, 0, "reading …", state.theme.style(Role::Dim));
    }
    state.products.lists.as_deref()
}

/// A list at the left of a wide area or on top of a narrow one, and the rest.
fn split(area: Rect, columns: u16, rows: u16) -> (Rect, Rect) {
    if area.width >= columns + 50 {
        let rest = Rect { x: area.x + columns + 1, width: area.width - columns - 1, ..area };
        (Rect { width: columns, ..area }, rest)
    } else {
        let rows = rows.min(area.height / 2);
        (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
    }
}

pub fn draw_models(state: &State, buffer: &mut Buffer, area: Rect) {
    let Some(all) = lists(state, buffer, area) else { return };
    let entries = models(state);
    if entries.is_empty() {
        return notice(state, buffer, area, Role::Dim, "no checkpoint and no training yet: t trains one");
    }
    let (left, right) = split(area, 66, entries.len() as u16 + 2);
    let rows: Vec<Vec<(String, Role)>> = entries
        .iter()
        .map(|entry| match entry {
            Model::Checkpoint(i) => {
                let c = &all.checkpoints[*i];
                let ln_q = c.valid_ln_prob.map_or("–".to_owned(), |value| number(value, 3));
                vec![
                    ("checkpoint".to_owned(), Role::Dim),
                    (c.name.clone(), Role::Text),
                    (c.architecture.clone(), Role::Text),
                    (thousands(c.n_weights), Role::Dim),
                    (ln_q, Role::Median),
                ]
            }
            Model::Training(i) => {
                let t = &all.trainings[*i];
                let name = t.name.clone().unwrap_or_else(|| t.id.to_string());
                let name =
                    t.search.as_ref().map_or(name.clone(), |(search, trial)| format!("{search} #{trial}"));
                let state = match t.state {
                    RunState::Running => ("running".to_owned(), Role::Good),
                    RunState::Done => ("training".to_owned(), Role::Dim),
                    other => (other.to_string(), Role::Warning),
                };
                let best = t.best_valid_ln_prob.map_or("–".to_owned(), |value| number(value, 3));
                let resumable = if t.resumable { " ↻" } else { "" };
                vec![
                    state,
                    (name, Role::Text),
                    (
                        format!("{} epoch{}{resumable}", t.epochs, if t.epochs == 1 { "" } else { "s" }),
                        Role::Text,
                    ),
                    (format!("{:.1} min", t.elapsed_s / 60.0), Role::Dim),
                    (best, Role::Median),
                ]
            }
        })
        .collect();
    let heads =
        [("", 11, false), ("name", 16, false), ("", 13, false), ("weights", 10, true), ("ln q", 7, true)];
    list(state, buffer, left, &heads, &rows, state.products.model);
    match &state.products.curves {
        Some((of, curves)) => history(state, (*of, curves), buffer, right),
        None => {
            put(buffer, right, 1, 0, "history …", state.theme.style(Role::Dim));
        }
    }
}

/// Held-out and training log density against epoch or time.
fn history(state: &State, (of, curves): (ProductsAsk, &HistoryCurves), buffer: &mut Buffer, area: Rect) {
    let by_time = state.products.by_time;
    let along = |series: &crate::tui::jobs::products::Series| {
        if by_time { series.minutes.clone() } else { series.epoch.clone() }
    };
    let mut values: Vec<f64> = curves
        .series
        .iter()
        .flat_map(|s| s.train.iter().chain(&s.valid))
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    if values.is_empty() {
        let text = match under_way(state, of) {
            Some(standing) => format!("{}\nno epoch has ended yet", progress_words(standing)),
            None => "no epoch has been kept of it yet".to_owned(),
        };
        return notice(state, buffer, area, Role::Dim, &text);
    }
    values.sort_by(f64::total_cmp);
    // the first steps are far below everything that follows
    let (low, high) = (values[values.len() / 20], values[values.len() - 1]);
    let room = 0.06 * (high - low).max(0.05);
    let most = curves.series.iter().flat_map(&along).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let (x, y) = (Axis::linear(0.0, most.max(1e-3)), Axis::linear(low - room, high + room));
    let x_label = if by_time { "minutes; ← → by epoch" } else { "epoch; ← → by time" };
    let title = ("mean ln q(θ | x)/nats", "held out ━  training ⋯");
    let inner = panel(state, buffer, area, title, (&x, x_label), &y);
    if inner.width == 0 {
        return;
    }
    let mut plot = Plot::new(inner, x, y);
    for series in &curves.series {
        plot.curve(Role::Dim, &along(series), &series.train);
    }
    for (k, series) in curves.series.iter().enumerate() {
        plot.curve(Role::Series(k as u8), &along(series), &series.valid);
    }
    plot.raster.draw(buffer, inner, &state.theme);
    let best = curves
        .series
        .iter()
        .flat_map(|s| s.valid.iter().zip(&s.epoch))
        .filter(|(valid, _)| valid.is_finite())
        .max_by(|a, b| a.0.total_cmp(b.0));
    // at the lower right, which curves that rise leave free
    let mut notes = Vec::new();
    if let Some((valid, epoch)) = best {
        notes.push((format!("best {} at epoch {epoch:.0}", number(*valid, 3)), Role::Median));
    }
    notes.extend(under_way(state, of).map(|standing| (progress_numbers(standing), Role::Good)));
    let first = inner.height.saturating_sub(1 + notes.len() as u16);
    for (i, (text, role)) in notes.iter().enumerate() {
        let room = Rect { width: inner.width.saturating_sub(1), ..inner };
        put_right(buffer, room, first + i as u16, text, state.theme.style(*role));
    }
}

/// How far the training shown is, while it runs.
fn under_way(state: &State, of: ProductsAsk) -> Option<&Standing> {
    let all = state.products.lists.as_ref()?;
    let ProductsAsk::Training(id) = of else { return None };
    let training = all.trainings.iter().find(|training| training.id == id)?;
    progress_of(all, training.run)
}

pub fn draw_validation(state: &State, buffer: &mut Buffer, area: Rect) {
    let Some(all) = lists(state, buffer, area) else { return };
    if all.validations.is_empty() {
        return notice(
            state,
            buffer,
            area,
            Role::Dim,
            "no checkpoint has been validated yet: t begins a validation",
        );
    }
    let rows: Vec<Vec<(String, Role)>> = all
        .validations
        .iter()
        .map(|row| {
            let n = |key: &str| row.config[key].as_u64().map_or("–".to_owned(), thousands);
            vec![
                (row.checkpoint_name.clone(), Role::Text),
                (n("mocks"), Role::Text),
                (row.begun_utc.chars().take(16).collect(), Role::Dim),
            ]
        })
        .collect();
    let heads = [("checkpoint", 16, false), ("mocks", 7, true), ("begun (UTC)", 16, false)];
    // two beside each other need the width
    let columns = if state.products.kept.is_some() && area.width < 180 { area.width } else { 46 };
    let (left, right) = split(area, columns, (rows.len() as u16 + 1).min(6));
    list(state, buffer, left, &heads, &rows, state.products.validation);
    // which page
    let mut x = 1;
    for page in ValidationPage::ALL {
        let chosen = page == state.products.page;
        let style = state.theme.style(if chosen { Role::Chosen } else { Role::Dim });
        x = put(buffer, right, x, 0, &format!(" {} ", page.title()), style);
    }
    let body = Rect { y: right.y + 1, height: right.height.saturating_sub(1), ..right };
    let Some(findings) = &state.products.findings else {
        put(buffer, body, 1, 0, "reading …", state.theme.style(Role::Dim));
        return;
    };
    let Some(kept) = &state.products.kept else { return one(state, findings, buffer, body) };
    let half = body.width / 2;
    one(state, kept, buffer, Rect { width: half.saturating_sub(1), ..body });
    let right = Rect { x: body.x + half, width: body.width - half, ..body };
    if kept.id == findings.id {
        notice(state, buffer, right, Role::Dim, "the validation chosen next is shown here; b ends it");
    } else {
        one(state, findings, buffer, right);
    }
}

/// One validation on the page chosen.
fn one(state: &State, findings: &Findings, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let name = state
        .products
        .lists
        .as_ref()
        .and_then(|lists| lists.validations.iter().find(|row| row.id == findings.id));
    let begun = name.map_or(String::new(), |row| row.begun_utc.chars().take(16).collect());
    let name = name.map_or(findings.title.clone(), |row| row.checkpoint_name.clone());
    let x = put(buffer, area, 1, 0, &clean(&name), theme.style(Role::Title));
    let facts = format!("{} mocks  {begun}", thousands(findings.n_mocks as u64));
    put(buffer, area, x + 2, 0, &facts, theme.style(Role::Dim));
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if findings.n_mocks == 0 && state.products.page != ValidationPage::Numbers {
        return notice(state, buffer, body, Role::Dim, "no evidence is kept of it, only its numbers");
    }
    match state.products.page {
        ValidationPage::Pp => {
            let curves: Vec<(&str, &[f64])> =
                findings.ranks.iter().map(|(name, ranks)| (name.as_str(), ranks.as_slice())).collect();
            uniform(state, buffer, body, ("p-p: cumulative ranks − diagonal", "rank"), &curves, true);
        }
        ValidationPage::Coverage => {
            let curves: Vec<(&str, &[f64])> =
                findings.levels.iter().map(|(name, levels)| (*name, levels.as_slice())).collect();
            uniform(
                state,
                buffer,
                body,
                ("coverage of all parameters − diagonal", "credible mass"),
                &curves,
                false,
            );
        }
        ValidationPage::Ranks => ranks(state, findings, buffer, body),
        ValidationPage::Subsets => numbers(state, findings, buffer, body, true),
        ValidationPage::Numbers => numbers(state, findings, buffer, body, false),
    }
}

/// Cumulative distributions minus the diagonal, with the range that 95 of 100 right ones stay in
/// (Dvoretzky-Kiefer-Wolfowitz).
fn uniform(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    (title, x_label): (&str, &str),
    curves: &[(&str, &[f64])],
    symbols: bool,
) {
    const STEPS: usize = 200;
    let theme = &state.theme;
    let n = curves.first().map_or(1, |curve| curve.1.len().max(1));
    let half = ((2.0_f64 / 0.05).ln() / (2.0 * n as f64)).sqrt();
    let grid: Vec<f64> = (0..=STEPS).map(|k| k as f64 / STEPS as f64).collect();
    let off = |sorted: &[f64]| -> Vec<f64> {
        grid.iter()
            .map(|p| sorted.partition_point(|value| value <= p) as f64 / sorted.len().max(1) as f64 - p)
            .collect()
    };
    let all: Vec<Vec<f64>> = curves.iter().map(|(_, sorted)| off(sorted)).collect();
    let reach = all.iter().flatten().fold(1.3 * half, |most, v| most.max(v.abs())) * 1.1;
    let (x, y) = (Axis::linear(0.0, 1.0), Axis::linear(-reach, reach));
    let key_width = 18;
    let plot_area = Rect { width: area.width.saturating_sub(key_width), ..area };
    let fits = width(title) + 8 < usize::from(plot_area.width);
    let title = if fits { title } else { "− diagonal" };
    let inner = panel(state, buffer, plot_area, (title, ""), (&x, x_label), &y);
    if inner.width == 0 {
        return;
    }
    let mut plot = Plot::new(inner, x, y);
    plot.band(Role::Prior, Tone::Sparse, &[0.0, 1.0], &[-half; 2], &[half; 2]);
    plot.curve(Role::Dim, &[0.0, 1.0], &[0.0, 0.0]);
    for (k, values) in all.iter().enumerate() {
        plot.curve(Role::Series(k as u8), &grid, values);
    }
    plot.raster.draw(buffer, inner, theme);
    let key = Rect { x: plot_area.right(), width: key_width, ..area };
    for (k, ((name, _), values)) in curves.iter().zip(&all).enumerate() {
        let worst = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let name = if symbols { label(name).0 } else { (*name).to_owned() };
        put(buffer, key, 0, 1 + k as u16, "━", theme.style(Role::Series(k as u8)));
        let role = if worst > half { Role::Warning } else { Role::Text };
        put(buffer, key, 2, 1 + k as u16, &fit(&clean(&name), 12), theme.style(role));
        put_right(
            buffer,
            key,
            1 + k as u16,
            &format!("{worst:.2}").replace("0.", "."),
            theme.style(Role::Dim),
        );
    }
    put(buffer, key, 0, 0, "largest", theme.style(Role::Dim));
}

/// Rank histograms, small, one per quantity; the band holds 99 of 100 bars of a right posterior.
fn ranks(state: &State, findings: &Findings, buffer: &mut Buffer, area: Rect) {
    const BARS: usize = 20;
    let theme = &state.theme;
    let columns = (area.width / 26).max(1);
    let rows = (findings.ranks.len() as u16).div_ceil(columns).max(1);
    let (wide, tall) = (area.width / columns, (area.height / rows).clamp(4, 12));
    for (k, (name, sorted)) in findings.ranks.iter().enumerate() {
        let (row, column) = (k as u16 / columns, k as u16 % columns);
        let cell = Rect { x: area.x + column * wide, y: area.y + row * tall, width: wide, height: tall };
        if cell.bottom() > area.bottom() {
            break;
        }
        let expected = sorted.len() as f64 / BARS as f64;
        let mut counts = [0.0_f64; BARS];
        for value in sorted {
            counts[((value * BARS as f64) as usize).min(BARS - 1)] += 1.0;
        }
        let spread = 2.576 * (expected * (1.0 - 1.0 / BARS as f64)).sqrt();
        let outside = counts.iter().filter(|count| (**count - expected).abs() > spread).count();
        let role = if outside > 1 { Role::Warning } else { Role::Title };
        put(buffer, Rect { width: cell.width - 1, ..cell }, 1, 0, &label(name).0, theme.style(role));
        let inner =
            Rect { x: cell.x + 1, y: cell.y + 1, width: cell.width.saturating_sub(3), height: tall - 2 };
        let top = counts.iter().copied().fold(expected + spread, f64::max) * 1.05;
        let mut plot = Plot::new(inner, Axis::linear(0.0, 1.0), Axis::linear(0.0, top));
        plot.bars(Role::Inner, Tone::Half, 0.0, 1.0, &counts);
        plot.curve(Role::Prior, &[0.0, 1.0], &[(expected - spread).max(0.0); 2]);
        plot.curve(Role::Prior, &[0.0, 1.0], &[expected + spread; 2]);
        plot.raster.draw(buffer, inner, theme);
    }
}

/// The numbers kept: those of all mocks, or those of bins.
fn numbers(state: &State, findings: &Findings, buffer: &mut Buffer, area: Rect, of_subsets: bool) {
    let chosen: Vec<_> = findings.numbers(of_subsets).collect();
    if chosen.is_empty() {
        return notice(state, buffer, area, Role::Dim, "it keeps no such numbers");
    }
    let theme = &state.theme;
    let heads = ["what", "of", "among", "value", "95 %", "p"];
    let widest = |f: &dyn Fn(&crate::store::Metric) -> String, least: usize, most: usize| {
        chosen.iter().map(|m| width(&f(m))).max().unwrap_or(0).clamp(least, most)
    };
    let (a, b) = (widest(&|m| m.metric.clone(), 4, 24), widest(&|m| label(&m.parameter).0, 2, 14));
    let c = if of_subsets { widest(&|m| m.subset.clone(), 5, 26) } else { 0 };
    let mut widths = [a, b, c, 9, 19, 8];
    // the value and how likely it is come before its range
    for k in [4, 5] {
        let needed: usize = widths.iter().filter(|wide| **wide > 0).map(|wide| wide + 2).sum();
        if needed > usize::from(area.width) {
            widths[k] = 0;
        }
    }
    let mut x = 1;
    for (head, wide) in heads.iter().zip(widths).filter(|(_, wide)| *wide > 0) {
        put(buffer, area, x, 0, &pad(head, wide, wide == 9 || *head == "p"), theme.style(Role::Title));
        x += wide as u16 + 2;
    }
    let rows = usize::from(area.height).saturating_sub(1);
    let first = state.products.scroll.min(chosen.len().saturating_sub(rows));
    if chosen.len() > rows {
        let last = (first + rows).min(chosen.len());
        let text = format!(" {}–{last} of {}, Ctrl-d on ", first + 1, chosen.len());
        put_right(buffer, Rect { y: area.y - 1, ..area }, 0, &text, theme.style(Role::Dim));
    }
    for (i, m) in chosen.iter().skip(first).take(rows).enumerate() {
        let range = match (m.low, m.high) {
            (Some(low), Some(high)) => format!("{} to {}", number(low, 3), number(high, 3)),
            _ => String::new(),
        };
        let p = m
            .p_value
            .map_or(String::new(), |p| if p < 1e-3 { format!("{p:.0e}") } else { format!("{p:.3}") });
        let role = if m.p_value.is_some_and(|p| p < 0.01) { Role::Warning } else { Role::Text };
        let cells = [m.metric.clone(), label(&m.parameter).0, m.subset.clone(), number(m.value, 4), range, p];
        let mut x = 1;
        for (k, (cell, wide)) in cells.iter().zip(widths).enumerate().filter(|(_, (_, wide))| *wide > 0) {
            let style = theme.style(if k >= 4 { Role::Dim } else { role });
            put(buffer, area, x, 1 + i as u16, &pad(&clean(cell), wide, k == 3 || k == 5), style);
            x += wide as u16 + 2;
        }
    }
}

pub fn draw_runs(state: &State, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let Some(all) = lists(state, buffer, area) else { return };
    let lines = run_lines(state);
    if lines.is_empty() {
        return notice(state, buffer, area, Role::Dim, "nothing has run yet: t starts an ingest");
    }
    let rows: Vec<Vec<(String, Role)>> = lines
        .iter()
        .map(|line| match *line {
            RunLine::Job(job) => job_cells(&state.products.jobs[job]),
            RunLine::Run(run, _) => run_cells(all, &all.runs[run]),
        })
        .collect();
    let detail = (area.height / 3).clamp(5, 16);
    let upper = Rect { height: area.height - detail, ..area };
    let lower = Rect { y: upper.bottom(), height: detail, ..area };
    let heads = [
        ("run", 6, true),
        ("state", 11, false),
        ("command", 10, false),
        ("took", 8, true),
        ("", usize::from(area.width).saturating_sub(45).max(10), false),
    ];
    list(state, buffer, upper, &heads, &rows, state.products.run);
    put(buffer, lower, 0, 0, &"─".repeat(usize::from(lower.width)), theme.style(Role::Dim));
    let mut y = 1;
    for (text, role) in details(state, all, lines[state.products.run.min(lines.len() - 1)], lower) {
        for part in wrapped(&clean(&text), usize::from(lower.width).saturating_sub(2)) {
            put(buffer, lower, 1, y, &part, theme.style(role));
            y += 1;
        }
    }
}

fn job_cells(job: &Job) -> Vec<(String, Role)> {
    let (word, role) = match &job.ended {
        None => ("runs here", Role::Good),
        Some(Ok(())) => ("done", Role::Dim),
        Some(Err(_)) => ("failed", Role::Bad),
    };
    vec![
        (format!("job {}", job.id), Role::Dim),
        (word.to_owned(), role),
        (job.arguments.first().cloned().unwrap_or_default(), Role::Text),
        (String::new(), Role::Dim),
        (job.lines.back().cloned().unwrap_or_default(), Role::Text),
    ]
}

fn run_cells(all: &Lists, run: &Run) -> Vec<(String, Role)> {
    let role = match run.state {
        RunState::Running => Role::Good,
        RunState::Done => Role::Dim,
        RunState::Failed => Role::Bad,
        RunState::Interrupted => Role::Warning,
    };
    let words = match (progress_of(all, run.id), &run.message) {
        (Some(standing), _) => progress_words(standing),
        (None, Some(message)) => message.clone(),
        (None, None) => run.arguments.join(" "),
    };
    vec![
        (run.id.to_string(), Role::Dim),
        (run.state.to_string(), role),
        (run.command.clone(), Role::Text),
        (run.elapsed_s.map_or(String::new(), seconds), Role::Dim),
        (words, Role::Text),
    ]
}

/// How far a run is, and how long it will take.
fn progress_numbers(standing: &Standing) -> String {
    let total = standing.total.filter(|total| *total > 0);
    let part = total.map(|total| format!("{:.0} %", 100.0 * standing.done as f64 / total as f64));
    let left = standing.eta_s.map(|eta_s| format!("{} left", seconds(eta_s)));
    part.into_iter().chain(left).collect::<Vec<_>>().join("  ")
}

/// [`progress_numbers`] and what is being done, in one line.
fn progress_words(standing: &Standing) -> String {
    let done = thousands(standing.done);
    let what = match (&standing.said, standing.total.filter(|total| *total > 0)) {
        (Some(said), _) => format!("{}, {said}", standing.what),
        (None, Some(total)) => format!("{}, {done} of {} {}", standing.what, thousands(total), standing.unit),
        (None, None) => format!("{}, {done} {}", standing.what, standing.unit),
    };
    let numbers = progress_numbers(standing);
    if numbers.is_empty() { what } else { format!("{numbers}  {what}") }
}

/// What is known of a run or job, line by line, as far as the area reaches.
fn details(state: &State, all: &Lists, line: RunLine, area: Rect) -> Vec<(String, Role)> {
    let mut lines = Vec::new();
    let (run, job) = match line {
        RunLine::Job(job) => (None, state.products.jobs.get(job)),
        RunLine::Run(run, job) => (all.runs.get(run), job.and_then(|job| state.products.jobs.get(job))),
    };
    lines.push(match (run, job) {
        (_, Some(job)) => (job_line(state, job), Role::Key),
        (Some(run), None) => (format!("sedflow {}", typed(&run.arguments)), Role::Key),
        (None, None) => return lines,
    });
    if let Some(run) = run {
        about_run(all, run, area, &mut lines);
    }
    let files = run.and_then(|run| state.products.files.as_ref().filter(|files| files.id == run.id));
    let found = files.and_then(|files| files.log.as_ref());
    if let Some(job) = job {
        if let Some(Err(how)) = &job.ended {
            lines.push((how.clone(), Role::Bad));
        }
        if let Some(log) = &job.log {
            lines.push((format!("L shows its log, {}", log.display()), Role::Dim));
        }
    } else if let Some((path, _)) = found {
        lines.push((format!("L shows its log, {}", path.display()), Role::Dim));
    }
    for (word, list) in files.iter().flat_map(|files| [("read", &files.inputs), ("made", &files.outputs)]) {
        for artifact in list {
            let text = format!("{word} {} {} {}", artifact.kind, artifact.name, artifact.hash.short());
            lines.push((text, Role::Text));
        }
    }
    // the end of what it says, in what room is left
    let said: Vec<String> = match (job, found) {
        (Some(job), _) => job.lines.iter().cloned().collect(),
        (None, Some((_, said))) => said.clone(),
        (None, None) => vec![],
    };
    let room = usize::from(area.height).saturating_sub(lines.len() + 2);
    lines.extend(said.into_iter().skip(1).rev().take(room).rev().map(|text| (text, Role::Text)));
    lines
}

fn about_run(all: &Lists, run: &Run, area: Rect, lines: &mut Vec<(String, Role)>) {
    if let Some(standing) = progress_of(all, run.id) {
        let words = progress_words(standing);
        let room = usize::from(area.width).saturating_sub(width(&words) + 5).min(40);
        let part = standing.total.map(|total| (standing.done as f64 / total.max(1) as f64).min(1.0));
        let bar = part.map_or(String::new(), |part| {
            let full = (part * room as f64) as usize;
            "━".repeat(full) + &"╌".repeat(room - full) + "  "
        });
        lines.push((bar + &words, Role::Good));
    } else if run.state == RunState::Running {
        let done =
            |(name, done): &(String, u64)| (format!("{name}: {} so far", thousands(*done)), Role::Good);
        lines.extend(all.under_way.iter().map(done));
    }
    if let Some(message) = &run.message {
        lines.push((message.clone(), Role::Bad));
    }
    let seed = run.seed.map_or(String::new(), |seed| format!("   seed {seed}"));
    let ended = match (&run.ended_utc, run.state) {
        (Some(ended), _) => ended.as_str(),
        (None, RunState::Running) => "not yet",
        (None, _) => "unknown",
    };
    let process =
        if run.state == RunState::Running { format!("   process {}", run.process_id) } else { String::new() };
    lines.push((
        format!("begun {}   ended {ended}{process}{seed}   version {}", run.started_utc, run.program_version),
        Role::Dim,
    ));
}

fn seconds(elapsed_s: f64) -> String {
    match elapsed_s {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 6000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
