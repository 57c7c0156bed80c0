//! `sedflow plot`: figures of a galaxy's posterior and of a training, as PNG or SVG.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::setup::Loaded;
use super::{Context, Outcome, draws, infer, setup};
use crate::constants::{AB_ZERO_CGS, C_AA_PER_S, NMGY_PER_MAGGIE};
use crate::features::short_band;
use crate::infer::{Measured, SHIPPED_NAME, column_names};
use crate::plot::Canvas;
use crate::plot::corner::{Sample, Variable, corner};
use crate::plot::curves::{QuantileBand, TrainingCurve, history, training};
use crate::plot::sed::{Band, sed};
use crate::prior::{N_PARAM, PARAMS};
use crate::sed::{Galaxy, SedModel, Theta};
use crate::store::{GalaxyId, Method, Mode, ObservedGalaxy, PosteriorSet, Store};

/// Draws whose spectra are computed for a figure.
const SPECTRA: usize = 300;
/// Draws whose histories are; a burst is in few of them, so that it takes many for a smooth band.
const HISTORIES: usize = 10_000;

#[derive(Debug, clap::Subcommand)]
pub enum PlotCommand {
    /// Marginal densities and 68 / 95 % contours of every pair of parameters
    Corner(CornerArgs),
    /// Observed fluxes, what the posterior predicts, filter curves
    Sed(GalaxyArgs),
    /// Star-formation and metallicity history
    Sfh(GalaxyArgs),
    /// Held-out log density while training
    Training(TrainingArgs),
}

#[derive(Debug, clap::Args)]
pub struct GalaxyArgs {
    /// The survey's identifier of the galaxy, or SURVEY/IDENTIFIER
    galaxy: String,
    /// Posterior set [default: the current one]
    #[arg(long)]
    set: Option<String>,
    /// Figure to write, .png or .svg [default: GALAXY-KIND.png]
    #[arg(short, long)]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct CornerArgs {
    #[command(flatten)]
    galaxy: GalaxyArgs,
    /// Parameters to show [default: the model's]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    params: Vec<String>,
    /// Posteriors to lay over each other: npe, is, mcmc (the newest of each), or names of sets
    #[arg(long, value_delimiter = ',', value_name = "METHOD|SET,...", conflicts_with = "set")]
    overlay: Vec<String>,
}

/// What was spent on a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Spent {
    Examples,
    Seconds,
}

#[derive(Debug, clap::Args)]
pub struct TrainingArgs {
    /// Checkpoints, by name in the catalog, `sdss-ugriz` (shipped) or file
    #[arg(default_value = SHIPPED_NAME)]
    checkpoints: Vec<String>,
    /// What the figure runs along
    #[arg(long, value_enum, default_value_t = Spent::Examples)]
    along: Spent,
    /// Figure to write, .png or .svg
    #[arg(short, long, default_value = "training.png")]
    out: PathBuf,
}

/// A galaxy's posterior with everything a figure of it needs.
pub struct Subject {
    pub galaxy: ObservedGalaxy,
    pub measured: Measured,
    pub loaded: Loaded,
    /// Columns of draws: parameters, then derived properties.
    pub columns: Vec<Vec<f32>>,
    pub title: String,
}

impl Subject {
    fn theta(&self, draw: usize) -> Theta {
        std::array::from_fn(|param| f64::from(self.columns[param][draw]))
    }

    /// About `count` draws spread over the posterior.
    fn some_draws(&self, count: usize) -> impl Iterator<Item = Theta> + '_ {
        let n = self.columns[0].len();
        let step = (n / count).max(1);
        (0..n).step_by(step).map(|draw| self.theta(draw))
    }

    fn zred(&self) -> f64 {
        self.galaxy.redshift.unwrap_or(0.0)
    }
}

pub fn run(command: PlotCommand, context: &Context) -> anyhow::Result<Outcome> {
    let (canvas, path) = match &command {
        PlotCommand::Corner(args) => {
            let (subject, overlays) = subject(context, &args.galaxy, &args.overlay)?;
            (corner_figure(&subject, &overlays, &args.params)?, out(&args.galaxy, "corner"))
        }
        PlotCommand::Sed(args) => (sed_figure(&subject(context, args, &[])?.0)?, out(args, "sed")),
        PlotCommand::Sfh(args) => (sfh_figure(&subject(context, args, &[])?.0)?, out(args, "sfh")),
        PlotCommand::Training(args) => (training_figure(context, args)?, args.out.clone()),
    };
    canvas.save(&path)?;
    if !context.quiet {
        eprintln!("wrote {}", path.display());
    }
    Ok(Outcome::Done)
}

fn out(args: &GalaxyArgs, kind: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
        PathBuf::from(format!("{}-{kind}.png", args.galaxy.chars().map(safe).collect::<String>()))
    })
}

/// The galaxy called `name`: `IDENTIFIER`, or `SURVEY/IDENTIFIER` where several surveys have it.
pub fn find_galaxy(store: &Store, name: &str) -> anyhow::Result<(GalaxyId, String)> {
    let found = store.find_galaxies(name)?;
    match found.as_slice() {
        [one] => return Ok((one.0, one.1.clone())),
        [] => {}
        several => {
            let surveys: Vec<&str> = several.iter().map(|(_, survey)| survey.as_str()).collect();
            bail!(
                "several surveys have a galaxy {name}: say {}/{name}",
                surveys.join(&format!("/{name} or "))
            );
        }
    }
    if let Some((survey, object_id)) = name.split_once('/')
        && let Some(one) = store.find_galaxies(object_id)?.into_iter().find(|(_, s)| s == survey)
    {
        return Ok(one);
    }
    bail!("no galaxy {name} in the catalog")
}

/// The posterior set asked for, or the current one.
pub fn posterior_set(store: &Store, name: Option<&str>) -> anyhow::Result<PosteriorSet> {
    match name {
        Some(name) => Ok(store.find_posterior_set(name)?),
        None => {
            store.current_posterior_set()?.context("the catalog has no posteriors yet: run `sedflow infer`")
        }
    }
}

/// A posterior to be laid over others.
struct Overlay {
    label: String,
    columns: Vec<Vec<f32>>,
}

/// The set that `name` stands for: a set's name, or a method.
fn set_of(store: &Store, galaxy: (GalaxyId, &str), name: &str) -> anyhow::Result<PosteriorSet> {
    let method = match name {
        "npe" => Method::Npe,
        "is" | "npe+is" => Method::NpeIs,
        "mcmc" => Method::Mcmc,
        _ => return Ok(store.find_posterior_set(name)?),
    };
    let hint = match method {
        Method::Npe => "infer --method npe".to_owned(),
        Method::NpeIs => "refine --method is".to_owned(),
        Method::Mcmc => format!("mcmc {}", galaxy.1),
    };
    store
        .set_with_method(galaxy.0, method)?
        .with_context(|| format!("no {name} posterior of galaxy {} yet: run `sedflow {hint}`", galaxy.1))
}

/// Columns of a galaxy's draws in a set, whose checkpoint is `loaded`.
fn columns_of(
    store: &Store,
    set: &PosteriorSet,
    (id, name): (GalaxyId, &str),
    loaded: &Loaded,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let posterior = store
        .posterior(set.id, id)?
        .with_context(|| format!("set {} has nothing on galaxy {name}", set.name))?;
    if posterior.row.method.is_none() {
        let reason = posterior.row.reason.unwrap_or_default();
        bail!("galaxy {name} has no posterior in set {}: {reason}", set.name);
    }
    let what = || format!("draws of galaxy {name} in set {}", set.name);
    let maker = draws::Maker { npe: &loaded.npe, checkpoint: loaded.hash, derived: &loaded.derived };
    let found = draws::of_posterior(&posterior, maker).with_context(what)?;
    let found =
        found.with_context(|| format!("set {} holds no draws of galaxy {name}, only summaries", set.name))?;
    if found.n == 0 {
        bail!("set {} holds no draw of galaxy {name}", set.name);
    }
    column_names()
        .iter()
        .map(|name| Ok(found.find(name)?.to_vec()))
        .collect::<Result<_, crate::codec::CodecError>>()
        .with_context(what)
}

/// The checkpoint of a set.
fn checkpoint_of(store: &Store, set: &PosteriorSet) -> anyhow::Result<Loaded> {
    setup::load_from(store, set.checkpoint.context("the set was made without a checkpoint")?)
}

/// The galaxy's posterior in the set asked for, or in those to be overlaid, the first of which is the subject's.
fn subject(
    context: &Context,
    args: &GalaxyArgs,
    overlay: &[String],
) -> anyhow::Result<(Subject, Vec<Overlay>)> {
    let store = context.open(Mode::Read)?;
    let (id, survey) = find_galaxy(&store, &args.galaxy)?;
    let named = (id, args.galaxy.as_str());
    let mut sets = Vec::new();
    for name in overlay {
        sets.push((name.clone(), set_of(&store, named, name)?));
    }
    if sets.is_empty() {
        let set = posterior_set(&store, args.set.as_deref())?;
        sets.push((set.name.clone(), set));
    }
    let loaded = checkpoint_of(&store, &sets[0].1)?;
    let mut overlays = Vec::new();
    for (label, set) in &sets {
        let columns = if set.checkpoint == sets[0].1.checkpoint {
            columns_of(&store, set, named, &loaded)?
        } else {
            let other = checkpoint_of(&store, set)?;
            columns_of(&store, set, named, &other)?
        };
        overlays.push(Overlay { label: label.clone(), columns });
    }
    let columns = overlays[0].columns.clone();
    let (galaxy, measured) = infer::measured_for(&store, &loaded, id)?;
    let title = format!("{survey} {}, z = {:.4}", galaxy.object_id, galaxy.redshift.unwrap_or(f64::NAN));
    Ok((Subject { galaxy, measured, loaded, columns, title }, overlays))
}

fn corner_figure(subject: &Subject, overlays: &[Overlay], params: &[String]) -> anyhow::Result<Canvas> {
    let prior = subject.loaded.npe.prior();
    let names = column_names();
    let chosen: Vec<usize> = if params.is_empty() {
        (0..N_PARAM).filter(|&param| !prior.is_fixed(param)).collect()
    } else {
        let find = |name: &String| {
            names
                .iter()
                .position(|known| known == name)
                .with_context(|| format!("no parameter {name}: expected some of {}", names.join(", ")))
        };
        params.iter().map(find).collect::<anyhow::Result<_>>()?
    };
    let labels: Vec<String> = chosen.iter().map(|&i| axis_label(names[i])).collect();
    let variables: Vec<Variable> = chosen
        .iter()
        .zip(&labels)
        .map(|(&i, label)| {
            if i >= N_PARAM {
                let support = (f64::NEG_INFINITY, f64::INFINITY);
                return Variable { label, support, prior: None, truth: None };
            }
            let support = prior.support(i);
            let outline = |k: i32| {
                // From 0 and 1 inwards a little, where some densities are infinite.
                let p = 0.001 + 0.998 * f64::from(k) / 60.0;
                let x = support.0 + p * (support.1 - support.0);
                (x, prior.marginal_density(i, x))
            };
            let bounded = support.0.is_finite() && support.1.is_finite();
            Variable { label, support, prior: bounded.then(|| (0..=60).map(outline).collect()), truth: None }
        })
        .collect();
    let mut samples = Vec::new();
    for overlay in overlays {
        let columns = chosen.iter().map(|&i| overlay.columns.get(i).map(Vec::as_slice));
        let columns = columns.collect::<Option<_>>();
        let columns = columns.with_context(|| format!("the draws of {} lack a parameter", overlay.label))?;
        samples.push(Sample { label: &overlay.label, columns, weights: &[] });
    }
    Ok(corner(&variables, &samples, &subject.title)?)
}

/// Symbol, in which `_` begins a subscript, and unit of a column of draws.
pub fn symbol(name: &str) -> (&str, &str) {
    match name {
        "log_mstar" => ("log M_form", "M_☉"),
        "log_sfr_1gyr" => ("log SFR_1Gyr", "M_☉/yr"),
        "log_sfr_100myr" => ("log SFR_100Myr", "M_☉/yr"),
        "log_z_mw" => ("log Z_MW", ""),
        "t_age_mw_gyr" => ("age_MW", "Gyr"),
        "log_mstar_surviving" => ("log M_⋆", "M_☉"),
        name => PARAMS.iter().find(|info| info.name == name).map_or((name, ""), |p| (p.symbol, p.unit)),
    }
}

fn axis_label(name: &str) -> String {
    let (symbol, unit) = symbol(name);
    if unit.is_empty() { symbol.to_owned() } else { format!("{symbol} [{unit}]") }
}

fn sed_figure(subject: &Subject) -> anyhow::Result<Canvas> {
    let model = &subject.loaded.model;
    let filters = &subject.loaded.filters;
    let zred = subject.zred();
    let weights = model.band_weights(filters, zred)?;
    let (mut spectra, mut fluxes) = (Vec::new(), Vec::new());
    let mut wave = Vec::new();
    for theta in subject.some_draws(SPECTRA) {
        let galaxy = Galaxy::from_theta(&theta);
        let spectrum = model.spectrum(&galaxy, zred)?;
        fluxes.push(model.nanomaggies_with(&galaxy, zred, &weights)?);
        spectra.push(to_nmgy(&spectrum.wave_obs_aa, &spectrum.flam));
        wave = spectrum.wave_obs_aa;
    }
    let reach = |f: fn(f64, f64) -> f64, start| filters.iter().map(|filter| filter.pivot_aa()).fold(start, f);
    let (blue, red) = (0.7 * reach(f64::min, f64::INFINITY), 1.4 * reach(f64::max, 0.0));
    let shown: Vec<usize> = (0..wave.len()).filter(|&i| (blue..red).contains(&wave[i])).collect();
    let pick = |values: &Vec<f64>| shown.iter().map(|&i| values[i]).collect::<Vec<_>>();
    let spectra: Vec<Vec<f64>> = spectra.iter().map(pick).collect();
    let spectrum = QuantileBand::of(pick(&wave), &spectra);
    let index: Vec<f64> = (0..filters.len()).map(|i| i as f64).collect();
    let predicted = QuantileBand::of(index, &fluxes);
    let bands: Vec<Band> = filters
        .iter()
        .enumerate()
        .map(|(i, filter)| Band {
            label: short_band(filter.name()),
            pivot_aa: filter.pivot_aa(),
            observed: (subject.measured.observed >> i & 1 == 1)
                .then(|| (subject.measured.flux_nmgy[i], subject.measured.sigma_nmgy[i])),
            predicted: std::array::from_fn(|k| predicted.q[k][i]),
            curve: (filter.wave_aa(), filter.response()),
        })
        .collect();
    Ok(sed(&bands, &spectrum, &subject.title)?)
}

/// Flux density in nanomaggies from erg/s/cm2/Angstrom.
pub fn to_nmgy(wave_aa: &[f64], flam: &[f64]) -> Vec<f64> {
    let scale = NMGY_PER_MAGGIE / (C_AA_PER_S * AB_ZERO_CGS);
    wave_aa.iter().zip(flam).map(|(w, f)| f * w * w * scale).collect()
}

fn sfh_figure(subject: &Subject) -> anyhow::Result<Canvas> {
    let model = &subject.loaded.model;
    let tuniv_gyr = model.cosmology().age_gyr(subject.zred());
    let n = 90;
    let edges: Vec<f64> = (0..=n).map(|k| tuniv_gyr * f64::from(k) / f64::from(n)).collect();
    let middles: Vec<f64> = edges.windows(2).map(|t| 0.5 * (t[0] + t[1])).collect();
    let (mut rates, mut metals) = (Vec::new(), Vec::new());
    for theta in subject.some_draws(HISTORIES) {
        let (rate, metal) = histories(model, &Galaxy::from_theta(&theta), tuniv_gyr, &edges);
        rates.push(rate);
        metals.push(metal);
    }
    let sfr = QuantileBand::of(middles.clone(), &rates);
    let z_abs = QuantileBand::of(middles, &metals);
    Ok(history(&sfr, &z_abs, &subject.title)?)
}

/// Star-formation rate (Msun/yr, the burst spread over its bin) and metallicity between lookback times.
pub fn histories(model: &SedModel, galaxy: &Galaxy, tuniv_gyr: f64, edges: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let bases = model.bases();
    let formed = |t: f64| bases.formed(t).iter().zip(galaxy.beta).map(|(f, b)| f * b).sum::<f64>();
    let total = formed(tuniv_gyr);
    let burst = if galaxy.tburst_gyr < tuniv_gyr { galaxy.fburst } else { 0.0 };
    let mass = 10_f64.powf(galaxy.log_mstar);
    edges
        .windows(2)
        .map(|t| {
            let smooth =
                if total > 0.0 { (1.0 - burst) * (formed(t[1]) - formed(t[0])) / total } else { 0.0 };
            let inside = if (t[0]..t[1]).contains(&galaxy.tburst_gyr) { burst } else { 0.0 };
            let rate = mass * (smooth + inside) / ((t[1] - t[0]) * 1e9);
            (rate, crate::sed::sfh::metallicity(&galaxy.gamma, bases.zh(0.5 * (t[0] + t[1]))))
        })
        .unzip()
}

fn training_figure(context: &Context, args: &TrainingArgs) -> anyhow::Result<Canvas> {
    let store = setup::open_if_there(&context.catalog)?;
    let mut curves = Vec::new();
    for name in &args.checkpoints {
        let in_catalog = match &store {
            Some(store) => match store.find_checkpoint(name) {
                Ok(checkpoint) => Some(store.checkpoint_data(checkpoint.id)?),
                Err(_) => None,
            },
            None => None,
        };
        let npe = match in_catalog {
            Some(bytes) => crate::infer::Npe::from_bytes(&bytes)?,
            None if name == SHIPPED_NAME => crate::infer::Npe::shipped()?,
            None if Path::new(name).is_file() => {
                let bytes = std::fs::read(name).with_context(|| format!("cannot read {name}"))?;
                crate::infer::Npe::from_bytes(&bytes).with_context(|| name.to_owned())?
            }
            None => bail!("no checkpoint `{name}` in the catalog, nor a file of that name"),
        };
        let how = &npe.card().training;
        match how["members"].as_array() {
            None => curves.push((name.clone(), how.clone())),
            Some(members) => {
                let numbered = members.iter().enumerate();
                curves.extend(numbered.map(|(m, member)| (format!("{name}.{}", m + 1), member.clone())));
            }
        }
    }
    let (key, unit, label) = match args.along {
        Spent::Examples => ("examples", 1e6, "examples seen  [millions]"),
        Spent::Seconds => ("seconds", 60.0, "time  [minutes]"),
    };
    let curves: Vec<TrainingCurve> = curves
        .iter()
        .map(|(label, training)| {
            let history = training["history"].as_array().map_or(&[][..], Vec::as_slice);
            let column = |key: &str| -> Vec<f64> {
                history.iter().map(|record| record[key].as_f64().unwrap_or(f64::NAN)).collect()
            };
            TrainingCurve {
                label,
                spent: column(key).iter().map(|value| value / unit).collect(),
                train_ln_prob: column("train_ln_prob"),
                valid_ln_prob: column("validation_ln_prob"),
            }
        })
        .collect();
    Ok(training(&curves, label, &args.checkpoints.join(", "))?)
}
