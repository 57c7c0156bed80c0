//! One validation from the checkpoint's name to rows in the catalog.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::exact::{self, Exact, Subject};
use super::galaxies::{self, Chosen, Galaxies};
use super::judge::{self, Judged};
use super::likelihood::LikelihoodExaminer;
use super::mocks::{self, Examine, Examiner, Origin, Parts, Source};
use super::{ValidateArgs, Validated};
use crate::commands::setup::{self, AnyLoaded, Loaded, LoadedLikelihood};
use crate::hash::ContentHash;
use crate::progress::{Event, Progress};
use crate::sed::PhotTable;
use crate::simulate::table_options;
use crate::store::{Checkpoint, Metric, RunId, Store, ValidationSpec};
use crate::validate::evidence::Named;
use crate::validate::{Evidence, Findings, Settings};

/// Counts with every change of what the evidence of a mock, or of a comparison with chains, is.
const EVIDENCE_VERSION: u32 = 3;
/// Mocks and real galaxies looked at where nothing is said.
const MOCKS: u64 = 1000;
const GALAXIES: u64 = 200;

/// Examines one checkpoint, or finds that it was; `None` if stopped.
pub fn validate(
    store: &mut Store,
    run: RunId,
    name: &str,
    args: &ValidateArgs,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Validated>> {
    match setup::load_any(store, run, name)? {
        AnyLoaded::Posterior(loaded) => posterior(store, run, &loaded, args, progress),
        AnyLoaded::Likelihood(loaded) => likelihood(store, run, &loaded, args, progress),
    }
}

/// What every validation of one checkpoint shares.
struct Job<'a> {
    args: &'a ValidateArgs,
    run: RunId,
    name: &'a str,
    hash: ContentHash,
    checkpoint: Checkpoint,
    /// Mocks looked at.
    n: u64,
    config: Value,
    mocks_of: Value,
}

impl<'a> Job<'a> {
    fn new(
        store: &Store,
        run: RunId,
        args: &'a ValidateArgs,
        (origin, hash): (&Origin<'a>, ContentHash),
        source: &Source,
        more: &Value,
    ) -> anyhow::Result<Self> {
        let n = match (args.mocks, source.len()) {
            (Some(n), Some(most)) if n > most => bail!(
                "set {} has {most} rows, fewer than the {n} mocks asked for",
                args.set.as_deref().unwrap_or("")
            ),
            (Some(n), _) => n,
            (None, Some(all)) => all,
            (None, None) => MOCKS,
        };
        let set = match source {
            Source::Stored { set, .. } => json!(set.hash),
            Source::Fresh(_) => Value::Null,
        };
        let mut config = json!({
            "version": EVIDENCE_VERSION, "mocks": n, "draws": args.draws, "seed": args.seed, "set": set,
            "missing": args.missing,
        });
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let card = origin.card;
        let mocks_of = json!({
            "kind": origin.kind, "prior": origin.prior.hash()?, "noise": card.noise.hash()?,
            "sed_model": card.sed_model, "filters": card.filters, "set": set, "missing": args.missing,
            "seed": args.seed, "mocks": n,
        });
        let checkpoint = store.find_checkpoint(&hash.to_string())?;
        Ok(Self { args, run, name: origin.name, hash, checkpoint, n, config, mocks_of })
    }

    fn parts(&self) -> Parts<'_> {
        Parts { checkpoint: &self.checkpoint, config: &self.config }
    }

    /// The arrays of the same validation, if it was done before.
    fn kept(&self, store: &Store, progress: &dyn Progress) -> anyhow::Result<Option<Vec<Named>>> {
        let Some(kept) = store.find_validation(&self.checkpoint, &self.config)? else { return Ok(None) };
        let note = format!("{}: validated before with these settings; shown again", self.name);
        progress.report(Event::Note(note));
        let bytes = kept.arrays.context("the validation kept in the catalog has no evidence")?;
        Ok(Some(mocks::unpack(&bytes)?))
    }

    fn validated(&self, evidence: Evidence) -> Validated {
        let settings = Settings { n_bins: usize::from(self.args.bins), ..Settings::default() };
        Validated {
            name: self.name.to_owned(),
            hash: self.hash,
            config: self.config.clone(),
            mocks_of: self.mocks_of.clone(),
            findings: Findings::of(&evidence, &settings),
            evidence,
            galaxies: None,
            exact: vec![],
            judged: None,
        }
    }

    /// Keeps a validation in the catalog.
    fn keep(&self, store: &mut Store, validated: &Validated) -> anyhow::Result<()> {
        let mut arrays = validated.evidence.to_arrays();
        arrays.extend(validated.galaxies.iter().flat_map(Galaxies::to_arrays));
        arrays.extend(Exact::arrays(&validated.exact));
        arrays.extend(validated.judged.iter().flat_map(Judged::to_arrays));
        let metrics: Vec<Metric> = validated
            .measures()
            .into_iter()
            .map(|m| Metric {
                metric: m.metric,
                parameter: m.quantity,
                subset: m.subset,
                value: m.value,
                low: m.range.map(|range| range.0),
                high: m.range.map(|range| range.1),
                p_value: m.p_value,
            })
            .collect();
        let problems = validated.findings.problems.iter().map(|p| {
            json!({
                "diagnostic": p.diagnostic, "quantity": p.quantity, "subset": p.subset,
                "reading": p.shape.as_str(), "p_value": p.p_value,
            })
        });
        let words = json!({
            "quantities": validated.evidence.names, "problems": problems.collect::<Vec<_>>(),
        });
        let spec = ValidationSpec {
            name: self.args.name.as_deref(),
            checkpoint: &self.checkpoint,
            config: &self.config,
            report: Some(&words),
            metrics: &metrics,
            arrays: Some(&mocks::pack(&arrays)?),
        };
        store.put_validation(self.run, &spec)?;
        Ok(())
    }
}

fn source<'a>(
    store: &Store,
    args: &ValidateArgs,
    origin: &Origin<'a>,
    table: &'a PhotTable,
) -> anyhow::Result<Source<'a>> {
    match &args.set {
        Some(set) => Source::stored(store, set, origin),
        None => Source::fresh(origin, table, args.missing, args.seed),
    }
}

fn posterior(
    store: &mut Store,
    run: RunId,
    loaded: &Loaded,
    args: &ValidateArgs,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Validated>> {
    let judging = match &args.likelihood {
        Some(name) => Some(setup::load_likelihood(store, run, name)?),
        None => None,
    };
    if let Some(likelihood) = &judging {
        judge::check(likelihood, loaded)?;
    }
    let prior = loaded.npe.prior();
    let table = PhotTable::new(&loaded.model, &loaded.filters, prior.zred_support(), &table_options(prior))?;
    let examiner = Examiner::new(loaded, &table, args.draws as usize, args.seed);
    let origin = Origin::of_posterior(loaded);
    let mut source = source(store, args, &origin, &table)?;
    let chosen = choose(store, &examiner, args)?;
    let more = json!({
        "galaxies": chosen.as_ref().map(|chosen| chosen.hash), "mcmc": args.mcmc,
        "likelihood": judging.as_ref().map(|likelihood| likelihood.hash),
    });
    let job = Job::new(store, run, args, (&origin, loaded.hash), &source, &more)?;
    if let Some(arrays) = job.kept(store, progress)? {
        let mut validated = job.validated(Evidence::from_arrays(&examiner.names(), &arrays)?);
        validated.galaxies = chosen.is_some().then(|| Galaxies::from_arrays(&arrays));
        validated.exact = Exact::sets(&[exact::MOCKS, exact::GALAXIES], &arrays);
        validated.judged = judging.as_ref().map(|by| Judged::from_arrays(&by.name, &arrays));
        return Ok(Some(validated));
    }
    let parts = job.parts();
    let Some(evidence) = mocks::gather(store, &parts, &examiner, &mut source, job.n, progress)? else {
        return Ok(None);
    };
    let mut validated = job.validated(evidence);
    if let Some(chosen) = &chosen {
        let Some(found) = galaxies::gather(store, &parts, &examiner, chosen, progress)? else {
            return Ok(None);
        };
        validated.galaxies = Some(found);
    }
    let mut subjects = |store: &Store, most: u64| -> anyhow::Result<[(&'static str, Vec<Subject>); 2]> {
        let n = most.min(job.n) as usize;
        let mocks = Subject::mocks(&source.rows(store, 0, n)?, 0);
        let real = chosen.as_ref().map_or(vec![], |chosen| chosen.subjects(&examiner, most as usize));
        Ok([(exact::MOCKS, mocks), (exact::GALAXIES, real)])
    };
    if args.mcmc > 0 {
        for (section, subjects) in subjects(store, args.mcmc)? {
            match exact::gather(store, &parts, &examiner, &subjects, section, progress)? {
                Some(found) if found.npe.is_empty() => {}
                Some(found) => validated.exact.push((section, found)),
                None => return Ok(None),
            }
        }
    }
    if let Some(likelihood) = &judging {
        let [(_, mocks), (_, real)] = subjects(store, judge::most(&chosen))?;
        let sets = [mocks.as_slice(), real.as_slice()];
        let Some(judged) = judge::gather(store, &parts, &examiner, likelihood, sets, progress)? else {
            return Ok(None);
        };
        validated.judged = Some(judged);
    }
    job.keep(store, &validated)?;
    Ok(Some(validated))
}

fn likelihood(
    store: &mut Store,
    run: RunId,
    loaded: &LoadedLikelihood,
    args: &ValidateArgs,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Validated>> {
    if args.mcmc > 0 || args.likelihood.is_some() || args.condition.is_some() || args.missing > 0.0 {
        bail!(
            "{} is a likelihood: --mcmc, --likelihood, --where and --missing are for posteriors",
            loaded.name
        );
    }
    let prior = loaded.nle.prior();
    let table = PhotTable::new(&loaded.model, &loaded.filters, prior.zred_support(), &table_options(prior))?;
    let examiner = LikelihoodExaminer { loaded, draws: args.draws as usize, seed: args.seed };
    let origin = Origin::of_likelihood(loaded);
    let mut source = source(store, args, &origin, &table)?;
    let job = Job::new(store, run, args, (&origin, loaded.hash), &source, &json!({}))?;
    if let Some(arrays) = job.kept(store, progress)? {
        return Ok(Some(job.validated(Evidence::from_arrays(&examiner.names(), &arrays)?)));
    }
    let parts = job.parts();
    let Some(evidence) = mocks::gather(store, &parts, &examiner, &mut source, job.n, progress)? else {
        return Ok(None);
    };
    let validated = job.validated(evidence);
    job.keep(store, &validated)?;
    Ok(Some(validated))
}

/// The real galaxies to look at; none where the catalog has none and nobody asked for any.
fn choose(store: &Store, examiner: &Examiner, args: &ValidateArgs) -> anyhow::Result<Option<Chosen>> {
    let asked = args.galaxies.is_some() || args.condition.is_some();
    if args.galaxies == Some(0) || !asked && store.surveys()?.is_empty() {
        return Ok(None);
    }
    let n = args.galaxies.unwrap_or(GALAXIES);
    match Chosen::new(store, examiner, args.condition.as_deref(), n) {
        Ok(chosen) if chosen.galaxies.is_empty() && asked => {
            bail!("no galaxy is selected: ingest some first, or change --where")
        }
        Ok(chosen) if chosen.galaxies.is_empty() => Ok(None),
        Ok(chosen) => Ok(Some(chosen)),
        // A catalog of other bands has no galaxies for this checkpoint.
        Err(_) if !asked => Ok(None),
        Err(error) => Err(error),
    }
}
