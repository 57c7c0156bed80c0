//! Some columns of a stored posterior, read from its blob without the rest.

use rusqlite::{MAIN_DB, OptionalExtension, params};

use super::Store;
use super::error::StoreError;
use super::ids::{GalaxyId, PosteriorId, PosteriorSetId};
use crate::codec::{self, CodecError, HEADER_PREFIX, Header, OLD_CODEC};

impl Store {
    /// Columns `names` of a galaxy's draws in a set, `[names][n]`; `None` where no draws are stored.
    ///
    /// Reads the blob's header and the bytes of those columns alone, and checks them against their
    /// checksums. Errors name the galaxy.
    pub fn draws_of(
        &self,
        set: PosteriorSetId,
        galaxy: GalaxyId,
        names: &[&str],
    ) -> Result<Option<Vec<Vec<f32>>>, StoreError> {
        let sql = "SELECT posterior_id, codec FROM posterior \
                   WHERE posterior_set_id = ?1 AND galaxy_id = ?2 AND samples IS NOT NULL";
        let found: Option<(PosteriorId, String)> = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![set, galaxy], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((id, codec)) = found else { return Ok(None) };
        let named = |source| self.damaged_draws(set, galaxy, source);
        let blob = self.conn.blob_open(MAIN_DB, "posterior", "samples", id.0, true)?;
        if codec == OLD_CODEC {
            let mut bytes = vec![0; blob.len()];
            blob.read_at_exact(&mut bytes, 0)?;
            return codec::decode_columns(&bytes, names).map(Some).map_err(named);
        }
        let mut prefix = [0; HEADER_PREFIX];
        let too_short = |expected| CodecError::Length { expected, found: blob.len() as u64 };
        if blob.len() < HEADER_PREFIX {
            return Err(named(too_short(HEADER_PREFIX as u64)));
        }
        blob.read_at_exact(&mut prefix, 0)?;
        let length = codec::header_len(&prefix).map_err(named)?;
        if length > blob.len() {
            return Err(named(too_short(length as u64)));
        }
        let mut head = vec![0; length];
        blob.read_at_exact(&mut head, 0)?;
        let header = Header::parse_head(&head).map_err(named)?;
        if header.total_bytes != blob.len() {
            return Err(named(too_short(header.total_bytes as u64)));
        }
        let wanted =
            names.iter().map(|name| header.position(name)).collect::<Result<Vec<_>, _>>().map_err(named)?;
        let mut parts: Vec<Vec<u8>> = vec![vec![]; header.columns.len()];
        for column in header.needed(&wanted) {
            let range = header.columns[column].range();
            parts[column] = vec![0; range.len()];
            blob.read_at_exact(&mut parts[column], range.start)?;
        }
        let values = header.decode(&wanted, &mut |column| Ok(parts[column].as_slice())).map_err(named)?;
        Ok(Some((0..wanted.len()).map(|i| values[i * header.n..(i + 1) * header.n].to_vec()).collect()))
    }

    /// The error with the names that people know.
    pub fn damaged_draws(&self, set: PosteriorSetId, galaxy: GalaxyId, source: CodecError) -> StoreError {
        let text = |sql: &str, id: i64| self.conn.query_row(sql, [id], |row| row.get::<_, String>(0));
        let galaxy_name = text(
            "SELECT s.name || '/' || g.object_id FROM galaxy g JOIN survey s USING (survey_id) WHERE galaxy_id = ?1",
            galaxy.0,
        );
        let set_name = text("SELECT name FROM posterior_set WHERE posterior_set_id = ?1", set.0);
        StoreError::Draws {
            galaxy: galaxy_name.map_or(format!("galaxy {galaxy}"), |name| format!("galaxy {name}")),
            set: set_name.unwrap_or_else(|_| set.to_string()),
            source: Box::new(source),
        }
    }
}
