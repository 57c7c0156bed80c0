//! `sedflow infer`: draws, summaries or a reason for every selected galaxy, in committed batches.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::find::selected_by_draws;
use super::listen::Terminal;
use super::setup::Loaded;
use super::shard::{PartArgs, answer_shard};
use super::{Context, Outcome, setup};
use crate::codec;
use crate::galaxy::{BandPhot, phot_flag};
use crate::infer::ladder::{Answer, Errors, Ladder, Question, Road, Roads, Rules};
use crate::infer::{Marginal, Measured, Recipe, SHIPPED_NAME, column_names, join_reasons};
use crate::progress::{Event, Progress};
use crate::shards::{ShardOf, stream_of};
use crate::store::{
    Artifact, BandSetId, GalaxyId, Method, ObservedGalaxy, PosteriorRow, PosteriorSet, PosteriorSetSpec,
    ProductKind, RunId, RunSpec, RunState, Selection, Store, Summary, SurveyId,
};

/// Galaxies of one transaction.
const BATCH: usize = 64;

#[derive(Debug, Clone, clap::Args)]
pub struct InferCommand {
    #[command(flatten)]
    pub args: InferArgs,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Debug, Clone, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct InferArgs {
    /// Condition on the galaxies, such as "survey = 'nsa' and redshift < 0.1"; may ask of the current posteriors as `find`
    /// does [default: all]
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
    #[command(flatten)]
    pub roads: RoadArgs,
}

impl InferArgs {
    /// What is to be done for these galaxies. Errors where an option is out of range.
    pub fn job<'a>(&'a self, which: Which<'a>) -> anyhow::Result<Job<'a>> {
        if self.draws == 0 || self.draws > 1_000_000 {
            bail!("--draws is {}, expected 1 to 1000000", self.draws);
        }
        Ok(Job {
            which,
            draws: self.draws,
            checkpoint: &self.checkpoint,
            name: self.name.as_deref(),
            seed: self.seed,
            kept: Kept::new(self.store, self.no_samples),
            roads: self.roads.roads(),
            rules: self.roads.rules()?,
        })
    }

    /// The configuration that a run is recorded with.
    pub fn config(&self, job: &Job) -> serde_json::Value {
        let mut config = json!({
            "where": self.condition, "draws": self.draws, "checkpoint": self.checkpoint, "name": self.name,
            "seed": self.seed, "samples": job.kept.draws, "recipe": job.kept.recipe,
        });
        if job.roads != Roads::Npe {
            config["method"] = json!(job.roads);
            config["rules"] = json!(job.rules);
        }
        config
    }
}

/// How posteriors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Packed draws, about 120 kB per 10,000
    Draws,
    /// What the network's own draws can be made from again, about 180 bytes; weighted draws and chains are packed
    Recipe,
    /// Draws, and the recipe that gives them again where there is one
    Both,
}

/// What is kept of the draws.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub draws: bool,
    pub recipe: bool,
}

impl Kept {
    pub fn new(store: Keep, no_samples: bool) -> Self {
        Self { draws: !no_samples && store != Keep::Recipe, recipe: !no_samples && store != Keep::Draws }
    }
}

/// How answers are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct RoadArgs {
    /// npe: the network's draws, or a reason; is: importance-weighted draws; auto: weighted draws, and a Markov
    /// chain where they will not do; mcmc: a chain for every galaxy
    #[arg(long, value_enum, default_value_t = MethodArg::default())]
    pub method: MethodArg,
    /// What the exact likelihood makes of flux errors [default: data as in training where the galaxy is like
    /// those, given elsewhere]
    #[arg(long, value_enum)]
    pub errors: Option<ErrorsArg>,
    /// Fractional error of the SED model's fluxes, added in quadrature
    #[arg(long, default_value_t = 0.0, value_name = "FRACTION")]
    pub model_error: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodArg {
    Npe,
    Is,
    #[default]
    Auto,
    Mcmc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorsArg {
    /// As given
    Given,
    /// As data, drawn by the noise model of the training
    Modelled,
}

impl RoadArgs {
    pub fn roads(&self) -> Roads {
        match self.method {
            MethodArg::Npe => Roads::Npe,
            MethodArg::Is => Roads::Is,
            MethodArg::Auto => Roads::Auto,
            MethodArg::Mcmc => Roads::Mcmc,
        }
    }

    /// The ladder's rules with what was asked for. Errors where that is out of range.
    pub fn rules(&self) -> anyhow::Result<Rules> {
        if !(0.0..1.0).contains(&self.model_error) {
            bail!("--model-error is {}, expected 0 to below 1", self.model_error);
        }
        let errors = match self.errors {
            None => Errors::Auto,
            Some(ErrorsArg::Given) => Errors::Given,
            Some(ErrorsArg::Modelled) => Errors::Modelled,
        };
        Ok(Rules { errors, model_error: self.model_error, ..Rules::default() })
    }
}

/// Galaxies to be answered.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    Where(Option<&'a str>),
    /// All of a file that holds just a shard of those.
    Shard(Option<&'a str>, ShardOf),
    /// Those that another set has an answer or a reason for.
    OfSet(&'a PosteriorSet),
}

/// A posterior set to be made.
pub struct Job<'a> {
    pub which: Which<'a>,
    pub draws: u64,
    pub checkpoint: &'a str,
    pub name: Option<&'a str>,
    pub seed: u64,
    pub kept: Kept,
    pub roads: Roads,
    pub rules: Rules,
}

/// How an inference went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub answered: u64,
    pub refused: u64,
    pub seconds: f64,
}

pub fn run(command: InferCommand, context: &Context) -> anyhow::Result<Outcome> {
    if command.part.shard.is_some() {
        return answer_shard(&command, context);
    }
    let args = command.args;
    let terminal = Terminal::new(context.quiet, &context.catalog);
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
    let job = args.job(Which::Where(args.condition.as_deref()))?;
    let config = args.config(&job);
    let spec = RunSpec { command: "infer", config: &config, seed: Some(args.seed), resumes: None };
    store.recorded(&spec, |store, run| {
        let (tally, set, state) = answer_all(store, run, &job, progress)?;
        Ok(((tally, set, state), state))
    })
}

/// Galaxies of a selection, whose condition may ask of the current set's posteriors.
pub fn selected(store: &Store, selection: &Selection<'_>) -> anyhow::Result<Vec<GalaxyId>> {
    match selected_by_draws(store, selection.condition, selection, None)? {
        Some(ids) => Ok(ids),
        None => Ok(store.select_galaxies(selection)?),
    }
}

/// Answers every galaxy of the job that its set does not have yet, and makes the set the current one.
pub fn answer_all(
    store: &mut Store,
    run: RunId,
    job: &Job,
    progress: &dyn Progress,
) -> anyhow::Result<(Tally, PosteriorSet, RunState)> {
    let loaded = setup::load_checkpoint(store, run, job.checkpoint)?;
    answer_with(store, run, job, &loaded, progress)
}

/// [`answer_all`] by a checkpoint that is loaded already.
pub fn answer_with(
    store: &mut Store,
    run: RunId,
    job: &Job,
    loaded: &Loaded,
    progress: &dyn Progress,
) -> anyhow::Result<(Tally, PosteriorSet, RunState)> {
    // What cannot be done must not leave a set that takes the name.
    let bands = BandMap::new(store, loaded)?;
    let nothing = match job.which {
        Which::Where(condition) => {
            let one = Selection { condition, limit: Some(1), ..Selection::default() };
            selected(store, &one)?.is_empty()
        }
        Which::Shard(..) => {
            store.select_galaxies(&Selection { limit: Some(1), ..Selection::default() })?.is_empty()
        }
        Which::OfSet(other) => store.galaxies_of_set(other.id, None)?.is_empty(),
    };
    if nothing {
        bail!("no galaxy is selected: ingest some first, or change --where");
    }
    let names = column_names();
    let mut config = json!({ "method": job.roads });
    match job.which {
        Which::Where(condition) => config["where"] = json!(condition),
        Which::Shard(condition, shard) => {
            config["where"] = json!(condition);
            config["shard"] = json!({ "index": shard.index, "of": shard.of });
        }
        Which::OfSet(set) => {
            config["of_set"] = json!(set.hash.to_string());
            store.add_run_input(run, &Artifact::product(ProductKind::PosteriorSet, &set.name, set.hash))?;
        }
    }
    config["codec"] = json!(codec::CODEC);
    config["steps_per_width"] = json!(codec::STEPS_PER_WIDTH);
    config["samples"] = json!(job.kept.draws);
    config["recipe"] = json!(job.kept.recipe);
    if job.roads != Roads::Npe {
        config["rules"] = json!(job.rules);
    }
    let set = store.begin_posterior_set(
        run,
        &PosteriorSetSpec {
            name: job.name.unwrap_or(&loaded.name),
            checkpoint: Some(loaded.id),
            sed_model: loaded.sed_model,
            prior: loaded.prior,
            config: &config,
            seed: job.seed,
            n_draws: job.draws,
            parameters: &names,
        },
    )?;
    let ids = match job.which {
        Which::Where(condition) => {
            selected(store, &Selection { condition, not_in: Some(set.id), ..Selection::default() })?
        }
        Which::Shard(..) => {
            store.select_galaxies(&Selection { not_in: Some(set.id), ..Selection::default() })?
        }
        Which::OfSet(other) => store.galaxies_of_set(other.id, Some(set.id))?,
    };
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
    let ladder = Ladder::new(&loaded.npe, &loaded.model, &loaded.filters, &loaded.derived, job.rules)?;
    let plan = Plan { bands, ladder, loaded, job, surveys: survey_names(store)? };
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
        let places = places.unwrap_or_default();
        let phot = |place: &Option<usize>| place.and_then(|place| galaxy.photometry.get(place));
        let is_limit = |phot: &&BandPhot| phot.flags & phot_flag::UPPER_LIMIT != 0;
        let mut measured = Measured::new(places.iter().map(|place| match phot(place) {
            Some(phot) if !is_limit(&phot) => (phot.flux_nmgy, phot.ivar_nmgy),
            _ => (None, None),
        }));
        for (band, place) in places.iter().enumerate() {
            if let Some(limit) = phot(place).filter(is_limit)
                && let Some(limit_nmgy) = limit.flux_nmgy
            {
                measured = measured.with_limit(band, limit_nmgy, limit.ivar_nmgy);
            }
        }
        measured
    }
}

fn survey_names(store: &Store) -> anyhow::Result<Vec<(SurveyId, String)>> {
    Ok(store.surveys()?.into_iter().map(|survey| (survey.id, survey.name)).collect())
}

/// What every galaxy is done with.
struct Plan<'a> {
    bands: BandMap,
    ladder: Ladder<'a>,
    loaded: &'a Loaded,
    job: &'a Job<'a>,
    surveys: Vec<(SurveyId, String)>,
}

impl Plan<'_> {
    fn row(&self, galaxy: &ObservedGalaxy) -> anyhow::Result<PosteriorRow> {
        let measured = self.bands.measured(galaxy);
        let survey = self.surveys.iter().find(|(id, _)| *id == galaxy.survey).map_or("", |(_, name)| name);
        let question = Question {
            measured: &measured,
            zred: galaxy.redshift,
            n: self.job.draws as usize,
            seed: self.job.seed,
            stream: stream_of(survey, &galaxy.object_id),
        };
        let answer = self.ladder.answer(&question, self.job.roads);
        row_of(galaxy.id, &question, &answer, self.loaded, self.job.kept)
    }
}

/// Rows of a set made again, as the set's configuration says; draws are packed where no recipe gives them.
pub fn rows_again(
    store: &Store,
    loaded: &Loaded,
    set: &PosteriorSet,
    ids: &[GalaxyId],
) -> anyhow::Result<Vec<PosteriorRow>> {
    let part = |key: &str| set.config.get(key).cloned();
    let what = || format!("the configuration of set {}", set.name);
    let roads = part("method").map_or(Ok(Roads::Npe), serde_json::from_value).with_context(what)?;
    let rules = part("rules").map_or(Ok(Rules::default()), serde_json::from_value).with_context(what)?;
    let job = Job {
        which: Which::Where(None),
        draws: set.n_draws,
        checkpoint: &loaded.name,
        name: Some(&set.name),
        seed: set.seed,
        kept: Kept { draws: false, recipe: true },
        roads,
        rules,
    };
    let plan = Plan {
        bands: BandMap::new(store, loaded)?,
        ladder: Ladder::new(&loaded.npe, &loaded.model, &loaded.filters, &loaded.derived, rules)?,
        loaded,
        job: &job,
        surveys: survey_names(store)?,
    };
    store.observed_galaxies(ids)?.par_iter().map(|galaxy| plan.row(galaxy)).collect()
}

/// An answer as the catalog keeps it.
pub fn row_of(
    galaxy: GalaxyId,
    question: &Question,
    answer: &Answer,
    loaded: &Loaded,
    kept: Kept,
) -> anyhow::Result<PosteriorRow> {
    let evidence = &answer.evidence;
    let chain = evidence.chain.as_ref();
    let row = PosteriorRow {
        galaxy,
        reason: join_reasons(&answer.reasons),
        n_bands: question.measured.observed.count_ones(),
        ess: evidence.ess,
        efficiency: evidence.efficiency,
        pareto_k: evidence.pareto_k,
        ln_evidence: evidence.ln_evidence,
        ln_evidence_err: evidence.ln_evidence_err,
        r_hat: chain.map(|chain| chain.worst_r_hat()).filter(|r| r.is_finite()),
        acceptance: chain.map(|chain| chain.acceptance),
        ood_score: evidence.ood_score,
        chi2_best: evidence.chi2_best,
        ppc_p_value: evidence.ppc_p_value,
        ..PosteriorRow::default()
    };
    let Some((road, draws)) = &answer.draws else { return Ok(row) };
    let recipe = match road {
        Road::Npe if kept.recipe => recipe_of(question, loaded),
        _ => None,
    };
    let mut row = PosteriorRow {
        method: Some(match road {
            Road::Npe => Method::Npe,
            Road::Is => Method::NpeIs,
            Road::Mcmc => Method::Mcmc,
        }),
        n_draws: draws.n as u64,
        summary: draws.summaries(loaded.npe.prior()).iter().map(summary).collect(),
        ..row
    };
    // What no recipe gives again is packed.
    if kept.draws || kept.recipe && recipe.is_none() {
        let packed = draws.pack(codec::STEPS_PER_WIDTH)?;
        row.codec = Some(codec::CODEC.to_owned());
        row.codec_ks = Some(packed.achieved.ks);
        row.draws_hash = Some(packed.hash);
        row.samples = Some(packed.bytes);
    } else if kept.recipe {
        let (hash, ks) = draws.quantised_hash(codec::STEPS_PER_WIDTH)?;
        row.codec = Some(codec::CODEC.to_owned());
        row.codec_ks = Some(ks);
        row.draws_hash = Some(hash);
    }
    row.recipe = recipe.map(|recipe| recipe.to_bytes());
    Ok(row)
}

/// The recipe of the network's draws for a galaxy; none where it cannot be asked.
fn recipe_of(question: &Question, loaded: &Loaded) -> Option<Recipe> {
    let zred = question.zred?;
    Some(Recipe {
        checkpoint: loaded.hash,
        features: loaded.npe.features(&question.measured.at(zred)).ok()?,
        zred,
        seed: question.seed,
        stream: question.stream,
        n_draws: question.n as u32,
        steps_per_width: codec::STEPS_PER_WIDTH,
    })
}

fn summary(m: &Marginal) -> Summary {
    let [q025, q16, q50, q84, q975] = m.quantiles;
    Summary { mean: m.mean, std: m.sd, q025, q16, q50, q84, q975, map: m.best, edge_frac: m.edge_frac }
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
