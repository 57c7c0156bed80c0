//! The catalog as a file: what it is, on what file system it lies, and its copy before a migration.

use std::path::{Path, PathBuf};

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::StoreError;
use super::schema::{APPLICATION_ID, Schema};
use super::{connect, harden};

/// Connects to an existing catalog and tells its schema version. Errors if the file is missing or anything
/// but a catalog.
pub(super) fn connect_existing(path: &Path) -> Result<(Connection, i64), StoreError> {
    let foreign = |why: &str| StoreError::Foreign { path: path.to_owned(), why: why.to_owned() };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
    };
    if !metadata.is_file() {
        return Err(foreign("it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(foreign("it is empty; `sedflow init` can make a catalog of it"));
    }
    let open = || -> Result<(Connection, i64, i64), StoreError> {
        let conn = connect_for_reading(path)?;
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
        Ok((conn, application_id, version))
    };
    let (conn, application_id, version) = match open() {
        Err(StoreError::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(foreign("it is not an SQLite database"));
        }
        other => other?,
    };
    if application_id != APPLICATION_ID {
        return Err(foreign(&format!(
            "its application id is {application_id:#010x}, not {APPLICATION_ID:#010x}"
        )));
    }
    if version < 1 {
        return Err(foreign(&format!("its schema version is {version}")));
    }
    Ok((conn, version))
}

/// The numbers of a file on its disk, by which it is told from another put in its place; none where there is
/// no file or the system has no such numbers.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
pub(super) fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Opens a file that may or may not be writable, even on media that cannot be written at all.
///
/// Readers, too, connect for writing where they may, so that the last one out can put the log away; that
/// they change nothing is left to `query_only`.
fn connect_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    match conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(conn),
        // A file in WAL mode needs its shared-memory file, which cannot be made in a read-only directory.
        // Nobody can write there, so it may be read as immutable; unless a log is left that would be ignored.
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                && !with_suffix(path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0) =>
        {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(immutable_uri(path), flags)?;
            harden(&conn)?;
            Ok(conn)
        }
        Err(error) => Err(error.into()),
    }
}

/// True for what a killed [`super::Store::create`] leaves: a database in which nothing is, once its journal is
/// rolled back.
pub(super) fn is_half_made(path: &Path) -> bool {
    let is_empty = || -> Result<bool, StoreError> {
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let entries: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(entries == 0 && number("application_id")? == 0 && number("user_version")? == 0)
    };
    is_empty().unwrap_or(false)
}

fn immutable_uri(path: &Path) -> String {
    uri(path) + "?immutable=1"
}

/// The file for reading only, as SQL attaches it.
pub(super) fn read_only_uri(path: &Path) -> String {
    uri(path) + "?mode=ro"
}

fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(*byte as char),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Copies the file aside, then brings it to `schema` in one transaction. Returns the copy's path.
///
/// Called with the writer lock held. A failed migration leaves the file as it was, and the copy.
pub(super) fn migrate_with_backup(path: &Path, version: i64, schema: Schema) -> Result<PathBuf, StoreError> {
    let older = |why: String| StoreError::Older {
        path: path.to_owned(),
        found: version,
        known: schema.version(),
        why,
    };
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if conn.is_readonly("main")? {
        return Err(older("the file cannot be written".to_owned()));
    }
    let backup = (1..)
        .map(|n| {
            with_suffix(
                path,
                &if n == 1 { format!(".v{version}.bak") } else { format!(".v{version}.{n}.bak") },
            )
        })
        .find(|candidate| !candidate.exists())
        .ok_or_else(|| older("no free name for its backup".to_owned()))?;
    // Under a passing name first: a copy cut short by a kill must not look like a backup.
    let partial = with_suffix(&backup, ".partial");
    let io = |source| StoreError::Io { path: backup.clone(), source };
    let _ = std::fs::remove_file(&partial);
    {
        let mut copy = Connection::open(&partial)?;
        Backup::new(&conn, &mut copy)?.run_to_completion(4096, std::time::Duration::ZERO, None)?;
    }
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, &backup).map_err(io)?;
    schema
        .migrate(&mut conn)
        .map_err(|source| StoreError::Migration { path: path.to_owned(), source: Box::new(source) })?;
    Ok(backup)
}

/// Whether the file says of itself that it is a release.
pub(super) fn is_release(conn: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM setting WHERE key = 'release'";
    Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}

/// A copy of a file that must stay as it is, brought to `schema`; it lies in the folder for temporary files
/// and goes when the connection does.
pub(super) fn migrated_copy(
    path: &Path,
    conn: &Connection,
    schema: Schema,
) -> Result<Connection, StoreError> {
    let place = std::env::temp_dir().join(format!("sedflow-{}-{:p}.db", std::process::id(), conn));
    let io = |source| StoreError::Io { path: place.clone(), source };
    let mut copy = Connection::open(&place)?;
    // Where a file in use cannot be removed, it is left to whoever tidies that folder.
    let _ = std::fs::remove_file(&place).map_err(io);
    harden(&copy)?;
    Backup::new(conn, &mut copy)?.run_to_completion(4096, std::time::Duration::ZERO, None)?;
    copy.pragma_update(None, "journal_mode", "MEMORY")?;
    schema
        .migrate(&mut copy)
        .map_err(|source| StoreError::Migration { path: path.to_owned(), source: Box::new(source) })?;
    Ok(copy)
}

/// The network or user-space file system that `path` lies on, where processes on other machines, or the
/// lack of shared memory, make a write-ahead log unsafe. `None` for local disks and where it cannot be told.
pub(super) fn network_file_system(path: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        let file_system = rustix::fs::statfs(path).ok()?;
        network_name(file_system.f_type as u64 & 0xffff_ffff)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

/// By the magic numbers of statfs(2).
#[cfg(any(target_os = "linux", test))]
fn network_name(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "an SMB share",
        0x6573_5546 => "a FUSE file system",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "CephFS",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x0102_1997 => "a 9P file system",
        0x786f_4256 => "a VirtualBox shared folder",
        0xaad7_aaea => "PanFS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_disks() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(network_name(local), None);
        }
    }

    #[test]
    fn a_uri_keeps_odd_characters_of_a_path() {
        assert_eq!(immutable_uri(Path::new("/a b/c?d%.db")), "file:/a%20b/c%3Fd%25.db?immutable=1");
    }
}
