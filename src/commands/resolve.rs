//! Bandpass curves and SSP grids by what users and checkpoints call them: shipped, in a file, in the catalog.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::Context;
use crate::filters::{self, Filter, FilterError, FilterProblem};
use crate::hash::ContentHash;
use crate::infer::ModelCard;
use crate::sed::SedModel;
use crate::ssp::{SspError, SspGrid};
use crate::store::{Artifact, BandSetId, KnownFilter, KnownGrid, SspGridId, Store};

/// The word for the grid that comes with the program.
pub const SHIPPED_GRID: &str = "shipped";

/// A grid with what the catalog needs to keep it: its bytes, unless it comes with the program.
#[derive(Debug, Clone)]
pub struct Grid {
    pub grid: Arc<SspGrid>,
    pub bytes: Option<Vec<u8>>,
}

/// Opens the catalog for reading if one of `names` can only be found there, and there is one.
pub fn catalog_for<'a>(
    context: &Context,
    bands: impl IntoIterator<Item = &'a String>,
    grid: Option<&str>,
) -> anyhow::Result<Option<Store>> {
    let is_known = |name: &str| filters::shipped_names().any(|known| known == name) || is_file(name);
    let is_grid = |name: &str| name == SHIPPED_GRID || is_file(name);
    if bands.into_iter().all(|name| is_known(name)) && grid.is_none_or(is_grid) {
        return Ok(None);
    }
    Ok(context.open_if_there()?)
}

fn is_file(name: &str) -> bool {
    Path::new(name).is_file()
}

/// True where `name` is the beginning of a hash, long enough to be meant as one.
fn names_hash(name: &str, hash: ContentHash) -> bool {
    name.len() >= 4 && hash.to_string().starts_with(name)
}

/// A band by its name: a shipped one, a curve file, or a curve of the catalog by name or hash.
pub fn filter(store: Option<&Store>, name: &str) -> anyhow::Result<Filter> {
    let (known, nearest) = match filters::resolve(name) {
        Ok(filter) => return Ok(filter),
        Err(FilterError { problem: FilterProblem::Unknown { known, nearest }, .. }) => (known, nearest),
        Err(other) => return Err(other.into()),
    };
    let Some(store) = store else {
        return Err(FilterError {
            origin: name.to_owned(),
            problem: FilterProblem::Unknown { known, nearest },
        }
        .into());
    };
    let all = store.filters()?;
    let mut found: Vec<&KnownFilter> = all.iter().filter(|filter| filter.name == name).collect();
    if found.is_empty() {
        found = all.iter().filter(|filter| names_hash(name, filter.hash)).collect();
    }
    match found.as_slice() {
        [one] => stored_filter(store, one, &one.name),
        [] => {
            let own: Vec<&str> = all
                .iter()
                .filter(|filter| filters::shipped_names().all(|shipped| shipped != filter.name))
                .map(|filter| filter.name.as_str())
                .collect();
            let own = if own.is_empty() { String::new() } else { format!(" (it has {})", own.join(", ")) };
            let nearest = nearest.map(|name| format!("; nearest: {name}")).unwrap_or_default();
            bail!(
                "{name}: no such band among the {known} shipped ones, nor a file of that name, nor a curve of \
                 the catalog{own}{nearest}"
            )
        }
        several => {
            let hashes: Vec<String> = several.iter().map(|filter| filter.hash.short()).collect();
            bail!("{name}: the catalog has {} such curves; say {}", several.len(), hashes.join(" or "))
        }
    }
}

pub fn filters<S: AsRef<str>>(store: Option<&Store>, names: &[S]) -> anyhow::Result<Vec<Filter>> {
    names.iter().map(|name| filter(store, name.as_ref())).collect()
}

/// The catalog's own curves: those that do not come with the program.
pub fn own_filters(store: &Store) -> anyhow::Result<Vec<Filter>> {
    let shipped: Vec<ContentHash> = filters::shipped_names()
        .map(|name| Ok(filters::shipped(name)?.hash()))
        .collect::<Result<_, FilterError>>()?;
    let own = store.filters()?.into_iter().filter(|known| !shipped.contains(&known.hash));
    own.map(|known| stored_filter(store, &known, &known.name)).collect()
}

/// A curve of the catalog; what it is and where it comes from are what its run was told.
fn stored_filter(store: &Store, known: &KnownFilter, name: &str) -> anyhow::Result<Filter> {
    let what = || format!("the curve {} in {}", known.name, store.path().display());
    let (_, wave_aa, response) = store.filter(known.id)?;
    // The name in the file may be anything; the one asked for is a band's.
    let filter = Filter::new(name, wave_aa, response).with_context(what)?;
    if filter.hash() != known.hash {
        bail!("{}: its hash is {}, not {}", what(), filter.hash().short(), known.hash.short());
    }
    let config = store.run(known.run)?.config;
    let words = |key: &str| config[key].as_str().unwrap_or_default();
    Ok(filter.renamed(name, words("description"), words("source"))?)
}

/// The curve of that hash, under `name`: shipped, or in the catalog.
pub fn filter_of_hash(
    store: Option<&Store>,
    name: &str,
    hash: ContentHash,
) -> anyhow::Result<Option<Filter>> {
    if let Ok(filter) = filters::shipped(name)
        && filter.hash() == hash
    {
        return Ok(Some(filter));
    }
    if let Some(filter) = filters::shipped_of_hash(hash) {
        let (description, source) = (filter.description().to_owned(), filter.source().to_owned());
        return Ok(Some(filter.renamed(name, &description, &source)?));
    }
    let Some(store) = store else { return Ok(None) };
    let found = store.filters()?.into_iter().find(|known| known.hash == hash);
    found.map(|known| stored_filter(store, &known, name)).transpose()
}

/// The curves a checkpoint was trained with, found by their hashes. `label` names the checkpoint.
pub fn filters_of_card(store: Option<&Store>, label: &str, card: &ModelCard) -> anyhow::Result<Vec<Filter>> {
    let bands = card.features.bands().iter().zip(&card.filters);
    bands
        .map(|(name, &hash)| {
            if let Some(filter) = filter_of_hash(store, name, hash)? {
                return Ok(filter);
            }
            let other = match filter(store, name) {
                Ok(other) => format!(" ({name} here is another curve, {})", other.hash().short()),
                Err(_) => String::new(),
            };
            bail!(
                "checkpoint {label} was trained with the curve {} of {name}, which neither comes with the program \
                 nor is in the catalog{other}: `sedflow filter add FILE` adds it",
                hash.short()
            )
        })
        .collect()
}

/// A grid: `shipped` or its name for the one that comes with the program, a `.ssp` file, or one of the
/// catalog by name or hash.
pub fn grid(store: Option<&Store>, name: Option<&str>) -> anyhow::Result<Grid> {
    let shipped = || SspGrid::shipped().map(|grid| Grid { grid: Arc::new(grid), bytes: None });
    let Some(name) = name.filter(|name| *name != SHIPPED_GRID) else { return Ok(shipped()?) };
    if is_file(name) {
        return read_grid(Path::new(name));
    }
    let shipped = shipped()?;
    if name == shipped.grid.origin.name || names_hash(name, shipped.grid.hash) {
        return Ok(shipped);
    }
    let all = store.map(Store::ssp_grids).transpose()?.unwrap_or_default();
    let mut found: Vec<&KnownGrid> = all.iter().filter(|grid| grid.name == name).collect();
    if found.is_empty() {
        found = all.iter().filter(|grid| names_hash(name, grid.hash)).collect();
    }
    match (store, found.as_slice()) {
        (Some(store), [one]) => match stored_grid(store, one)? {
            Some(grid) => Ok(Grid { grid: Arc::new(grid), bytes: None }),
            None => bail!("{}", not_held(one)),
        },
        (_, []) => {
            let names: Vec<&str> = all.iter().map(|grid| grid.name.as_str()).collect();
            let there =
                if names.is_empty() { String::new() } else { format!(" (it has {})", names.join(", ")) };
            bail!(
                "no SSP grid `{name}`: expected `{SHIPPED_GRID}` ({}), a .ssp file, or a grid of the catalog{there}",
                shipped.grid.origin.name
            )
        }
        (_, several) => {
            let hashes: Vec<String> = several.iter().map(|grid| grid.hash.short()).collect();
            bail!("the catalog has {} SSP grids called {name}; say {}", several.len(), hashes.join(" or "))
        }
    }
}

/// A grid file, whose bytes are kept unless it is the shipped grid.
pub fn read_grid(path: &Path) -> anyhow::Result<Grid> {
    let (grid, bytes) = match SspGrid::read(path) {
        Err(SspError::Magic { found, .. }) if found.starts_with(b"SIMPLE") => bail!(
            "{} is a FITS file, not an SSP grid: `sedflow ssp import` makes a grid of it",
            path.display()
        ),
        other => other.with_context(|| format!("cannot use {}", path.display()))?,
    };
    let is_shipped = grid.hash == SspGrid::shipped()?.hash;
    Ok(Grid { grid: Arc::new(grid), bytes: (!is_shipped).then_some(bytes) })
}

/// A grid of the catalog, or nothing where only its name was kept.
fn stored_grid(store: &Store, known: &KnownGrid) -> anyhow::Result<Option<SspGrid>> {
    let what = || format!("the SSP grid {} in {}", known.name, store.path().display());
    let Some(bytes) = store.ssp_grid_bytes(known.id)? else { return Ok(None) };
    let grid = SspGrid::from_bytes(&bytes).with_context(what)?;
    if grid.hash != known.hash {
        bail!("{}: its hash is {}, not {}", what(), grid.hash.short(), known.hash.short());
    }
    Ok(Some(grid))
}

/// The grid of that hash: shipped, or in the catalog.
pub fn grid_of_hash(store: Option<&Store>, hash: ContentHash) -> anyhow::Result<Option<SspGrid>> {
    let shipped = SspGrid::shipped()?;
    if shipped.hash == hash {
        return Ok(Some(shipped));
    }
    let Some(store) = store else { return Ok(None) };
    match store.ssp_grids()?.into_iter().find(|known| known.hash == hash) {
        Some(known) => stored_grid(store, &known),
        None => Ok(None),
    }
}

/// The grid of an SED model in the catalog.
pub fn grid_of_id(store: &Store, id: SspGridId) -> anyhow::Result<Grid> {
    let known = store.ssp_grids()?.into_iter().find(|known| known.id == id);
    let known = known.with_context(|| format!("the catalog has no SSP grid {id}"))?;
    let shipped = SspGrid::shipped()?;
    let grid = if known.hash == shipped.hash { Some(shipped) } else { stored_grid(store, &known)? };
    let grid = grid.with_context(|| not_held(&known))?;
    Ok(Grid { grid: Arc::new(grid), bytes: None })
}

fn not_held(grid: &KnownGrid) -> String {
    format!(
        "the catalog knows the SSP grid {} ({}) but does not hold it, as it came with another version of the \
         program: `sedflow ssp add FILE.ssp` adds it",
        grid.name,
        grid.hash.short()
    )
}

/// The curves of a band set, under the names that a noise model has for them.
pub fn filters_of_set(store: &Store, set: BandSetId, names: &[String]) -> anyhow::Result<Vec<Filter>> {
    let bands = store.bands(set)?;
    if bands.len() != names.len() {
        bail!("the training set has {} bands, but its noise model {}", bands.len(), names.len());
    }
    bands
        .iter()
        .zip(names)
        .map(|(band, name)| {
            let found = band.filter_hash.map(|hash| filter_of_hash(Some(store), name, hash)).transpose()?;
            found.flatten().with_context(|| format!("the catalog has no curve for the band {}", band.name))
        })
        .collect()
}

/// The SED model a checkpoint was trained on, its grid found by hash. `label` names the checkpoint.
pub fn model_of_card(store: Option<&Store>, label: &str, card: &ModelCard) -> anyhow::Result<SedModel> {
    let on = |grid: SspGrid| -> anyhow::Result<SedModel> {
        Ok(SedModel::new(Arc::new(grid)).with_birth_cloud_age(card.birth_cloud_age_gyr)?)
    };
    let shipped = on(SspGrid::shipped()?)?;
    if shipped.hash() == card.sed_model {
        return Ok(shipped);
    }
    // Older checkpoints do not name their grid; the model's hash tells it among those that are here.
    let hash = match &card.ssp_grid {
        Some(grid) => Some(grid.hash),
        None => {
            let grids = store.map(Store::ssp_grids).transpose()?.unwrap_or_default();
            let hashes = grids.into_iter().map(|known| known.hash);
            hashes.into_iter().find(|&hash| shipped.hash_on(hash) == card.sed_model)
        }
    };
    let model = match hash {
        Some(hash) => grid_of_hash(store, hash)?.map(on).transpose()?,
        None => None,
    };
    match (model, &card.ssp_grid) {
        (Some(model), _) if model.hash() == card.sed_model => Ok(model),
        (Some(model), _) => bail!(
            "checkpoint {label} was trained with another version of the SED model: expected {}, this program has {}",
            card.sed_model.short(),
            model.hash().short()
        ),
        (None, Some(grid)) => bail!(
            "checkpoint {label} was trained on the SSP grid {} ({}; {}, {}, {}), which neither comes with the \
             program nor is in the catalog: `sedflow ssp add FILE.ssp` adds it",
            grid.name,
            grid.hash.short(),
            grid.isochrones,
            grid.library,
            grid.imf
        ),
        (None, None) => bail!(
            "checkpoint {label} was trained with another SED model: expected {}, this program has {}",
            card.sed_model.short(),
            shipped.hash().short()
        ),
    }
}

/// The files among such names, as inputs of a run.
pub fn files<'a>(names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Vec<Artifact>> {
    let mut files = Vec::new();
    for name in names {
        if filters::shipped_names().any(|known| known == name) || !is_file(name) {
            continue;
        }
        let bytes = std::fs::read(name).with_context(|| format!("cannot read {name}"))?;
        files.push(Artifact::file(name, ContentHash::of_bytes(&bytes), bytes.len() as u64));
    }
    Ok(files)
}
