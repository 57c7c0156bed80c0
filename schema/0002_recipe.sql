-- Posteriors as recipes: what it takes to make the draws again, beside or instead of the draws.

ALTER TABLE posterior ADD COLUMN recipe_hash BLOB CHECK (length(recipe_hash) = 32);
ALTER TABLE posterior ADD COLUMN recipe BLOB
    CHECK ((recipe IS NULL) = (recipe_hash IS NULL) AND (recipe IS NULL OR draws_hash IS NOT NULL));

INSERT INTO dictionary (table_name, column_name, type, unit, ucd, description, null_meaning) VALUES
    ('posterior', 'recipe_hash', 'BLOB', NULL, 'meta.checksum', 'BLAKE3 of `recipe`', 'no recipe'),
    ('posterior', 'recipe', 'BLOB', NULL, 'meta.code;meta.modelled',
     'What the draws can be made from again: checkpoint, features, redshift, seed, stream, count (`src/infer/recipe.rs`)',
     'no posterior, or only its draws are stored');
