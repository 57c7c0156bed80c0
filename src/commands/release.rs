//! `sedflow release`: one read-only file for readers of a paper, and checks of such a file.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use rand::seq::index;
use serde_json::json;

use super::draws::{self, Maker};
use super::{Context, Outcome, infer, setup};
use crate::codec;
use crate::output::for_eyes;
use crate::rng::Streams;
use crate::store::{
    Described, GalaxyId, Mode, Profile, Release, ReleaseSpec, RunSpec, RunState, Selection, Severity, Store,
    StoredPosterior, check_file,
};

#[derive(Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    /// Write a posterior set, and everything it was made from, into one read-only file
    Build(BuildArgs),
    /// What a release is: name, hash, contents, how to read and cite it
    Info(InfoArgs),
    /// Check a release against its hash, and make some of its posteriors again
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The posterior set
    set: String,
    /// File to write; it must not exist
    #[arg(short, long)]
    out: PathBuf,
    /// Name and version [default: the set's name]
    #[arg(long)]
    name: Option<String>,
    /// Condition on the galaxies, such as "redshift < 0.1"; summaries are those of the set
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,
    /// small: summaries and recipes; full: all the set keeps, and the kept columns of the input
    #[arg(long, value_enum, default_value_t = Size::Full)]
    profile: Size,
    /// Licence of the data, such as CC-BY-4.0
    #[arg(long)]
    licence: Option<String>,
    /// How to cite it
    #[arg(long)]
    citation: Option<String>,
    #[arg(long)]
    doi: Option<String>,
    /// Say what a kept column of the input is, where the input did not; `-` for no unit
    #[arg(long, value_name = "COLUMN=UNIT: TEXT")]
    describe: Vec<Description>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    Small,
    Full,
}

/// `COLUMN=UNIT: what it is`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Description(Described);

impl FromStr for Description {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not COLUMN=UNIT: TEXT, such as `z_err=-: error of the redshift`");
        let (column, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (unit, description) = rest.split_once(':').ok_or_else(wrong)?;
        let [column, unit, description] = [column, unit, description].map(|part| part.trim().to_owned());
        if column.is_empty() || unit.is_empty() || description.is_empty() {
            return Err(wrong());
        }
        let unit = (unit != "-").then_some(unit);
        Ok(Self(Described { column, unit, description }))
    }
}

#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    file: PathBuf,
    /// Posteriors to make again, chosen at random
    #[arg(long, default_value_t = 20)]
    sample: usize,
    /// Seed of the choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(command: ReleaseCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        ReleaseCommand::Build(args) => build(&args, context),
        ReleaseCommand::Info(args) => info(&args),
        ReleaseCommand::Verify(args) => verify(&args, context),
    }
}

fn build(args: &BuildArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut store = setup::open(&context.catalog)?;
    context.remark_all(store.notes());
    let set = store.find_posterior_set(&args.set)?;
    let name = args.name.as_deref().unwrap_or(&set.name);
    let selection =
        Selection { condition: args.condition.as_deref(), set: Some(set.id), ..Selection::default() };
    let mut galaxies = store.select_galaxies(&selection)?;
    let in_set = store.galaxies_of_set(set.id, None)?;
    galaxies.retain(|galaxy| in_set.binary_search(galaxy).is_ok());
    if galaxies.is_empty() {
        bail!("no galaxy of the set `{}` is selected", set.name);
    }
    let described: Vec<Described> = args.describe.iter().map(|d| d.0.clone()).collect();
    let profile = match args.profile {
        Size::Small => Profile::Small,
        Size::Full => Profile::Full,
    };
    let readme = readme(&store, args, name, &set, galaxies.len())?;
    let spec = ReleaseSpec {
        name,
        set: set.id,
        galaxies: &galaxies,
        condition: args.condition.as_deref(),
        profile,
        licence: args.licence.as_deref(),
        citation: args.citation.as_deref(),
        doi: args.doi.as_deref(),
        described: &described,
        readme: &readme,
    };
    let obstacles = store.release_obstacles(&spec)?;
    if !obstacles.is_empty() {
        bail!("`{}` cannot be released:\n  {}", set.name, obstacles.join("\n  "));
    }
    for (what, missing) in [("--licence", args.licence.is_none()), ("--citation", args.citation.is_none())] {
        if missing {
            context.remark(&format!("readers will ask: no {what} is given"));
        }
    }
    let config = json!({
        "set": set.name, "name": name, "where": args.condition, "profile": profile.as_str(),
        "licence": args.licence, "citation": args.citation, "doi": args.doi,
    });
    let recorded = RunSpec { command: "release build", config: &config, seed: None, resumes: None };
    let release = store.recorded(&recorded, |store, run| -> anyhow::Result<_> {
        if args.out.exists() {
            // A build that was killed after the file was whole, and before the catalog knew.
            let there = Store::open(&args.out, Mode::Read).ok().and_then(|s| s.own_release().ok().flatten());
            match there {
                Some(release) if release.name == name => {
                    let again = store.describe_release(run, &args.out, &spec)?;
                    if again.hash == release.hash {
                        store.record_release(run, &again)?;
                        return Ok((again, RunState::Done));
                    }
                    bail!("{} exists, a release `{name}` with other contents", args.out.display());
                }
                _ => bail!("{} exists already; a release never overwrites a file", args.out.display()),
            }
        }
        Ok((store.build_release(run, &args.out, &spec)?, RunState::Done))
    })?;
    let n_bytes = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    context.remark(&format!(
        "{}: {} galaxies, {:.1} MB",
        args.out.display(),
        galaxies.len(),
        n_bytes as f64 * 1e-6
    ));
    println!("{}", release.hash);
    Ok(Outcome::Done)
}

/// Paragraphs for whoever opens the file with any SQLite program.
fn readme(
    store: &Store,
    args: &BuildArgs,
    name: &str,
    set: &crate::store::PosteriorSet,
    n_galaxies: usize,
) -> anyhow::Result<Vec<(String, String)>> {
    let model = store.sed_model(set.sed_model)?.0;
    let checkpoint = match set.checkpoint {
        Some(id) => store.checkpoints()?.into_iter().find(|known| known.id == id),
        None => None,
    };
    let checkpoint = checkpoint.map_or("none".to_owned(), |known| {
        format!("{} ({})", known.name.unwrap_or_else(|| "unnamed".into()), known.hash)
    });
    let or_not = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    let draws = match args.profile {
        Size::Small => {
            "Draws are not stored but made again from recipes (`posterior.recipe`), to the bit, by `sedflow`."
        }
        Size::Full => {
            "Draws are in `posterior.samples`, packed as schema/posterior-codec.md of sedflow describes and \
             python/read_release.py reads (numpy and zstandard); where there is a recipe (`posterior.recipe`), \
             `sedflow` makes them again, to the bit."
        }
    };
    let paragraphs = [
        (
            "What this is",
            format!(
                "{name}: posteriors of {n_galaxies} galaxies{}, {} draws each, from set `{}`. One SQLite file that any \
                 SQLite program opens; `sedflow -C FILE` opens it as a catalog.",
                args.condition.as_ref().map_or(String::new(), |condition| format!(" where {condition}")),
                set.n_draws,
                set.name
            ),
        ),
        (
            "Where to begin",
            "SELECT object_id, redshift, log_mstar_q50, log_sfr_1gyr_q50 FROM galaxy JOIN posterior_summary USING \
             (galaxy_id) LIMIT 10; every column of every table is explained in `dictionary`, with its unit and what \
             NULL means; columns of the input that were kept are in `galaxy.extra` and explained in `extra_column`."
                .to_owned(),
        ),
        ("Posteriors", draws.to_owned()),
        (
            "Galaxies without a posterior",
            "They have a row in `posterior` with no method and one or more codes in `reason`.".to_owned(),
        ),
        (
            "How it was made",
            format!(
                "SED model {} ({}), checkpoint {checkpoint}, prior and noise model in their tables; commands, versions \
                 and seeds in `run`, inputs by hash in `run_input`.",
                model.name, model.hash
            ),
        ),
        (
            "Is it whole",
            "`sedflow release verify FILE` checks everything against the hash in `release.hash`, which is the BLAKE3 \
             hash of `release.manifest`; that lists the hash of every table."
                .to_owned(),
        ),
        ("Licence", or_not(&args.licence)),
        ("Citation", or_not(&args.citation)),
        ("DOI", or_not(&args.doi)),
    ];
    Ok(paragraphs.map(|(title, text)| (title.to_owned(), text)).to_vec())
}

fn open_release(path: &Path) -> anyhow::Result<(Store, Release)> {
    let store = Store::open(path, Mode::Read)?;
    let release = store.own_release()?;
    let release = release.with_context(|| format!("{} is a catalog, but no release", path.display()))?;
    Ok((store, release))
}

fn info(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let (store, release) = open_release(&args.file)?;
    let n_bytes = std::fs::metadata(&args.file).map_or(0, |file| file.len());
    let (answers, reasons) = store.posterior_counts(release.set)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let value = json!({
            "name": release.name, "hash": release.hash, "bytes": n_bytes, "posteriors": answers,
            "reasons": reasons, "licence": release.licence, "citation": release.citation, "doi": release.doi,
            "manifest": release.manifest,
        });
        writeln!(out, "{value}")?;
        return Ok(Outcome::Done);
    }
    let or_not = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    for (key, value) in [
        ("name", release.name.clone()),
        ("hash", release.hash.to_string()),
        ("profile", release.manifest["profile"].as_str().unwrap_or("unknown").to_owned()),
        ("size", format!("{:.1} MB", n_bytes as f64 * 1e-6)),
        ("posteriors", answers.to_string()),
        ("reasons", reasons.to_string()),
        ("licence", or_not(&release.licence)),
        ("citation", or_not(&release.citation)),
        ("doi", or_not(&release.doi)),
    ] {
        writeln!(out, "{key:<11} {}", for_eyes(value.as_bytes()))?;
    }
    for (title, text) in store.readme()? {
        writeln!(out, "\n{}\n  {}", for_eyes(title.as_bytes()), for_eyes(text.as_bytes()))?;
    }
    Ok(Outcome::Done)
}

fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut wrong: Vec<String> = check_file(&args.file)?
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{}: {}", finding.subject, finding.text))
        .collect();
    // A file that is too damaged to open has been described by now.
    match open_release(&args.file) {
        Ok((store, release)) => {
            wrong.extend(store.release_differences()?);
            match rederive(&store, &release, args) {
                Ok((n, failures)) => {
                    wrong.extend(failures);
                    context.remark(&format!("{n} posteriors were made again"));
                }
                Err(error) => wrong.push(format!("posteriors cannot be made again: {error:#}")),
            }
            if wrong.is_empty() {
                println!("{} {}", release.hash, release.name);
                return Ok(Outcome::Done);
            }
        }
        Err(error) if wrong.is_empty() => return Err(error),
        Err(_) => {}
    }
    bail!("{} is not what it says:\n  {}", args.file.display(), wrong.join("\n  "))
}

/// Makes a random sample of posteriors again; (how many, what went wrong).
fn rederive(store: &Store, release: &Release, args: &VerifyArgs) -> anyhow::Result<(usize, Vec<String>)> {
    let set = store.posterior_set(release.set)?;
    let Some(checkpoint) = set.checkpoint else { return Ok((0, vec![])) };
    let loaded = setup::load_from(store, checkpoint)?;
    let maker = Maker { npe: &loaded.npe, checkpoint: loaded.hash, derived: &loaded.derived };
    let condition = Some("method IS NOT NULL");
    let ids = store.select_galaxies(&Selection { condition, set: Some(set.id), ..Selection::default() })?;
    let mut rng = Streams::new(args.seed, "release verify").at(0);
    let mut chosen = index::sample(&mut rng, ids.len(), args.sample.min(ids.len())).into_vec();
    chosen.sort_unstable();
    let mut wrong = Vec::new();
    let mut failed = |posterior: &StoredPosterior, why: String| -> anyhow::Result<()> {
        let galaxy = store.observed_galaxies(&[posterior.row.galaxy])?.pop();
        wrong.push(format!("galaxy {}: {why}", galaxy.map_or(String::new(), |galaxy| galaxy.object_id)));
        Ok(())
    };
    let (mut n_again, mut without_recipe) = (0, Vec::new());
    for &place in &chosen {
        let Some(posterior) = store.posterior(set.id, ids[place])? else { continue };
        // Sets of earlier versions do not know the hash of their draws.
        let Some(hash) = posterior.row.draws_hash else { continue };
        n_again += 1;
        if let Some(samples) = &posterior.row.samples {
            match codec::hash_of(samples) {
                Ok(found) if found == hash => {}
                Ok(found) => failed(
                    &posterior,
                    format!("the draws have hash {}, not {}", found.short(), hash.short()),
                )?,
                Err(error) => failed(&posterior, error.to_string())?,
            }
        }
        match &posterior.row.recipe {
            Some(_) => {
                if let Err(error) = draws::again(&posterior, maker) {
                    failed(&posterior, format!("{error:#}"))?;
                }
            }
            None => without_recipe.push(posterior),
        }
    }
    let galaxies: Vec<GalaxyId> = without_recipe.iter().map(|posterior| posterior.row.galaxy).collect();
    let rows = if galaxies.is_empty() { vec![] } else { infer::rows_again(store, &loaded, &set, &galaxies)? };
    for (posterior, row) in without_recipe.iter().zip(rows) {
        if row.draws_hash != posterior.row.draws_hash {
            failed(posterior, "made again from its photometry, it has other draws".to_owned())?;
        }
    }
    Ok((n_again, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_column_unit_and_text() {
        let parsed: Description = "KC5_LOGMASS=log(solMass): mass by kcorrect: v5".parse().unwrap();
        assert_eq!(parsed.0.column, "KC5_LOGMASS");
        assert_eq!(parsed.0.unit.as_deref(), Some("log(solMass)"));
        assert_eq!(parsed.0.description, "mass by kcorrect: v5");
        assert_eq!("flag=-: a code".parse::<Description>().unwrap().0.unit, None);
        for wrong in ["flag", "flag=nmgy", "=nmgy: x", "flag=: x", "flag=nmgy:"] {
            assert!(wrong.parse::<Description>().unwrap_err().contains(wrong));
        }
    }
}
