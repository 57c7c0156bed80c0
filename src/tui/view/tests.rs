use crossterm::event::KeyCode;

use crate::tui::fixture::{SIZES, key, listed, typed};
use crate::tui::jobs::list::ListAnswer;
use crate::tui::message::Msg;
use crate::tui::picture;
use crate::tui::run::drawn;
use crate::tui::state::State;
use crate::tui::theme::Kind;
use crate::tui::update::update;

pub fn screen(state: &State) -> String {
    picture::text(&drawn(state).0)
}

macro_rules! snapshots {
    ($name:literal, $state:expr) => {
        for size in SIZES {
            let make: fn((u16, u16)) -> State = $state;
            insta::assert_snapshot!(format!("{}-{}x{}", $name, size.0, size.1), screen(&make(size)));
        }
    };
}

#[test]
fn galaxies() {
    snapshots!("galaxies", |size| {
        let mut state = listed(size, 400);
        typed(&mut state, "jjjjjj");
        state
    });
}

#[test]
fn galaxies_narrowed() {
    snapshots!("narrowed", |size| {
        let mut state = listed(size, 12);
        state.galaxies.spec.filter = "P(log_mstar > 11) > 0.9".into();
        state.galaxies.marks.insert(crate::store::GalaxyId(2));
        typed(&mut state, "lll");
        state
    });
}

#[test]
fn help() {
    snapshots!("help", |size| {
        let mut state = listed(size, 400);
        typed(&mut state, "?");
        state
    });
}

#[test]
fn palette() {
    snapshots!("palette", |size| {
        let mut state = listed(size, 400);
        typed(&mut state, ":sort");
        state
    });
}

#[test]
fn what_cannot_be_shown_is_said_in_place() {
    let mut state = listed((80, 24), 10);
    let generation = state.galaxies.generation;
    let text = "no such column: \x1b[31mmag_q".to_owned();
    update(&mut state, Msg::List(ListAnswer::Problem { generation, text }));
    let shown = screen(&state);
    assert!(shown.contains("no such column: \\u{1b}[31mmag_q"), "{shown}");
    update(&mut state, Msg::List(ListAnswer::NoCatalog("x.db is not a sedflow catalog: it is text".into())));
    assert!(screen(&state).contains("x.db is not a sedflow catalog"));
}

#[test]
fn a_small_terminal_says_so_and_a_tiny_one_does_not_fail() {
    for size in [(39, 24), (80, 9), (1, 1), (12, 2)] {
        let state = listed(size, 10);
        drawn(&state);
    }
    assert!(screen(&listed((39, 12), 10)).contains("too small"));
}

#[test]
fn nothing_on_any_screen_acts_on_the_terminal() {
    for size in SIZES {
        let shown = screen(&listed(size, 400));
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2Jevil"));
    }
}

#[test]
fn without_colours_no_cell_has_one() {
    let mut state = listed((120, 40), 400);
    state.theme.kind = Kind::Plain;
    typed(&mut state, "m");
    update(&mut state, key(KeyCode::Char('?')));
    let (buffer, _) = drawn(&state);
    use ratatui::style::Color;
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}
