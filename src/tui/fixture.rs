//! States to test with.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::config::Config;
use super::jobs::list::{Facts, ListAnswer, ListAsk, Page};
use super::message::{Effect, Msg};
use super::state::State;
use super::update::{begin, update};
use crate::store::{BrowseRow, ColumnValue, GalaxyId, Place, PosteriorSetId};

pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

pub fn facts() -> Facts {
    let columns =
        ["object_id", "redshift", "mag_r", "log_mstar_surviving_q50", "method", "reason", "survey", "ra_deg"];
    let columns: Vec<String> = columns.map(str::to_owned).to_vec();
    Facts {
        shown: columns.clone(),
        columns,
        sets: vec![
            (PosteriorSetId(1), "sdss-ugriz".into(), true),
            (PosteriorSetId(2), "refined".into(), false),
        ],
        current: Some(PosteriorSetId(1)),
        about: 1_000_000,
        notes: vec![],
    }
}

/// Row number `i`; every seventh has reasons, the third a name that would act on a terminal.
pub fn row(i: u64) -> BrowseRow {
    let number = |value: f64| ColumnValue::Number(value);
    let text = |text: &str| ColumnValue::Text(text.to_owned());
    let x = i as f64;
    let bad = i % 7 == 6;
    let name = if i == 2 { "\x1b[2Jevil 星系".to_owned() } else { format!("J{:04}", i * 13) };
    BrowseRow {
        galaxy: GalaxyId(i as i64 + 1),
        place: Place { value: None, tie: i as i64 + 1 },
        cells: vec![
            ColumnValue::Text(name),
            number(0.01 + 0.001 * x),
            number(15.0 + 0.05 * x),
            if bad { ColumnValue::Null } else { number(9.0 + (0.37 * x) % 2.5) },
            if bad { ColumnValue::Null } else { text("npe+is") },
            if bad { text("SIGMA_HIGH_u Z_RANGE") } else { ColumnValue::Null },
            text("nsa"),
            number((17.0 * x) % 360.0),
        ],
    }
}

pub fn page(from: u64, to: u64, all: u64) -> Page {
    Page {
        rows: (from..to).map(row).collect(),
        first: Some(from),
        starts: from == 0,
        ends: to == all,
        total: None,
    }
}

/// A list of `n` galaxies of which the first page has come.
pub fn listed(size: (u16, u16), n: u64) -> State {
    let mut state = State::new("catalog.db".into(), size, Config::default());
    let asked = begin(&mut state);
    assert!(asked.contains(&Effect::List(ListAsk::Facts)));
    update(&mut state, Msg::List(ListAnswer::Facts(facts())));
    let generation = state.galaxies.generation;
    update(&mut state, Msg::List(ListAnswer::Opened { generation, page: page(0, n.min(400), n) }));
    state
}

pub fn key(code: KeyCode) -> Msg {
    Msg::Key(code.into())
}

pub fn control(c: char) -> Msg {
    Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

/// Types letters one after the other; returns the effects of all.
pub fn typed(state: &mut State, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| update(state, key(KeyCode::Char(c)))).collect()
}
