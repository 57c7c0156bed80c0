//! Removing products: what nothing refers to, and what the user names.

use std::collections::BTreeSet;

use rusqlite::params;

use super::error::StoreError;
use super::ids::RunId;
use super::things::{Product, REFERENCES};
use super::{ProductKind, Store};

/// What a removal came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    pub n_products: usize,
    /// Bytes the file became shorter by.
    pub n_bytes: u64,
}

/// The tables of a kind, rows first, then its own, each with the column that holds the product's number.
const fn tables(kind: ProductKind) -> &'static [&'static str] {
    match kind {
        ProductKind::Filter => &["filter_curve"],
        ProductKind::BandSet => &["band", "band_set"],
        ProductKind::Ingest => &["galaxy", "ingest_reject", "ingest_count", "extra_column", "ingest"],
        ProductKind::SspGrid => &["ssp_grid"],
        ProductKind::SedModel => &["sed_model"],
        ProductKind::Prior => &["prior_parameter", "prior"],
        ProductKind::NoiseModel => &["noise_bin", "noise_model"],
        ProductKind::TrainingSet => &["training_chunk", "training_reject", "training_set"],
        ProductKind::Training => &["training_history", "training_state", "training"],
        ProductKind::Checkpoint => &["validation_part", "checkpoint"],
        ProductKind::Validation => &["validation_metric", "validation"],
        ProductKind::PosteriorSet => &["posterior_summary", "posterior", "posterior_set"],
        ProductKind::Release => &["release"],
    }
}

fn id_column(kind: ProductKind) -> String {
    format!("{}_id", kind.as_str().replace('-', "_"))
}

impl Store {
    /// What refers to a product, in words; empty if it may be removed.
    pub fn referrers(&self, product: &Product) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let mut ask = |what: &str, sql: &str| -> Result<(), StoreError> {
            let mut statement = self.conn.prepare_cached(sql)?;
            let names = statement.query_map([product.id], |row| row.get::<_, String>(0))?;
            for name in names {
                found.push(format!("{what} {}", name?));
            }
            Ok(())
        };
        for (kind, from, column, to) in REFERENCES.into_iter().filter(|(.., to)| *to == product.kind) {
            debug_assert_eq!(to, product.kind);
            let id = id_column(kind);
            let sql = format!(
                "SELECT DISTINCT coalesce(p.name, CAST(p.id AS TEXT)) FROM product p WHERE p.kind = '{}' \
                 AND p.id IN (SELECT {id} FROM {from} WHERE {column} = ?1)",
                kind.as_str()
            );
            ask(kind.as_str(), &sql)?;
        }
        match product.kind {
            ProductKind::BandSet => ask("survey", "SELECT name FROM survey WHERE band_set_id = ?1")?,
            ProductKind::Checkpoint => {
                ask("ensemble", "SELECT DISTINCT ensemble FROM ensemble_member WHERE checkpoint_id = ?1")?;
            }
            _ => {}
        }
        Ok(found)
    }

    /// Products that nothing refers to and nobody gave a name: definitions and curves left over, and unnamed
    /// training sets and checkpoints. What only they refer to comes after them. Curves and grids that the
    /// user added stay until they are named.
    pub fn garbage(&self) -> Result<Vec<Product>, StoreError> {
        let mut all = self.products()?;
        let added: BTreeSet<RunId> = {
            let mut statement = self
                .conn
                .prepare_cached("SELECT run_id FROM run WHERE command IN ('filter add', 'ssp add')")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        all.retain(|product| !added.contains(&product.run));
        let mut garbage: Vec<Product> = Vec::new();
        loop {
            let mut grew = false;
            for product in &all {
                let collectable = match product.kind {
                    ProductKind::Filter
                    | ProductKind::BandSet
                    | ProductKind::SspGrid
                    | ProductKind::SedModel => true,
                    ProductKind::TrainingSet | ProductKind::Checkpoint => product.name.is_none(),
                    _ => false,
                };
                if !collectable || garbage.contains(product) {
                    continue;
                }
                let gone: Vec<String> = garbage
                    .iter()
                    .map(|p| {
                        format!("{} {}", p.kind.as_str(), p.name.clone().unwrap_or_else(|| p.id.to_string()))
                    })
                    .collect();
                if self.referrers(product)?.iter().all(|referrer| gone.contains(referrer)) {
                    garbage.push(product.clone());
                    grew = true;
                }
            }
            if !grew {
                return Ok(garbage);
            }
        }
    }

    /// Removes products in this order, all or none, and gives their space back to the file system.
    ///
    /// Errors with [`StoreError::Referred`] if one is still referred to.
    pub fn remove_products(&mut self, products: &[Product]) -> Result<Removed, StoreError> {
        let pages = |store: &Store| -> Result<u64, StoreError> {
            let pragma = |name| store.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok((pragma("page_count")? * pragma("page_size")?) as u64)
        };
        let before = pages(self)?;
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let result = products.iter().try_for_each(|product| self.remove(product));
        if let Err(error) = result {
            self.conn.execute_batch("ROLLBACK")?;
            return Err(error);
        }
        self.conn.execute_batch("COMMIT")?;
        self.conn.execute_batch("PRAGMA incremental_vacuum")?;
        Ok(Removed { n_products: products.len(), n_bytes: before.saturating_sub(pages(self)?) })
    }

    fn remove(&self, product: &Product) -> Result<(), StoreError> {
        let referrers = self.referrers(product)?;
        if !referrers.is_empty() {
            return Err(StoreError::Referred { product: product.handle(), referrers });
        }
        let id = id_column(product.kind);
        if product.kind == ProductKind::Ingest {
            let sql = "DELETE FROM photometry WHERE galaxy_id IN (SELECT galaxy_id FROM galaxy WHERE ingest_id = ?1)";
            self.conn.execute(sql, [product.id])?;
        }
        for table in tables(product.kind) {
            self.conn.execute(&format!("DELETE FROM {table} WHERE {id} = ?1"), params![product.id])?;
        }
        Ok(())
    }
}
