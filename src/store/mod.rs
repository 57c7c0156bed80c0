//! The catalog file: one SQLite database with galaxies, products and the run behind each product.
//!
//! This is the only module that names rusqlite. A catalog is opened for reading by anyone at any time
//! and for writing by one process; the file is distrusted until its identity, version and every
//! trigger, view and table in it are what this program's schema says.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

mod answers;
mod browse;
mod catalog;
mod check;
mod draws;
mod draws_table;
mod error;
mod exchange;
mod files;
mod functions;
mod gc;
mod ids;
mod ingests;
mod lock;
mod merge;
mod models;
mod overview;
mod post;
mod posteriors;
#[cfg(test)]
mod product_tests;
mod query;
mod release;
mod runs;
mod schema;
mod select;
mod sets;
mod shard;
#[cfg(test)]
mod tests;
mod things;
mod training;
mod validations;

pub use crate::codec::{Array, BlobError, Values, decode_arrays, encode_arrays};
pub use answers::{Candidate, CandidatePosterior, ColumnValue, Outline, Readers};
pub use browse::{BrowseRow, GalaxyStory, Interrupter, Order, Place, Towards};
pub use catalog::{
    Band, BandSpec, BatchOutcome, CutSpec, ExtraColumn, FilterCurve, IngestSpec, IngestState, KnownFilter,
    RejectedRow, Survey, SurveySpec, ingest_hash,
};
pub use check::{Finding, Severity, check_file};
pub use error::StoreError;
pub use exchange::KnownCut;
pub use gc::Removed;
pub use ids::*;
pub use ingests::KnownIngest;
pub use lock::{Holder, Standing};
pub use merge::{Merged, SetIdentity};
pub use models::{KnownGrid, Named, SspGridSpec};
pub use overview::{TrainingRow, ValidationRow};
pub use posteriors::{
    DERIVED_SUMMARIES, Method, PosteriorRow, PosteriorSet, PosteriorSetSpec, SUMMARY_PARAMETERS,
    StoredPosterior, Summary,
};
pub use query::QueryParam;
pub use release::{Described, Profile, Release, ReleaseSpec};
pub use runs::{Artifact, GIT_COMMIT, PROGRAM_VERSION, Run, RunSpec, RunState};
pub use schema::{APPLICATION_ID, DictionaryEntry, dictionary, dictionary_markdown};

pub use select::{Cone, ObservedGalaxy, Selection};
pub use sets::{Ingredient, Member, SetFacts};
pub use shard::IngestFact;
pub use things::{Product, Thing};
pub use training::{
    Checkpoint, CheckpointKind, CheckpointSpec, Epoch, TrainingSet, TrainingSetSpec, TrainingSpec,
};
pub use validations::{Metric, Validation, ValidationSpec};

use error::InSql;
use lock::{Acquired, WriterLock};
use schema::Schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sees consistent data, changes nothing and never waits.
    Read,
    /// The one writer; a second one is refused with [`StoreError::Locked`].
    Write,
}

/// The kinds of product, as they are written in `run_input.kind`, in `product.kind` and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductKind {
    Filter,
    BandSet,
    Ingest,
    SspGrid,
    SedModel,
    Prior,
    NoiseModel,
    TrainingSet,
    Training,
    Checkpoint,
    Validation,
    PosteriorSet,
    Release,
}

impl ProductKind {
    pub const ALL: [ProductKind; 13] = [
        ProductKind::Filter,
        ProductKind::BandSet,
        ProductKind::Ingest,
        ProductKind::SspGrid,
        ProductKind::SedModel,
        ProductKind::Prior,
        ProductKind::NoiseModel,
        ProductKind::TrainingSet,
        ProductKind::Training,
        ProductKind::Checkpoint,
        ProductKind::Validation,
        ProductKind::PosteriorSet,
        ProductKind::Release,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            ProductKind::Filter => "filter",
            ProductKind::BandSet => "band-set",
            ProductKind::Ingest => "ingest",
            ProductKind::SspGrid => "ssp-grid",
            ProductKind::SedModel => "sed-model",
            ProductKind::Prior => "prior",
            ProductKind::NoiseModel => "noise-model",
            ProductKind::TrainingSet => "training-set",
            ProductKind::Training => "training",
            ProductKind::Checkpoint => "checkpoint",
            ProductKind::Validation => "validation",
            ProductKind::PosteriorSet => "posterior-set",
            ProductKind::Release => "release",
        }
    }
}

/// An open catalog.
pub struct Store {
    conn: Connection,
    path: PathBuf,
    mode: Mode,
    notes: Vec<String>,
    lock: Option<WriterLock>,
    /// Of the file that was opened.
    identity: Option<(u64, u64)>,
}

/// Larger blobs and texts are refused on reading and writing; a training chunk or checkpoint is far below.
const MAX_VALUE_BYTES: i32 = 512 << 20;
const PAGE_BYTES: i64 = 8192;
const WRITER_CACHE_KIB: i64 = 96 << 10;
const READER_CACHE_KIB: i64 = 32 << 10;
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

impl Store {
    /// Makes an empty catalog. Errors with [`StoreError::Exists`] if there is one, or any other file.
    ///
    /// Killed half-way, it leaves an empty or unfinished file, which the next call takes over.
    pub fn create(path: &Path) -> Result<Store, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Ok(file) if !file.is_file() || file.len() > 0 && !files::is_half_made(path) => {
                return Err(StoreError::Exists { path: path.to_owned() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::File::create_new(path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        let lock = take_lock(path)?;
        let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // One wait for the disk, at the end: the journal guards against a kill, and until then nothing is lost.
        conn.pragma_update(None, "synchronous", "OFF")?;
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        // space that gc frees can go back without a rewrite of the file
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        schema::CURRENT
            .migrate(&mut conn)
            .map_err(|source| StoreError::Migration { path: path.to_owned(), source: Box::new(source) })?;
        let mut store = Store {
            conn,
            path: path.to_owned(),
            mode: Mode::Write,
            notes: vec![],
            lock: Some(lock),
            identity: files::identity(path),
        };
        store.choose_journal()?;
        functions::register(&store.conn)?;
        Ok(store)
    }

    /// Opens a catalog. One of an older schema is first copied aside and migrated, whatever the mode;
    /// [`Store::notes`] then says so.
    pub fn open(path: &Path, mode: Mode) -> Result<Store, StoreError> {
        Self::open_with(path, mode, schema::CURRENT)
    }

    /// Opens the catalog, or makes one where there is none or one that was killed while it was made.
    pub fn open_or_create(path: &Path) -> Result<Store, StoreError> {
        match std::fs::metadata(path) {
            Ok(file) if file.len() > 0 && !files::is_half_made(path) => Self::open(path, Mode::Write),
            _ => Self::create(path),
        }
    }

    fn open_with(path: &Path, mode: Mode, schema: Schema) -> Result<Store, StoreError> {
        let mut notes = Vec::new();
        let mut lock = if mode == Mode::Write && path.exists() { Some(take_lock(path)?) } else { None };
        let (mut conn, version) = files::connect_existing(path)?;
        let known = schema.version();
        if version > known {
            return Err(StoreError::Newer { path: path.to_owned(), found: version, known });
        }
        let released = files::is_release(&conn)?;
        if released && mode == Mode::Write {
            return Err(StoreError::Released { path: path.to_owned() });
        }
        if version < known && released {
            conn = files::migrated_copy(path, &conn, schema)?;
            notes.push(format!(
                "{} is a release of schema version {version}, read through a copy of version {known} that is gone with \
                 this process",
                path.display()
            ));
        } else if version < known {
            let migration_lock = match lock.take() {
                Some(lock) => lock,
                None => take_lock(path)?,
            };
            drop(conn);
            let backup = files::migrate_with_backup(path, version, schema)?;
            conn = files::connect_existing(path)?.0;
            lock = (mode == Mode::Write).then_some(migration_lock);
            notes.push(format!(
                "migrated {} from schema version {version} to {known}; the file as it was is kept in {}",
                path.display(),
                backup.display()
            ));
        }
        let identity = files::identity(path);
        let mut store = Store { conn, path: path.to_owned(), mode, notes, lock, identity };
        if schema.version() == schema::CURRENT.version() {
            store.verify_objects()?;
        }
        functions::register(&store.conn)?;
        match mode {
            Mode::Write => {
                store.choose_journal()?;
                store.mark_interrupted_runs()?;
            }
            Mode::Read => {
                store.conn.pragma_update(None, "query_only", true)?;
                store.conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
            }
        }
        Ok(store)
    }

    /// True for what a process leaves that was killed while it made a catalog; [`Store::open_or_create`] takes it over.
    pub fn is_half_made(path: &Path) -> bool {
        files::is_half_made(path)
    }

    /// Which process writes to the catalog at `path`, where one does, and how far it is.
    pub fn writer(path: &Path) -> Option<Holder> {
        lock::holder(path)
    }

    /// Lets other processes see how far this one is, where it is the one that writes to the catalog at `path`.
    pub fn post(path: &Path, standing: Option<Standing>) -> std::io::Result<()> {
        lock::post(path, standing)
    }

    /// True while some process writes to the catalog at `path`.
    pub fn is_being_written(path: &Path) -> bool {
        lock::is_held(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Errors with [`StoreError::Lost`] if the file that is being written is not where it was opened: SQLite
    /// would go on writing to a file without a name.
    fn still_there(&self) -> Result<(), StoreError> {
        if self.identity.is_some() && files::identity(&self.path) != self.identity {
            return Err(StoreError::Lost { path: self.path.clone() });
        }
        Ok(())
    }

    /// What the user should know about how the file was opened (migrated, slower journal).
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A second connection that reads while this one writes.
    pub fn reader(&self) -> Result<Store, StoreError> {
        Self::open(&self.path, Mode::Read)
    }

    /// Refuses a file with a trigger of its own or with any object of ours changed. Foreign tables,
    /// views and indexes are let be: nothing runs them unless the user asks.
    fn verify_objects(&self) -> Result<(), StoreError> {
        let foreign = |object: String| StoreError::ForeignObject { path: self.path.clone(), object };
        let (found, expected) = (schema::objects(&self.conn)?, schema::expected_objects()?);
        for (object, sql) in expected {
            let (kind, name) = object;
            match found.get(object) {
                Some(same) if same == sql => {}
                Some(_) => return Err(foreign(format!("the {kind} `{name}` was changed"))),
                None => return Err(foreign(format!("the {kind} `{name}` is missing"))),
            }
        }
        match found.keys().find(|object| object.0 == "trigger" && !expected.contains_key(*object)) {
            Some((_, name)) => Err(foreign(format!("there is a foreign trigger `{}`", name.escape_debug()))),
            None => Ok(()),
        }
    }

    /// Write-ahead log where the file system can share memory between processes, else a rollback journal.
    fn choose_journal(&mut self) -> Result<(), StoreError> {
        self.choose_journal_on(files::network_file_system(&self.path))
    }

    fn choose_journal_on(&mut self, network: Option<&str>) -> Result<(), StoreError> {
        let wanted = if network.is_some() { "DELETE" } else { "WAL" };
        let got: String = self
            .conn
            .query_row(&format!("PRAGMA journal_mode = {wanted}"), [], |row| row.get(0))
            .in_sql("PRAGMA journal_mode")?;
        let path = self.path.display();
        match (network, got.eq_ignore_ascii_case("wal")) {
            (None, true) => {}
            (Some(name), true) => self.notes.push(format!(
                "{path} lies on {name} but is in use with a write-ahead log: processes on other machines must not \
                 open it now"
            )),
            (network, false) => {
                let why = network.map_or("its file system cannot share memory".into(), |name| format!("it lies on {name}"));
                self.notes.push(format!(
                    "{path} is written with a rollback journal, because {why}: readers wait while a batch is \
                     committed, and other machines must not write to it meanwhile"
                ));
            }
        }
        // FULL: what a command reported as committed survives a power cut
        self.conn.pragma_update(None, "synchronous", "FULL")?;
        self.conn.pragma_update(None, "wal_autocheckpoint", 4000)?;
        // indexes of positions and redshifts are filled in no order; their pages should stay in memory
        self.conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.mode == Mode::Write {
            // refresh the planner's statistics where a table has grown; failing to is no loss
            let _ = self.conn.execute_batch("PRAGMA analysis_limit = 1000; PRAGMA optimize;");
        }
    }
}

fn take_lock(path: &Path) -> Result<WriterLock, StoreError> {
    match WriterLock::acquire(path) {
        Ok(Acquired::Yes(lock)) => Ok(lock),
        Ok(Acquired::HeldBy(holder)) => Err(StoreError::Locked {
            path: path.to_owned(),
            holder: holder.map_or("another sedflow process".to_owned(), |holder| holder.to_string()),
        }),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}

/// A connection that distrusts its file: defensive, no double-quoted strings, no functions with side
/// effects in the schema, sizes bounded.
fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    harden(&conn)?;
    Ok(conn)
}

fn harden(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    conn.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 4)?;
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0;")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Errors with [`StoreError::Checksum`] if `bytes` are not those that were hashed.
fn verify_blob(
    what: impl FnOnce() -> String,
    bytes: &[u8],
    expected: crate::hash::ContentHash,
) -> Result<(), StoreError> {
    let found = crate::hash::ContentHash::of_bytes(bytes);
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Checksum { what: what(), expected: expected.short(), found: found.short() })
}
