//! Commands of this program that run in the background. They write to a log file and belong to a process group of
//! their own, so that they go on when the terminal interface is left; while it runs, it reads along.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

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
    let log = std::env::temp_dir().join(format!("sedflow-{}-{job}.log", std::process::id()));
    match spawn(catalog, arguments, &log) {
        Err(error) => say(ChildEvent::Ended { job, how: Err(format!("cannot start it: {error}")) }),
        Ok((child, reader)) => {
            say(ChildEvent::Started { job, process: child.id(), log });
            std::thread::spawn(move || read_along(job, child, reader, &say));
        }
    }
}

fn spawn(catalog: &Path, arguments: &[String], log: &Path) -> std::io::Result<(Child, File)> {
    let write = OpenOptions::new().append(true).create_new(true).mode(0o600).open(log)?;
    let reader = File::open(log)?;
    let child = Command::new(std::env::current_exe()?)
        .arg("-C")
        .arg(catalog)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write)
        .process_group(0)
        .spawn()?;
    Ok((child, reader))
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
