//! Surveys, bands, cuts and galaxies: what ingests write and everything else reads.

use std::fmt::Write as _;

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{BandId, BandSetId, FilterId, IngestId, RunId, SurveyId};
use super::runs::Artifact;
use super::{ProductKind, Store};
use crate::galaxy::{ExtraValue, GalaxyRecord};
use crate::hash::ContentHash;
use crate::sky;

/// A bandpass: photon-counting response at ascending wavelengths in Angstrom.
#[derive(Debug, Clone, Copy)]
pub struct FilterCurve<'a> {
    pub name: &'a str,
    pub hash: ContentHash,
    pub wave_pivot_aa: f64,
    pub wave_aa: &'a [f64],
    pub response: &'a [f64],
}

/// A bandpass as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFilter {
    pub id: FilterId,
    pub name: String,
    pub hash: ContentHash,
    /// The run that registered it.
    pub run: RunId,
}

/// One band of a band set to be registered, in the order of the photometry.
#[derive(Debug, Clone)]
pub struct BandSpec {
    /// Short name within the set: `r`, `W1`.
    pub name: String,
    /// Its filter curve and that curve's hash; `None` where the curve is not known and the band cannot be modelled.
    pub filter: Option<(FilterId, ContentHash)>,
    /// Word for the spectral region, `em.opt.R`.
    pub ucd: Option<String>,
}

/// A band as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    pub id: BandId,
    pub name: String,
    pub filter: Option<FilterId>,
    pub filter_name: Option<String>,
    pub filter_hash: Option<ContentHash>,
    pub ucd: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct SurveySpec<'a> {
    pub name: &'a str,
    pub band_set: BandSetId,
    pub description: Option<&'a str>,
    /// Whom to cite for the photometry.
    pub reference: Option<&'a str>,
}

#[derive(Debug, Clone)]
pub struct Survey {
    pub id: SurveyId,
    pub name: String,
    pub band_set: BandSetId,
    pub description: Option<String>,
    pub reference: Option<String>,
}

/// A quality cut as data: what is tested, in words and as JSON.
#[derive(Debug, Clone, Copy)]
pub struct CutSpec<'a> {
    pub name: &'a str,
    pub definition: &'a Value,
    pub description: &'a str,
}

/// A column of the input that is kept beside what the program understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraColumn {
    pub name: String,
    pub unit: Option<String>,
    pub ucd: Option<String>,
    pub description: Option<String>,
}

/// One file going into one survey under one configuration; the same three are the same ingest.
#[derive(Debug, Clone)]
pub struct IngestSpec<'a> {
    pub survey: SurveyId,
    pub survey_name: &'a str,
    pub file_name: &'a str,
    pub file_hash: ContentHash,
    pub n_bytes: u64,
    /// `fits`, `csv`, `ecsv`, `votable`, `parquet`.
    pub format: &'a str,
    /// Name of the built-in layout, or of the column map.
    pub layout: &'a str,
    /// Everything that decides how rows are read, resolved.
    pub config: &'a Value,
    /// What was done about Galactic extinction, in words.
    pub extinction: &'a str,
    pub extra: &'a [ExtraColumn],
}

/// What makes an ingest the same one: file, survey, layout and configuration.
pub fn ingest_hash(file: ContentHash, survey: &str, layout: &str, config: &Value) -> ContentHash {
    let config = config.to_string();
    ContentHash::of_parts([
        file.as_bytes().as_slice(),
        survey.as_bytes(),
        layout.as_bytes(),
        config.as_bytes(),
    ])
}

/// How far an ingest is. Row `n_read` of the input is the next one wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestState {
    pub id: IngestId,
    pub hash: ContentHash,
    pub n_read: u64,
    pub n_kept: u64,
    pub n_rejected: u64,
    pub complete: bool,
}

/// A row of the input that became no galaxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    pub source_row: u64,
    /// A short code, `RA_RANGE`, `DUPLICATE_ID`.
    pub reason: String,
    /// Column, found and expected, for a person.
    pub detail: Option<String>,
    pub object_id: Option<String>,
}

/// What became of a batch: the store itself rejects identifiers that the survey has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    pub n_kept: u64,
    pub duplicates: Vec<RejectedRow>,
}

impl Store {
    /// Registers a bandpass; the same hash is the same filter.
    pub fn put_filter(&mut self, run: RunId, filter: &FilterCurve<'_>) -> Result<FilterId, StoreError> {
        let known = "SELECT filter_id FROM filter_curve WHERE hash = ?1";
        if let Some(id) = self.conn.query_row(known, [filter.hash], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        if filter.wave_aa.len() != filter.response.len() {
            return Err(StoreError::Shape {
                what: format!("filter `{}`", filter.name),
                expected: format!("{} responses", filter.wave_aa.len()),
                found: filter.response.len().to_string(),
            });
        }
        let values = filter.wave_aa.iter().chain(filter.response);
        let curve: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        self.conn.execute(
            "INSERT INTO filter_curve (hash, name, wave_pivot_aa, n_wave, curve, curve_hash, run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                filter.hash,
                filter.name,
                filter.wave_pivot_aa,
                filter.wave_aa.len() as i64,
                curve,
                ContentHash::of_bytes(&curve),
                run
            ],
        )?;
        Ok(FilterId(self.conn.last_insert_rowid()))
    }

    /// A filter's name, wavelengths (Angstrom) and responses.
    pub fn filter(&self, id: FilterId) -> Result<(String, Vec<f64>, Vec<f64>), StoreError> {
        let (name, n_wave, curve, expected): (String, usize, Vec<u8>, ContentHash) = self.conn.query_row(
            "SELECT name, n_wave, curve, curve_hash FROM filter_curve WHERE filter_id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize, row.get(2)?, row.get(3)?)),
        )?;
        super::verify_blob(|| format!("the curve of filter `{name}`"), &curve, expected)?;
        let mut values: Vec<f64> =
            curve.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let response = values.split_off(n_wave.min(values.len()));
        Ok((name, values, response))
    }

    /// All curves, oldest first.
    pub fn filters(&self) -> Result<Vec<KnownFilter>, StoreError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT filter_id, name, hash, run_id FROM filter_curve ORDER BY filter_id")?;
        let rows = statement.query_map([], |row| {
            Ok(KnownFilter { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)?, run: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Registers an ordered set of bands; the same bands with the same curves are the same set.
    pub fn put_band_set(
        &mut self,
        run: RunId,
        name: &str,
        bands: &[BandSpec],
    ) -> Result<BandSetId, StoreError> {
        let none = ContentHash::from_bytes([0; 32]);
        let hash = ContentHash::of_parts(bands.iter().flat_map(|band| {
            let filter = band.filter.as_ref().map_or(&none, |(_, hash)| hash);
            [band.name.as_bytes(), filter.as_bytes().as_slice()]
        }));
        let known = "SELECT band_set_id FROM band_set WHERE hash = ?1";
        if let Some(id) = self.conn.query_row(known, [hash], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let tx = self.conn.transaction()?;
        tx.execute(
            "INSERT INTO band_set (hash, name, run_id) VALUES (?1, ?2, ?3)",
            params![hash, name, run],
        )?;
        let id = BandSetId(tx.last_insert_rowid());
        for (position, band) in bands.iter().enumerate() {
            tx.execute(
                "INSERT INTO band (band_set_id, position, name, filter_id, ucd) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, position as i64, band.name, band.filter.map(|(id, _)| id), band.ucd],
            )?;
        }
        tx.commit()?;
        Ok(id)
    }

    /// The bands of a set in the order of its photometry.
    pub fn bands(&self, set: BandSetId) -> Result<Vec<Band>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT b.band_id, b.name, b.filter_id, f.name, f.hash, b.ucd \
             FROM band b LEFT JOIN filter_curve f USING (filter_id) WHERE b.band_set_id = ?1 ORDER BY b.position",
        )?;
        let rows = statement.query_map([set], |row| {
            Ok(Band {
                id: row.get(0)?,
                name: row.get(1)?,
                filter: row.get(2)?,
                filter_name: row.get(3)?,
                filter_hash: row.get(4)?,
                ucd: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub fn band_set_hash(&self, set: BandSetId) -> Result<ContentHash, StoreError> {
        Ok(self
            .conn
            .query_row("SELECT hash FROM band_set WHERE band_set_id = ?1", [set], |row| row.get(0))?)
    }

    /// Registers a survey, or finds it. Errors with [`StoreError::OtherBands`] if it exists with other bands.
    pub fn put_survey(&mut self, run: RunId, spec: &SurveySpec<'_>) -> Result<SurveyId, StoreError> {
        if let Some(survey) = self.find_survey(spec.name)? {
            if survey.band_set == spec.band_set {
                return Ok(survey.id);
            }
            let names = |set| -> Result<String, StoreError> {
                let bands = self.bands(set)?;
                let name = |band: Band| match band.filter_name {
                    Some(filter) => format!("{} = {filter}", band.name),
                    None => band.name,
                };
                Ok(bands.into_iter().map(name).collect::<Vec<_>>().join(", "))
            };
            return Err(StoreError::OtherBands {
                survey: spec.name.to_owned(),
                expected: names(survey.band_set)?,
                found: names(spec.band_set)?,
            });
        }
        self.conn.execute(
            "INSERT INTO survey (name, band_set_id, description, reference, run_id) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![spec.name, spec.band_set, spec.description, spec.reference, run],
        )?;
        Ok(SurveyId(self.conn.last_insert_rowid()))
    }

    pub fn surveys(&self) -> Result<Vec<Survey>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT survey_id, name, band_set_id, description, reference FROM survey ORDER BY survey_id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Survey {
                id: row.get(0)?,
                name: row.get(1)?,
                band_set: row.get(2)?,
                description: row.get(3)?,
                reference: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub fn find_survey(&self, name: &str) -> Result<Option<Survey>, StoreError> {
        Ok(self.surveys()?.into_iter().find(|survey| survey.name == name))
    }

    pub fn survey(&self, name: &str) -> Result<Survey, StoreError> {
        self.find_survey(name)?.ok_or_else(|| StoreError::NoSuch {
            kind: "survey",
            name: name.to_owned(),
            known: self.surveys().unwrap_or_default().into_iter().map(|survey| survey.name).collect(),
        })
    }

    /// Registers a cut of a survey and returns its bit in `galaxy.cuts_failed`. The same definition is the same cut.
    pub fn put_cut(&mut self, run: RunId, survey: SurveyId, cut: &CutSpec<'_>) -> Result<u32, StoreError> {
        let definition = cut.definition.to_string();
        let hash = ContentHash::of_parts([cut.name.as_bytes(), definition.as_bytes()]);
        let known = "SELECT bit FROM cut_rule WHERE survey_id = ?1 AND hash = ?2";
        if let Some(bit) = self.conn.query_row(known, params![survey, hash], |row| row.get(0)).optional()? {
            return Ok(bit);
        }
        let next = "SELECT count(*) FROM cut_rule WHERE survey_id = ?1";
        let bit: u32 = self.conn.query_row(next, [survey], |row| row.get(0))?;
        if bit > 62 {
            let name = "SELECT name FROM survey WHERE survey_id = ?1";
            let survey = self.conn.query_row(name, [survey], |row| row.get(0))?;
            return Err(StoreError::TooManyCuts { survey, n: 63 });
        }
        self.conn.execute(
            "INSERT INTO cut_rule (survey_id, bit, name, definition, description, hash, run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![survey, bit, cut.name, definition, cut.description, hash, run],
        )?;
        Ok(bit)
    }

    /// Registers an ingest, or finds it and says how far it is: an interrupted one goes on, a complete one is done.
    pub fn begin_ingest(&mut self, run: RunId, spec: &IngestSpec<'_>) -> Result<IngestState, StoreError> {
        let config = spec.config.to_string();
        let hash = ingest_hash(spec.file_hash, spec.survey_name, spec.layout, spec.config);
        self.add_run_input(run, &Artifact::file(spec.file_name, spec.file_hash, spec.n_bytes))?;
        let tx = self.conn.transaction()?;
        let known = tx
            .query_row("SELECT ingest_id FROM ingest WHERE hash = ?1", [hash], |row| row.get(0))
            .optional()?;
        let id: IngestId = match known {
            Some(id) => id,
            None => {
                tx.execute(
                    "INSERT INTO ingest (survey_id, run_id, hash, file_name, file_hash, n_bytes, format, layout, config, \
                     extinction) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        spec.survey,
                        run,
                        hash,
                        spec.file_name,
                        spec.file_hash,
                        spec.n_bytes as i64,
                        spec.format,
                        spec.layout,
                        config,
                        spec.extinction
                    ],
                )?;
                let id = IngestId(tx.last_insert_rowid());
                for (position, column) in spec.extra.iter().enumerate() {
                    tx.execute(
                        "INSERT INTO extra_column (ingest_id, position, name, unit, ucd, description) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![
                            id,
                            position as i64,
                            column.name,
                            column.unit,
                            column.ucd,
                            column.description
                        ],
                    )?;
                }
                id
            }
        };
        tx.commit()?;
        self.add_run_output(run, &Artifact::product(ProductKind::Ingest, spec.file_name, hash))?;
        self.ingest_state(id)
    }

    pub fn ingest_state(&self, id: IngestId) -> Result<IngestState, StoreError> {
        Ok(self.conn.query_row(
            "SELECT ingest_id, hash, n_read, n_kept, n_rejected, complete FROM ingest WHERE ingest_id = ?1",
            [id],
            |row| {
                Ok(IngestState {
                    id: row.get(0)?,
                    hash: row.get(1)?,
                    n_read: row.get::<_, i64>(2)? as u64,
                    n_kept: row.get::<_, i64>(3)? as u64,
                    n_rejected: row.get::<_, i64>(4)? as u64,
                    complete: row.get(5)?,
                })
            },
        )?)
    }

    /// Commits one batch, all or nothing: galaxies with their photometry, rejected rows, counts of things
    /// noticed (added up under their name), and the place where the next batch begins.
    ///
    /// The batch accounts for every row of the input from [`IngestState::n_read`] up to `next_row`.
    pub fn commit_ingest_batch(
        &mut self,
        ingest: IngestId,
        next_row: u64,
        galaxies: &[GalaxyRecord],
        rejected: &[RejectedRow],
        counts: &[(String, u64)],
    ) -> Result<BatchOutcome, StoreError> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let (survey, n_read, band_set, n_extra): (SurveyId, i64, BandSetId, i64) = tx.query_row(
            "SELECT i.survey_id, i.n_read, s.band_set_id, \
             (SELECT count(*) FROM extra_column WHERE ingest_id = i.ingest_id) \
             FROM ingest i JOIN survey s USING (survey_id) WHERE i.ingest_id = ?1",
            [ingest],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let n_rows = (galaxies.len() + rejected.len()) as u64;
        if n_read as u64 + n_rows != next_row {
            return Err(StoreError::BatchGap {
                ingest: ingest.0,
                expected: n_read as u64,
                found: n_rows,
                next: next_row,
            });
        }
        let names = string_column(
            &tx,
            "SELECT name FROM extra_column WHERE ingest_id = ?1 ORDER BY position",
            ingest.0,
        )?;
        let keys: Vec<String> = names.into_iter().map(|name| format!("{}:", Value::from(name))).collect();
        let bands: Vec<BandId> = {
            let mut statement =
                tx.prepare_cached("SELECT band_id FROM band WHERE band_set_id = ?1 ORDER BY position")?;
            statement.query_map([band_set], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        debug_assert_eq!(keys.len() as i64, n_extra);
        let duplicates = insert_galaxies(&tx, ingest, survey, &bands, &keys, galaxies)?;
        {
            let mut reject = tx.prepare_cached(
                "INSERT INTO ingest_reject (ingest_id, source_row, reason, detail, object_id) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for row in rejected.iter().chain(&duplicates) {
                reject.execute(params![
                    ingest,
                    row.source_row as i64,
                    row.reason,
                    row.detail,
                    row.object_id
                ])?;
            }
            let mut count = tx.prepare_cached(
                "INSERT INTO ingest_count (ingest_id, item, n) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            )?;
            for (item, n) in counts {
                count.execute(params![ingest, item, *n as i64])?;
            }
        }
        let n_kept = (galaxies.len() - duplicates.len()) as u64;
        tx.execute(
            "UPDATE ingest SET n_read = ?2, n_kept = n_kept + ?3, n_rejected = n_rejected + ?4 WHERE ingest_id = ?1",
            params![ingest, next_row as i64, n_kept as i64, (n_rows - n_kept) as i64],
        )?;
        tx.commit()?;
        Ok(BatchOutcome { n_kept, duplicates })
    }

    /// Declares that the whole input was read. The ingest is immutable from here on.
    pub fn finish_ingest(&mut self, ingest: IngestId) -> Result<IngestState, StoreError> {
        self.conn.execute("UPDATE ingest SET complete = 1 WHERE ingest_id = ?1", [ingest])?;
        self.ingest_state(ingest)
    }

    /// Rejected rows of an ingest in the order of the input, at most `limit`.
    pub fn rejected_rows(&self, ingest: IngestId, limit: usize) -> Result<Vec<RejectedRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT source_row, reason, detail, object_id FROM ingest_reject WHERE ingest_id = ?1 ORDER BY source_row LIMIT ?2",
        )?;
        let rows = statement.query_map(params![ingest, limit as i64], |row| {
            Ok(RejectedRow {
                source_row: row.get::<_, i64>(0)? as u64,
                reason: row.get(1)?,
                detail: row.get(2)?,
                object_id: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Number of rejected rows by reason, and of everything else counted while reading, by name.
    pub fn ingest_counts(&self, ingest: IngestId) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT 'rejected: ' || reason, count(*) FROM ingest_reject WHERE ingest_id = ?1 GROUP BY reason \
             UNION ALL SELECT item, n FROM ingest_count WHERE ingest_id = ?1 ORDER BY 1",
        )?;
        let rows = statement.query_map([ingest], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn string_column(tx: &Transaction<'_>, sql: &str, id: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = tx.prepare_cached(sql)?;
    Ok(statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Inserts galaxies and their photometry; returns those whose identifier the survey has already.
fn insert_galaxies(
    tx: &Transaction<'_>,
    ingest: IngestId,
    survey: SurveyId,
    bands: &[BandId],
    extra_keys: &[String],
    galaxies: &[GalaxyRecord],
) -> Result<Vec<RejectedRow>, StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO galaxy (survey_id, ingest_id, source_row, object_id, ra_deg, dec_deg, healpix29, redshift, \
         redshift_err, cuts_failed, extra) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (survey_id, object_id) DO NOTHING",
    )?;
    let mut phot = tx.prepare_cached(
        "INSERT INTO photometry (galaxy_id, band_id, flux_nmgy, ivar_nmgy, flags) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut duplicates = Vec::new();
    let mut extra = String::new();
    for galaxy in galaxies {
        let counted = |found: usize, expected: usize| (found != expected).then_some((found, expected));
        if let Some((found, expected)) = counted(galaxy.photometry.len(), bands.len()) {
            return Err(StoreError::BandCount { object_id: galaxy.object_id.clone(), expected, found });
        }
        if let Some((found, expected)) = counted(galaxy.extra.len(), extra_keys.len()) {
            return Err(StoreError::ExtraCount { object_id: galaxy.object_id.clone(), expected, found });
        }
        extra_json(extra_keys, &galaxy.extra, &mut extra);
        let inserted = insert.execute(params![
            survey,
            ingest,
            galaxy.source_row as i64,
            galaxy.object_id,
            galaxy.position.map(|p| p.ra_deg),
            galaxy.position.map(|p| p.dec_deg),
            galaxy.position.map(|p| sky::healpix29(p.ra_deg, p.dec_deg) as i64),
            galaxy.redshift,
            galaxy.redshift_err,
            galaxy.cuts_failed as i64,
            (!extra_keys.is_empty()).then_some(&extra),
        ])?;
        if inserted == 0 {
            duplicates.push(duplicate(tx, survey, galaxy)?);
            continue;
        }
        let galaxy_id = tx.last_insert_rowid();
        for (band, measured) in bands.iter().zip(&galaxy.photometry) {
            phot.execute(params![galaxy_id, band, measured.flux_nmgy, measured.ivar_nmgy, measured.flags])?;
        }
    }
    Ok(duplicates)
}

fn duplicate(
    tx: &Transaction<'_>,
    survey: SurveyId,
    galaxy: &GalaxyRecord,
) -> Result<RejectedRow, StoreError> {
    let (row, file): (i64, String) = tx
        .prepare_cached(
            "SELECT g.source_row, i.file_name FROM galaxy g JOIN ingest i USING (ingest_id) \
             WHERE g.survey_id = ?1 AND g.object_id = ?2",
        )?
        .query_row(params![survey, galaxy.object_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(RejectedRow {
        source_row: galaxy.source_row,
        reason: "DUPLICATE_ID".to_owned(),
        detail: Some(format!("first seen in row {row} of {file}")),
        object_id: Some(galaxy.object_id.clone()),
    })
}

/// `{"key":value,...}`; NULLs are left out, and numbers JSON has no word for are written as text.
fn extra_json(keys: &[String], values: &[ExtraValue], out: &mut String) {
    out.clear();
    out.push('{');
    for (key, value) in keys.iter().zip(values) {
        if *value == ExtraValue::Null {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(key);
        // writing to a String does not fail
        let _ = match value {
            ExtraValue::Null => Ok(()),
            ExtraValue::Int(value) => write!(out, "{value}"),
            ExtraValue::Float(value) if value.is_finite() => write!(out, "{value:?}"),
            ExtraValue::Float(value) => write!(out, "\"{value}\""),
            ExtraValue::Text(text) => write!(out, "{}", Value::from(text.as_str())),
        };
    }
    out.push('}');
}
