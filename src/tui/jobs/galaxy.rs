//! One galaxy: what was measured, its posteriors, and what its posterior would be of other data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Context as _;

use super::{Desk, worker};
use crate::codec::NamedDraws;
use crate::commands::setup::{self, Loaded};
use crate::commands::{draws, infer};
use crate::galaxy::phot_flag;
use crate::infer::{Measured, column_names, join_reasons};
use crate::store::{CheckpointId, GalaxyId, PosteriorSet, PosteriorSetId, Store};
use crate::tui::message::Msg;
use crate::tui::portrait::{self, Density, DrawSet, History, MarginalPlot, SedCurves, TELLING};

/// Spectra and histories computed for a picture; fewer while data are being changed.
const SPECTRA: usize = 90;
const HISTORIES: usize = 1500;
/// Posteriors laid over another at most.
const MOST_OTHERS: usize = 5;
/// Draws of a posterior of changed data.
const WHAT_IF_DRAWS: usize = 1000;

#[derive(Debug, Clone, PartialEq)]
pub enum GalaxyAsk {
    /// Gets the checkpoint of a set ready, so that the first galaxy opens faster.
    Warm {
        set: Option<PosteriorSetId>,
    },
    Open {
        generation: u64,
        galaxy: GalaxyId,
        set: Option<PosteriorSetId>,
    },
    /// Posteriors of the other sets, to be laid over.
    Others {
        generation: u64,
        galaxy: GalaxyId,
        but: Option<PosteriorSetId>,
    },
    WhatIf {
        generation: u64,
        change: u64,
        galaxy: GalaxyId,
        set: Option<PosteriorSetId>,
        data: Data,
    },
}

/// Photometry in the bands of a model, with the redshift.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Data {
    pub bands: Vec<String>,
    /// Nanomaggies; infinite error where not observed.
    pub flux_nmgy: Vec<f64>,
    pub sigma_nmgy: Vec<f64>,
    pub zred: f64,
}

impl Data {
    fn measured(&self) -> Measured {
        let pairs = self.flux_nmgy.iter().zip(&self.sigma_nmgy);
        Measured::new(pairs.map(|(flux, sigma)| {
            let ivar = sigma.powi(-2);
            (flux.is_finite().then_some(*flux), (ivar.is_finite() && ivar > 0.0).then_some(ivar))
        }))
    }
}

/// What the catalog has of a galaxy beside posteriors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    pub survey: String,
    pub object_id: String,
    pub position: Option<(f64, f64)>,
    pub redshift: Option<f64>,
    pub redshift_err: Option<f64>,
    pub bands: Vec<SeenBand>,
    pub cuts: Vec<(String, String)>,
    /// Name and value, for the page on where all this came from.
    pub provenance: Vec<(String, String)>,
    /// Sets with an answer or a reason.
    pub sets: Vec<(PosteriorSetId, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SeenBand {
    pub name: String,
    pub filter: Option<String>,
    pub flux_nmgy: Option<f64>,
    pub sigma_nmgy: Option<f64>,
    pub flags: String,
}

/// A posterior ready to be drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Portrait {
    pub set: Option<PosteriorSetId>,
    pub name: String,
    pub checkpoint: Option<String>,
    pub method: Option<String>,
    pub reason: Option<String>,
    pub n_draws: u64,
    /// Name and value of the quality numbers there are.
    pub numbers: Vec<(&'static str, f64)>,
    pub marginals: Vec<MarginalPlot>,
    /// The columns of the pairs, and their densities.
    pub chosen: Vec<usize>,
    pub pairs: Vec<Vec<Density>>,
    /// Data in the bands of the model.
    pub data: Option<Data>,
    /// What could not be had, in a sentence.
    pub lacks: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curves {
    pub sed: Option<SedCurves>,
    pub history: Option<History>,
}

#[derive(Debug, Clone)]
pub enum GalaxyAnswer {
    Seen {
        generation: u64,
        seen: Arc<Seen>,
    },
    Portrait {
        generation: u64,
        portrait: Arc<Portrait>,
    },
    Curves {
        generation: u64,
        curves: Arc<Curves>,
    },
    /// With why one could not be read.
    Others {
        generation: u64,
        others: Vec<Arc<Portrait>>,
        problem: Option<String>,
    },
    WhatIf {
        generation: u64,
        change: u64,
        portrait: Result<Arc<Portrait>, String>,
        millis: f64,
    },
    WhatIfCurves {
        generation: u64,
        change: u64,
        curves: Arc<Curves>,
    },
    Problem {
        generation: u64,
        text: String,
    },
}

pub fn start(catalog: PathBuf, answers: Sender<Msg>) -> Sender<GalaxyAsk> {
    let mut painter = Painter { desk: Desk::new(catalog, answers.clone()), loaded: BTreeMap::new() };
    worker("galaxy", answers, move |more, ask| painter.take(more, ask))
}

struct Painter {
    desk: Desk,
    loaded: BTreeMap<i64, Arc<Loaded>>,
}

impl Painter {
    /// Answers the newest request of those waiting: the ones before are of what is no longer shown.
    fn take(&mut self, more: &Receiver<GalaxyAsk>, first: GalaxyAsk) {
        let mut waiting = vec![first];
        waiting.extend(more.try_iter());
        let superseded = |i: usize, waiting: &[GalaxyAsk]| {
            let kind = std::mem::discriminant(&waiting[i]);
            waiting[i + 1..]
                .iter()
                .any(|later| std::mem::discriminant(later) == kind || matches!(later, GalaxyAsk::Open { .. }))
        };
        for i in 0..waiting.len() {
            if superseded(i, &waiting) {
                continue;
            }
            match waiting[i].clone() {
                GalaxyAsk::Warm { set } => {
                    // what fails here is told when a galaxy is opened
                    let _ = self.warm(set);
                }
                GalaxyAsk::Open { generation, galaxy, set } => {
                    if let Err(error) = self.open(generation, galaxy, set) {
                        self.problem(generation, &error);
                    }
                }
                GalaxyAsk::Others { generation, galaxy, but } => match self.others(galaxy, but) {
                    Ok((others, problem)) => {
                        self.say(GalaxyAnswer::Others { generation, others, problem });
                    }
                    Err(error) => self.problem(generation, &error),
                },
                GalaxyAsk::WhatIf { generation, change, galaxy, set, data } => {
                    self.what_if(generation, change, galaxy, set, &data);
                }
            }
        }
    }

    fn say(&self, answer: GalaxyAnswer) {
        self.desk.answer(Msg::Galaxy(answer));
    }

    fn problem(&mut self, generation: u64, error: &anyhow::Error) {
        self.desk.close();
        self.say(GalaxyAnswer::Problem { generation, text: format!("{error:#}") });
    }

    fn loaded(&mut self, id: CheckpointId) -> anyhow::Result<Arc<Loaded>> {
        if let Some(loaded) = self.loaded.get(&id.0) {
            return Ok(loaded.clone());
        }
        let loaded = Arc::new(setup::load_from(self.desk.store()?, id)?);
        // a few at a time are enough, and each takes some megabytes
        if self.loaded.len() > 3 {
            self.loaded.clear();
        }
        self.loaded.insert(id.0, loaded.clone());
        Ok(loaded)
    }

    fn warm(&mut self, set: Option<PosteriorSetId>) -> anyhow::Result<()> {
        let store = self.desk.store()?;
        let set = match set {
            Some(id) => Some(store.posterior_set(id)?),
            None => store.current_posterior_set()?,
        };
        if let Some(id) = set.and_then(|set| set.checkpoint) {
            self.loaded(id)?;
        }
        Ok(())
    }

    fn open(&mut self, generation: u64, galaxy: GalaxyId, set: Option<PosteriorSetId>) -> anyhow::Result<()> {
        let store = self.desk.store()?;
        let seen = seen(store, galaxy)?;
        let set = chosen_set(store, &seen, set)?;
        self.say(GalaxyAnswer::Seen { generation, seen: Arc::new(seen) });
        let Some(set) = set else {
            let lacks = Some("no posterior set has this galaxy; `sedflow infer` makes one".to_owned());
            let portrait = Arc::new(Portrait { lacks, ..Portrait::default() });
            self.say(GalaxyAnswer::Portrait { generation, portrait });
            return Ok(());
        };
        let (portrait, draws, loaded) = match self.portrait(galaxy, &set) {
            Ok(made) => made,
            // the photometry is still worth seeing
            Err(error) => {
                let lacks = Some(format!("{error:#}"));
                let (set, name) = (Some(set.id), set.name.clone());
                let portrait = Arc::new(Portrait { set, name, lacks, ..Portrait::default() });
                self.say(GalaxyAnswer::Portrait { generation, portrait });
                return Ok(());
            }
        };
        let zred = portrait.data.as_ref().map(|data| data.zred).filter(|z| z.is_finite());
        self.say(GalaxyAnswer::Portrait { generation, portrait: Arc::new(portrait) });
        if let (Some(loaded), Some(zred)) = (loaded, zred)
            && draws.n() > 0
        {
            let curves = curves(&loaded, zred, &draws, (SPECTRA, HISTORIES));
            self.say(GalaxyAnswer::Curves { generation, curves: Arc::new(curves) });
        }
        Ok(())
    }

    /// A galaxy's posterior in a set, with its draws and its model where they can be had.
    fn portrait(
        &mut self,
        galaxy: GalaxyId,
        set: &PosteriorSet,
    ) -> anyhow::Result<(Portrait, DrawSet, Option<Arc<Loaded>>)> {
        let mut lacks = None;
        let loaded = match set.checkpoint.map(|id| self.loaded(id)) {
            Some(Ok(loaded)) => Some(loaded),
            Some(Err(error)) => {
                lacks = Some(format!("{error:#}"));
                None
            }
            None => None,
        };
        let store = self.desk.store()?;
        let posterior = store.posterior(set.id, galaxy)?;
        let posterior = posterior.with_context(|| format!("set {} has nothing on this galaxy", set.name))?;
        let (_, prior) = store.prior(set.prior)?;
        let named = match &loaded {
            Some(loaded) => {
                let maker =
                    draws::Maker { npe: &loaded.npe, checkpoint: loaded.hash, derived: &loaded.derived };
                draws::of_posterior(&posterior, maker)
            }
            None => {
                posterior.row.samples.as_deref().map(crate::codec::decode).transpose().map_err(Into::into)
            }
        };
        let draws = match named {
            Ok(Some(named)) => draw_set(&named),
            Ok(None) => {
                if posterior.row.method.is_some() {
                    lacks = lacks.or(Some("the set keeps no draws of it, only summaries".to_owned()));
                }
                DrawSet::default()
            }
            Err(error) => {
                lacks = Some(format!("its draws cannot be read: {error:#}"));
                DrawSet::default()
            }
        };
        let row = &posterior.row;
        let summaries: Vec<([f64; 5], f64, f64)> =
            row.summary.iter().map(|s| ([s.q025, s.q16, s.q50, s.q84, s.q975], s.map, s.edge_frac)).collect();
        let marginals = portrait::marginals(&draws, &prior, &summaries);
        let chosen = chosen(&marginals, &prior);
        let pairs = if draws.n() > 0 { portrait::pairs(&draws, &marginals, &chosen) } else { vec![] };
        let data = match &loaded {
            Some(loaded) => Some(data_of(store, loaded, galaxy)?),
            None => None,
        };
        let portrait = Portrait {
            set: Some(set.id),
            name: set.name.clone(),
            checkpoint: loaded.as_ref().map(|loaded| loaded.name.clone()),
            method: row.method.map(|method| method.as_str().to_owned()),
            reason: row.reason.clone(),
            n_draws: row.n_draws,
            numbers: row.quality().collect(),
            marginals,
            chosen,
            pairs,
            data,
            lacks,
        };
        Ok((portrait, draws, loaded))
    }

    fn others(
        &mut self,
        galaxy: GalaxyId,
        but: Option<PosteriorSetId>,
    ) -> anyhow::Result<(Vec<Arc<Portrait>>, Option<String>)> {
        let store = self.desk.store()?;
        let having = store.galaxy_story(galaxy)?.sets;
        let sets: Vec<PosteriorSet> = store
            .posterior_sets()?
            .into_iter()
            .filter(|set| Some(set.id) != but && having.iter().any(|(id, _)| *id == set.id))
            .collect();
        let (mut others, mut problem) = (Vec::new(), None);
        for set in sets {
            match self.portrait(galaxy, &set) {
                Ok((portrait, ..)) if portrait.method.is_some() => others.push(Arc::new(portrait)),
                Ok(_) => {}
                Err(error) => problem = Some(format!("{error:#}")),
            }
            if others.len() == MOST_OTHERS {
                break;
            }
        }
        Ok((others, problem))
    }

    /// The network's posterior of changed data: first its draws, then the curves.
    fn what_if(
        &mut self,
        generation: u64,
        change: u64,
        galaxy: GalaxyId,
        set: Option<PosteriorSetId>,
        data: &Data,
    ) {
        let begun = std::time::Instant::now();
        let made = self.changed(galaxy, set, data);
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        match made {
            Ok((portrait, draws, loaded)) => {
                let portrait = Ok(Arc::new(portrait));
                self.say(GalaxyAnswer::WhatIf { generation, change, portrait, millis });
                let curves = Arc::new(curves(&loaded, data.zred, &draws, (30, 300)));
                self.say(GalaxyAnswer::WhatIfCurves { generation, change, curves });
            }
            Err(error) => {
                let portrait = Err(format!("{error:#}"));
                self.say(GalaxyAnswer::WhatIf { generation, change, portrait, millis });
            }
        }
    }

    fn changed(
        &mut self,
        galaxy: GalaxyId,
        set: Option<PosteriorSetId>,
        data: &Data,
    ) -> anyhow::Result<(Portrait, DrawSet, Arc<Loaded>)> {
        let store = self.desk.store()?;
        let set = match set {
            Some(id) => Some(store.posterior_set(id)?),
            None => store.current_posterior_set()?,
        };
        let checkpoint = set.and_then(|set| set.checkpoint);
        let checkpoint = checkpoint.context("there is no checkpoint to ask: the set was made without one")?;
        let loaded = self.loaded(checkpoint)?;
        let measured = data.measured();
        let observation = measured.at(data.zred);
        let x = loaded.npe.features(&observation).map_err(|reasons| {
            anyhow::anyhow!(
                "the network cannot speak for this: {}",
                join_reasons(&reasons).unwrap_or_default()
            )
        })?;
        let outside = loaded.npe.outside(&observation, &x);
        let drawn = loaded
            .npe
            .draw(&x, data.zred, WHAT_IF_DRAWS, (0, galaxy.0 as u64), &loaded.derived)
            .map_err(|reason| anyhow::anyhow!("the network gave no draws: {reason}"))?;
        let prior = loaded.npe.prior();
        let summaries: Vec<([f64; 5], f64, f64)> =
            drawn.summaries(prior).iter().map(|m| (m.quantiles, m.best, m.edge_frac)).collect();
        let columns = (0..column_names().len()).map(|i| drawn.column(i).to_vec()).collect();
        let draws = DrawSet { columns, weights: vec![] };
        let marginals = portrait::marginals(&draws, prior, &summaries);
        let chosen = chosen(&marginals, prior);
        let portrait = Portrait {
            name: loaded.name.clone(),
            checkpoint: Some(loaded.name.clone()),
            method: Some("npe".to_owned()),
            reason: join_reasons(&outside),
            n_draws: WHAT_IF_DRAWS as u64,
            pairs: portrait::pairs(&draws, &marginals, &chosen),
            chosen,
            marginals,
            data: Some(data.clone()),
            ..Portrait::default()
        };
        Ok((portrait, draws, loaded))
    }
}

/// The columns of corners: those that are free, most telling first.
fn chosen(marginals: &[MarginalPlot], prior: &crate::prior::Prior) -> Vec<usize> {
    let free = |i: &usize| *i < marginals.len() && (*i >= crate::prior::N_PARAM || !prior.is_fixed(*i));
    TELLING.into_iter().filter(free).take(12).collect()
}

fn curves(loaded: &Loaded, zred: f64, draws: &DrawSet, (spectra, histories): (usize, usize)) -> Curves {
    Curves {
        sed: portrait::sed_curves(loaded, zred, &draws.some(spectra)).ok(),
        history: Some(portrait::history(&loaded.model, zred, &draws.some(histories))),
    }
}

fn draw_set(named: &NamedDraws) -> DrawSet {
    let column = |name: &&str| named.find(name).map(<[f32]>::to_vec).unwrap_or_default();
    DrawSet {
        columns: column_names().iter().map(column).collect(),
        weights: named.weight.map(|at| named.column(at).to_vec()).unwrap_or_default(),
    }
}

fn data_of(store: &Store, loaded: &Loaded, galaxy: GalaxyId) -> anyhow::Result<Data> {
    let (observed, measured) = infer::measured_for(store, loaded, galaxy)?;
    Ok(Data {
        bands: loaded
            .filters
            .iter()
            .map(|filter| crate::features::short_band(filter.name()).to_owned())
            .collect(),
        flux_nmgy: measured.flux_nmgy,
        sigma_nmgy: measured.sigma_nmgy,
        zred: observed.redshift.unwrap_or(f64::NAN),
    })
}

/// The set asked for if it has the galaxy, else the current one, else any that has.
fn chosen_set(
    store: &Store,
    seen: &Seen,
    set: Option<PosteriorSetId>,
) -> anyhow::Result<Option<PosteriorSet>> {
    let current = store.current_posterior_set()?.map(|set| set.id);
    let has = |id: &PosteriorSetId| seen.sets.iter().any(|known| known.0 == *id);
    let id = set.filter(has).or(current.filter(has)).or(seen.sets.first().map(|known| known.0));
    Ok(id.map(|id| store.posterior_set(id)).transpose()?)
}

fn seen(store: &Store, galaxy: GalaxyId) -> anyhow::Result<Seen> {
    let found = store.observed_galaxies(&[galaxy])?;
    let found = found.first().with_context(|| format!("there is no galaxy {galaxy} any more"))?;
    let survey = store.surveys()?.into_iter().find(|survey| survey.id == found.survey);
    let bands = store
        .bands(found.band_set)?
        .into_iter()
        .zip(&found.photometry)
        .map(|(band, phot)| SeenBand {
            name: band.name,
            filter: band.filter_name,
            flux_nmgy: phot.flux_nmgy,
            sigma_nmgy: phot.ivar_nmgy.filter(|ivar| *ivar > 0.0).map(|ivar| ivar.sqrt().recip()),
            flags: phot_flag::words(phot.flags),
        })
        .collect();
    let story = store.galaxy_story(galaxy)?;
    Ok(Seen {
        survey: survey.map(|survey| survey.name).unwrap_or_default(),
        object_id: found.object_id.clone(),
        position: found.position.map(|at| (at.ra_deg, at.dec_deg)),
        redshift: found.redshift,
        redshift_err: found.redshift_err,
        bands,
        cuts: story.cuts,
        provenance: story.provenance,
        sets: story.sets,
    })
}
