//! The list of galaxies: moving, narrowing, sorting, marking.

use super::{open_prompt, program, quoted};
use crate::store::{Order, Towards};
use crate::tui::jobs::galaxy::GalaxyAsk;
use crate::tui::jobs::list::{Anchor, Facts, ListAnswer, ListAsk, ListSpec, Page, write_csv};
use crate::tui::keys::Action;
use crate::tui::line::Line;
use crate::tui::message::Effect;
use crate::tui::state::{Asked, Overlay, State, Total};
use crate::tui::text;
use crate::tui::theme::Role;

/// Rows of one page, kept in the window, and how near its end more are asked for.
const PAGE: usize = 400;
const KEPT: usize = 2400;
const NEAR: usize = 160;

pub fn begin(state: &mut State) -> Vec<Effect> {
    vec![Effect::List(ListAsk::Facts), reopen(state)]
}

/// Opens the list anew from its beginning.
pub fn reopen(state: &mut State) -> Effect {
    let list = &mut state.galaxies;
    list.generation += 1;
    list.pending = None;
    list.problem = None;
    list.busy = Some("reading".to_owned());
    Effect::List(ListAsk::Open { generation: list.generation, spec: list.spec.clone(), limit: PAGE })
}

pub fn is_narrowed(state: &State) -> bool {
    let spec = &state.galaxies.spec;
    !spec.filter.is_empty() || !spec.names.is_empty() || spec.cone.is_some() || spec.only.is_some()
}

pub fn answered(state: &mut State, answer: ListAnswer) -> Vec<Effect> {
    let generation = state.galaxies.generation;
    let list = &mut state.galaxies;
    match answer {
        ListAnswer::Facts(facts) => return learned(state, facts),
        ListAnswer::NoCatalog(text) => {
            state.no_catalog = Some(text);
            list.busy = None;
        }
        ListAnswer::Progress { generation: g, text } if g == generation => list.busy = Some(text),
        ListAnswer::Problem { generation: g, text } if g == generation => {
            list.busy = None;
            list.pending = None;
            list.problem = Some(text);
            list.rows.clear();
            (list.cursor, list.top, list.starts, list.ends) = (0, 0, true, true);
            list.total = Total::Exactly(0);
        }
        ListAnswer::Opened { generation: g, page } if g == generation => {
            list.busy = None;
            take(state, page);
            (state.galaxies.cursor, state.galaxies.top) = (0, 0);
            return fetch(state);
        }
        ListAnswer::Jumped { generation: g, to_end, page } if g == generation => {
            list.busy = None;
            list.pending = None;
            take(state, page);
            let list = &mut state.galaxies;
            list.cursor = if to_end { list.rows.len().saturating_sub(1) } else { 0 };
            list.top = list.cursor;
            keep_in_sight(state);
            return fetch(state);
        }
        ListAnswer::More { generation: g, towards, page } if g == generation => {
            list.pending = None;
            grow(state, towards, page);
            return fetch(state);
        }
        ListAnswer::Exported { generation: g, said } => {
            if g == generation {
                list.busy = None;
            }
            state.said = Some(match said {
                Ok(text) => (Role::Good, text),
                Err(text) => (Role::Bad, text),
            });
        }
        // of a list that is no longer shown
        _ => {}
    }
    vec![]
}

fn learned(state: &mut State, facts: Facts) -> Vec<Effect> {
    state.no_catalog = None;
    if state.said.is_none()
        && let Some(note) = facts.notes.first()
    {
        state.said = Some((Role::Warning, note.clone()));
    }
    let is_first = state.galaxies.spec.columns.is_empty();
    if is_first {
        state.galaxies.spec.columns = facts.shown.clone();
        state.galaxies.frozen = 1;
    }
    if matches!(state.galaxies.total, Total::Unknown | Total::About(_)) && !is_narrowed(state) {
        state.galaxies.total = Total::About(facts.about);
    }
    let before = state.facts.replace(facts);
    if is_first {
        let warm = Effect::Galaxy(GalaxyAsk::Warm { set: None });
        return vec![reopen(state), warm];
    }
    // the first posteriors bring columns of their own, unless others were chosen
    match (before, &state.facts) {
        (Some(before), Some(facts))
            if before.shown != facts.shown && before.shown == state.galaxies.spec.columns =>
        {
            let shown = facts.shown.clone();
            choose_columns(state, shown)
        }
        _ => vec![],
    }
}

/// Puts a page in place of the window.
fn take(state: &mut State, page: Page) {
    let about = state.facts.as_ref().map(|facts| facts.about);
    let narrowed = is_narrowed(state);
    let list = &mut state.galaxies;
    list.total = match (page.total, about) {
        (Some(n), _) => Total::Exactly(n),
        (None, Some(n)) if !narrowed => Total::About(n),
        (None, _) => Total::Unknown,
    };
    (list.first, list.starts, list.ends) = (page.first, page.starts, page.ends);
    list.rows = page.rows.into();
    list.problem = None;
}

/// Adds a page to the window and lets the far end go where it grows too long.
fn grow(state: &mut State, towards: Towards, page: Page) {
    let list = &mut state.galaxies;
    let n = page.rows.len();
    if let Some(total) = page.total {
        list.total = Total::Exactly(total);
    }
    match towards {
        Towards::End => {
            list.ends = page.ends;
            list.rows.extend(page.rows);
            let extra = list.rows.len().saturating_sub(KEPT).min(list.top.saturating_sub(NEAR));
            if extra > 0 {
                list.rows.drain(..extra);
                list.first = list.first.map(|first| first + extra as u64);
                list.starts = false;
                list.cursor -= extra;
                list.top -= extra;
            }
        }
        Towards::Start => {
            list.starts = page.starts;
            list.first = match page.first {
                Some(first) => Some(first),
                None => list.first.and_then(|first| first.checked_sub(n as u64)),
            };
            for row in page.rows.into_iter().rev() {
                list.rows.push_front(row);
            }
            list.cursor += n;
            list.top += n;
            let keep = KEPT.max(list.top + 2 * NEAR);
            if list.rows.len() > keep {
                list.rows.truncate(keep);
                list.ends = false;
            }
        }
    }
}

/// Asks for more rows where the cursor is near an end of the window.
pub fn fetch(state: &mut State) -> Vec<Effect> {
    let list = &mut state.galaxies;
    if list.pending.is_some() || list.problem.is_some() || list.rows.is_empty() {
        return vec![];
    }
    let n = list.rows.len();
    let (row, towards) = if !list.ends && list.cursor + NEAR >= n {
        (n - 1, Towards::End)
    } else if !list.starts && list.cursor < NEAR {
        (0, Towards::Start)
    } else {
        return vec![];
    };
    list.pending = Some(towards);
    let rank = list.first.map(|first| first + row as u64);
    let from = Anchor { place: list.rows[row].place, rank };
    vec![Effect::List(ListAsk::More { generation: list.generation, from, towards, limit: PAGE })]
}

/// New rows at the end of a list that was shown to its end.
pub fn follow(state: &mut State) -> Vec<Effect> {
    let list = &mut state.galaxies;
    let mut effects = vec![Effect::List(ListAsk::Facts)];
    if list.ends && list.spec.order == Order::Number && list.spec.names.is_empty() && list.problem.is_none() {
        if list.rows.is_empty() {
            effects.push(reopen(state));
        } else {
            list.ends = false;
            effects.extend(fetch(state));
        }
    }
    effects
}

/// Scrolls so that the cursor is in sight, and so is its column.
pub fn keep_in_sight(state: &mut State) {
    let height = state.list_height();
    let list = &mut state.galaxies;
    list.cursor = list.cursor.min(list.rows.len().saturating_sub(1));
    list.top = list.top.min(list.cursor);
    if list.cursor >= list.top + height {
        list.top = list.cursor + 1 - height;
    }
    let n = list.spec.columns.len();
    list.column = list.column.min(n.saturating_sub(1));
    list.frozen = list.frozen.min(n);
    list.left = list.left.clamp(list.frozen, n.max(list.frozen));
    if list.column < list.frozen {
        return;
    }
    list.left = list.left.min(list.column);
    let column = list.column;
    while state.galaxies.left < column && !crate::tui::view::galaxies::in_sight(state, column) {
        state.galaxies.left += 1;
    }
}

fn move_by(state: &mut State, rows: isize) -> Vec<Effect> {
    let list = &mut state.galaxies;
    let last = list.rows.len().saturating_sub(1);
    list.cursor = list.cursor.saturating_add_signed(rows).min(last);
    keep_in_sight(state);
    fetch(state)
}

fn jump(state: &mut State, rank: Option<u64>) -> Vec<Effect> {
    let list = &mut state.galaxies;
    // what is in the window needs no question
    let within = match rank {
        Some(rank) => list.first.and_then(|first| rank.checked_sub(first)).map(|at| at as usize),
        None => list.ends.then(|| list.rows.len().saturating_sub(1)),
    };
    if let Some(at) = within.filter(|at| *at < list.rows.len()) {
        list.cursor = at;
        keep_in_sight(state);
        return fetch(state);
    }
    list.busy = Some("reading".to_owned());
    vec![Effect::List(ListAsk::Jump { generation: list.generation, rank, limit: PAGE })]
}

pub fn act(state: &mut State, action: Action, count: Option<u64>) -> Vec<Effect> {
    let height = state.list_height() as isize;
    let times = count.map_or(1, |count| isize::try_from(count).unwrap_or(isize::MAX));
    match action {
        Action::Down => move_by(state, times),
        Action::Up => move_by(state, -times),
        Action::HalfDown => move_by(state, height / 2),
        Action::HalfUp => move_by(state, -height / 2),
        Action::PageDown => move_by(state, height),
        Action::PageUp => move_by(state, -height),
        Action::Top => jump(state, Some(0)),
        Action::Bottom => jump(state, count.map(|count| count.saturating_sub(1))),
        Action::Left => {
            state.galaxies.column = state.galaxies.column.saturating_sub(1);
            keep_in_sight(state);
            vec![]
        }
        Action::Right => {
            state.galaxies.column += 1;
            keep_in_sight(state);
            vec![]
        }
        Action::Search => ask(state, Asked::Names, state.galaxies.spec.names.clone()),
        Action::Filter => ask(state, Asked::Filter, state.galaxies.spec.filter.clone()),
        Action::Cone => {
            let here = state.galaxies.spec.cone.map(cone_text);
            ask(state, Asked::Cone, here.unwrap_or_default())
        }
        Action::SortUp | Action::SortDown => {
            let Some(name) = state.galaxies.column_name().map(str::to_owned) else { return vec![] };
            state.galaxies.spec.order = Order::Column { name, descending: action == Action::SortDown };
            state.galaxies.spec.names.clear();
            vec![reopen(state)]
        }
        Action::Freeze => {
            let list = &mut state.galaxies;
            list.frozen = if list.frozen == list.column + 1 { 0 } else { list.column + 1 };
            keep_in_sight(state);
            vec![]
        }
        Action::Columns => {
            state.overlay = Some(Overlay::Columns { line: Line::default(), cursor: 0 });
            vec![]
        }
        Action::HideColumn => {
            let at = state.galaxies.column;
            if state.galaxies.spec.columns.len() < 2 || at >= state.galaxies.spec.columns.len() {
                return vec![];
            }
            state.galaxies.spec.columns.remove(at);
            keep_in_sight(state);
            vec![refresh(state)]
        }
        Action::Wider | Action::Narrower => {
            let Some(name) = state.galaxies.column_name().map(str::to_owned) else { return vec![] };
            let now = crate::tui::view::galaxies::column_width(state, state.galaxies.column);
            let width = if action == Action::Wider { now + 2 } else { now.saturating_sub(2).max(3) };
            state.galaxies.widths.insert(name, width.min(60));
            keep_in_sight(state);
            vec![]
        }
        Action::Mark => {
            let list = &mut state.galaxies;
            if let Some(id) = list.current().map(|row| row.galaxy)
                && !list.marks.remove(&id)
            {
                list.marks.insert(id);
            }
            move_by(state, 1)
        }
        Action::ClearMarks => {
            state.galaxies.marks.clear();
            if state.galaxies.spec.only.take().is_some() { vec![reopen(state)] } else { vec![] }
        }
        Action::OnlyMarked => {
            let list = &mut state.galaxies;
            if list.spec.only.take().is_none() {
                if list.marks.is_empty() {
                    state.said = Some((Role::Warning, "nothing is marked: m marks".to_owned()));
                    return vec![];
                }
                list.spec.only = Some(list.marks.iter().copied().collect());
            }
            vec![reopen(state)]
        }
        Action::CopyRow => match row_csv(state) {
            Some(text) => vec![Effect::Copy { what: "the row", text }],
            None => vec![],
        },
        Action::Clear => {
            let spec = &mut state.galaxies.spec;
            *spec =
                ListSpec { columns: std::mem::take(&mut spec.columns), set: spec.set, ..ListSpec::default() };
            vec![reopen(state)]
        }
        Action::Open => super::galaxy::open(state),
        Action::NextSet => next_set(state),
        Action::Reload => vec![Effect::List(ListAsk::Facts), reopen(state)],
        _ => vec![],
    }
}

fn ask(state: &mut State, asked: Asked, text: String) -> Vec<Effect> {
    open_prompt(state, asked, text);
    vec![]
}

fn next_set(state: &mut State) -> Vec<Effect> {
    let Some(facts) = &state.facts else { return vec![] };
    if facts.sets.is_empty() {
        state.said =
            Some((Role::Warning, "there is no posterior set yet: `sedflow infer` makes one".to_owned()));
        return vec![];
    }
    let here = state.galaxies.spec.set.or(facts.current);
    let at =
        facts.sets.iter().position(|set| Some(set.0) == here).map_or(0, |at| (at + 1) % facts.sets.len());
    let (id, name, _) = &facts.sets[at];
    state.galaxies.spec.set = Some(*id);
    state.said = Some((Role::Text, format!("posterior set {}", text::clean(name))));
    vec![refresh(state)]
}

/// The same list, with other columns.
fn refresh(state: &mut State) -> Effect {
    reopen(state)
}

/// Sets the columns shown.
pub fn choose_columns(state: &mut State, columns: Vec<String>) -> Vec<Effect> {
    state.galaxies.spec.columns = columns;
    keep_in_sight(state);
    vec![refresh(state)]
}

pub fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let first = super::super::view::galaxies::FIRST_ROW;
    if let Some(at) = super::super::view::galaxies::column_at(state, column) {
        state.galaxies.column = at;
    }
    if row + 1 == first {
        // a click on a heading sorts, and turns the order round
        let name = state.galaxies.column_name().map(str::to_owned);
        let up = matches!(&state.galaxies.spec.order, Order::Column { name: n, descending: false } if Some(n) == name.as_ref());
        return act(state, if up { Action::SortDown } else { Action::SortUp }, None);
    }
    let Some(at) = row.checked_sub(first).map(usize::from).filter(|at| *at < state.list_height()) else {
        return vec![];
    };
    state.galaxies.cursor = state.galaxies.top + at;
    keep_in_sight(state);
    fetch(state)
}

pub fn cone_text(cone: crate::store::Cone) -> String {
    format!("{},{},{}", cone.ra_deg, cone.dec_deg, cone.radius_deg)
}

/// A cone in words.
pub fn cone_words(cone: crate::store::Cone) -> String {
    format!("{}° of {} {:+}", cone.radius_deg, cone.ra_deg, cone.dec_deg)
}

fn row_csv(state: &State) -> Option<String> {
    let row = state.galaxies.current()?;
    let mut out = Vec::new();
    // writing to memory does not fail
    write_csv(&mut out, &state.galaxies.spec.columns, std::slice::from_ref(row)).ok()?;
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// `sedflow galaxies` with the same filter, cone and columns.
pub fn command_line(state: &State) -> String {
    let spec = &state.galaxies.spec;
    let mut line = format!("{} galaxies", program(state));
    let mut conditions = Vec::new();
    if !spec.filter.is_empty() {
        conditions.push(spec.filter.clone());
    }
    if !spec.names.is_empty() {
        conditions.push(format!("object_id LIKE '%{}%'", spec.names.replace('\'', "''")));
    }
    if let Some(only) = &spec.only {
        let ids: Vec<String> = only.iter().map(ToString::to_string).collect();
        conditions.push(format!("galaxy_id IN ({})", ids.join(", ")));
    }
    if !conditions.is_empty() {
        let all = if conditions.len() == 1 {
            conditions.remove(0)
        } else {
            conditions.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" AND ")
        };
        line += &format!(" --where {}", quoted(&all));
    }
    if let Some(cone) = spec.cone {
        line += &format!(" --cone={}", cone_text(cone));
    }
    if !spec.columns.is_empty() {
        line += &format!(" --columns {}", quoted(&spec.columns.join(",")));
    }
    line
}
