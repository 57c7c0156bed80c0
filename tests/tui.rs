//! The terminal interface through a real terminal, that of tmux; where tmux is not installed these tests say so and
//! pass.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal in tmux, on a server of its own that ends with it.
struct Screen {
    socket: String,
}

impl Screen {
    /// Runs a command line of a shell in a terminal; none where there is no tmux.
    fn open(name: &str, line: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("tmux is not installed: the terminal interface is not tried in a terminal");
            return None;
        }
        let screen = Self { socket: format!("sedflow-test-{name}-{}", std::process::id()) };
        // the shell stays, to show what the terminal is like afterwards
        let shell = format!(
            "sh -c \"{line}; echo ended with \\$?; stty -a | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo'; cat\""
        );
        let made = screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", &shell]);
        assert!(made.status.success(), "{made:?}");
        Some(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments).env_remove("TMUX");
        command.output().unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the screen shows what is expected.
    fn shows(&self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if text.contains(what) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "no `{what}` on\n{text}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The process that runs in the terminal under this name.
    fn process(&self, name: &str) -> String {
        let pane = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let pane = String::from_utf8_lossy(&pane.stdout).trim().to_owned();
        let found = Command::new("pgrep").args(["-P", &pane, "-x", name]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).trim().to_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn sedflow() -> &'static str {
    env!("CARGO_BIN_EXE_sedflow")
}

fn run(catalog: &Path, arguments: &[&str]) {
    let output = Command::new(sedflow()).arg("-C").arg(catalog).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A catalog of real galaxies, some with posteriors.
fn catalog(folder: &Path) -> PathBuf {
    let catalog = folder.join("small.db");
    run(&catalog, &["--quiet", "init"]);
    run(&catalog, &["--quiet", "ingest", "--sample"]);
    run(&catalog, &["--quiet", "infer", "--where", "galaxy_id <= 30", "--draws", "500", "--method", "npe"]);
    catalog
}

#[test]
fn a_session_in_a_terminal_starts_searches_opens_asks_what_if_resizes_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("session", &line) else { return };
    screen.shows("of ~1 000 galaxies");
    screen.keys(&["j", "j"]);
    screen.shows(" 3 of ~1 000 galaxies");
    // a filter with a mistake says so in place, and the session goes on
    screen.keys(&["&"]);
    screen.keys(&["-l", "mag_q < 17"]);
    screen.keys(&["Enter"]);
    screen.shows("no such column: mag_q");
    screen.keys(&["x"]);
    screen.keys(&["/"]);
    screen.keys(&["-l", "254"]);
    screen.keys(&["Enter"]);
    screen.shows("like 254");
    screen.keys(&["x"]);
    screen.shows(" 1 of ~1 000 galaxies");
    screen.keys(&["Enter"]);
    screen.shows("star formation");
    screen.keys(&["w"]);
    screen.shows("not the catalog's data");
    screen.keys(&["+"]);
    screen.shows("1 000 draws in");
    // any size, and back
    for (columns, rows) in [("40", "10"), ("7", "3"), ("180", "50"), ("100", "30")] {
        screen.tmux(&["resize-window", "-x", columns, "-y", rows]);
        std::thread::sleep(Duration::from_millis(100));
    }
    screen.shows("not the catalog's data");
    screen.keys(&["Escape"]);
    screen.keys(&["?"]);
    screen.shows("╭─ keys");
    screen.keys(&["Escape"]);
    screen.keys(&["Q"]);
    let text = screen.shows("ended with 0");
    assert!(!text.contains("galaxies") && !text.contains("-icanon") && !text.contains("-echo"), "{text}");
}

#[test]
fn a_terminal_is_given_back_after_ctrl_c_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("empty.db");
    run(&catalog, &["--quiet", "init"]);
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("ctrl-c", &line) else { return };
    screen.shows("no galaxies yet");
    screen.keys(&["C-c"]);
    let text = screen.shows("ended with 0");
    assert!(!text.contains("-icanon") && !text.contains("-echo"), "{text}");

    let Some(screen) = Screen::open("kill", &line) else { return };
    screen.shows("no galaxies yet");
    let process = screen.process("sedflow");
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success(), "{process}");
    let text = screen.shows("ended with 130");
    assert!(
        !text.contains("no galaxies yet") && !text.contains("-icanon") && !text.contains("-echo"),
        "{text}"
    );
}

#[test]
fn what_is_no_catalog_is_said_on_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "not a catalog").unwrap();
    let line = format!("{} tui {}", sedflow(), file.display());
    let Some(screen) = Screen::open("foreign", &line) else { return };
    screen.shows("is not a sedflow catalog");
    screen.keys(&["q"]);
    screen.shows("ended with 0");
}

#[test]
fn a_view_is_drawn_to_a_file_without_a_terminal_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("empty.db");
    run(&catalog, &["--quiet", "init"]);
    let out = folder.path().join("view.svg");
    let shot = ["tui", "--screenshot", "runs", "--size", "90x24", "--out", out.to_str().unwrap()];
    run(&catalog, &shot);
    let svg = std::fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("sedflow") && svg.contains("empty.db"), "{svg}");
    let again = Command::new(sedflow()).arg("-C").arg(&catalog).args(shot).output().unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is there already"));
    let bad =
        Command::new(sedflow()).args(["tui", "--screenshot", "moon", "--out", "x.svg"]).output().unwrap();
    assert!(String::from_utf8_lossy(&bad.stderr).contains("no view `moon`: expected galaxies"));
}
