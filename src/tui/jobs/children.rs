//! Commands of this program that run in the background. They write to a log file and belong to a process group of
//! their own, so that they go on when the terminal interface is left; while it runs, it reads along, and another time it
//! finds the log by the process that wrote it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::commands::log::typed;
use crate::tui::message::Msg;

#[derive(Debug, Clone, PartialEq)]
pub enum ChildEvent {
    Started {
        job: u64,
        process: u32,
        log: PathBuf,
    },
    Line {
        job: u64,
        line: String,
    },
    /// With what to say of it.
    Ended {
        job: u64,
        how: Result<(), String>,
    },
}

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// Starts `sedflow -C catalog ARGUMENTS`; events carry `job`.
pub fn start(job: u64, catalog: &Path, arguments: &[String], answers: &Sender<Msg>) {
    let answers = answers.clone();
    let say = move |event: ChildEvent| {
        let _ = answers.send(Msg::Child(event));
    };
    let words: Vec<String> = ["-C".to_owned(), catalog.to_string_lossy().into_owned()]
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    std::thread::spawn(move || {
        let mut log = std::env::temp_dir().join(format!("sedflow-{}-{job}.log", std::process::id()));
        match spawn(&words, &log) {
            Err(error) => say(ChildEvent::Ended { job, how: Err(format!("cannot start it: {error}")) }),
            Ok((child, reader)) => {
                let found_by = log_of(child.id().into());
                // it keeps its first name where it cannot have this one
                if std::fs::rename(&log, &found_by).is_ok() {
                    log = found_by;
                }
                say(ChildEvent::Started { job, process: child.id(), log });
                read_along(job, child, reader, &say);
            }
        }
    });
}

fn spawn(words: &[String], log: &Path) -> std::io::Result<(Child, File)> {
    let mut write = OpenOptions::new().append(true).create_new(true).mode(0o600).open(log)?;
    let reader = File::open(log)?;
    writeln!(write, "{}", heading(words))?;
    let child = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write)
        .process_group(0)
        .spawn()?;
    Ok((child, reader))
}

/// The first line of a log: what was run.
fn heading(words: &[String]) -> String {
    format!("$ sedflow {}", typed(words).replace(['\n', '\r'], " "))
}

/// Where the log of a process is.
fn log_of(process: i64) -> PathBuf {
    std::env::temp_dir().join(format!("sedflow-process-{process}.log"))
}

/// Bytes read of a log that was found: its end.
const TAIL: u64 = 256 << 10;

/// The log that a process with this command line left, where a terminal interface of this user started it on this
/// machine. A number goes from one process to another, so that the log must say what was run.
pub fn found_log(process: i64, words: &[String]) -> Option<(PathBuf, Vec<String>)> {
    let path = log_of(process);
    let file = File::open(&path).ok()?;
    let facts = file.metadata().ok()?;
    if facts.uid() != rustix::process::getuid().as_raw() {
        return None;
    }
    let mut reader = BufReader::new(file.take(TAIL));
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    if first.trim_end() != heading(words) {
        return None;
    }
    let mut file = reader.into_inner().into_inner();
    file.seek(SeekFrom::Start(facts.len().saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    Some((path, String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()))
}

/// Tells every new line of the log until the command has ended and all is told.
fn read_along(job: u64, mut child: Child, mut log: File, say: &dyn Fn(ChildEvent)) {
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        let ended = child.try_wait();
        // a log that cannot be read says nothing; the command goes on
        let _ = log.read_to_end(&mut waiting);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            say(ChildEvent::Line { job, line: String::from_utf8_lossy(&line).trim_end().to_owned() });
        }
        let how = match ended {
            Ok(None) => {
                std::thread::sleep(LOOK);
                continue;
            }
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) if status.code() == Some(130) => {
                Err("stopped; what was committed is kept".to_owned())
            }
            Ok(Some(status)) => Err(format!("it ended with {status}")),
            Err(error) => Err(error.to_string()),
        };
        return say(ChildEvent::Ended { job, how });
    }
}

/// Asks a process that was started here to stop at the next point where nothing is lost.
pub fn stop(process: u32) -> std::io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    match pid {
        Some(pid) => Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?),
        None => Err(std::io::Error::other("there is no such process")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_found_by_the_process_and_what_it_ran() {
        let words = ["-C", "a b.db", "train"].map(str::to_owned);
        let process = i64::from(std::process::id());
        let path = log_of(process);
        std::fs::write(&path, format!("{}\nepoch 1\n", heading(&words))).unwrap();
        let found = found_log(process, &words);
        let of_another = found_log(process, &words[..2]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.unwrap().1[1], "epoch 1");
        assert!(of_another.is_none() && found_log(process, &words).is_none());
    }
}
