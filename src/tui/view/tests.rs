use crossterm::event::KeyCode;

use crate::store::TrainingId;
use crate::tui::fixture::{SIZES, at_work, control, findings, key, listed, opened, overlaid, typed};
use crate::tui::jobs::list::ListAnswer;
use crate::tui::jobs::products::{ProductsAnswer, ProductsAsk};
use crate::tui::message::Msg;
use crate::tui::picture;
use crate::tui::run::drawn;
use crate::tui::state::{State, View};
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
    // the sign of a condition's mistake stays below the character
    let text = "it ends too early (character 8)\n    mag_r <\n           ^".to_owned();
    update(&mut state, Msg::List(ListAnswer::Problem { generation, text }));
    assert!(screen(&state).contains("\n       mag_r <\n              ^\n"), "{}", screen(&state));
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

#[test]
fn one_galaxy() {
    snapshots!("galaxy", opened);
    snapshots!("marginals", |size| {
        let mut state = opened(size);
        typed(&mut state, "l");
        state
    });
    snapshots!("corner", |size| {
        let mut state = opened(size);
        typed(&mut state, "ll");
        state
    });
    snapshots!("history", |size| {
        let mut state = opened(size);
        typed(&mut state, "lll");
        state
    });
    snapshots!("source", |size| {
        let mut state = opened(size);
        typed(&mut state, "llll");
        state
    });
}

#[test]
fn a_pair_large_and_changed_data() {
    snapshots!("zoom", |size| {
        let mut state = opened(size);
        typed(&mut state, "z");
        state
    });
    snapshots!("what-if", |size| {
        let mut state = opened(size);
        typed(&mut state, "w+++");
        state
    });
}

#[test]
fn models_and_validation() {
    snapshots!("models", |size| at_work(size, View::Models));
    snapshots!("validation", |size| at_work(size, View::Validation));
    snapshots!("ranks", |size| {
        let mut state = at_work(size, View::Validation);
        typed(&mut state, "l");
        state
    });
    snapshots!("beside", |size| {
        let mut state = at_work(size, View::Validation);
        typed(&mut state, "bj");
        let answer = ProductsAnswer::Findings(findings(1, 1.0).into());
        update(&mut state, Msg::Products(answer));
        state
    });
    snapshots!("bins-beside", |size| {
        let mut state = at_work(size, View::Validation);
        typed(&mut state, "lllb");
        update(&mut state, control('d'));
        state
    });
}

#[test]
fn a_training_that_runs() {
    snapshots!("training", |size| {
        let mut state = at_work(size, View::Models);
        typed(&mut state, "j");
        let curves = state.products.curves.clone().unwrap().1;
        let of = ProductsAsk::Training(TrainingId(1));
        update(&mut state, Msg::Products(ProductsAnswer::Curves { of, curves }));
        state
    });
}

#[test]
fn runs_and_a_form_that_starts_one() {
    snapshots!("running", |size| at_work(size, View::Runs));
    snapshots!("runs", |size| {
        let mut state = at_work(size, View::Runs);
        typed(&mut state, "t");
        state
    });
}

#[test]
fn posteriors_of_other_sets_laid_over_one() {
    snapshots!("overlay", overlaid);
    snapshots!("overlay-corner", |size| {
        let mut state = overlaid(size);
        typed(&mut state, "l");
        state
    });
}

#[test]
fn every_view_draws_at_any_size() {
    let views = [View::Galaxies, View::Models, View::Validation, View::Runs];
    for size in [(40, 10), (41, 11), (63, 13), (80, 24), (99, 17), (300, 80)] {
        for view in views {
            drawn(&at_work(size, view));
        }
        let mut state = opened(size);
        for keys in ["l", "l", "z", "z", "l", "l", "l", "w", "?"] {
            typed(&mut state, keys);
            let shown = screen(&state);
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
