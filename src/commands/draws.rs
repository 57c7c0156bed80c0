//! Draws of a galaxy wherever they are kept: unpacked from the catalog, or made again from a recipe.

use anyhow::{Context as _, bail};

use crate::codec::{self, NamedDraws};
use crate::hash::ContentHash;
use crate::infer::{Measured, Npe, Reason, Recipe};
use crate::samples::Samples;
use crate::sed::DerivedTable;
use crate::store::{Candidate, PosteriorSet, Store, StoredPosterior};

/// A model that can make draws again.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    pub npe: &'a Npe,
    pub checkpoint: ContentHash,
    pub derived: &'a DerivedTable,
}

/// The model of a posterior set that keeps recipes in place of draws, for making them again.
pub struct Remaker {
    npe: Npe,
    checkpoint: ContentHash,
    derived: DerivedTable,
    set: PosteriorSet,
}

impl Remaker {
    /// `None` for a set that stores its draws or keeps no recipes.
    pub fn of_set(store: &Store, set: &PosteriorSet) -> anyhow::Result<Option<Self>> {
        let says = |key: &str| set.config[key].as_bool();
        let (Some(id), Some(true), Some(false)) = (set.checkpoint, says("recipe"), says("samples")) else {
            return Ok(None);
        };
        let bytes = store.checkpoint_data(id)?;
        let npe = Npe::from_bytes(&bytes).with_context(|| format!("the checkpoint of set {}", set.name))?;
        let label = format!("of set {}", set.name);
        let model = super::resolve::model_of_card(Some(store), &label, npe.card())?;
        let (checkpoint, derived) = (ContentHash::of_bytes(&bytes), DerivedTable::new(&model));
        Ok(Some(Self { npe, checkpoint, derived, set: set.clone() }))
    }

    /// A galaxy's draws, verified against the hash they had.
    pub fn samples(
        &self,
        store: &Store,
        galaxy: &Candidate,
    ) -> Result<Option<Samples>, Box<dyn std::error::Error + Send + Sync>> {
        let maker = Maker { npe: &self.npe, checkpoint: self.checkpoint, derived: &self.derived };
        let Some(posterior) = store.posterior(self.set.id, galaxy.galaxy)? else { return Ok(None) };
        Ok(Some(Samples::whole(again(&posterior, maker)?)))
    }
}

/// The draws of a stored posterior; `None` where the catalog keeps summaries only.
///
/// Made again from the recipe if need be, and then verified against the hash they had.
pub fn of_posterior(posterior: &StoredPosterior, maker: Maker<'_>) -> anyhow::Result<Option<NamedDraws>> {
    match (&posterior.row.samples, &posterior.row.recipe) {
        (Some(samples), _) => Ok(Some(codec::decode(samples)?)),
        (None, Some(_)) => Ok(Some(again(posterior, maker)?)),
        (None, None) => Ok(None),
    }
}

/// The draws made again from the recipe, whether they are stored or not.
pub fn again(posterior: &StoredPosterior, maker: Maker<'_>) -> anyhow::Result<NamedDraws> {
    let (Some(recipe), Some(hash)) = (&posterior.row.recipe, posterior.row.draws_hash) else {
        bail!("there is no recipe to make the draws again from");
    };
    let recipe = Recipe::from_bytes(recipe)?;
    recipe.draws(maker.npe, maker.checkpoint, maker.derived, hash).context("made again from its recipe")
}

/// The recipe of a galaxy with this photometry, or the reasons why the model cannot speak for it.
pub fn recipe_for(
    maker: Maker<'_>,
    measured: &Measured,
    zred: f64,
    (seed, stream): (u64, u64),
    n_draws: u32,
) -> Result<Recipe, Vec<Reason>> {
    let features = maker.npe.features(&measured.at(zred))?;
    let steps_per_width = codec::STEPS_PER_WIDTH;
    Ok(Recipe { checkpoint: maker.checkpoint, features, zred, seed, stream, n_draws, steps_per_width })
}
