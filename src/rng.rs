//! Counter-based random numbers: (seed, label, index) names a stream, on any machine and thread.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A family of independent ChaCha8 streams, one per index (a galaxy, a chunk, a batch).
#[derive(Clone, Copy)]
pub struct Streams {
    key: [u8; 32],
}

impl Streams {
    /// `label` says what the numbers are for, so that two uses of one seed never share numbers.
    pub fn new(seed: u64, label: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("sedflow random stream v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(label.as_bytes());
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// The stream of item `index`, from its start.
    pub fn at(&self, index: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream(index);
        rng
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_stream_depends_on_seed_label_and_index_alone() {
        let first = |seed, label, index| Streams::new(seed, label).at(index).next_u64();
        let base = first(1, "draws", 7);
        assert_eq!(base, first(1, "draws", 7));
        assert_ne!(base, first(2, "draws", 7));
        assert_ne!(base, first(1, "noise", 7));
        assert_ne!(base, first(1, "draws", 8));
    }

    #[test]
    fn the_numbers_are_fixed_forever() {
        // Recipes in published catalogs depend on this value.
        assert_eq!(Streams::new(42, "draws").at(3).next_u64(), PINNED);
    }

    const PINNED: u64 = 10_163_298_778_468_857_878;
}
