//! What is fuzzed: readers of foreign bytes, a file per target. An input gives an error or values that hold
//! together; never a panic, a hang, or memory beyond the reader's limits.
//!
//! `tests/fuzz.rs` takes this file in, so that every target runs in `cargo test` too.

use std::path::Path;

use sedflow::tables::{Block, ColumnInfo, Table, TableError};

mod blob;
mod checkpoint;
mod csv_map;
mod draws;
mod ecsv;
mod expression;
mod fits;
mod parquet;
mod recipe;
mod ssp;
mod votable;

pub struct Target {
    /// Also of its binary, dictionary and corpus.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*];
    };
}

targets! { blob checkpoint csv_map draws ecsv expression fits parquet recipe ssp votable }

/// The target of that name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

/// Writes the target's seeds into the folder that `FUZZ_SEEDS` names; libFuzzer reads its corpora after this.
pub fn write_seeds(name: &str) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS") else { return };
    for (i, seed) in (target(name).seeds)().into_iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{i}")), seed)
            .expect("a folder that can be written to");
    }
}

/// Reads a table to its end, and every value of it.
fn drain(mut table: impl Table) {
    for _ in 0..1000 {
        match table.next_block(64) {
            Ok(Some(block)) => {
                for column in &block.columns {
                    assert_eq!(column.n_rows(), if column.len == 0 { 0 } else { block.n_rows() });
                    (0..column.n_rows() * column.len).for_each(|i| drop((column.number(i), column.text(i))));
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

struct Boxed(Box<dyn Table>);

impl Table for Boxed {
    fn format(&self) -> &'static str {
        self.0.format()
    }
    fn columns(&self) -> &[ColumnInfo] {
        self.0.columns()
    }
    fn n_rows(&self) -> Option<u64> {
        self.0.n_rows()
    }
    fn select(&mut self, columns: &[usize]) {
        self.0.select(columns);
    }
    fn next_block(&mut self, rows: usize) -> Result<Option<Block>, TableError> {
        self.0.next_block(rows)
    }
}

/// Reads bytes through a file, as formats that need to seek do.
fn through_a_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        read(&path);
    });
}
