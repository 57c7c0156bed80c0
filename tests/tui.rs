//! The terminal interface through a real terminal, that of tmux; where tmux is not installed these tests say so and
//! pass.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

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
fn a_terminal_is_given_back_after_a_panic() {
    let this = std::env::current_exe().unwrap();
    let line = format!(
        "RUST_BACKTRACE=0 {} --exact --ignored --nocapture panics_with_the_terminal_taken",
        this.display()
    );
    let Some(screen) = Screen::open("panic", &line) else { return };
    let text = screen.shows("ended with 101");
    assert!(text.contains("as on purpose") && !text.contains("on the other screen"), "{text}");
    assert!(!text.contains("-icanon") && !text.contains("-echo"), "{text}");
}

/// What the test above runs in a terminal.
#[test]
#[ignore = "fails on purpose, in a terminal that another test makes"]
fn panics_with_the_terminal_taken() {
    use sedflow::tui::terminal;
    terminal::hook_panics();
    let _guard = terminal::Guard::take(true).unwrap();
    print!("on the other screen");
    panic!("as on purpose");
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
fn posteriors_of_three_sets_are_laid_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    for (method, name) in [("is", "weighted"), ("mcmc", "chains")] {
        let arguments = ["--where", "galaxy_id = 1", "--draws", "200", "--method", method, "--name", name];
        run(&catalog, &[&["--quiet", "infer"][..], &arguments].concat());
    }
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("overlay", &line) else { return };
    screen.shows("set chains");
    screen.keys(&["Enter"]);
    screen.shows("mcmc · 200 draws · chains");
    screen.keys(&["o"]);
    let text = screen.shows("━━ chains (mcmc)");
    assert!(text.contains("━━ weighted (npe+is)") && text.contains("━━ sdss-ugriz (npe)"), "{text}");
    screen.keys(&["s"]);
    screen.shows("posterior set sdss-ugriz");
    screen.keys(&["Q"]);
    screen.shows("ended with 0");
}

/// Breaks the draws of the first three galaxies, each in another way, as a failing disk would.
fn damage(catalog: &Path) {
    let file = rusqlite::Connection::open(catalog).unwrap();
    let mut triggers = file
        .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'posterior'")
        .unwrap();
    let triggers: Vec<(String, String)> = triggers
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    triggers.iter().for_each(|(name, _)| file.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    let draws = "SELECT samples FROM posterior WHERE galaxy_id = ?1";
    for galaxy in 1..=3 {
        let mut bytes: Vec<u8> = file.query_row(draws, [galaxy], |row| row.get(0)).unwrap();
        let middle = bytes.len() / 2;
        match galaxy {
            1 => bytes[middle] ^= 0xff,
            2 => bytes.truncate(50),
            _ => bytes.fill(0),
        }
        let update = "UPDATE posterior SET samples = ?2 WHERE galaxy_id = ?1";
        assert_eq!(file.execute(update, rusqlite::params![galaxy, bytes]).unwrap(), 1);
    }
    triggers.iter().for_each(|(_, sql)| file.execute_batch(sql).unwrap());
}

#[test]
fn damaged_draws_are_said_beside_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    damage(&catalog);
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("damaged", &line) else { return };
    screen.shows("of ~1 000 galaxies");
    screen.keys(&["Enter"]);
    for galaxy in ["1", "2", "3"] {
        let text = screen.shows(&format!("the posterior of galaxy {galaxy}"));
        assert!(text.contains("is damaged"), "{text}");
        assert!(galaxy != "1" || text.contains("AB mag"), "{text}");
        // every page bears it
        screen.keys(&["l", "l", "l", "l", "l", "o", "w", "n"]);
    }
    // the next one is whole; overlays are on the page of marginals
    screen.keys(&["h"]);
    screen.shows("npe · 500 draws");
    screen.keys(&["Q"]);
    screen.shows("ended with 0");
}

#[test]
fn names_with_escape_codes_and_empty_shelves_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("odd.db");
    let bands = ["u", "g", "r", "i", "z"];
    let head: String =
        bands.iter().map(|b| format!(",maggies_sdss_{b}0,maggies_unc_sdss_{b}0")).collect::<String>();
    let row = |name: &str| format!("{name},10,10,0.08{}\n", ",1e-7,3e-9".repeat(5));
    let table = format!("objid,ra,dec,redshift{head}\n{}{}", row("\x1b[2J\x1b[31mevil\x07"), row("星系団"));
    let file = folder.path().join("odd.csv");
    std::fs::write(&file, table).unwrap();
    run(&catalog, &["--quiet", "init"]);
    run(&catalog, &["--quiet", "ingest", file.to_str().unwrap()]);
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("odd", &line) else { return };
    let text = screen.shows("星系団");
    assert!(text.contains("\\u{1b}[2J\\u{1b}[31mevil\\u{7}"), "{text}");
    screen.keys(&["Enter"]);
    let text = screen.shows("no posterior set has this galaxy");
    assert!(text.contains("prospector/\\u{1b}[2J\\u{1b}[31mevil\\u{7}"), "{text}");
    // nothing to change, to lay over or to go to: said, and the session goes on
    screen.keys(&["w", "o", "s", "z", "Escape", "Escape", "Escape"]);
    screen.keys(&["&"]);
    screen.keys(&["-l", "redshift <"]);
    screen.keys(&["Enter"]);
    screen.shows("it ends too early (character 11)");
    screen.keys(&["Tab"]);
    screen.shows("no checkpoint and no training yet");
    screen.keys(&["Tab"]);
    screen.shows("no checkpoint has been validated yet");
    screen.keys(&["b", "l", "Enter", "Tab"]);
    screen.shows("ingest");
    screen.keys(&["Q"]);
    screen.shows("ended with 0");
}

#[test]
fn a_file_that_others_write_to_is_followed_and_a_release_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("growing.db");
    let line = format!("{} tui {}", sedflow(), catalog.display());
    let Some(screen) = Screen::open("growing", &line) else { return };
    screen.shows("there is no catalog at");
    run(&catalog, &["--quiet", "init"]);
    screen.shows("no galaxies yet");
    run(&catalog, &["--quiet", "ingest", "--sample"]);
    screen.shows("1 000 galaxies");
    run(
        &catalog,
        &[
            "--quiet",
            "infer",
            "--where",
            "galaxy_id <= 3",
            "--draws",
            "200",
            "--store",
            "both",
            "--method",
            "npe",
        ],
    );
    screen.shows("set sdss-ugriz");
    screen.keys(&["Enter"]);
    screen.shows("npe · 200 draws");
    screen.keys(&["Q"]);
    screen.shows("ended with 0");

    let release = folder.path().join("release.db");
    run(
        &catalog,
        &[
            "--quiet",
            "release",
            "build",
            "sdss-ugriz",
            "--profile",
            "small",
            "--out",
            release.to_str().unwrap(),
        ],
    );
    let line = format!("{} tui {}", sedflow(), release.display());
    let Some(screen) = Screen::open("release", &line) else { return };
    screen.shows("of 3 galaxies");
    screen.keys(&["Enter"]);
    screen.shows("npe · 200 draws");
    screen.keys(&["q", "Tab", "t", "Enter"]);
    screen.shows("is a release, which is never changed");
    screen.keys(&["Q"]);
    screen.shows("ended with 0");
}

#[test]
fn a_training_is_started_watched_stopped_and_resumed_and_one_elsewhere_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("models.db");
    run(&catalog, &["--quiet", "init"]);
    let line = format!("TMPDIR={} {} tui {}", folder.path().display(), sedflow(), catalog.display());
    let Some(screen) = Screen::open("training", &line) else { return };
    screen.shows("no galaxies yet");
    screen.keys(&["Tab"]);
    screen.shows("no checkpoint and no training yet");
    screen.keys(&["t", "C-u"]);
    screen.keys(&["-l", "mine"]);
    screen.shows("train --name=mine --budget=30m");
    screen.keys(&["Enter"]);
    // how far it is, before its first epoch has ended
    let text = screen.shows(" min left");
    assert!(text.contains("running") && text.contains("epoch 0: ln q"), "{text}");
    screen.keys(&["S"]);
    screen.shows("stopped; what was committed is kept");
    screen.shows("interrupted");
    screen.keys(&["r"]);
    screen.shows("train --resume --name=mine --budget=60m");
    screen.keys(&["Enter"]);
    screen.shows("running");
    screen.shows(" min left");
    screen.keys(&["Tab", "Tab"]);
    screen.shows("train --resume --name=mine");
    screen.keys(&["L"]);
    screen.shows("going on after");
    screen.keys(&["q", "S"]);
    screen.shows("train: stopped; what was committed is kept");

    let mut elsewhere = Command::new(sedflow())
        .arg("-C")
        .arg(&catalog)
        .args(["--quiet", "train", "--name", "elsewhere", "--budget", "30m", "--hidden", "32"])
        .spawn()
        .unwrap();
    let text = screen.shows(&format!("process {}", elsewhere.id()));
    assert!(text.contains("running"), "{text}");
    screen.shows(" min left");
    assert!(Command::new("kill").arg(elsewhere.id().to_string()).status().unwrap().success());
    elsewhere.wait().unwrap();
    screen.shows("interrupted");
    screen.keys(&["Q"]);
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
