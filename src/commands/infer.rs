//! `sedflow infer`: draws, summaries or a reason for every selected galaxy, in committed batches.

use std::io::Write as _;
use std::time::Instant;

use anyhow::bail;
use rayon::prelude::*;
use serde_json::json;

use super::listen::Terminal;
use super::setup::Loaded;
use super::{Context, Outcome, setup};
use crate::codec;
use crate::galaxy::phot_flag;
use crate::hash::ContentHash;
use crate::infer::{Draws, Marginal, Measured, Reason, Recipe, SHIPPED_NAME, column_names, join_reasons};
use crate::progress::{Event, Progress};
use crate::store::{
    BandSetId, GalaxyId, Method, ObservedGalaxy, PosteriorRow, PosteriorSet, PosteriorSetSpec, RunId,
    RunSpec, RunState, Selection, Store, Summary, SurveyId,
};

/// Galaxies of one transaction.
const BATCH: usize = 64;

#[derive(Debug, Clone, clap::Args)]
pub struct InferArgs {
    /// Condition on the galaxies, such as "survey = 'nsa' and redshift < 0.1" [default: all]
    #[arg(long = "where", value_name = "EXPR")]
    pub condition: Option<String>,
    /// Draws per galaxy
    #[arg(long, default_value_t = 10_000)]
    pub draws: u64,
    /// `sdss-ugriz` (shipped), a checkpoint of the catalog, or a file
    #[arg(long, default_value = SHIPPED_NAME)]
    pub checkpoint: String,
    /// Name of the posterior set [default: the checkpoint's]
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What to keep of each posterior beside its summaries
    #[arg(long, value_enum, default_value_t = Keep::Draws)]
    pub store: Keep,
    /// Keep summaries only, not the draws
    #[arg(long, conflicts_with = "store")]
    pub no_samples: bool,
}

/// How posteriors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Keep {
    /// Packed draws, about 120 kB per 10,000
    Draws,
    /// What the draws can be made from again, about 180 bytes
    Recipe,
    /// Draws, and the recipe that gives them again
    Both,
}

impl InferArgs {
    fn keeps_draws(&self) -> bool {
        !self.no_samples && self.store != Keep::Recipe
    }

    fn keeps_recipe(&self) -> bool {
        !self.no_samples && self.store != Keep::Draws
    }
}

/// How an inference went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub answered: u64,
    pub refused: u64,
    pub seconds: f64,
}

pub fn run(args: InferArgs, context: &Context) -> anyhow::Result<Outcome> {
    let terminal = Terminal::new(context.quiet);
    let mut store = setup::open(&context.catalog)?;
    let (tally, set, state) = infer_recorded(&mut store, &args, &terminal)?;
    if !context.quiet {
        say(&store, &set, tally)?;
    }
    writeln!(std::io::stdout(), "{}", set.name)?;
    Ok(match state {
        RunState::Interrupted => {
            eprintln!("stopped; the same command goes on where it was");
            Outcome::Interrupted
        }
        _ => Outcome::Done,
    })
}

/// Says on standard error what was done.
pub fn say(store: &Store, set: &PosteriorSet, tally: Tally) -> anyhow::Result<()> {
    let (answers, reasons) = store.posterior_counts(set.id)?;
    eprintln!(
        "{} galaxies in {:.1} s ({:.1} per second): {} posteriors, {} reasons; set `{}` holds {answers} and {reasons}",
        tally.answered + tally.refused,
        tally.seconds,
        (tally.answered + tally.refused) as f64 / tally.seconds.max(1e-9),
        tally.answered,
        tally.refused,
        set.name
    );
    Ok(())
}

/// Runs the inference as a recorded run and makes its set the current one.
pub fn infer_recorded(
    store: &mut Store,
    args: &InferArgs,
    progress: &dyn Progress,
) -> anyhow::Result<(Tally, PosteriorSet, RunState)> {
    if args.draws == 0 || args.draws > 1_000_000 {
        bail!("--draws is {}, expected 1 to 1000000", args.draws);
    }
    let config = json!({
        "where": args.condition, "draws": args.draws, "checkpoint": args.checkpoint, "name": args.name,
        "seed": args.seed, "samples": args.keeps_draws(), "recipe": args.keeps_recipe(),
    });
    let spec = RunSpec { command: "infer", config: &config, seed: Some(args.seed), resumes: None };
    store.recorded(&spec, |store, run| {
        let (tally, set, state) = infer(store, run, args, progress)?;
        Ok(((tally, set, state), state))
    })
}

fn infer(
    store: &mut Store,
    run: RunId,
    args: &InferArgs,
    progress: &dyn Progress,
) -> anyhow::Result<(Tally, PosteriorSet, RunState)> {
    let loaded = setup::load_checkpoint(store, run, &args.checkpoint)?;
    // What cannot be done must not leave a set that takes the name.
    let bands = BandMap::new(store, &loaded)?;
    let all = Selection { condition: args.condition.as_deref(), ..Selection::default() };
    if store.select_galaxies(&Selection { limit: Some(1), ..all })?.is_empty() {
        bail!("no galaxy is selected: ingest some first, or change --where");
    }
    let names = column_names();
    let config = json!({
        "method": "npe", "where": args.condition, "codec": codec::CODEC,
        "steps_per_width": codec::STEPS_PER_WIDTH,
        "samples": args.keeps_draws(), "recipe": args.keeps_recipe(),
    });
    let set = store.begin_posterior_set(
        run,
        &PosteriorSetSpec {
            name: args.name.as_deref().unwrap_or(&loaded.name),
            checkpoint: Some(loaded.id),
            sed_model: loaded.sed_model,
            prior: loaded.prior,
            config: &config,
            seed: args.seed,
            n_draws: args.draws,
            parameters: &names,
        },
    )?;
    let ids = store.select_galaxies(&Selection { not_in: Some(set.id), ..all })?;
    if set.complete {
        progress.report(Event::Note(match ids.len() {
            0 => format!("set `{}` is complete", set.name),
            n => format!(
                "set `{}` is complete and takes no more galaxies; {n} that came since need a set of another --name",
                set.name
            ),
        }));
        return Ok((Tally::default(), set, RunState::Done));
    }
    let plan = Plan { bands, loaded: &loaded, args, surveys: survey_names(store)? };
    progress.report(Event::Started {
        what: "inferring".into(),
        total: Some(ids.len() as u64),
        unit: "galaxies",
    });
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut waiting: Vec<PosteriorRow> = Vec::new();
    let mut done = 0;
    for batch in ids.chunks(BATCH) {
        let galaxies = store.observed_galaxies(batch)?;
        // One batch is computed while the one before is written.
        let (rows, written) = std::thread::scope(|scope| {
            let computing = scope.spawn(|| {
                galaxies.par_iter().map(|galaxy| plan.row(galaxy)).collect::<anyhow::Result<Vec<_>>>()
            });
            let written = if waiting.is_empty() { Ok(()) } else { store.commit_posteriors(set.id, &waiting) };
            (computing.join(), written)
        });
        written?;
        done += waiting.len() as u64;
        progress.report(Event::Advanced { done });
        waiting = rows.map_err(|_| anyhow::anyhow!("a worker thread ended with a panic"))??;
        tally.answered += waiting.iter().filter(|row| row.method.is_some()).count() as u64;
        tally.refused += waiting.iter().filter(|row| row.method.is_none()).count() as u64;
        if progress.cancelled() {
            break;
        }
    }
    if !waiting.is_empty() {
        store.commit_posteriors(set.id, &waiting)?;
        done += waiting.len() as u64;
        progress.report(Event::Advanced { done });
    }
    progress.report(Event::Finished);
    tally.seconds = started.elapsed().as_secs_f64();
    if done < ids.len() as u64 {
        return Ok((tally, set, RunState::Interrupted));
    }
    store.finish_posterior_set(set.id)?;
    store.set_current_posterior_set(&set.name)?;
    Ok((tally, store.posterior_set(set.id)?, RunState::Done))
}

/// Where the model's bands stand in each band set of the catalog.
struct BandMap {
    sets: Vec<(BandSetId, Vec<Option<usize>>)>,
}

impl BandMap {
    /// Errors if no survey of the catalog has a band of the checkpoint.
    fn new(store: &Store, loaded: &Loaded) -> anyhow::Result<Self> {
        let mut sets: Vec<(BandSetId, Vec<Option<usize>>)> = Vec::new();
        let mut found = Vec::new();
        for survey in store.surveys()? {
            let bands = store.bands(survey.band_set)?;
            found.push(format!(
                "{} has {}",
                survey.name,
                bands
                    .iter()
                    .map(|b| b.filter_name.as_deref().unwrap_or(&b.name))
                    .collect::<Vec<_>>()
                    .join(" ")
            ));
            let place = |filter: &crate::filters::Filter| {
                bands.iter().position(|band| band.filter_hash == Some(filter.hash()))
            };
            sets.push((survey.band_set, loaded.filters.iter().map(place).collect()));
        }
        if !sets.iter().any(|(_, bands)| bands.iter().any(Option::is_some)) {
            bail!(
                "checkpoint {} was trained for {}, but {}",
                loaded.name,
                loaded.npe.bands().join(" "),
                if found.is_empty() { "the catalog has no survey yet".into() } else { found.join("; ") }
            );
        }
        Ok(Self { sets })
    }

    /// A galaxy's photometry in the order of the model's bands.
    fn measured(&self, galaxy: &ObservedGalaxy) -> Measured {
        let places =
            self.sets.iter().find(|(set, _)| *set == galaxy.band_set).map(|(_, places)| places.as_slice());
        Measured::new(places.unwrap_or_default().iter().map(|place| {
            match place.and_then(|place| galaxy.photometry.get(place)) {
                // An upper limit is no measurement to this model.
                Some(phot) if phot.flags & phot_flag::UPPER_LIMIT == 0 => (phot.flux_nmgy, phot.ivar_nmgy),
                _ => (None, None),
            }
        }))
    }
}

fn survey_names(store: &Store) -> anyhow::Result<Vec<(SurveyId, String)>> {
    Ok(store.surveys()?.into_iter().map(|survey| (survey.id, survey.name)).collect())
}

/// What every galaxy is done with.
struct Plan<'a> {
    bands: BandMap,
    loaded: &'a Loaded,
    args: &'a InferArgs,
    surveys: Vec<(SurveyId, String)>,
}

impl Plan<'_> {
    fn row(&self, galaxy: &ObservedGalaxy) -> anyhow::Result<PosteriorRow> {
        let measured = self.bands.measured(galaxy);
        let refuse = |reasons: &[Reason]| PosteriorRow {
            galaxy: galaxy.id,
            reason: join_reasons(reasons),
            n_bands: measured.observed.count_ones(),
            ..PosteriorRow::default()
        };
        let observation = measured.at(galaxy.redshift.unwrap_or(f64::NAN));
        let npe = &self.loaded.npe;
        let x = match npe.features(&observation) {
            Ok(x) => x,
            Err(reasons) => return Ok(refuse(&reasons)),
        };
        let score = npe.card().support.score(&x);
        let outside = npe.outside(&observation, &x);
        if !outside.is_empty() {
            return Ok(PosteriorRow { ood_score: Some(score), ..refuse(&outside) });
        }
        let survey = self.surveys.iter().find(|(id, _)| *id == galaxy.survey).map_or("", |(_, name)| name);
        let stream = stream_of(survey, &galaxy.object_id);
        let n = self.args.draws as usize;
        let draws = match npe.draw(&x, observation.zred, n, (self.args.seed, stream), &self.loaded.derived) {
            Ok(draws) => draws,
            Err(reason) => return Ok(refuse(&[reason])),
        };
        let recipe = Recipe {
            checkpoint: self.loaded.hash,
            features: x,
            zred: observation.zred,
            seed: self.args.seed,
            stream,
            n_draws: self.args.draws as u32,
            steps_per_width: codec::STEPS_PER_WIDTH,
        };
        Ok(PosteriorRow {
            galaxy: galaxy.id,
            method: Some(Method::Npe),
            n_draws: self.args.draws,
            n_bands: measured.observed.count_ones(),
            ood_score: Some(score),
            summary: draws.summaries(npe.prior()).iter().map(summary).collect(),
            ..self.kept(&draws, &recipe)?
        })
    }

    /// The draws as they are stored.
    fn kept(&self, draws: &Draws, recipe: &Recipe) -> anyhow::Result<PosteriorRow> {
        let mut row = PosteriorRow::default();
        if self.args.keeps_draws() {
            let packed = draws.pack(codec::STEPS_PER_WIDTH)?;
            row.codec = Some(codec::CODEC.to_owned());
            row.codec_ks = Some(packed.achieved.ks);
            row.draws_hash = Some(packed.hash);
            row.samples = Some(packed.bytes);
        } else if self.args.keeps_recipe() {
            let (hash, ks) = draws.quantised_hash(codec::STEPS_PER_WIDTH)?;
            row.codec = Some(codec::CODEC.to_owned());
            row.codec_ks = Some(ks);
            row.draws_hash = Some(hash);
        }
        if self.args.keeps_recipe() {
            row.recipe = Some(recipe.to_bytes());
        }
        Ok(row)
    }
}

fn summary(m: &Marginal) -> Summary {
    let [q025, q16, q50, q84, q975] = m.quantiles;
    Summary { mean: m.mean, std: m.sd, q025, q16, q50, q84, q975, map: m.best, edge_frac: m.edge_frac }
}

/// The random stream of a galaxy: the same in every catalog that holds it.
pub fn stream_of(survey: &str, object_id: &str) -> u64 {
    let hash = ContentHash::of_parts([survey.as_bytes(), object_id.as_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// A galaxy's photometry in the bands of a checkpoint, for figures.
pub fn measured_for(
    store: &Store,
    loaded: &Loaded,
    id: GalaxyId,
) -> anyhow::Result<(ObservedGalaxy, Measured)> {
    let Some(galaxy) = store.observed_galaxies(&[id])?.into_iter().next() else {
        bail!("no galaxy {id} in the catalog");
    };
    let measured = BandMap::new(store, loaded)?.measured(&galaxy);
    Ok((galaxy, measured))
}
