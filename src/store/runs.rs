//! Runs: the command, configuration, seed, program and machine behind every product.

use std::fmt;
use std::str::FromStr;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::RunId;
use super::{Mode, Store};
use crate::hash::ContentHash;

/// The program's version and the commit it was built from (`unknown` where the build had no repository).
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");
pub const GIT_COMMIT: &str = env!("SEDFLOW_GIT_COMMIT");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Done,
    Failed,
    /// Stopped by the user, or its process was killed; the same command goes on where it was.
    Interrupted,
}

impl RunState {
    pub const fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunState {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [RunState::Running, RunState::Done, RunState::Failed, RunState::Interrupted]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::NoSuch { kind: "run state", name: text.to_owned(), known: vec![] })
    }
}

/// What a run is about to do. The arguments, program, machine and time are found by [`Store::begin_run`].
#[derive(Debug, Clone)]
pub struct RunSpec<'a> {
    /// The subcommand: `ingest`, `train`.
    pub command: &'a str,
    /// Everything the result depends on, after defaults, files and flags are resolved; a JSON object.
    pub config: &'a Value,
    pub seed: Option<u64>,
    /// The interrupted run that this one continues.
    pub resumes: Option<RunId>,
}

/// Something a run read or wrote, by content. `kind` is `file` or a product kind of [`super::ProductKind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub kind: String,
    pub name: String,
    pub hash: ContentHash,
    pub n_bytes: Option<u64>,
}

impl Artifact {
    /// `name` as a person would say it; a path is kept as typed.
    pub fn file(name: impl Into<String>, hash: ContentHash, n_bytes: u64) -> Self {
        Self { kind: "file".to_owned(), name: name.into(), hash, n_bytes: Some(n_bytes) }
    }

    pub fn product(kind: super::ProductKind, name: impl Into<String>, hash: ContentHash) -> Self {
        Self { kind: kind.as_str().to_owned(), name: name.into(), hash, n_bytes: None }
    }
}

/// A run as the catalog has it.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: RunId,
    pub command: String,
    pub arguments: Vec<String>,
    pub config: Value,
    pub seed: Option<u64>,
    pub program_version: String,
    pub git_commit: String,
    pub host_arch: String,
    pub host_os: String,
    pub host_cores: u32,
    pub process_id: i64,
    pub started_utc: String,
    pub ended_utc: Option<String>,
    /// So far, where it runs.
    pub elapsed_s: Option<f64>,
    pub state: RunState,
    pub message: Option<String>,
    pub resumes: Option<RunId>,
}

const RUN_COLUMNS: &str = "run_id, command, arguments, config, seed, program_version, git_commit, host_arch, host_os, \
     host_cores, process_id, started_utc, ended_utc, state, message, resumes_run_id, \
     (julianday(CASE state WHEN 'running' THEN 'now' ELSE ended_utc END) - julianday(started_utc)) * 86400.0";

const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

impl Store {
    /// Records that work begins. The run is committed at once, so that a killed process leaves a trace.
    pub fn begin_run(&mut self, spec: &RunSpec<'_>) -> Result<RunId, StoreError> {
        let arguments: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as i64);
        let sql = format!(
            "INSERT INTO run (command, arguments, config, seed, program_version, git_commit, host_arch, host_os, \
             host_cores, process_id, started_utc, state, resumes_run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, {NOW}, 'running', ?11)"
        );
        self.conn.execute(
            &sql,
            params![
                spec.command,
                Value::from(arguments).to_string(),
                spec.config.to_string(),
                spec.seed.map(|seed| seed as i64),
                PROGRAM_VERSION,
                GIT_COMMIT,
                std::env::consts::ARCH,
                std::env::consts::OS,
                cores,
                std::process::id(),
                spec.resumes,
            ],
        )?;
        let run = RunId(self.conn.last_insert_rowid());
        if let Some(lock) = &mut self.lock {
            lock.name_run(run.0).map_err(|source| StoreError::Io { path: self.path.clone(), source })?;
        }
        Ok(run)
    }

    /// Records what the run read, before or while it reads. The same artifact twice is one.
    pub fn add_run_input(&mut self, run: RunId, artifact: &Artifact) -> Result<(), StoreError> {
        self.add_artifact("run_input", run, artifact)
    }

    /// Records what the run made or added to.
    pub fn add_run_output(&mut self, run: RunId, artifact: &Artifact) -> Result<(), StoreError> {
        self.add_artifact("run_output", run, artifact)
    }

    fn add_artifact(
        &mut self,
        table: &'static str,
        run: RunId,
        artifact: &Artifact,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO {table} (run_id, position, kind, name, hash, n_bytes) \
             SELECT ?1, (SELECT count(*) FROM {table} WHERE run_id = ?1), ?2, ?3, ?4, ?5 \
             WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE run_id = ?1 AND kind = ?2 AND hash = ?4)"
        );
        self.conn.prepare_cached(&sql)?.execute(params![
            run,
            artifact.kind,
            artifact.name,
            artifact.hash,
            artifact.n_bytes.map(|n| n as i64)
        ])?;
        Ok(())
    }

    /// Records how the run ended. A run that ended `done` or `failed` never changes again.
    pub fn finish_run(
        &mut self,
        run: RunId,
        state: RunState,
        message: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE run SET state = ?2, message = ?3, ended_utc = {NOW} WHERE run_id = ?1 AND state = 'running'"
        );
        if self.conn.execute(&sql, params![run, state.as_str(), message])? == 0 {
            let state = self.run(run)?.state;
            return Err(StoreError::RunEnded { run: run.0, state });
        }
        self.still_there()
    }

    /// Runs `work` as a recorded run: its state says how `work` ended, and an error becomes the run's message.
    ///
    /// `work` returns how it ended ([`RunState::Done`] or [`RunState::Interrupted`]) beside its result.
    pub fn recorded<T, E: From<StoreError> + fmt::Display>(
        &mut self,
        spec: &RunSpec<'_>,
        work: impl FnOnce(&mut Store, RunId) -> Result<(T, RunState), E>,
    ) -> Result<T, E> {
        let run = self.begin_run(spec)?;
        match work(self, run) {
            Ok((value, state)) => {
                self.finish_run(run, state, None)?;
                Ok(value)
            }
            Err(error) => {
                // the first error is the one to report, also where this note cannot be written
                let _ = self.finish_run(run, RunState::Failed, Some(&once(format!("{error:#}"))));
                Err(error)
            }
        }
    }

    pub fn run(&self, run: RunId) -> Result<Run, StoreError> {
        self.conn
            .query_row(&format!("SELECT {RUN_COLUMNS} FROM run WHERE run_id = ?1"), [run], read_run)
            .optional()?
            .ok_or_else(|| StoreError::NoSuch { kind: "run", name: run.to_string(), known: vec![] })?
    }

    /// All runs, newest first. A run whose process is gone reads as interrupted.
    pub fn runs(&self) -> Result<Vec<Run>, StoreError> {
        let alive = self.writer_is_alive();
        let mut statement =
            self.conn.prepare(&format!("SELECT {RUN_COLUMNS} FROM run ORDER BY run_id DESC"))?;
        let runs = statement.query_map([], read_run)?.collect::<rusqlite::Result<Vec<_>>>()?;
        runs.into_iter()
            .map(|run| {
                let mut run = run?;
                if run.state == RunState::Running && !alive {
                    // when its process ended is not known
                    (run.state, run.elapsed_s) = (RunState::Interrupted, None);
                }
                Ok(run)
            })
            .collect()
    }

    pub fn run_inputs(&self, run: RunId) -> Result<Vec<Artifact>, StoreError> {
        self.artifacts("run_input", run)
    }

    pub fn run_outputs(&self, run: RunId) -> Result<Vec<Artifact>, StoreError> {
        self.artifacts("run_output", run)
    }

    fn artifacts(&self, table: &str, run: RunId) -> Result<Vec<Artifact>, StoreError> {
        let sql =
            format!("SELECT kind, name, hash, n_bytes FROM {table} WHERE run_id = ?1 ORDER BY position");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([run], |row| {
            Ok(Artifact {
                kind: row.get(0)?,
                name: row.get(1)?,
                hash: row.get(2)?,
                n_bytes: row.get::<_, Option<i64>>(3)?.map(|n| n as u64),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Marks runs whose process is gone. Called by the one writer, so every `running` run is another's.
    pub(super) fn mark_interrupted_runs(&mut self) -> Result<usize, StoreError> {
        Ok(self.conn.execute(
            "UPDATE run SET state = 'interrupted', message = 'its process ended without a word' WHERE state = 'running'",
            [],
        )?)
    }

    /// True where the process of a `running` run may be at work: this one, or whoever holds the lock.
    pub(super) fn writer_is_alive(&self) -> bool {
        self.mode == Mode::Write || super::lock::is_held(&self.path)
    }
}

/// Without causes that repeat the end of what was said before them.
fn once(mut text: String) -> String {
    let repeated = |text: &str| {
        text.match_indices(": ").map(|(at, _)| at).find(|&at| text[..at].ends_with(&text[at + 2..]))
    };
    while let Some(at) = repeated(&text) {
        text.truncate(at);
    }
    text
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<Result<Run, StoreError>> {
    let (arguments, config, state): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(13)?);
    let id: RunId = row.get(0)?;
    let json = |source| StoreError::Json { what: format!("run {id}"), source };
    let parsed = || {
        Ok((
            serde_json::from_str(&arguments).map_err(json)?,
            serde_json::from_str(&config).map_err(json)?,
            state.parse::<RunState>()?,
        ))
    };
    let (arguments, config, state) = match parsed() {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Run {
        id,
        command: row.get(1)?,
        arguments,
        config,
        seed: row.get::<_, Option<i64>>(4)?.map(|seed| seed as u64),
        program_version: row.get(5)?,
        git_commit: row.get(6)?,
        host_arch: row.get(7)?,
        host_os: row.get(8)?,
        host_cores: row.get(9)?,
        process_id: row.get(10)?,
        started_utc: row.get(11)?,
        ended_utc: row.get(12)?,
        state,
        message: row.get(14)?,
        resumes: row.get(15)?,
        elapsed_s: row.get(16)?,
    }))
}
