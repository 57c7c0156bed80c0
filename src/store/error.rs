//! What can go wrong with a catalog file, said so that the reader knows what to do.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use thiserror::Error;

use super::runs::RunState;
use crate::codec::BlobError;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("there is no catalog at {path}; `sedflow init` makes one")]
    Missing { path: PathBuf },
    #[error("{path} exists already; `sedflow init` never overwrites a file")]
    Exists { path: PathBuf },
    #[error("{path} is not a sedflow catalog: {why}")]
    Foreign { path: PathBuf, why: String },
    #[error(
        "{path} was made by a newer program: its schema is version {found}, this program knows up to {known}; \
         update sedflow to open it"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} has schema version {found}, older than {known}, and cannot be migrated: {why}")]
    Older { path: PathBuf, found: i64, known: i64, why: String },
    #[error("migrating {path}: {source}; the file is as it was")]
    Migration { path: PathBuf, source: Box<rusqlite_migration::Error> },
    #[error(
        "{path} differs from what its schema version says: {object}; it was changed by another program and is \
         not opened, as a trigger or view in it could do anything"
    )]
    ForeignObject { path: PathBuf, object: String },
    #[error("{holder} is writing to {path}; wait for it to end, or stop it")]
    Locked { path: PathBuf, holder: String },
    #[error(
        "{path} was removed or replaced while this command was writing to it, and what it had written went with it"
    )]
    Lost { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    // SQLite's errors are told in these sentences, not as causes: theirs repeat the whole statement
    #[error("{}", explain(.0))]
    Sqlite(rusqlite::Error),
    #[error("{}", beside(sql, &what(.error)))]
    Sql { sql: String, error: rusqlite::Error },
    #[error(
        "the survey `{survey}` has other bands ({expected}) than this input ({found}); name another survey"
    )]
    OtherBands { survey: String, expected: String, found: String },
    #[error("the survey `{survey}` has {n} cuts already, the most there can be")]
    TooManyCuts { survey: String, n: usize },
    #[error(
        "ingest {ingest} stands at row {expected}, but the batch brings {found} rows up to row {next}: each row \
         must be kept or rejected exactly once"
    )]
    BatchGap { ingest: i64, expected: u64, found: u64, next: u64 },
    #[error("galaxy `{object_id}` has {found} bands where its survey has {expected}")]
    BandCount { object_id: String, expected: usize, found: usize },
    #[error("galaxy `{object_id}` has {found} extra values where the ingest declared {expected}")]
    ExtraCount { object_id: String, expected: usize, found: usize },
    #[error("run {run} is {state} and takes no change")]
    RunEnded { run: i64, state: RunState },
    #[error("there is no {kind} `{name}` in this catalog{}", did_you_mean(kind, name, .known))]
    NoSuch { kind: &'static str, name: String, known: Vec<String> },
    #[error(
        "the {kind} `{name}` exists already, made otherwise; products are immutable, so take another name"
    )]
    NameTaken { kind: &'static str, name: String },
    #[error("`{name}` could be {}; say which", .candidates.join(" or "))]
    Ambiguous { name: String, candidates: Vec<String> },
    #[error("{what}: {source}")]
    Blob { what: String, source: BlobError },
    #[error("the draws of {galaxy} in posterior set {set}: {source}")]
    Draws { galaxy: String, set: String, source: Box<crate::codec::CodecError> },
    #[error("{path} is a release, which is never changed; `sedflow release info` says what it is of")]
    Released { path: PathBuf },
    #[error("{}", .conflicts.join("\n"))]
    Conflicts { conflicts: Vec<String> },
    #[error("{what} is damaged: its checksum is {found}, not {expected}")]
    Checksum { what: String, expected: String, found: String },
    #[error("{what}: expected {expected}, found {found}")]
    Shape { what: String, expected: String, found: String },
    #[error(transparent)]
    Prior(#[from] crate::prior::PriorError),
    #[error(transparent)]
    Noise(#[from] crate::noise::NoiseError),
    #[error("this is not a condition on galaxies: {0}")]
    Expression(crate::expr::ExprError),
    #[error("`{sql}` does more than read; a query is one SELECT")]
    NotReading { sql: String },
    #[error("the query has {name}, which no --param gives a value")]
    MissingParam { name: String },
    #[error("--param gives `{name}`, which the query does not have")]
    UnusedParam { name: String },
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
    #[error("{product} is referred to by {}; remove those first", .referrers.join(", "))]
    Referred { product: String, referrers: Vec<String> },
    #[error("{what} holds JSON this program cannot read: {source}")]
    Json { what: String, source: serde_json::Error },
}

/// A message with the statement it is about: after it, or before one whose last line points at a character.
fn beside(sql: &str, message: &str) -> String {
    if message.contains('\n') { format!("in `{sql}`: {message}") } else { format!("{message} in `{sql}`") }
}

/// What SQLite says, without the statement.
pub(super) fn what(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// Names said at most.
const FEW: usize = 6;

/// The names there are; of many, those most like the one asked for.
fn did_you_mean(kind: &str, name: &str, known: &[String]) -> String {
    let advice = if kind == "column" { "; `sedflow galaxies --list-columns` lists them" } else { "" };
    match known {
        [] => String::new(),
        names if names.len() <= FEW => format!("; there is {}", names.join(", ")),
        names => {
            let wanted = name.to_lowercase();
            let alike = |known: &&String| strsim::jaro_winkler(&wanted, &known.to_lowercase());
            let mut nearest: Vec<&String> = names.iter().collect();
            nearest.sort_by(|a, b| alike(b).total_cmp(&alike(a)));
            let shown: Vec<&str> = nearest.into_iter().take(FEW).map(String::as_str).collect();
            format!("; the nearest of {} are {}{advice}", names.len(), shown.join(", "))
        }
    }
}

fn explain(error: &rusqlite::Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the catalog's write lock; try again when it is done"
        }
        Some(ErrorCode::DatabaseCorrupt) => "the catalog file is damaged; `sedflow check` says where",
        Some(ErrorCode::NotADatabase) => "the file is not an SQLite database",
        Some(ErrorCode::DiskFull) => "the disk is full; what was committed is kept, free space and run again",
        Some(ErrorCode::SystemIoFailure) => {
            "the catalog file could not be written or read (a limit on its size, a quota, a failing disk); what was \
             committed is kept, and the same command goes on"
        }
        Some(ErrorCode::ReadOnly) => "the catalog file or its directory cannot be written",
        _ => return what(error),
    };
    format!("{advice} ({})", what(error))
}

/// What SQLite said, without the statement that it said it about.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Sqlite(error)
    }
}

/// Adds the failed statement's text to an error.
pub(super) trait InSql<T> {
    fn in_sql(self, sql: &str) -> Result<T, StoreError>;
}

impl<T> InSql<T> for rusqlite::Result<T> {
    fn in_sql(self, sql: &str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::Sql { sql: sql.to_owned(), error })
    }
}
