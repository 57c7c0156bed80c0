//! `sedflow import`: posteriors made elsewhere as a posterior set, to compare with `diff` and to look at.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::plot::find_galaxy;
use super::resolve;
use super::{Context, Outcome, setup};
use crate::codec;
use crate::exchange::ExchangeError;
use crate::exchange::chains::{self, ForeignDraws, ReadChains};
use crate::hash::ContentHash;
use crate::infer::{packing, summarise};
use crate::prior::Prior;
use crate::sed::{DERIVED_NAMES, DerivedTable, N_PARAM, PARAM_NAMES, SedModel};
use crate::store::{
    Artifact, GalaxyId, Method, Mode, PosteriorRow, PosteriorSetSpec, RunSpec, RunState, SUMMARY_PARAMETERS,
    Store, Summary,
};

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// HDF5 with the keys of the SEDflow NSA catalog, provabgs MCMC files (HDF5), chains of emcee or zeus as .npz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the posterior set to make
    #[arg(long, value_name = "NAME")]
    set: String,
    /// The program that made the draws: emcee, zeus, provabgs, ...; kept with the set
    #[arg(long, value_name = "NAME")]
    method: String,
    /// Survey that the file's identifiers are of [default: the only one that has the galaxy]
    #[arg(long, value_name = "NAME")]
    survey: Option<String>,
    /// Galaxy of a file of one [default: as the file says, else the file's name without its ending]
    #[arg(long, value_name = "ID")]
    galaxy: Option<String>,
    /// Names of a chain's columns, separated by commas, where the file has none
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Option<Vec<String>>,
    /// Iterations of a chain to leave out at its beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    burn_in: usize,
    /// Draws to keep of a galaxy at most, evenly spaced
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    draws: u32,
}

/// Galaxies committed together.
const BATCH: usize = 100;

/// What became of the galaxies in the files.
#[derive(Debug, Default)]
struct Tally {
    kept: u64,
    unknown: Vec<String>,
    empty: u64,
}

pub fn run(args: ImportArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.galaxy.is_some() && args.files.len() > 1 {
        bail!("--galaxy names one galaxy, but there are {} files", args.files.len());
    }
    let mut store = context.open(Mode::Write)?;
    let options = ReadChains { names: args.names.clone(), burn_in: args.burn_in, most: args.draws as usize };
    let mut inputs = Vec::new();
    for file in &args.files {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let n_bytes = opened.metadata()?.len();
        inputs.push(Artifact::file(file.display().to_string(), ContentHash::of_reader(opened)?, n_bytes));
    }
    let config = json!({
        "set": args.set, "method": args.method, "survey": args.survey, "galaxy": args.galaxy, "names": args.names,
        "burn_in": args.burn_in, "draws": args.draws,
    });
    let spec = RunSpec { command: "import", config: &config, seed: None, resumes: None };
    let tally = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        for input in &inputs {
            store.add_run_input(run, input)?;
        }
        let model = SedModel::new(resolve::grid(None, None)?.grid);
        let derived = DerivedTable::new(&model);
        let sed_model = setup::register_model(store, run, &model)?;
        let prior = setup::register_prior(store, run, "default", &Prior::default())?;
        let mut importer =
            Importer { args: &args, derived, names: Vec::new(), set: None, waiting: Vec::new(), tally: Tally::default() };
        for file in &args.files {
            let mut failure = None;
            let kind = chains::read(file, &options, &mut |draws| {
                let hashes: Vec<String> = inputs.iter().map(|input| input.hash.to_string()).collect();
                match importer.take(store, file, draws, &mut |store, names, n| {
                    let config = json!({
                        "imported": hashes, "method": args.method, "samples": true, "recipe": false,
                        "burn_in": args.burn_in, "codec": codec::CODEC, "steps_per_width": codec::STEPS_PER_WIDTH,
                    });
                    let spec = PosteriorSetSpec {
                        name: &args.set,
                        checkpoint: None,
                        sed_model,
                        prior,
                        config: &config,
                        seed: 0,
                        n_draws: n,
                        parameters: names,
                    };
                    Ok(store.begin_posterior_set(run, &spec)?)
                }) {
                    Ok(()) => Ok(true),
                    Err(error) => {
                        failure = Some(error);
                        Ok(false)
                    }
                }
            })
            .map_err(|error: ExchangeError| anyhow::Error::from(error));
            if let Some(failure) = failure {
                return Err(failure);
            }
            let kind = kind?;
            context.remark(&format!("{}: {}", file.display(), kind.as_str()));
        }
        importer.flush(store)?;
        match importer.set {
            Some(set) => store.finish_posterior_set(set)?,
            None => bail!(
                "no galaxy of the catalog has draws in these files{}",
                importer.tally.unknown.first().map(|id| format!("; the first in them is {id}")).unwrap_or_default()
            ),
        };
        Ok((importer.tally, RunState::Done))
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} galaxies in set {}, made by {}", tally.kept, args.set, args.method)?;
    if tally.empty > 0 {
        writeln!(out, "{} galaxies have no finite draws and are left out", tally.empty)?;
    }
    if !tally.unknown.is_empty() {
        let shown: Vec<&str> = tally.unknown.iter().take(5).map(String::as_str).collect();
        let text =
            format!("{} galaxies are not in the catalog: {} ...", tally.unknown.len(), shown.join(", "));
        writeln!(out, "{}", crate::output::for_eyes(text.as_bytes()))?;
        return Ok(Outcome::SomeRejected);
    }
    Ok(Outcome::Done)
}

type BeginSet<'a> = dyn FnMut(&mut Store, &[&str], u64) -> anyhow::Result<crate::store::PosteriorSet> + 'a;

struct Importer<'a> {
    args: &'a ImportArgs,
    derived: DerivedTable,
    /// Of the set's columns, once the first galaxy is known.
    names: Vec<String>,
    set: Option<crate::store::PosteriorSetId>,
    waiting: Vec<PosteriorRow>,
    tally: Tally,
}

impl Importer<'_> {
    fn take(
        &mut self,
        store: &mut Store,
        file: &Path,
        draws: ForeignDraws,
        begin: &mut BeginSet<'_>,
    ) -> anyhow::Result<()> {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let object_id = self.args.galaxy.clone().or_else(|| draws.object_id.clone()).unwrap_or(stem);
        let Some(galaxy) = self.find(store, &object_id)? else {
            self.tally.unknown.push(object_id);
            return Ok(());
        };
        let finite = draws.columns.iter().all(|column| column.iter().all(|value| value.is_finite()));
        let n = draws.columns.first().map_or(0, Vec::len);
        if !finite || n == 0 {
            self.tally.empty += 1;
            return Ok(());
        }
        let observed = store.observed_galaxies(&[galaxy])?;
        let Some(observed) = observed.first() else { return Ok(()) };
        let by_flow = draws.by_flow;
        let columns = self.with_derived(draws, observed.redshift)?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        if self.set.is_none() {
            self.names = names.iter().map(|name| (*name).to_owned()).collect();
            let set = begin(store, &names, n as u64)?;
            if set.complete {
                bail!("set {} is complete already: the same files were imported into it", set.name);
            }
            self.set = Some(set.id);
        } else if names.iter().ne(self.names.iter()) {
            bail!(
                "{}: galaxy {object_id} has the parameters {}, those before it {}; import them into another set",
                file.display(),
                names.join(", "),
                self.names.join(", ")
            );
        }
        let named: Vec<(&str, &[f32])> =
            columns.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        let sums = |i: usize| (1..5).map(|beta| columns[beta].1[i]).sum::<f32>();
        let whole_simplex = names.get(1..5) == Some(&["beta1", "beta2", "beta3", "beta4"])
            && (0..n).all(|i| (sums(i) - 1.0).abs() < 1e-3 && (1..5).all(|beta| columns[beta].1[i] >= 0.0));
        let packing = packing(codec::STEPS_PER_WIDTH);
        let packing =
            codec::EncodeOptions { simplex: packing.simplex.clone().filter(|_| whole_simplex), ..packing };
        let packed = codec::encode(&named, &packing)?;
        let prior = Prior::default();
        let mut scratch = Vec::new();
        let summary = SUMMARY_PARAMETERS.iter().map(|name| {
            let values = named.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, values)| *values);
            let place = PARAM_NAMES.iter().position(|known| known == name);
            let support = place.filter(|_| !values.is_empty()).map(|place| prior.support(place));
            let m = summarise(values, 0, support, &mut scratch);
            let [q025, q16, q50, q84, q975] = m.quantiles;
            // Which draw is the best is not known.
            Summary {
                mean: m.mean,
                std: m.sd,
                q025,
                q16,
                q50,
                q84,
                q975,
                map: f64::NAN,
                edge_frac: m.edge_frac,
            }
        });
        let row = PosteriorRow {
            galaxy,
            method: Some(if by_flow { Method::Npe } else { Method::Mcmc }),
            n_draws: n as u64,
            n_bands: observed.photometry.iter().filter(|band| band.flux_nmgy.is_some()).count() as u32,
            codec: Some(codec::CODEC.to_owned()),
            codec_ks: Some(packed.achieved.ks),
            draws_hash: Some(packed.hash),
            samples: Some(packed.bytes),
            summary: summary.collect(),
            ..PosteriorRow::default()
        };
        self.waiting.push(row);
        self.tally.kept += 1;
        if self.waiting.len() == BATCH { self.flush(store) } else { Ok(()) }
    }

    fn flush(&mut self, store: &mut Store) -> anyhow::Result<()> {
        if let (Some(set), false) = (self.set, self.waiting.is_empty()) {
            store.commit_posteriors(set, &std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }

    fn find(&self, store: &Store, object_id: &str) -> anyhow::Result<Option<GalaxyId>> {
        let mut found = store.find_galaxies(object_id)?;
        if let Some(survey) = &self.args.survey {
            found.retain(|(_, known)| known == survey);
        }
        match found.as_slice() {
            [] if object_id.contains('/') => Ok(find_galaxy(store, object_id).ok().map(|(id, _)| id)),
            [] => Ok(None),
            [one] => Ok(Some(one.0)),
            several => {
                let surveys: Vec<&str> = several.iter().map(|(_, survey)| survey.as_str()).collect();
                bail!(
                    "several surveys have a galaxy {object_id}: say --survey {}",
                    surveys.join(" or --survey ")
                )
            }
        }
    }

    /// The columns in our order; derived properties that the file has not are computed where all parameters are there.
    fn with_derived(
        &self,
        draws: ForeignDraws,
        redshift: Option<f64>,
    ) -> anyhow::Result<Vec<(String, Vec<f32>)>> {
        let n = draws.columns.first().map_or(0, Vec::len);
        let mut columns: Vec<(String, Vec<f32>)> = draws.names.into_iter().zip(draws.columns).collect();
        let find =
            |columns: &[(String, Vec<f32>)], name: &str| columns.iter().position(|(known, _)| known == name);
        let theta: Option<Vec<usize>> = PARAM_NAMES.iter().map(|name| find(&columns, name)).collect();
        if let (Some(theta), Some(zred)) = (theta, redshift) {
            let at = self.derived.at_redshift(zred)?;
            let rows: Vec<_> = (0..n)
                .map(|i| {
                    let row: [f64; N_PARAM] = std::array::from_fn(|p| f64::from(columns[theta[p]].1[i]));
                    at.row(&row)
                })
                .collect();
            for (place, name) in DERIVED_NAMES.iter().enumerate() {
                if find(&columns, name).is_none() {
                    columns.push(((*name).to_owned(), rows.iter().map(|row| row[place] as f32).collect()));
                }
            }
        }
        columns.sort_by_key(|(name, _)| SUMMARY_PARAMETERS.iter().position(|known| known == name));
        columns.dedup_by(|a, b| a.0 == b.0);
        Ok(columns)
    }
}
