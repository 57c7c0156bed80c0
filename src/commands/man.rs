//! `sedflow man`: manual pages, one per command, and the reference in `docs/`; both made from what `--help` says.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Arg, Command, CommandFactory};

use super::{Context, Outcome};

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder for sedflow.1, sedflow-infer.1, ...; pages that are there are written anew
    #[arg(short, long, value_name = "DIR", required_unless_present = "markdown")]
    out: Option<PathBuf>,
    /// Print all of it as one Markdown page instead, as docs/reference/commands.md is
    #[arg(long, conflicts_with = "out")]
    markdown: bool,
}

pub fn run(args: ManArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut command = crate::cli::Cli::command();
    command.build();
    if args.markdown {
        std::io::stdout().write_all(markdown(&command).as_bytes())?;
        return Ok(Outcome::Done);
    }
    let Some(out) = &args.out else { bail!("no folder is given") };
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let n = write_pages(&command, out)?;
    context.remark(&format!("{n} pages; man -l {}", out.join("sedflow.1").display()));
    println!("{}", out.display());
    Ok(Outcome::Done)
}

/// Commands directly below one that users see.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// Writes the page of a command and of all below it; how many.
fn write_pages(command: &Command, folder: &Path) -> anyhow::Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut text)?;
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let mut n = 1;
    for sub in below(command) {
        n += write_pages(sub, folder)?;
    }
    Ok(n)
}

/// Every command with its arguments and options. `command` must be built.
pub fn markdown(command: &Command) -> String {
    let mut text = "# Every command\n\nMade by `sedflow man --markdown` from what `--help` says; a test keeps it current. \
                    Exit codes: 0 done, 1 failed, 2 wrong usage, 4 done but rows of the input were rejected (and listed), \
                    130 interrupted.\n\n## Options of all commands\n\n"
        .to_owned();
    command.get_arguments().filter(|arg| arg.is_global_set()).for_each(|arg| item(&mut text, arg));
    text.push_str("- `-h`, `--help`: Print help\n- `-V`, `--version`: of `sedflow` alone: Print version\n");
    below(command).for_each(|sub| section(&mut text, sub, "sedflow"));
    text
}

fn section(text: &mut String, command: &Command, before: &str) {
    let path = format!("{before} {}", command.get_name());
    // writing to a String does not fail
    let _ = write!(text, "\n## {path}\n\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = write!(text, "{}.\n\n", escaped(&about.to_string()));
    }
    let mut usage = command.clone();
    let usage = usage.render_usage().to_string();
    let _ = write!(text, "```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| {
            !arg.is_global_set()
                && !arg.is_hide_set()
                && !["help", "version"].contains(&arg.get_id().as_str())
        })
        .collect();
    if !own.is_empty() {
        text.push('\n');
    }
    own.into_iter().for_each(|arg| item(text, arg));
    let subs: Vec<&str> = below(command).map(Command::get_name).collect();
    if !subs.is_empty() {
        let _ = write!(text, "\nCommands: {}.\n", subs.join(", "));
    }
    below(command).for_each(|sub| section(text, sub, &path));
}

/// One argument as an item of a list.
fn item(text: &mut String, arg: &Arg) {
    let takes = arg.get_action().takes_values();
    let values = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = values.iter().map(|name| format!("<{name}>")).collect();
    let values = if takes { values.join(" ") } else { String::new() };
    let names = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `{}`", format!("--{long} {values}").trim_end()),
        (Some(short), None) => format!("`{}`", format!("-{short} {values}").trim_end()),
        (None, Some(long)) => format!("`{}`", format!("--{long} {values}").trim_end()),
        (None, None) => format!("`{values}`"),
    };
    let _ = write!(text, "- {names}");
    if let Some(help) = arg.get_long_help().or(arg.get_help()) {
        let _ = write!(text, ": {}", escaped(&help.to_string()));
    }
    if takes && !arg.get_default_values().is_empty() {
        let values: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let _ = write!(text, " \\[default: `{}`\\]", values.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, " \\[environment: `{}`\\]", variable.to_string_lossy());
    }
    text.push('\n');
    let possible = if takes { arg.get_possible_values() } else { vec![] };
    for value in possible.iter().filter(|value| !value.is_hide_set()) {
        let _ = write!(text, "  - `{}`", value.get_name());
        if let Some(help) = value.get_help() {
            let _ = write!(text, ": {}", escaped(&help.to_string()));
        }
        text.push('\n');
    }
}

/// Text of a help message that Markdown leaves as it is, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '`' => in_code = !in_code,
            '<' | '*' | '_' | '[' | ']' | '|' if !in_code => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_keeps_what_help_says() {
        assert_eq!(escaped("a_b * <X>\n  in `c_d`"), "a\\_b \\* \\<X> in `c_d`");
        let mut command = Command::new("sedflow").subcommand(
            Command::new("go")
                .about("Goes")
                .arg(Arg::new("far").long("far").value_name("KM").default_value("3").help("How far")),
        );
        command.build();
        let page = markdown(&command);
        assert!(page.contains("\n## sedflow go\n\nGoes.\n"), "{page}");
        assert!(page.contains("- `--far <KM>`: How far \\[default: `3`\\]\n"), "{page}");
    }
}
