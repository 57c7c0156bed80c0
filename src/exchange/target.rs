//! Files and folders that appear under their name only when they are whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::ExchangeError;

/// A file being written beside its name; dropped before [`Target::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    partial: PathBuf,
    done: bool,
}

/// Errors where there is something already, unless it may be replaced.
pub fn check_free(path: &Path, overwrite: bool) -> Result<(), ExchangeError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) if !overwrite => Err(ExchangeError::Exists { path: path.to_owned() }),
        Ok(there) if there.is_dir() => {
            Err(ExchangeError::NotOurs { path: path.to_owned(), expected: "file" })
        }
        _ => Ok(()),
    }
}

fn partial_of(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// An error that names the file.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> ExchangeError + use<> {
    let path = path.to_owned();
    |source| ExchangeError::Io { path, source }
}

impl Target {
    /// Errors with [`ExchangeError::Exists`] where there is a file, unless it may be replaced.
    pub fn create(path: &Path, overwrite: bool) -> Result<(Self, BufWriter<File>), ExchangeError> {
        check_free(path, overwrite)?;
        let partial = partial_of(path);
        let file = File::create(&partial).map_err(at(path))?;
        let target = Self { path: path.to_owned(), partial, done: false };
        Ok((target, BufWriter::with_capacity(1 << 20, file)))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file to disk and puts it in its place.
    pub fn commit(self, file: BufWriter<File>) -> Result<(), ExchangeError> {
        self.settle(file)?.place()
    }

    /// Flushes the file to disk, after which only putting it in its place is left.
    pub fn settle(self, mut file: BufWriter<File>) -> Result<Self, ExchangeError> {
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(at(&self.path))?;
        Ok(self)
    }

    /// Puts a [settled](Target::settle) file in its place.
    pub fn place(mut self) -> Result<(), ExchangeError> {
        std::fs::rename(&self.partial, &self.path).map_err(at(&self.path))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.done {
            // Nothing more can be done about a partial file that will not go.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// A folder being filled beside its name; it takes its place when it is whole, or leaves nothing.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    partial: PathBuf,
    done: bool,
}

impl Folder {
    /// Makes a folder of what `fill` puts in it. `marker` is a file that every folder of this kind has: only such a folder
    /// is ever replaced.
    pub fn make<T>(
        path: &Path,
        overwrite: bool,
        marker: (&str, &'static str),
        fill: impl FnOnce(&Self) -> Result<T, ExchangeError>,
    ) -> Result<T, ExchangeError> {
        let folder = Self::create(path, overwrite, marker)?;
        let made = fill(&folder).map_err(|error| folder.by_its_name(error))?;
        folder.commit()?;
        Ok(made)
    }

    /// An error that names a file as it will be called.
    fn by_its_name(&self, error: ExchangeError) -> ExchangeError {
        match error {
            ExchangeError::Io { path, source } => match path.strip_prefix(&self.partial) {
                Ok(inside) => ExchangeError::Io { path: self.path.join(inside), source },
                Err(_) => ExchangeError::Io { path, source },
            },
            other => other,
        }
    }

    fn create(
        path: &Path,
        overwrite: bool,
        (marker, kind): (&str, &'static str),
    ) -> Result<Self, ExchangeError> {
        if std::fs::symlink_metadata(path).is_ok() {
            if !overwrite {
                return Err(ExchangeError::Exists { path: path.to_owned() });
            }
            if !path.join(marker).is_file() {
                return Err(ExchangeError::NotOurs { path: path.to_owned(), expected: kind });
            }
        }
        let path = if path.file_name().is_some() { path.to_owned() } else { path.join(".") };
        let partial = partial_of(&path);
        let _ = std::fs::remove_dir_all(&partial);
        std::fs::create_dir(&partial).map_err(at(&path))?;
        Ok(Self { path, partial, done: false })
    }

    /// Where to write for now.
    pub fn inside(&self) -> &Path {
        &self.partial
    }

    /// Writes a small file inside, making the folders on its way.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ExchangeError> {
        let path = self.partial.join(name);
        let folder = path.parent().unwrap_or(&self.partial);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(at(&self.path.join(name)))
    }

    fn commit(mut self) -> Result<(), ExchangeError> {
        let aside = self.partial.with_extension("old");
        let old = self.path.exists();
        let placed = if old { std::fs::rename(&self.path, &aside) } else { Ok(()) };
        placed.and_then(|()| std::fs::rename(&self.partial, &self.path)).map_err(at(&self.path))?;
        self.done = true;
        if old {
            std::fs::remove_dir_all(&aside).map_err(at(&aside))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let (target, mut file) = Target::create(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop((target, file));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let (target, mut file) = Target::create(&path, false).unwrap();
        file.write_all(b"whole").unwrap();
        target.commit(file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert!(matches!(Target::create(&path, false), Err(ExchangeError::Exists { .. })));
        let (target, file) = Target::create(&path, true).unwrap();
        target.commit(file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn only_a_folder_of_the_same_kind_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("catalog");
        let kind = ("mark", "catalog");
        let two = |folder: &Folder| folder.put("mark", b"1").and_then(|()| folder.put("a/b", b"2"));
        Folder::make(&path, false, kind, two).unwrap();
        assert!(matches!(Folder::make(&path, false, kind, two), Err(ExchangeError::Exists { .. })));
        Folder::make(&path, true, kind, |folder| folder.put("mark", b"3")).unwrap();
        assert!(!path.join("a").exists());
        std::fs::remove_file(path.join("mark")).unwrap();
        std::fs::write(path.join("thesis"), b"years").unwrap();
        assert!(matches!(Folder::make(&path, true, kind, two), Err(ExchangeError::NotOurs { .. })));
        let other = place.path().join("other");
        let failed = Folder::make(&other, false, kind, |folder| {
            std::fs::read(folder.inside().join("no such file"))
                .map_err(at(&folder.inside().join("no such file")))
        });
        let said = failed.unwrap_err().to_string();
        assert!(said.contains(&other.join("no such file").display().to_string()), "{said}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
