//! Recipes: a posterior as the checkpoint, features and seed that it can be drawn from again.

use sedflow::hash::ContentHash;
use sedflow::infer::Recipe;

pub fn run(bytes: &[u8]) {
    if let Ok(recipe) = Recipe::from_bytes(bytes) {
        assert_eq!(recipe.to_bytes(), bytes);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let recipe = Recipe {
        checkpoint: ContentHash::of_bytes(b"checkpoint"),
        features: vec![1.0; 11],
        zred: 0.1,
        seed: 1,
        stream: 2,
        n_draws: 100,
        steps_per_width: 32,
    };
    vec![recipe.to_bytes()]
}
