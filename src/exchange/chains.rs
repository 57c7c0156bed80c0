//! Posteriors made elsewhere: HDF5 with the keys of the SEDflow catalog, MCMC files of provabgs, chains in `.npz`.

use std::io::Read;
use std::path::Path;

use hdf5_reader::{Dataset, Hdf5File, SliceInfo, SliceInfoElem};

use super::ExchangeError;
use super::npz_read::{self, NumpyArray};
use super::target::at;
use crate::sed::PARAM_NAMES;

/// Galaxies of a catalog read together.
const ROWS: u64 = 64;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// One array `[galaxies, draws]` per parameter, and NSAID.
    SedflowHdf5,
    /// `mcmc_chain0` `[iterations, walkers, parameters]` of one galaxy.
    Provabgs,
    /// `chain` `[iterations, walkers, parameters]` or `[draws, parameters]` of one galaxy.
    Npz,
}

impl FileKind {
    pub fn as_str(self) -> &'static str {
        match self {
            FileKind::SedflowHdf5 => "sedflow-hdf5",
            FileKind::Provabgs => "provabgs",
            FileKind::Npz => "npz",
        }
    }
}

/// How chains are read.
#[derive(Debug, Clone, Default)]
pub struct ReadChains {
    /// Names of a chain's columns, where the file has none.
    pub names: Option<Vec<String>>,
    /// Iterations left out at the beginning.
    pub burn_in: usize,
    /// Draws kept of a galaxy at most, evenly spaced.
    pub most: usize,
}

/// The draws of one galaxy, `[names][n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignDraws {
    /// As the file calls the galaxy; `None` for a file of one galaxy that does not say.
    pub object_id: Option<String>,
    pub names: Vec<String>,
    pub columns: Vec<Vec<f32>>,
    /// Whether a flow made them rather than chains.
    pub by_flow: bool,
}

/// Names that other programs have for parameters, and whether theirs is the number and ours its logarithm.
const ALIASES: [(&str, &str, bool); 22] = [
    ("logmstar", "log_mstar", false),
    ("log_mformed", "log_mstar", false),
    ("log_Z_MW", "log_z_mw", false),
    ("Z_MW", "log_z_mw", true),
    ("tage_mw", "t_age_mw_gyr", false),
    ("TAGE_MW", "t_age_mw_gyr", false),
    ("log_msurv", "log_mstar_surviving", false),
    ("beta1_sfh", "beta1", false),
    ("beta2_sfh", "beta2", false),
    ("beta3_sfh", "beta3", false),
    ("beta4_sfh", "beta4", false),
    ("gamma1_zh", "log_gamma1", true),
    ("gamma2_zh", "log_gamma2", true),
    ("log_gamma1_zh", "log_gamma1", false),
    ("log_gamma2_zh", "log_gamma2", false),
    ("dust1", "tau_bc", false),
    ("dust2", "tau_ism", false),
    ("dust_index", "n_dust", false),
    ("log_avgsfr_1gyr", "log_sfr_1gyr", false),
    ("avgSFR", "log_sfr_1gyr", true),
    ("avg_sfr", "log_sfr_1gyr", true),
    ("AVG_SFR", "log_sfr_1gyr", true),
];

/// Columns of a provabgs chain, which has no names inside: those of its NMF model with a burst.
const PROVABGS: [&str; 13] = [
    "logmstar",
    "beta1_sfh",
    "beta2_sfh",
    "beta3_sfh",
    "beta4_sfh",
    "fburst",
    "tburst",
    "gamma1_zh",
    "gamma2_zh",
    "dust1",
    "dust2",
    "dust_index",
    "f_fiber",
];

/// Our name of a parameter and whether its logarithm is to be taken; `None` for what is no parameter of ours.
fn our_name(name: &str) -> Option<(&'static str, bool)> {
    let ours = PARAM_NAMES.into_iter().chain(crate::sed::DERIVED_NAMES).find(|ours| *ours == name);
    ours.map(|ours| (ours, false))
        .or_else(|| ALIASES.iter().find(|(theirs, ..)| *theirs == name).map(|(_, ours, log)| (*ours, *log)))
}

/// Reads a file and hands over the draws of each of its galaxies; `take` may end the reading with `false`.
pub fn read(
    path: &Path,
    options: &ReadChains,
    take: &mut dyn FnMut(ForeignDraws) -> Result<bool, ExchangeError>,
) -> Result<FileKind, ExchangeError> {
    let mut head = [0; 8];
    let mut file = std::fs::File::open(path).map_err(at(path))?;
    let n = file.read(&mut head).map_err(at(path))?;
    let foreign = |what: String| ExchangeError::Foreign { path: path.to_owned(), what };
    if head[..n].starts_with(b"\x89HDF") {
        return hdf5(path, options, take);
    }
    if !head[..n].starts_with(b"PK") {
        return Err(foreign("it is neither HDF5 nor a NumPy archive (.npz)".to_owned()));
    }
    let arrays = npz_read::read(path)?;
    let texts = |names: &[&str]| {
        arrays.iter().find_map(|(name, array)| match array {
            NumpyArray::Texts(texts) if names.contains(&name.as_str()) => Some(texts.clone()),
            _ => None,
        })
    };
    let names = options.names.clone().or_else(|| texts(&["names", "theta_names", "parameters", "labels"]));
    let object_id = texts(&["object_id", "galaxy", "id"]).and_then(|ids| ids.first().cloned());
    let chain = arrays.iter().find_map(|(name, array)| match array {
        NumpyArray::Numbers { shape, values }
            if ["chain", "samples", "flat_chain", "flatchain", "mcmc_chain", "theta"]
                .contains(&name.as_str()) =>
        {
            Some((shape, values))
        }
        _ => None,
    });
    let (shape, values) = chain.ok_or_else(|| {
        let there: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        foreign(format!("it has no array `chain` or `samples`, but {}", there.join(", ")))
    })?;
    let draws = flatten(shape, values, names, options).map_err(foreign)?;
    take(ForeignDraws { object_id, ..draws })?;
    Ok(FileKind::Npz)
}

/// `[iterations, walkers, parameters]` or `[draws, parameters]` to columns, without burn-in, evenly thinned.
fn flatten(
    shape: &[usize],
    values: &[f64],
    names: Option<Vec<String>>,
    options: &ReadChains,
) -> Result<ForeignDraws, String> {
    let (iterations, walkers, width) = match shape {
        [iterations, walkers, width] => (*iterations, *walkers, *width),
        [draws, width] => (*draws, 1, *width),
        other => return Err(format!("the chain has {} axes, expected 2 or 3", other.len())),
    };
    let names = match names {
        Some(names) if names.len() == width => names,
        Some(names) => {
            return Err(format!("the chain has {width} parameters, but there are {} names", names.len()));
        }
        None if width == 12 || width == 13 => {
            PROVABGS[..width].iter().map(|name| (*name).to_owned()).collect()
        }
        None => {
            return Err(format!("the chain has {width} parameters without names: give them with --names"));
        }
    };
    if options.burn_in >= iterations {
        return Err(format!(
            "the chain has {iterations} iterations, all of them within --burn-in {}",
            options.burn_in
        ));
    }
    let n = (iterations - options.burn_in) * walkers;
    let kept = if options.most == 0 { n } else { n.min(options.most) };
    let mut found = ForeignDraws { object_id: None, names: Vec::new(), columns: Vec::new(), by_flow: false };
    for (column, name) in names.iter().enumerate() {
        let Some((ours, log)) = our_name(name) else { continue };
        let first = options.burn_in * walkers;
        let value = |i: usize| {
            // evenly over the chain
            let draw = first + (i as u128 * n as u128 / kept as u128) as usize;
            let value = values[draw * width + column];
            (if log { value.log10() } else { value }) as f32
        };
        found.names.push(ours.to_owned());
        found.columns.push((0..kept).map(value).collect());
    }
    if found.names.is_empty() {
        return Err(format!("none of its parameters is known: {}", names.join(", ")));
    }
    Ok(found)
}

fn hdf5(
    path: &Path,
    options: &ReadChains,
    take: &mut dyn FnMut(ForeignDraws) -> Result<bool, ExchangeError>,
) -> Result<FileKind, ExchangeError> {
    let foreign = |what: String| ExchangeError::Foreign { path: path.to_owned(), what };
    let wrong = |error: hdf5_reader::error::Error| ExchangeError::Foreign {
        path: path.to_owned(),
        what: error.to_string(),
    };
    let file = Hdf5File::open(path).map_err(wrong)?;
    let root = file.root_group().map_err(wrong)?;
    let (_, names) = root.member_names().map_err(wrong)?;
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("mcmc_chain0") || has("mcmc_chain") {
        let (mut shape, mut values) = (Vec::new(), Vec::new());
        let parts = (0..).map(|i| format!("mcmc_chain{i}")).take_while(|name| has(name));
        let parts: Vec<String> =
            if has("mcmc_chain") { vec!["mcmc_chain".to_owned()] } else { parts.collect() };
        for part in parts {
            let dataset = file.dataset(&part).map_err(wrong)?;
            let axes: Vec<usize> = dataset.shape().iter().map(|&n| n as usize).collect();
            match shape.first_mut() {
                None => shape = axes,
                Some(iterations) => *iterations += axes.first().copied().unwrap_or(0),
            }
            values.extend(numbers(&dataset, None).map_err(wrong)?);
        }
        let names = options.names.clone();
        take(flatten(&shape, &values, names, options).map_err(foreign)?)?;
        return Ok(FileKind::Provabgs);
    }
    let keys: Vec<(String, &'static str, bool)> = names
        .iter()
        .filter_map(|name| {
            let (ours, log) = our_name(name)?;
            let dataset = file.dataset(name).ok()?;
            (dataset.shape().len() == 2).then(|| (name.clone(), ours, log))
        })
        .collect();
    let id = ["NSAID", "object_id", "TARGETID"].into_iter().find(|name| has(name));
    let (Some(id), Some((first, ..))) = (id, keys.first()) else {
        let what = "it has neither `mcmc_chain0` (provabgs) nor NSAID with arrays of draws such as log_mstar";
        return Err(foreign(format!("{what}; it has {}", names.join(", "))));
    };
    let ids = identifiers(&file.dataset(id).map_err(wrong)?).map_err(wrong)?;
    let shape = file.dataset(first).map_err(wrong)?.shape().to_vec();
    if shape[0] != ids.len() as u64 {
        return Err(foreign(format!("{} identifiers, but {} rows of draws", ids.len(), shape[0])));
    }
    let by_flow = match has("sedflow") {
        true => numbers(&file.dataset("sedflow").map_err(wrong)?, None).map_err(wrong)?,
        false => vec![0.0; ids.len()],
    };
    let datasets: Vec<Dataset> =
        keys.iter().map(|(name, ..)| file.dataset(name)).collect::<Result<_, _>>().map_err(wrong)?;
    let width = shape[1] as usize;
    for start in (0..shape[0]).step_by(ROWS as usize) {
        let rows = (start, (start + ROWS).min(shape[0]));
        let blocks: Vec<Vec<f64>> = datasets
            .iter()
            .map(|dataset| numbers(dataset, Some(rows)))
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        for row in 0..(rows.1 - rows.0) as usize {
            let galaxy = rows.0 as usize + row;
            // rows of fewer draws are filled up with NaN
            let there = |i: &usize| blocks.iter().any(|block| !block[row * width + i].is_nan());
            let n = (0..width).rev().find(there).map_or(0, |last| last + 1);
            let kept = if options.most == 0 { n } else { n.min(options.most) };
            let mut draws = ForeignDraws {
                object_id: ids.get(galaxy).cloned(),
                names: Vec::new(),
                columns: Vec::new(),
                by_flow: by_flow.get(galaxy).is_some_and(|flag| *flag != 0.0),
            };
            for ((_, ours, log), block) in keys.iter().zip(&blocks) {
                let value = |i: usize| {
                    let value = block[row * width + (i as u128 * n as u128 / kept as u128) as usize];
                    (if *log { value.log10() } else { value }) as f32
                };
                draws.names.push((*ours).to_owned());
                draws.columns.push((0..kept).map(value).collect());
            }
            if !take(draws)? {
                return Ok(FileKind::SedflowHdf5);
            }
        }
    }
    Ok(FileKind::SedflowHdf5)
}

/// Values of a dataset of numbers, or of some of its rows, in row-major order.
fn numbers(dataset: &Dataset, rows: Option<(u64, u64)>) -> Result<Vec<f64>, hdf5_reader::error::Error> {
    fn of<T: hdf5_reader::H5Type>(
        dataset: &Dataset,
        selection: &SliceInfo,
    ) -> Result<Vec<T>, hdf5_reader::error::Error> {
        Ok(dataset.read_slice::<T>(selection)?.iter().cloned().collect())
    }
    let shape = dataset.shape();
    let selections = shape
        .iter()
        .enumerate()
        .map(|(axis, &length)| match (axis, rows) {
            (0, Some((start, end))) => SliceInfoElem::Slice { start, end, step: 1 },
            _ => SliceInfoElem::Slice { start: 0, end: length, step: 1 },
        })
        .collect();
    let selection = SliceInfo { selections };
    of::<f64>(dataset, &selection)
        .or_else(|_| Ok(of::<f32>(dataset, &selection)?.into_iter().map(f64::from).collect()))
        .or_else(|_: hdf5_reader::error::Error| {
            Ok(of::<i64>(dataset, &selection)?.into_iter().map(|value| value as f64).collect())
        })
        .or_else(|_: hdf5_reader::error::Error| {
            Ok(of::<i32>(dataset, &selection)?.into_iter().map(f64::from).collect())
        })
        .or_else(|_: hdf5_reader::error::Error| {
            dataset.read_raw_bytes().map(|bytes| bytes.into_iter().map(f64::from).collect())
        })
}

fn identifiers(dataset: &Dataset) -> Result<Vec<String>, hdf5_reader::error::Error> {
    if let Ok(texts) = dataset.read_strings() {
        return Ok(texts);
    }
    Ok(numbers(dataset, None)?.into_iter().map(|value| format!("{value:.0}")).collect())
}
