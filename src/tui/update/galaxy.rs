//! One galaxy, and what if its data were others.

use super::{program, quoted};
use crate::store::{GalaxyId, PosteriorSetId};
use crate::tui::jobs::galaxy::{GalaxyAnswer, GalaxyAsk};
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::state::{GalaxyView, Page, State, WhatIf};
use crate::tui::text::clean;
use crate::tui::theme::Role;

/// Opens the galaxy under the cursor of the list.
pub fn open(state: &mut State) -> Vec<Effect> {
    let Some(id) = state.galaxies.current().map(|row| row.galaxy) else { return vec![] };
    let set = state.galaxies.spec.set;
    show(state, id, set)
}

/// Shows a galaxy on the page that was shown last.
pub fn show(state: &mut State, id: GalaxyId, set: Option<PosteriorSetId>) -> Vec<Effect> {
    state.galaxy_generation += 1;
    let before = state.galaxy.take();
    let mut view = GalaxyView { id, set, generation: state.galaxy_generation, ..GalaxyView::default() };
    view.pair = (1, 0);
    if let Some(before) = before {
        (view.page, view.overlay, view.zoom, view.pair) =
            (before.page, before.overlay, before.zoom, before.pair);
    }
    let mut effects = vec![Effect::Galaxy(GalaxyAsk::Open { generation: view.generation, galaxy: id, set })];
    if view.overlay {
        effects.push(Effect::Galaxy(GalaxyAsk::Others { generation: view.generation, galaxy: id, but: set }));
    }
    state.galaxy = Some(view);
    effects
}

pub fn answered(state: &mut State, answer: GalaxyAnswer) -> Vec<Effect> {
    let Some(view) = &mut state.galaxy else { return vec![] };
    let generation = view.generation;
    match answer {
        GalaxyAnswer::Seen { generation: g, seen } if g == generation => view.seen = Some(seen),
        GalaxyAnswer::Portrait { generation: g, portrait } if g == generation => {
            view.set = portrait.set.or(view.set);
            view.portrait = Some(portrait);
        }
        GalaxyAnswer::Curves { generation: g, curves } if g == generation => view.curves = Some(curves),
        GalaxyAnswer::Others { generation: g, others, problem } if g == generation => {
            // the one shown is among them where its set was not known when they were asked for
            view.others = others.into_iter().filter(|other| other.set != view.set).collect();
            if let Some(problem) = problem {
                state.said = Some((Role::Bad, problem));
            } else if view.others.is_empty() {
                state.said = Some((Role::Warning, "no other posterior set has this galaxy".to_owned()));
            }
        }
        GalaxyAnswer::WhatIf { generation: g, change, portrait, millis } if g == generation => {
            let Some(whatif) = &mut view.whatif else { return vec![] };
            whatif.asked = false;
            whatif.millis = millis;
            match portrait {
                Ok(portrait) => {
                    whatif.portrait = Some(portrait);
                    whatif.problem = None;
                }
                Err(problem) => whatif.problem = Some(problem),
            }
            if change != whatif.change {
                return ask(view);
            }
        }
        GalaxyAnswer::WhatIfCurves { generation: g, change, curves } if g == generation => {
            if let Some(whatif) = &mut view.whatif
                && change == whatif.change
            {
                whatif.curves = Some(curves);
            }
        }
        GalaxyAnswer::Problem { generation: g, text } if g == generation => view.problem = Some(text),
        // of a galaxy that is no longer shown
        _ => {}
    }
    vec![]
}

/// Asks for the posterior of the data as they are now, unless an answer is on its way.
fn ask(view: &mut GalaxyView) -> Vec<Effect> {
    let (generation, galaxy, set) = (view.generation, view.id, view.set);
    let Some(whatif) = &mut view.whatif else { return vec![] };
    if whatif.asked {
        return vec![];
    }
    whatif.asked = true;
    let (change, data) = (whatif.change, whatif.data.clone());
    vec![Effect::Galaxy(GalaxyAsk::WhatIf { generation, change, galaxy, set, data })]
}

pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if state.galaxy.as_ref().is_some_and(|view| view.whatif.is_some()) {
        return what_if(state, action);
    }
    let Some(view) = &mut state.galaxy else { return vec![] };
    match action {
        Action::Left | Action::Right | Action::Up | Action::Down
            if view.zoom && view.page == Page::Corner =>
        {
            pick_pair(view, action);
            vec![]
        }
        Action::Left | Action::Right => {
            turn(view, action == Action::Right);
            vec![]
        }
        Action::Down | Action::HalfDown | Action::PageDown => {
            view.scroll = (view.scroll + if action == Action::Down { 1 } else { 8 }).min(200);
            vec![]
        }
        Action::Up | Action::HalfUp | Action::PageUp => {
            view.scroll = view.scroll.saturating_sub(if action == Action::Up { 1 } else { 8 });
            vec![]
        }
        Action::Top => {
            view.scroll = 0;
            vec![]
        }
        Action::Zoom | Action::Open => {
            view.page = Page::Corner;
            view.zoom = !view.zoom;
            vec![]
        }
        Action::Overlay => {
            view.overlay = !view.overlay;
            if !view.overlay || !view.others.is_empty() {
                return vec![];
            }
            if view.page == Page::Overview {
                view.page = Page::Marginals;
            }
            vec![Effect::Galaxy(GalaxyAsk::Others {
                generation: view.generation,
                galaxy: view.id,
                but: view.set,
            })]
        }
        Action::NextSet => next_set(state),
        Action::WhatIf => begin_what_if(state),
        Action::NextGalaxy | Action::PreviousGalaxy => {
            let step = if action == Action::NextGalaxy { Action::Down } else { Action::Up };
            let mut effects = super::galaxies::act(state, step, None);
            effects.extend(open(state));
            effects
        }
        Action::Mark => {
            let id = view.id;
            if !state.galaxies.marks.remove(&id) {
                state.galaxies.marks.insert(id);
            }
            vec![]
        }
        Action::Reload => {
            let (id, set) = (view.id, view.set);
            show(state, id, set)
        }
        _ => vec![],
    }
}

fn turn(view: &mut GalaxyView, forward: bool) {
    let n = Page::ALL.len();
    let here = Page::ALL.iter().position(|page| *page == view.page).unwrap_or(0);
    view.page = Page::ALL[(here + if forward { 1 } else { n - 1 }) % n];
    view.scroll = 0;
}

/// The pair shown large: row `i` above column `j`.
fn pick_pair(view: &mut GalaxyView, action: Action) {
    let n = view.portrait.as_ref().map_or(2, |portrait| portrait.chosen.len()).max(2);
    let (mut i, mut j) = view.pair;
    match action {
        Action::Up => i = i.saturating_sub(1).max(1),
        Action::Down => i = (i + 1).min(n - 1),
        Action::Left => j = j.saturating_sub(1),
        _ => j += 1,
    }
    view.pair = (i, j.min(i - 1));
}

fn next_set(state: &mut State) -> Vec<Effect> {
    let Some(view) = &state.galaxy else { return vec![] };
    let sets = view.seen.as_ref().map_or(&[][..], |seen| &seen.sets);
    if sets.len() < 2 {
        state.said = Some((Role::Warning, "no other posterior set has this galaxy".to_owned()));
        return vec![];
    }
    let at = sets.iter().position(|set| Some(set.0) == view.set).map_or(0, |at| (at + 1) % sets.len());
    let (id, set, name) = (view.id, sets[at].0, clean(&sets[at].1));
    state.said = Some((Role::Text, format!("posterior set {name}")));
    show(state, id, Some(set))
}

fn begin_what_if(state: &mut State) -> Vec<Effect> {
    let Some(view) = &mut state.galaxy else { return vec![] };
    let data = view.portrait.as_ref().and_then(|portrait| portrait.data.clone());
    let Some(data) = data else {
        let text = match view.portrait.as_ref().and_then(|portrait| portrait.lacks.clone()) {
            Some(lacks) => format!("there is no checkpoint to ask: {lacks}"),
            None => "the posterior is still being read".to_owned(),
        };
        state.said = Some((Role::Warning, text));
        return vec![];
    };
    view.zoom = false;
    view.whatif = Some(WhatIf { original: data.clone(), data, ..WhatIf::default() });
    ask(view)
}

fn what_if(state: &mut State, action: Action) -> Vec<Effect> {
    let Some(view) = &mut state.galaxy else { return vec![] };
    let Some(whatif) = &mut view.whatif else { return vec![] };
    let n = whatif.data.bands.len();
    let step = match action {
        Action::Less => -1.0,
        Action::More => 1.0,
        Action::MuchLess => -10.0,
        Action::MuchMore => 10.0,
        Action::Down => {
            // down a column of the table, then to the other, then to the redshift
            whatif.field = (whatif.field + 1) % (2 * n + 1);
            return vec![];
        }
        Action::Up => {
            whatif.field = (whatif.field + 2 * n) % (2 * n + 1);
            return vec![];
        }
        Action::ResetField => {
            let at = whatif.field;
            let (data, original) = (&mut whatif.data, &whatif.original);
            match at {
                at if at < n => data.flux_nmgy[at] = original.flux_nmgy[at],
                at if at < 2 * n => data.sigma_nmgy[at - n] = original.sigma_nmgy[at - n],
                _ => data.zred = original.zred,
            }
            whatif.change += 1;
            return ask(view);
        }
        Action::ResetAll => {
            whatif.data = whatif.original.clone();
            whatif.change += 1;
            return ask(view);
        }
        Action::WhatIf => {
            view.whatif = None;
            return vec![];
        }
        Action::Open | Action::NextGalaxy => {
            turn(view, true);
            return vec![];
        }
        _ => return vec![],
    };
    let at = whatif.field;
    let data = &mut whatif.data;
    match at {
        at if at < n => {
            let sigma = data.sigma_nmgy[at];
            // a flux near zero moves by its error
            let by =
                if sigma.is_finite() { (0.02 * data.flux_nmgy[at].abs()).max(0.05 * sigma) } else { 0.1 };
            data.flux_nmgy[at] += step * by;
        }
        at if at < 2 * n => {
            if data.sigma_nmgy[at - n].is_finite() {
                data.sigma_nmgy[at - n] *= 1.02_f64.powf(step);
            }
        }
        _ => data.zred = (data.zred + 0.001 * step).max(0.0005),
    }
    whatif.change += 1;
    ask(view)
}

/// Back: out of what-if, then out of the zoom, then to the list.
pub fn back(state: &mut State) -> Vec<Effect> {
    if let Some(view) = &mut state.galaxy {
        if view.whatif.take().is_some() {
            return vec![];
        }
        if view.zoom {
            view.zoom = false;
            return vec![];
        }
    }
    state.galaxy = None;
    vec![]
}

/// The command that shows, or draws, the same.
pub fn command_line(state: &State) -> Option<String> {
    let view = state.galaxy.as_ref()?;
    let seen = view.seen.as_ref()?;
    let name = format!("{}/{}", seen.survey, seen.object_id);
    let set = view
        .portrait
        .as_ref()
        .filter(|portrait| portrait.set.is_some())
        .map(|portrait| portrait.name.clone());
    let set = set.map_or(String::new(), |set| format!(" --set {}", quoted(&set)));
    let what = match view.page {
        Page::Corner | Page::Marginals if view.overlay && !view.others.is_empty() => {
            let mut names = vec![view.portrait.as_ref()?.name.clone()];
            names.extend(view.others.iter().map(|other| other.name.clone()));
            return Some(format!(
                "{} plot corner {} --overlay {}",
                program(state),
                quoted(&name),
                quoted(&names.join(","))
            ));
        }
        Page::Corner | Page::Marginals => "plot corner",
        Page::History => "plot sfh",
        Page::Overview | Page::Source => {
            return Some(format!("{} show {}{set}", program(state), quoted(&format!("galaxy:{name}"))));
        }
    };
    Some(format!("{} {what} {}{set}", program(state), quoted(&name)))
}

/// The figure of the page that `sedflow plot` makes: its arguments after the catalog.
pub fn figure(state: &State) -> Option<Vec<String>> {
    let view = state.galaxy.as_ref().filter(|view| view.whatif.is_none())?;
    let seen = view.seen.as_ref()?;
    let portrait = view.portrait.as_ref().filter(|portrait| portrait.lacks.is_none())?;
    let kind = match view.page {
        Page::Overview => "sed",
        Page::Marginals | Page::Corner => "corner",
        Page::History => "sfh",
        Page::Source => return None,
    };
    let name = format!("{}/{}", seen.survey, seen.object_id);
    let words = ["plot", kind, "--set", &portrait.name, "--", &name];
    Some(words.map(str::to_owned).to_vec())
}

/// The table of the posterior as CSV.
pub fn csv(state: &State) -> Option<String> {
    let view = state.galaxy.as_ref()?;
    let whatif = view.whatif.as_ref().and_then(|whatif| whatif.portrait.as_ref());
    let portrait = whatif.or(view.portrait.as_ref())?;
    let mut text = String::from("parameter,q025,q16,q50,q84,q975,best,edge_frac\n");
    for m in &portrait.marginals {
        let numbers: Vec<String> =
            m.quantiles.iter().chain([&m.best, &m.edge_frac]).map(|value| format!("{value:?}")).collect();
        text += &format!("{},{}\n", m.name, numbers.join(","));
    }
    Some(text)
}
