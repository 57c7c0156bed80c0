//! What several commands need first: the SED model, priors, noise models and checkpoints by name.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::resolve::{self, Grid};
use crate::features::short_band;
use crate::filters::Filter;
use crate::hash::ContentHash;
use crate::infer::nle::Nle;
use crate::infer::{self, Npe};
use crate::noise::NoiseModel;
use crate::prior::Prior;
use crate::sed::{BIRTH_CLOUD_AGE_GYR, DerivedTable, SedModel};
use crate::store::{
    BandSetId, BandSpec, CheckpointId, CheckpointKind, CheckpointSpec, FilterCurve, FilterId, NoiseModelId,
    PriorId, RunId, SedModelId, SspGridId, SspGridSpec, Store,
};

/// Name of the prior, noise model and band order that come with the program.
pub const DEFAULT: &str = "default";

/// Photometry that the shipped noise model and checkpoint are for.
pub const DEFAULT_BANDS: [&str; 5] = ["sdss2010-u", "sdss2010-g", "sdss2010-r", "sdss2010-i", "sdss2010-z"];

/// The SED model on a grid.
pub fn sed_model(grid: &Grid, birth_cloud_age_gyr: Option<f64>) -> anyhow::Result<SedModel> {
    let model = SedModel::new(grid.grid.clone());
    let age = birth_cloud_age_gyr.unwrap_or(BIRTH_CLOUD_AGE_GYR);
    Ok(model.with_birth_cloud_age(age)?)
}

/// Keeps a grid in the catalog, with its bytes unless it comes with the program.
///
/// Errors where another grid has its name, as names are what users say.
pub fn register_grid(store: &mut Store, run: RunId, grid: &Grid) -> anyhow::Result<SspGridId> {
    let Grid { grid, bytes } = grid;
    let origin = &grid.origin;
    if let Some(other) =
        store.ssp_grids()?.into_iter().find(|known| known.name == origin.name && known.hash != grid.hash)
        && bytes.is_some()
    {
        bail!(
            "the catalog has another SSP grid called {} ({}) than this one ({}): import it under another name",
            origin.name,
            other.hash.short(),
            grid.hash.short()
        );
    }
    Ok(store.put_ssp_grid(
        run,
        &SspGridSpec {
            hash: grid.hash,
            name: &origin.name,
            imf: &origin.imf,
            isochrones: &origin.isochrones,
            library: &origin.library,
            lsun_erg_s: origin.lsun_erg_s,
            bytes: bytes.as_deref(),
        },
    )?)
}

/// Registers the model in the catalog. Its grid comes with the program or is in the catalog already, as
/// [`register_grid`] put it there.
pub fn register_model(store: &mut Store, run: RunId, model: &SedModel) -> anyhow::Result<SedModelId> {
    let grid = model.grid();
    let grid_id = register_grid(store, run, &Grid { grid: grid.clone(), bytes: None })?;
    let definition = json!({
        "model": "provabgs",
        "ssp_grid": grid.hash,
        "bases": model.bases().hash(),
        "cosmology": "Planck 2013",
        "birth_cloud_age_gyr": model.birth_cloud_age_gyr(),
    });
    Ok(store.put_sed_model(run, "provabgs", model.hash(), grid_id, &definition)?)
}

/// Keeps a curve in the catalog; the same curve is kept once, under its first name.
pub fn register_filter(store: &mut Store, run: RunId, filter: &Filter) -> anyhow::Result<FilterId> {
    let curve = FilterCurve {
        hash: filter.hash(),
        name: filter.name(),
        wave_pivot_aa: filter.pivot_aa(),
        wave_aa: filter.wave_aa(),
        response: filter.response(),
    };
    Ok(store.put_filter(run, &curve)?)
}

/// Registers filters as an ordered band set.
pub fn register_bands(store: &mut Store, run: RunId, filters: &[Filter]) -> anyhow::Result<BandSetId> {
    let short: Vec<&str> = filters.iter().map(|filter| short_band(filter.name())).collect();
    let mut bands = Vec::new();
    for (filter, &name) in filters.iter().zip(&short) {
        let id = register_filter(store, run, filter)?;
        // The same band of two systems needs its whole name.
        let is_unique = short.iter().filter(|other| **other == name).count() == 1;
        let name = if is_unique { name } else { filter.name() }.to_owned();
        bands.push(BandSpec { name, filter: Some((id, filter.hash())), ucd: None });
    }
    let name: Vec<&str> = filters.iter().map(Filter::name).collect();
    Ok(store.put_band_set(run, &name.join(" "), &bands)?)
}

/// A prior by name: `default`, a name in the catalog, or a JSON file.
pub fn prior(store: Option<&Store>, name: &str) -> anyhow::Result<Prior> {
    if let Some(store) = store
        && let Some(id) = store.find_prior(name)?
    {
        return Ok(store.prior(id)?.1);
    }
    if name == DEFAULT {
        return Ok(Prior::default());
    }
    let path = Path::new(name);
    if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        return Prior::from_json(&text).with_context(|| name.to_owned());
    }
    bail!("no prior `{name}`: expected `{DEFAULT}`, a name given with `prior set`, or a JSON file")
}

/// A noise model by name: `nsa` or `default` for the shipped one, a name in the catalog, or a JSON file.
pub fn noise(store: Option<&Store>, name: &str) -> anyhow::Result<NoiseModel> {
    if let Some(store) = store
        && let Some(id) = store.find_noise_model(name)?
    {
        return Ok(store.noise_model(id)?.1);
    }
    let shipped = NoiseModel::shipped()?;
    if name == DEFAULT || name == shipped.name {
        return Ok(shipped);
    }
    let path = Path::new(name);
    if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        return NoiseModel::from_json(&text).with_context(|| name.to_owned());
    }
    bail!(
        "no noise model `{name}`: expected `{}` (shipped), a name given with `noise fit`, or a JSON file",
        shipped.name
    )
}

pub fn register_prior(store: &mut Store, run: RunId, name: &str, prior: &Prior) -> anyhow::Result<PriorId> {
    let name = if prior.spec() == Prior::default().spec() { DEFAULT } else { name };
    Ok(store.put_prior(run, name, prior)?)
}

/// A checkpoint with its place in the catalog and everything registered that it depends on.
pub struct Loaded {
    pub npe: Npe,
    pub id: CheckpointId,
    pub name: String,
    pub hash: ContentHash,
    pub model: SedModel,
    pub derived: DerivedTable,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub filters: Vec<Filter>,
}

/// A likelihood with its place in the catalog.
pub struct LoadedLikelihood {
    pub nle: Nle,
    pub id: CheckpointId,
    pub name: String,
    pub hash: ContentHash,
    pub model: SedModel,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub filters: Vec<Filter>,
}

/// A checkpoint of either kind.
pub enum AnyLoaded {
    Posterior(Box<Loaded>),
    Likelihood(Box<LoadedLikelihood>),
}

/// The bytes of a checkpoint and what to call it: by its name or hash in the catalog, `sdss-ugriz` for the
/// shipped one, or a file.
pub fn checkpoint_bytes(store: Option<&Store>, name: &str) -> anyhow::Result<(Vec<u8>, String)> {
    let known = store.map_or(Ok(vec![]), Store::checkpoints)?;
    let in_catalog = known
        .iter()
        .any(|c| c.name.as_deref() == Some(name) || name.len() >= 4 && c.hash.to_string().starts_with(name));
    if let Some(store) = store.filter(|_| in_catalog) {
        let checkpoint = store.find_checkpoint(name)?;
        let bytes = store.checkpoint_data(checkpoint.id)?;
        Ok((bytes, checkpoint.name.unwrap_or_else(|| checkpoint.hash.short())))
    } else if name == infer::SHIPPED_NAME {
        Ok((infer::shipped_bytes().to_vec(), name.to_owned()))
    } else if Path::new(name).is_file() {
        let bytes = std::fs::read(name).with_context(|| format!("cannot read {name}"))?;
        let stem = Path::new(name).file_stem().map_or(name.into(), |s| s.to_string_lossy().into_owned());
        let hash = ContentHash::of_bytes(&bytes);
        // Another checkpoint may have the file's name already.
        let taken = known.iter().any(|c| c.name.as_deref() == Some(&stem) && c.hash != hash);
        let label = if taken { format!("{stem}-{}", hash.short()) } else { stem };
        Ok((bytes, label))
    } else {
        let names: Vec<String> = known.iter().filter_map(|c| c.name.clone()).collect();
        bail!(
            "no checkpoint `{name}`: expected a name in the catalog ({}), `{}` (shipped), or a file",
            if names.is_empty() { "none yet".to_owned() } else { names.join(", ") },
            infer::SHIPPED_NAME
        );
    }
}

/// A checkpoint of either kind by its name or hash in the catalog, `sdss-ugriz` for the shipped one, or a
/// file, which is then added to the catalog.
pub fn load_any(store: &mut Store, run: RunId, name: &str) -> anyhow::Result<AnyLoaded> {
    let (bytes, label) = checkpoint_bytes(Some(store), name)?;
    if Nle::is_one(&bytes) {
        return Ok(AnyLoaded::Likelihood(Box::new(likelihood_of(store, run, (&bytes, label), name)?)));
    }
    Ok(AnyLoaded::Posterior(Box::new(posterior_of(store, run, (&bytes, label), name)?)))
}

/// A likelihood by its name or hash in the catalog, or a file, which is then added to the catalog.
pub fn load_likelihood(store: &mut Store, run: RunId, name: &str) -> anyhow::Result<LoadedLikelihood> {
    match load_any(store, run, name)? {
        AnyLoaded::Likelihood(loaded) => Ok(*loaded),
        AnyLoaded::Posterior(loaded) => {
            bail!("checkpoint {} is a posterior: `train --likelihood` makes a likelihood", loaded.name)
        }
    }
}

fn likelihood_of(
    store: &mut Store,
    run: RunId,
    (bytes, label): (&[u8], String),
    name: &str,
) -> anyhow::Result<LoadedLikelihood> {
    let nle = Nle::from_bytes(bytes).with_context(|| format!("checkpoint {name}"))?;
    let card = &nle.card().model;
    let filters = resolve::filters_of_card(Some(store), &label, card)?;
    let model = resolve::model_of_card(Some(store), &label, card)?;
    let sed_model = register_model(store, run, &model)?;
    let prior = register_prior(store, run, &label, nle.prior())?;
    let noise_model = store.put_noise_model(run, &card.noise)?;
    let with = Registered { name: Some(&label), sed_model, prior, noise_model, training: None };
    let id = register_likelihood(store, run, &nle, bytes, with, &filters)?;
    Ok(LoadedLikelihood {
        nle,
        id,
        name: label,
        hash: ContentHash::of_bytes(bytes),
        model,
        sed_model,
        prior,
        filters,
    })
}

/// A posterior's checkpoint by its name or hash in the catalog, `sdss-ugriz` for the shipped one, or a
/// file, which is then added to the catalog.
pub fn load_checkpoint(store: &mut Store, run: RunId, name: &str) -> anyhow::Result<Loaded> {
    let (bytes, label) = checkpoint_bytes(Some(store), name)?;
    posterior_of(store, run, (&bytes, label), name)
}

/// A posterior's checkpoint from its bytes, registered under `label` with everything that it depends on.
pub fn adopt_checkpoint(
    store: &mut Store,
    run: RunId,
    bytes: Vec<u8>,
    label: &str,
) -> anyhow::Result<Loaded> {
    posterior_of(store, run, (&bytes, label.to_owned()), label)
}

/// [`adopt_checkpoint`] from another catalog, with the curves and the grid that only that one holds.
pub fn carry_checkpoint(
    store: &mut Store,
    run: RunId,
    from: &Store,
    bytes: Vec<u8>,
    label: &str,
) -> anyhow::Result<Loaded> {
    let npe = Npe::from_bytes(&bytes).with_context(|| format!("checkpoint {label}"))?;
    let (model, filters) = model_of(Some(from), &npe, label)?;
    for filter in &filters {
        if resolve::filter_of_hash(Some(store), filter.name(), filter.hash())?.is_none() {
            register_filter(store, run, filter)?;
        }
    }
    let grid = model.grid();
    if resolve::grid_of_hash(Some(store), grid.hash)?.is_none()
        && let Some(known) = from.ssp_grids()?.into_iter().find(|known| known.hash == grid.hash)
    {
        register_grid(store, run, &Grid { grid: grid.clone(), bytes: from.ssp_grid_bytes(known.id)? })?;
    }
    adopt_checkpoint(store, run, bytes, label)
}

fn posterior_of(
    store: &mut Store,
    run: RunId,
    (bytes, label): (&[u8], String),
    name: &str,
) -> anyhow::Result<Loaded> {
    let npe = Npe::from_bytes(bytes).with_context(|| format!("checkpoint {name}"))?;
    let (model, filters) = model_of(Some(store), &npe, &label)?;
    let sed_model = register_model(store, run, &model)?;
    let prior = register_prior(store, run, &label, npe.prior())?;
    let noise_model = store.put_noise_model(run, &npe.card().noise)?;
    let id = register_checkpoint(
        store,
        run,
        &npe,
        bytes,
        Registered { name: Some(&label), sed_model, prior, noise_model, training: None },
        &filters,
    )?;
    Ok(Loaded {
        npe,
        id,
        name: label,
        hash: ContentHash::of_bytes(bytes),
        derived: DerivedTable::new(&model),
        model,
        sed_model,
        prior,
        filters,
    })
}

/// The SED model and the filters that a checkpoint was trained with, shipped or of the catalog. `label` names it.
pub fn model_of(store: Option<&Store>, npe: &Npe, label: &str) -> anyhow::Result<(SedModel, Vec<Filter>)> {
    let filters = resolve::filters_of_card(store, label, npe.card())?;
    Ok((resolve::model_of_card(store, label, npe.card())?, filters))
}

/// A checkpoint of a catalog, which is left as it is.
pub fn load_from(store: &Store, id: CheckpointId) -> anyhow::Result<Loaded> {
    let known = store.checkpoints()?.into_iter().find(|known| known.id == id);
    let known = known.with_context(|| format!("checkpoint {id} is not in the catalog"))?;
    let name = known.name.clone().unwrap_or_else(|| known.hash.short());
    let bytes = store.checkpoint_data(id)?;
    let npe = Npe::from_bytes(&bytes).with_context(|| format!("checkpoint {name}"))?;
    let (model, filters) = model_of(Some(store), &npe, &name)?;
    Ok(Loaded {
        hash: ContentHash::of_bytes(&bytes),
        derived: DerivedTable::new(&model),
        sed_model: known.sed_model,
        prior: known.prior,
        npe,
        id,
        name,
        model,
        filters,
    })
}

/// What a checkpoint row points to.
pub struct Registered<'a> {
    pub name: Option<&'a str>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub noise_model: NoiseModelId,
    pub training: Option<crate::store::TrainingId>,
}

/// Keeps a checkpoint's bytes in the catalog; the same bytes are kept once.
pub fn register_checkpoint(
    store: &mut Store,
    run: RunId,
    npe: &Npe,
    bytes: &[u8],
    with: Registered,
    filters: &[Filter],
) -> anyhow::Result<CheckpointId> {
    let flow = npe.flow();
    let card = npe.card();
    let (architecture, members) = match flow.members().len() {
        1 => (flow.config().name().to_owned(), None),
        n => (format!("ensemble of {n} {}", flow.config().name()), Some(flow.weights())),
    };
    let mut config = json!({
        "flow": flow.config(),
        "features": card.features,
        "support": { "zred": card.support.zred, "colors": card.support.colors },
        "training": card.training,
    });
    if let Some(weights) = members {
        config["weights_of_members"] = json!(weights);
    }
    let what = What {
        kind: CheckpointKind::Npe,
        architecture: &architecture,
        config: &config,
        n_weights: flow.n_weights(),
        training: &card.training,
    };
    register(store, run, what, bytes, with, filters)
}

/// Keeps a likelihood's bytes in the catalog; the same bytes are kept once.
pub fn register_likelihood(
    store: &mut Store,
    run: RunId,
    nle: &Nle,
    bytes: &[u8],
    with: Registered,
    filters: &[Filter],
) -> anyhow::Result<CheckpointId> {
    let flow = nle.flow();
    let card = &nle.card().model;
    let config = json!({ "flow": flow.config(), "features": card.features, "training": card.training });
    let what = What {
        kind: CheckpointKind::Nle,
        architecture: flow.config().name(),
        config: &config,
        n_weights: flow.n_weights(),
        training: &card.training,
    };
    register(store, run, what, bytes, with, filters)
}

/// What a checkpoint row says of the flow.
struct What<'a> {
    kind: CheckpointKind,
    architecture: &'a str,
    config: &'a Value,
    n_weights: usize,
    /// The training's record on the card.
    training: &'a Value,
}

fn register(
    store: &mut Store,
    run: RunId,
    what: What<'_>,
    bytes: &[u8],
    with: Registered,
    filters: &[Filter],
) -> anyhow::Result<CheckpointId> {
    let band_set = register_bands(store, run, filters)?;
    let spec = CheckpointSpec {
        name: with.name,
        kind: what.kind,
        architecture: what.architecture,
        config: what.config,
        training: with.training,
        sed_model: with.sed_model,
        prior: with.prior,
        noise_model: Some(with.noise_model),
        band_set,
        n_weights: what.n_weights as u64,
        valid_ln_prob: what.training["validation_ln_prob"].as_f64(),
        data: bytes,
    };
    Ok(store.put_checkpoint(run, &spec)?)
}

/// Opens the catalog for writing; one that does not exist is a sentence, not a new file.
pub fn open(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(path, crate::store::Mode::Write)?)
}

/// Opens the catalog if there is one.
pub fn open_if_there(path: &Path) -> anyhow::Result<Option<Store>> {
    if path.exists() { Ok(Some(Store::open(path, crate::store::Mode::Read)?)) } else { Ok(None) }
}
