//! What the catalog knows about a file that is to be ingested: whether it was, and how far.

use rusqlite::Row;

use super::Store;
use super::catalog::IngestState;
use super::error::StoreError;
use super::ids::RunId;
use crate::hash::ContentHash;

/// An ingest of a file, complete or interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIngest {
    pub state: IngestState,
    pub survey: String,
    /// The file's name as it was typed then.
    pub file_name: String,
    pub layout: String,
    /// The last run that worked on it.
    pub run: RunId,
    pub started_utc: String,
}

impl Store {
    /// Every ingest of a file with this content, under whatever name, oldest first.
    pub fn ingests_of_file(&self, file_hash: ContentHash) -> Result<Vec<KnownIngest>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT i.ingest_id, i.hash, i.n_read, i.n_kept, i.n_rejected, i.complete, s.name, i.file_name, i.layout, \
             r.run_id, r.started_utc \
             FROM ingest i JOIN survey s USING (survey_id) JOIN run r ON r.run_id = coalesce( \
                 (SELECT max(run_id) FROM run_output WHERE kind = 'ingest' AND hash = i.hash), i.run_id) \
             WHERE i.file_hash = ?1 ORDER BY i.ingest_id",
        )?;
        let rows = statement.query_map([file_hash], read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownIngest> {
    Ok(KnownIngest {
        state: IngestState {
            id: row.get(0)?,
            hash: row.get(1)?,
            n_read: row.get::<_, i64>(2)? as u64,
            n_kept: row.get::<_, i64>(3)? as u64,
            n_rejected: row.get::<_, i64>(4)? as u64,
            complete: row.get(5)?,
        },
        survey: row.get(6)?,
        file_name: row.get(7)?,
        layout: row.get(8)?,
        run: row.get(9)?,
        started_utc: row.get(10)?,
    })
}
