use super::*;
use crate::store::{Order, Towards};
use crate::tui::fixture::{control, key, listed, page, typed};
use crate::tui::jobs::list::ListAnswer;
use crate::tui::jobs::products::{ProductsAnswer, ProductsAsk};
use crate::tui::state::Total;

fn enter(state: &mut State) -> Vec<Effect> {
    update(state, key(KeyCode::Enter))
}

#[test]
fn keys_move_the_cursor_and_scroll_to_keep_it_in_sight() {
    let mut state = listed((80, 24), 400);
    let height = state.list_height();
    typed(&mut state, "jjj");
    assert_eq!((state.galaxies.cursor, state.galaxies.top), (3, 0));
    typed(&mut state, "k");
    typed(&mut state, "20j");
    assert_eq!(state.galaxies.cursor, 22);
    assert_eq!(state.galaxies.top, 22 + 1 - height);
    update(&mut state, control('u'));
    assert_eq!(state.galaxies.cursor, 22 - height / 2);
    typed(&mut state, "g");
    assert_eq!((state.galaxies.cursor, state.galaxies.top), (0, 0));
    typed(&mut state, "kk");
    assert_eq!(state.galaxies.cursor, 0);
}

#[test]
fn more_rows_are_asked_for_before_the_end_of_the_window_is_reached_and_only_once() {
    let mut state = listed((80, 24), 100_000);
    let effects = typed(&mut state, "300j");
    let more = |effect: &&Effect| matches!(effect, Effect::List(ListAsk::More { .. }));
    assert_eq!(effects.iter().filter(more).count(), 1);
    assert!(typed(&mut state, "j").is_empty());
    let generation = state.galaxies.generation;
    let answer = ListAnswer::More { generation, towards: Towards::End, page: page(400, 800, 100_000) };
    update(&mut state, Msg::List(answer));
    assert_eq!((state.galaxies.rows.len(), state.galaxies.cursor), (800, 301));
    // what belongs to a list that is no longer shown is dropped
    let old = ListAnswer::More { generation: generation - 1, towards: Towards::End, page: page(0, 9, 9) };
    update(&mut state, Msg::List(old));
    assert_eq!(state.galaxies.rows.len(), 800);
}

#[test]
fn the_window_stays_bounded_and_keeps_its_place() {
    let mut state = listed((80, 24), 1 << 20);
    let mut at = 400;
    for _ in 0..40 {
        typed(&mut state, "400j");
        let generation = state.galaxies.generation;
        let answer =
            ListAnswer::More { generation, towards: Towards::End, page: page(at, at + 400, 1 << 20) };
        at += 400;
        update(&mut state, Msg::List(answer));
    }
    let list = &state.galaxies;
    assert!(list.rows.len() < 3500, "{}", list.rows.len());
    let here = list.first.unwrap() + list.cursor as u64;
    assert_eq!(list.rows[list.cursor].galaxy.0 as u64, here + 1);
    assert!(!list.starts);
}

#[test]
fn the_end_and_a_row_by_number_are_jumped_to() {
    let mut state = listed((80, 24), 1 << 20);
    let effects = typed(&mut state, "5000G");
    assert!(matches!(effects[..], [Effect::List(ListAsk::Jump { rank: Some(4999), .. })]), "{effects:?}");
    let generation = state.galaxies.generation;
    update(
        &mut state,
        Msg::List(ListAnswer::Jumped { generation, to_end: false, page: page(4999, 5399, 1 << 20) }),
    );
    assert_eq!(state.galaxies.current().unwrap().galaxy.0, 5000);
    assert!(matches!(typed(&mut state, "G")[..], [.., Effect::List(ListAsk::Jump { rank: None, .. })]));
    // a row in the window needs no question
    let effects = typed(&mut state, "5100G");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::List(ListAsk::Jump { .. }))));
    assert_eq!(state.galaxies.current().unwrap().galaxy.0, 5100);
}

#[test]
fn a_filter_is_typed_asked_and_dropped_again() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "&");
    typed(&mut state, "mag_r < 17");
    let effects = enter(&mut state);
    let Some(Effect::List(ListAsk::Open { spec, generation, .. })) = effects.first() else {
        panic!("{effects:?}")
    };
    assert_eq!((spec.filter.as_str(), *generation), ("mag_r < 17", state.galaxies.generation));
    assert_eq!(
        command_line(&state).unwrap(),
        "sedflow -C catalog.db galaxies --where 'mag_r < 17' --columns \
         object_id,redshift,mag_r,log_mstar_surviving_q50,method,reason,survey,ra_deg"
    );
    let generation = *generation;
    let wrong = ListAnswer::Problem { generation, text: "there is no column `mag_q`".into() };
    update(&mut state, Msg::List(wrong));
    assert_eq!(state.galaxies.problem.as_deref(), Some("there is no column `mag_q`"));
    // q goes back to the whole list before it leaves
    assert!(matches!(typed(&mut state, "q")[..], [Effect::List(ListAsk::Open { .. })]));
    assert_eq!(typed(&mut state, "q"), [Effect::Quit]);
}

#[test]
fn a_cone_with_a_mistake_stays_to_be_mended() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "@10,95,1");
    assert!(enter(&mut state).is_empty());
    assert!(matches!(&state.overlay, Some(Overlay::Prompt(prompt)) if prompt.line.text() == "10,95,1"));
    assert_eq!(state.said.as_ref().map(|said| said.0), Some(Role::Bad));
}

#[test]
fn any_column_sorts_both_ways() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "ll");
    let effects = typed(&mut state, "]");
    let order = Order::Column { name: "mag_r".into(), descending: true };
    assert!(matches!(&effects[..], [Effect::List(ListAsk::Open { spec, .. })] if spec.order == order));
    typed(&mut state, "[");
    assert_eq!(state.galaxies.spec.order, Order::Column { name: "mag_r".into(), descending: false });
}

#[test]
fn marks_are_kept_by_galaxy_and_can_be_shown_alone() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "m m");
    assert_eq!(state.galaxies.marks.len(), 3);
    typed(&mut state, "km");
    assert_eq!(state.galaxies.marks.len(), 2);
    let effects = typed(&mut state, "'");
    let Some(Effect::List(ListAsk::Open { spec, .. })) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(spec.only.as_ref().map(Vec::len), Some(2));
    typed(&mut state, "M");
    assert!(state.galaxies.marks.is_empty() && state.galaxies.spec.only.is_none());
}

#[test]
fn a_row_is_copied_exactly_as_stored() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "jj");
    let effects = typed(&mut state, "y");
    let Some(Effect::Copy { text, .. }) = effects.first() else { panic!("{effects:?}") };
    assert!(text.contains("\n\x1b[2Jevil 星系,0.012,"), "{text:?}");
}

#[test]
fn the_palette_finds_actions_and_sorts() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, ":sort mag_r desc");
    assert!(matches!(enter(&mut state)[..], [Effect::List(ListAsk::Open { .. })]));
    typed(&mut state, ":theme light");
    enter(&mut state);
    assert_eq!(state.theme.kind, Kind::Light);
    typed(&mut state, ":zzzz");
    assert!(enter(&mut state).is_empty());
    assert!(state.said.as_ref().is_some_and(|said| said.1.contains("zzzz")));
}

#[test]
fn ctrl_c_leaves_even_from_a_prompt_and_escape_only_closes_it() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "/abc");
    assert_eq!(update(&mut state, control('c')), [Effect::Quit]);
    assert!(update(&mut state, key(KeyCode::Esc)).is_empty());
    assert_eq!(state.overlay, None);
    assert_eq!(update(&mut state, Msg::Terminate), [Effect::Quit]);
}

#[test]
fn a_file_that_grows_is_followed_where_its_end_is_shown() {
    let mut state = listed((80, 24), 50);
    assert!(state.galaxies.ends);
    let effects = update(&mut state, Msg::List(ListAnswer::Changed));
    assert!(
        matches!(effects[..], [Effect::List(ListAsk::Facts), Effect::List(ListAsk::More { .. })]),
        "{effects:?}"
    );
    let mut state = listed((80, 24), 1 << 20);
    assert_eq!(update(&mut state, Msg::List(ListAnswer::Changed)), [Effect::List(ListAsk::Facts)]);
    assert_eq!(state.galaxies.total, Total::About(1_000_000));
}

#[test]
fn a_resize_keeps_the_cursor_in_sight() {
    let mut state = listed((200, 60), 400);
    typed(&mut state, "40j");
    update(&mut state, Msg::Resize(40, 10));
    let list = &state.galaxies;
    assert!((list.top..list.top + state.list_height()).contains(&list.cursor));
    update(&mut state, Msg::Resize(3, 1));
    update(&mut state, Msg::Resize(120, 40));
    assert_eq!(state.galaxies.cursor, 40);
}

#[test]
fn changed_data_are_asked_about_once_at_a_time_and_the_newest_wins() {
    use crate::tui::jobs::galaxy::{GalaxyAnswer, GalaxyAsk};
    let mut state = crate::tui::fixture::opened((120, 40));
    let first = typed(&mut state, "w");
    assert!(matches!(&first[..], [Effect::Galaxy(GalaxyAsk::WhatIf { change: 0, .. })]), "{first:?}");
    // keys while the answer is on its way change the data and ask nothing
    assert!(typed(&mut state, "++j-").is_empty());
    let generation = state.galaxy_generation;
    let portrait = Ok(std::sync::Arc::new(crate::tui::fixture::portrait()));
    let answer = GalaxyAnswer::WhatIf { generation, change: 0, portrait, millis: 5.0 };
    let next = update(&mut state, Msg::Galaxy(answer));
    let [Effect::Galaxy(GalaxyAsk::WhatIf { change: 3, data, .. })] = &next[..] else { panic!("{next:?}") };
    assert!(data.flux_nmgy[0] > 36.0 && data.flux_nmgy[1] < 87.0, "{data:?}");
    // what the network cannot answer is said, and the catalog's data are a key away
    let problem = Err("the network cannot speak for this: Z_RANGE".to_owned());
    update(
        &mut state,
        Msg::Galaxy(GalaxyAnswer::WhatIf { generation, change: 3, portrait: problem, millis: 1.0 }),
    );
    let whatif = state.galaxy.as_ref().unwrap().whatif.as_ref().unwrap();
    assert!(whatif.problem.as_ref().unwrap().contains("Z_RANGE"));
    typed(&mut state, "R");
    let whatif = state.galaxy.as_ref().unwrap().whatif.as_ref().unwrap();
    assert_eq!(whatif.data, whatif.original);
    typed(&mut state, "w");
    assert!(state.galaxy.as_ref().unwrap().whatif.is_none());
}

#[test]
fn going_back_leads_from_zoom_to_the_galaxy_to_the_list() {
    let mut state = crate::tui::fixture::opened((120, 40));
    typed(&mut state, "z");
    assert!(state.galaxy.as_ref().unwrap().zoom);
    typed(&mut state, "q");
    assert!(!state.galaxy.as_ref().unwrap().zoom);
    assert!(typed(&mut state, "q").is_empty());
    assert!(state.galaxy.is_none());
    assert_eq!(typed(&mut state, "q"), [Effect::Quit]);
}

#[test]
fn the_command_line_names_galaxy_set_and_figure() {
    let mut state = crate::tui::fixture::opened((120, 40));
    assert!(command_line(&state).unwrap().contains("show 'galaxy:nsa/14\x1b[2J0' --set sdss-ugriz"));
    typed(&mut state, "ll");
    assert!(command_line(&state).unwrap().contains("plot corner"));
    let effects = export(&mut state, "x.svg".into());
    assert!(
        matches!(&effects[..], [Effect::Make { arguments, .. }] if arguments[..4] == ["plot", "corner", "--out", "x.svg"])
    );
    assert!(
        matches!(&export(&mut state, "x.csv".into())[..], [Effect::Write { text, .. }] if text.lines().count() == 18)
    );
}

#[test]
fn a_form_starts_the_command_it_shows_and_its_output_and_end_are_kept() {
    use crate::tui::jobs::children::ChildEvent;
    let mut state = crate::tui::fixture::at_work((120, 40), View::Models);
    typed(&mut state, "t");
    let effects = enter(&mut state);
    let [Effect::Start { job, arguments }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(arguments[..], ["train", "--name=model", "--budget=30m"]);
    let job = *job;
    update(&mut state, Msg::Child(ChildEvent::Started { job, process: 4242, log: "x.log".into() }));
    update(&mut state, Msg::Child(ChildEvent::Line { job, line: "epoch 1".into() }));
    assert_eq!(typed(&mut state, "S"), [Effect::Stop(4242)]);
    update(&mut state, Msg::Child(ChildEvent::Ended { job, how: Err("stopped".into()) }));
    assert_eq!(state.products.jobs[0].lines, ["epoch 1"]);
    // what has ended is not signalled again: its number may be another's by now
    assert!(typed(&mut state, "S").is_empty());
}

#[test]
fn a_job_is_one_line_with_its_run_and_its_log_is_read_while_it_grows() {
    use crate::tui::jobs::children::ChildEvent;
    let mut state = crate::tui::fixture::at_work((120, 40), View::Runs);
    typed(&mut state, "t");
    typed(&mut state, "x.fits");
    let effects = enter(&mut state);
    let [Effect::Start { job, arguments }] = &effects[..] else { panic!("{effects:?}") };
    let (job, arguments) = (*job, arguments.clone());
    assert_eq!(run_lines(&state), [RunLine::Job(0), RunLine::Run(0, None), RunLine::Run(1, None)]);
    update(&mut state, Msg::Child(ChildEvent::Started { job, process: 77, log: "x.log".into() }));
    let mut lists = state.products.lists.as_deref().cloned().unwrap();
    let mut run = lists.runs[0].clone();
    (run.id, run.process_id) = (crate::store::RunId(5), 77);
    run.arguments = ["-C".to_owned(), "catalog.db".to_owned()].into_iter().chain(arguments).collect();
    lists.runs.insert(0, run);
    update(&mut state, Msg::Products(ProductsAnswer::Lists(lists.into())));
    assert_eq!(run_lines(&state), [RunLine::Run(0, Some(0)), RunLine::Run(1, None), RunLine::Run(2, None)]);
    let say = |line: &str| Msg::Child(ChildEvent::Line { job, line: line.into() });
    update(&mut state, say("$ sedflow ingest"));
    typed(&mut state, "L");
    update(&mut state, say("error: x.fits: no such file"));
    let Some(Overlay::Text { lines, .. }) = &state.overlay else { panic!("no log") };
    assert_eq!(lines[1], "error: x.fits: no such file");
    typed(&mut state, "q");
    assert_eq!(typed(&mut state, "S"), [Effect::Stop(77)]);
    let how = Err("it ended with exit status: 1".to_owned());
    update(&mut state, Msg::Child(ChildEvent::Ended { job, how }));
    assert_eq!(state.said.as_ref().unwrap().1, "ingest: error: x.fits: no such file");
    // a run of another process has no log here
    typed(&mut state, "jL");
    assert!(state.overlay.is_none() && state.said.is_some());
}

#[test]
fn what_runs_is_asked_about_every_second_and_cursors_stay_where_they_were() {
    let mut state = crate::tui::fixture::at_work((120, 40), View::Models);
    let asked = update(&mut state, Msg::Tick);
    assert!(asked.contains(&Effect::Products(ProductsAsk::Lists)), "{asked:?}");
    let mut lists = state.products.lists.as_deref().cloned().unwrap();
    lists.writer = None;
    let mut newer = lists.checkpoints[0].clone();
    newer.id = crate::store::CheckpointId(2);
    lists.checkpoints.insert(0, newer);
    update(&mut state, Msg::Products(ProductsAnswer::Lists(lists.into())));
    assert_eq!(models(&state)[state.products.model], Model::Checkpoint(1));
    assert_eq!(update(&mut state, Msg::Tick), [Effect::List(ListAsk::Watch)]);
}

#[test]
fn one_validation_stays_beside_those_chosen_next_and_tables_scroll() {
    let mut state = crate::tui::fixture::at_work((80, 24), View::Validation);
    assert!(typed(&mut state, "b").is_empty());
    let asked = typed(&mut state, "j");
    assert!(matches!(asked[..], [Effect::Products(ProductsAsk::Validation(id))] if id.0 == 1), "{asked:?}");
    let answer = ProductsAnswer::Findings(crate::tui::fixture::findings(1, 1.0).into());
    update(&mut state, Msg::Products(answer));
    let shown = |state: &State| {
        (state.products.kept.as_ref().map(|kept| kept.id.0), state.products.findings.as_ref().unwrap().id.0)
    };
    assert_eq!(shown(&state), (Some(2), 1));
    typed(&mut state, "lll");
    update(&mut state, control('d'));
    assert_eq!((state.products.scroll, state.products.validation), (10, 1));
    (0..9).for_each(|_| drop(update(&mut state, control('d'))));
    assert_eq!(state.products.scroll, 29);
    typed(&mut state, "b");
    assert_eq!(shown(&state), (None, 1));
}

#[test]
fn one_escape_too_many_does_not_end_the_session() {
    let mut state = crate::tui::fixture::opened((80, 24));
    for _ in 0..5 {
        assert!(!update(&mut state, key(KeyCode::Esc)).contains(&Effect::Quit));
    }
    assert_eq!(typed(&mut state, "q"), [Effect::Quit]);
}

#[test]
fn the_first_posteriors_bring_their_columns_unless_others_were_chosen() {
    let grown = |state: &mut State| {
        let mut facts = crate::tui::fixture::facts();
        facts.shown.push("method".into());
        update(state, Msg::List(ListAnswer::Facts(facts)))
    };
    let mut state = listed((80, 24), 50);
    let asked = grown(&mut state);
    assert!(matches!(&asked[..], [Effect::List(_)]), "{asked:?}");
    assert_eq!(state.galaxies.spec.columns.last().unwrap(), "method");
    let mut state = listed((80, 24), 50);
    typed(&mut state, "ll-");
    let chosen = state.galaxies.spec.columns.clone();
    grown(&mut state);
    assert_eq!(state.galaxies.spec.columns, chosen);
}

#[test]
fn help_scrolls_back_from_its_end_at_once() {
    let mut state = listed((80, 24), 50);
    typed(&mut state, "?G");
    let end = crate::tui::view::tests::screen(&state);
    typed(&mut state, "jk");
    let above = crate::tui::view::tests::screen(&state);
    assert_ne!(end, above);
    typed(&mut state, "j");
    assert_eq!(crate::tui::view::tests::screen(&state), end);
}
