//! One writing process at a time: an operating-system lock beside the catalog, which dies with its holder.
//!
//! SQLite's own lock lasts one transaction; a run lasts many, and a run found `running` while nobody
//! holds this lock was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who holds the lock, as written into the lock file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub process_id: u32,
    pub command: String,
    pub run_id: Option<i64>,
    /// How far it is, where it has said so.
    #[serde(default)]
    pub standing: Option<Standing>,
}

/// How far long work is, for whoever looks on from another process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// What is being done: "inferring".
    pub what: String,
    /// The unit counted, in the plural.
    pub unit: String,
    pub done: u64,
    pub total: Option<u64>,
    pub eta_s: Option<f64>,
    /// What it says of itself: "epoch 3: ln q -8.1".
    #[serde(default)]
    pub said: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (process {}", self.command, self.process_id)?;
        match self.run_id {
            Some(run) => write!(f, ", run {run})"),
            None => write!(f, ")"),
        }
    }
}

#[derive(Debug)]
pub struct WriterLock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

pub enum Acquired {
    Yes(WriterLock),
    /// Another process has it; who, where that could be read.
    HeldBy(Option<Holder>),
}

fn lock_path(catalog: &Path) -> PathBuf {
    let mut name = catalog.as_os_str().to_owned();
    name.push("-lock");
    PathBuf::from(name)
}

impl WriterLock {
    /// Takes the lock of `catalog`, waiting up to 0.2 s for one who is just looking.
    pub fn acquire(catalog: &Path) -> std::io::Result<Acquired> {
        let path = lock_path(catalog);
        for attempt in 0..10 {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                // The holder removes the file when it ends; a lock on a removed file locks nothing.
                Ok(()) if same_file(&file, &path) => {
                    let holder = Holder {
                        process_id: std::process::id(),
                        command: this_command(),
                        run_id: None,
                        standing: None,
                    };
                    let mut lock = WriterLock { file, path, holder };
                    lock.write_holder()?;
                    return Ok(Acquired::Yes(lock));
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Acquired::HeldBy(read_holder(&path)))
    }

    /// Names the run in the lock file, for the sentence a second writer gets.
    pub fn name_run(&mut self, run_id: i64) -> std::io::Result<()> {
        self.holder.run_id = Some(run_id);
        self.write_holder()
    }

    fn write_holder(&mut self) -> std::io::Result<()> {
        write(&mut self.file, &self.holder)
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Removed while still held, so nobody can lock the name in between; a leftover file is harmless.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// True where some process holds the writer lock of `catalog`.
pub fn is_held(catalog: &Path) -> bool {
    match File::open(lock_path(catalog)) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

/// Who holds the writer lock of `catalog`, where anybody does and it can be read.
pub fn holder(catalog: &Path) -> Option<Holder> {
    if is_held(catalog) { read_holder(&lock_path(catalog)) } else { None }
}

/// Writes into the lock of `catalog` how far the work of this process is; nothing where another process holds it, or
/// none does.
pub fn post(catalog: &Path, standing: Option<Standing>) -> std::io::Result<()> {
    let path = lock_path(catalog);
    match read_holder(&path) {
        Some(holder) if holder.process_id == std::process::id() => {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            write(&mut file, &Holder { standing, ..holder })
        }
        _ => Ok(()),
    }
}

/// In one piece where the file system can, and never empty in between.
fn write(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path).ok()?.take(64 << 10).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The command line of this process, as a person would type it.
fn this_command() -> String {
    let mut words = std::env::args_os();
    let program = words.next().map(PathBuf::from);
    let program = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_owned();
    let words: Vec<_> =
        std::iter::once(program).chain(words).map(|word| word.to_string_lossy().into_owned()).collect();
    let text = words.join(" ");
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn same_file(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_told_who_holds_the_lock_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = dir.path().join("a.db");
        assert!(!is_held(&catalog));
        let Acquired::Yes(mut first) = WriterLock::acquire(&catalog).unwrap() else { panic!("free") };
        first.name_run(7).unwrap();
        assert!(is_held(&catalog));
        let Acquired::HeldBy(Some(holder)) = WriterLock::acquire(&catalog).unwrap() else { panic!("held") };
        assert_eq!((holder.process_id, holder.run_id), (std::process::id(), Some(7)));
        let standing =
            Standing { what: "inferring".into(), unit: "galaxies".into(), done: 3, ..Standing::default() };
        post(&catalog, Some(standing.clone())).unwrap();
        assert_eq!(super::holder(&catalog).unwrap(), Holder { standing: Some(standing), ..holder.clone() });
        post(&catalog, None).unwrap();
        assert_eq!(super::holder(&catalog), Some(holder));
        drop(first);
        post(&catalog, None).unwrap();
        assert!(!is_held(&catalog) && super::holder(&catalog).is_none() && !lock_path(&catalog).exists());
        assert!(matches!(WriterLock::acquire(&catalog).unwrap(), Acquired::Yes(_)));
    }
}
