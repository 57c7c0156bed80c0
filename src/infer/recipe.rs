//! Draws as a recipe: what it takes to make them again, to the bit, and the hash they must have.
//!
//! The sampler gives the same draws on every machine, so a posterior of 10,000 draws is 150 bytes.
//! Features are kept rather than photometry: a logarithm that differs in its last bit between two
//! mathematical libraries would change every draw.

use thiserror::Error;

use super::{DerivedProperties, Draws, N_PARAM, Npe, Reason};
use crate::codec::{CodecError, EncodeOptions, Encoded, NamedDraws, Quantised, encode, quantise};
use crate::hash::ContentHash;
use crate::prior::{BETA, PARAMS};
use crate::sed::DERIVED_NAMES;

const MAGIC: &[u8; 4] = b"SDR1";
/// Bytes before the features.
const FIXED: usize = 4 + 4 + 4 + 8 + 8 + 8 + 32 + 2;
/// More draws than this are not asked of anyone.
pub const MAX_DRAWS: u32 = 10_000_000;

#[derive(Debug, Error, PartialEq)]
pub enum RecipeError {
    #[error("the recipe has {found} bytes, expected {expected}")]
    Length { expected: usize, found: usize },
    #[error("the recipe begins with {found:?}, not with SDR1")]
    Magic { found: Vec<u8> },
    #[error("the recipe asks for {found} draws, at most {MAX_DRAWS} are made")]
    Count { found: u32 },
    #[error("the recipe is for checkpoint {expected}, this is {found}")]
    Checkpoint { expected: String, found: String },
    #[error("the recipe has {found} features, the checkpoint takes {expected}")]
    Features { expected: usize, found: usize },
    #[error("the recipe gives no draws: {0}")]
    Draws(Reason),
    #[error("the recipe gives other draws than it did: expected hash {expected}, found {found}")]
    Hash { expected: String, found: String },
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What a galaxy's draws are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub checkpoint: ContentHash,
    pub features: Vec<f32>,
    pub zred: f64,
    pub seed: u64,
    /// The galaxy's random stream.
    pub stream: u64,
    pub n_draws: u32,
    /// How the draws are quantised.
    pub steps_per_width: u32,
}

impl Recipe {
    /// `SDR1`, u32 draws, u32 steps, u64 seed, u64 stream, f64 redshift, checkpoint, u16 count, f32 features.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.n_draws.to_le_bytes());
        bytes.extend(self.steps_per_width.to_le_bytes());
        bytes.extend(self.seed.to_le_bytes());
        bytes.extend(self.stream.to_le_bytes());
        bytes.extend(self.zred.to_le_bytes());
        bytes.extend(self.checkpoint.as_bytes());
        bytes.extend((self.features.len() as u16).to_le_bytes());
        self.features.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecipeError> {
        if !bytes.starts_with(MAGIC) {
            return Err(RecipeError::Magic { found: bytes.iter().copied().take(4).collect() });
        }
        let wrong = |expected| RecipeError::Length { expected, found: bytes.len() };
        let Some((head, features)) = bytes.split_at_checked(FIXED) else { return Err(wrong(FIXED)) };
        fn number<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
            let mut array = [0; N];
            array.copy_from_slice(&head[at..at + N]);
            array
        }
        let n_features = usize::from(u16::from_le_bytes(number(head, 68)));
        if features.len() != 4 * n_features {
            return Err(wrong(FIXED + 4 * n_features));
        }
        let recipe = Self {
            n_draws: u32::from_le_bytes(number(head, 4)),
            steps_per_width: u32::from_le_bytes(number(head, 8)),
            seed: u64::from_le_bytes(number(head, 12)),
            stream: u64::from_le_bytes(number(head, 20)),
            zred: f64::from_le_bytes(number(head, 28)),
            checkpoint: ContentHash::from_bytes(number(head, 36)),
            features: features.chunks_exact(4).map(|x| f32::from_le_bytes(number(x, 0))).collect(),
        };
        if recipe.n_draws > MAX_DRAWS {
            return Err(RecipeError::Count { found: recipe.n_draws });
        }
        Ok(recipe)
    }

    /// Makes the draws again, as unpacking the stored ones would give them. `checkpoint` is the model's hash.
    ///
    /// Errors with [`RecipeError::Hash`] if they do not have the hash that they had.
    pub fn draws(
        &self,
        npe: &Npe,
        checkpoint: ContentHash,
        derived: &dyn DerivedProperties,
        expected: ContentHash,
    ) -> Result<NamedDraws, RecipeError> {
        let quantised = self.quantised(npe, checkpoint, derived)?;
        let found = quantised.hash();
        if found != expected {
            return Err(RecipeError::Hash { expected: expected.short(), found: found.short() });
        }
        Ok(quantised.named_draws())
    }

    fn quantised(
        &self,
        npe: &Npe,
        checkpoint: ContentHash,
        derived: &dyn DerivedProperties,
    ) -> Result<Quantised, RecipeError> {
        if checkpoint != self.checkpoint {
            let (expected, found) = (self.checkpoint.short(), checkpoint.short());
            return Err(RecipeError::Checkpoint { expected, found });
        }
        let expected = npe.card().features.len();
        if self.features.len() != expected {
            return Err(RecipeError::Features { expected, found: self.features.len() });
        }
        let streams = (self.seed, self.stream);
        let draws = npe.draw(&self.features, self.zred, self.n_draws as usize, streams, derived);
        let draws = draws.map_err(RecipeError::Draws)?;
        Ok(quantise(&draws.named(), &packing(self.steps_per_width))?.0)
    }
}

/// Names of the columns of draws: parameters, then derived properties.
pub fn column_names() -> Vec<&'static str> {
    PARAMS.iter().map(|info| info.name).chain(DERIVED_NAMES).collect()
}

/// How draws of this program's model are packed.
pub fn packing(steps_per_width: u32) -> EncodeOptions {
    EncodeOptions { steps_per_width, simplex: Some(BETA..BETA + 4), ..EncodeOptions::default() }
}

impl Draws {
    /// Columns with their names.
    pub fn named(&self) -> Vec<(&'static str, &[f32])> {
        column_names().into_iter().enumerate().map(|(i, name)| (name, self.column(i))).collect()
    }

    /// Packs the draws.
    pub fn pack(&self, steps_per_width: u32) -> Result<Encoded, CodecError> {
        encode(&self.named(), &packing(steps_per_width))
    }

    /// The hash that [`Draws::pack`] would give, without packing.
    pub fn quantised_hash(&self, steps_per_width: u32) -> Result<(ContentHash, f64), CodecError> {
        let (quantised, achieved) = quantise(&self.named(), &packing(steps_per_width))?;
        Ok((quantised.hash(), achieved.ks))
    }
}

const _: () = assert!(BETA + 4 <= N_PARAM);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{STEPS_PER_WIDTH, decode};
    use crate::sed::{DerivedTable, SedModel};
    use crate::ssp::SspGrid;
    use std::sync::Arc;

    fn recipe() -> Recipe {
        Recipe {
            checkpoint: ContentHash::of_bytes(crate::infer::shipped_bytes()),
            features: vec![19.5, 1.6, 0.8, 0.35, 0.2, -2.9, -3.9, -4.0, -3.9, -3.5, -2.3],
            zred: 0.1,
            seed: 3,
            stream: 77,
            n_draws: 500,
            steps_per_width: STEPS_PER_WIDTH,
        }
    }

    #[test]
    fn a_recipe_is_small_and_comes_back() {
        let bytes = recipe().to_bytes();
        // with the hashes of the recipe and of the draws beside it
        assert!(bytes.len() + 64 <= 250, "{}", bytes.len());
        assert_eq!(Recipe::from_bytes(&bytes).unwrap(), recipe());
        for length in 0..bytes.len() {
            assert!(Recipe::from_bytes(&bytes[..length]).is_err());
        }
        let mut greedy = bytes.clone();
        greedy[4..8].fill(0xff);
        assert_eq!(Recipe::from_bytes(&greedy), Err(RecipeError::Count { found: u32::MAX }));
    }

    #[test]
    fn a_recipe_gives_the_very_draws_that_were_packed() {
        let npe = Npe::shipped().unwrap();
        let model = SedModel::new(Arc::new(SspGrid::shipped().unwrap()));
        let derived = DerivedTable::new(&model);
        let recipe = recipe();
        let n = recipe.n_draws as usize;
        let draws = npe.draw(&recipe.features, recipe.zred, n, (3, 77), &derived).unwrap();
        let packed = draws.pack(STEPS_PER_WIDTH).unwrap();
        assert_eq!(draws.quantised_hash(STEPS_PER_WIDTH).unwrap().0, packed.hash);
        let again = recipe.draws(&npe, recipe.checkpoint, &derived, packed.hash).unwrap();
        assert_eq!(again, decode(&packed.bytes).unwrap());
        let other = Recipe { stream: 78, ..recipe.clone() };
        let error = other.draws(&npe, recipe.checkpoint, &derived, packed.hash).unwrap_err();
        assert!(matches!(error, RecipeError::Hash { .. }), "{error}");
        let error = recipe.draws(&npe, ContentHash::of_bytes(b"other"), &derived, packed.hash).unwrap_err();
        assert!(matches!(error, RecipeError::Checkpoint { .. }), "{error}");
    }
}
