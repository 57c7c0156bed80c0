//! The binary as a user runs it, in a folder of its own.

// Each test file uses some of this.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn sedflow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
    command.current_dir(folder).args(arguments).env_remove("SEDFLOW_CATALOG");
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed; what it wrote on standard output.
#[track_caller]
pub fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = sedflow(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with a sentence that holds `part`.
#[track_caller]
pub fn refused(folder: &Path, arguments: &[&str], part: &str) {
    let output = sedflow(folder, arguments).output().unwrap();
    let said = text(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{arguments:?} ended with {}: {said}",
        output.status
    );
    assert!(said.contains("error: ") && said.contains(part), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
}

pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    sedflow(folder, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs a command and kills it after a while; it may have ended by then.
pub fn kill_after(folder: &Path, arguments: &[&str], milliseconds: u64) {
    let mut child = start(folder, arguments);
    std::thread::sleep(Duration::from_millis(milliseconds));
    let _ = child.kill();
    child.wait().unwrap();
}

/// Runs a command and sends what Ctrl-C sends after a while.
pub fn interrupt_after(folder: &Path, arguments: &[&str], milliseconds: u64) -> Output {
    let child = start(folder, arguments);
    std::thread::sleep(Duration::from_millis(milliseconds));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap()
}

/// Waits until `ready`, at most half a minute.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The rows of a query as CSV, without the header.
#[track_caller]
pub fn query(folder: &Path, catalog: &str, sql: &str) -> String {
    let table = run(folder, &["-C", catalog, "query", "--format", "csv", sql]);
    table.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_owned())
}

/// `sedflow check` finds no error.
#[track_caller]
pub fn sound(folder: &Path, catalog: &str) {
    let output = sedflow(folder, &["-C", catalog, "check"]).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// The Python that `SEDFLOW_PYTHON` names, which has the packages of `tests/interop/requirements.txt`; or else `python3`, if
/// it has these modules; where there is neither, says so.
pub fn python(modules: &str) -> Option<String> {
    if let Ok(named) = std::env::var("SEDFLOW_PYTHON") {
        return Some(named);
    }
    let output = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    let there = output.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("not run: there is no Python with {modules}; SEDFLOW_PYTHON may name one");
    }
    there.then(|| "python3".to_owned())
}
