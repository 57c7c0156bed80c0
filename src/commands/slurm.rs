//! `sedflow slurm`: the shards of a plan as a Slurm job array, and a job that merges them when it has ended.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::shard::plan::Plan;
use super::shard::status::{State, stands, summary};
use super::{Context, Outcome};
use crate::shards::ranges;

/// Slurm's usual limit on the numbers of an array (`MaxArraySize` is 1001 unless a cluster says otherwise).
const USUAL_ARRAY: u32 = 1000;

#[derive(Debug, clap::Args)]
pub struct SlurmArgs {
    /// Folder of a plan by `shard plan`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Submit the jobs too: an array of the shards that are not done, and the merge after it
    #[arg(long)]
    submit: bool,
    /// Cores of one shard
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: u32,
    /// Memory of one shard
    #[arg(long, default_value = "4G")]
    mem: String,
    /// Time limit of one shard; a shard that reaches it goes on where it was when it is submitted again
    #[arg(long, default_value = "12:00:00")]
    time: String,
    /// Time limit of the merge
    #[arg(long, value_name = "TIME", default_value = "12:00:00")]
    merge_time: String,
    /// Shards at work at once [default: as many as the cluster lets]
    #[arg(long, value_name = "N")]
    at_once: Option<u32>,
    #[arg(long)]
    partition: Option<String>,
    #[arg(long)]
    account: Option<String>,
    /// Another option of sbatch, such as --sbatch=--qos=long
    #[arg(long = "sbatch", value_name = "OPTION", allow_hyphen_values = true)]
    others: Vec<String>,
    /// The program, as the cluster's machines find it [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub fn run(args: SlurmArgs, context: &Context) -> anyhow::Result<Outcome> {
    let plan = Plan::read(&args.folder)?;
    let folder = args.folder.canonicalize().with_context(|| args.folder.display().to_string())?;
    let catalog = context.catalog.canonicalize();
    let catalog =
        catalog.with_context(|| format!("cannot find the catalog {}", context.catalog.display()))?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot tell where this program is; give --program")?,
    };
    if args.cpus == 0 || args.at_once == Some(0) {
        bail!("--cpus and --at-once are at least 1");
    }
    for option in [&args.partition, &args.account].into_iter().flatten().chain([
        &args.mem,
        &args.time,
        &args.merge_time,
    ]) {
        if option.is_empty() || option.chars().any(|c| c.is_whitespace() || c.is_control()) {
            bail!("`{}` is no value for an option of sbatch", option.escape_debug());
        }
    }
    if let Some(other) = args.others.iter().find(|o| !o.starts_with("--") || o.chars().any(char::is_control))
    {
        bail!("`{}` is no option of sbatch: expected --sbatch=--NAME=VALUE", other.escape_debug());
    }
    if plan.n() > USUAL_ARRAY {
        context.remark(&format!(
            "{} shards are more than the {USUAL_ARRAY} that Slurm usually lets an array have (`scontrol show config | grep \
             MaxArraySize`)",
            plan.n()
        ));
    }
    let log = folder.join("log");
    std::fs::create_dir_all(&log).with_context(|| format!("cannot make the folder {}", log.display()))?;
    let place = Place { program: &program, catalog: &catalog, folder: &folder };
    let (infer, merge) = (folder.join("infer.sbatch"), folder.join("merge.sbatch"));
    for (path, script) in
        [(&infer, infer_script(&args, &plan, &place)?), (&merge, merge_script(&args, &plan, &place)?)]
    {
        std::fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))?;
    }

    let stands = stands(&folder, &plan);
    context.remark(&summary(&stands));
    if let Some(stand) = stands.iter().find(|stand| matches!(stand.state, State::Wrong(_))) {
        bail!(
            "{} is no shard of the plan (`sedflow shard status` says why): remove it first",
            stand.file.display()
        );
    }
    let to_do: Vec<u32> =
        stands.iter().filter(|stand| stand.state.is_to_do()).map(|stand| stand.shard.index).collect();
    let mut array = ranges(&to_do);
    if let Some(at_once) = args.at_once {
        array += &format!("%{at_once}");
    }
    let array_job =
        [OsStr::new("--parsable").to_owned(), format!("--array={array}").into(), infer.clone().into()];
    if !args.submit {
        let mut out = std::io::stdout().lock();
        let (infer, merge) = (quoted(&infer)?, quoted(&merge)?);
        if to_do.is_empty() {
            writeln!(out, "sbatch {merge}")?;
        } else {
            writeln!(out, "job=$(sbatch --parsable --array={array} {infer})")?;
            writeln!(out, "sbatch --dependency=afterany:${{job%%;*}} {merge}")?;
        }
        return Ok(Outcome::Done);
    }
    let mut merge_job = vec![OsStr::new("--parsable").to_owned()];
    if to_do.is_empty() {
        context.remark("every shard is done or at work: only the merge is submitted");
    } else {
        let job = sbatch(&array_job)?;
        println!("{job}");
        merge_job.push(format!("--dependency=afterany:{job}").into());
    }
    merge_job.push(merge.into());
    println!("{}", sbatch(&merge_job)?);
    Ok(Outcome::Done)
}

/// Submits a job; its number. Errors with what `sbatch` said.
fn sbatch(words: &[std::ffi::OsString]) -> anyhow::Result<String> {
    let output = Command::new("sbatch")
        .args(words)
        .output()
        .context("cannot run sbatch: is this a machine that submits to Slurm?")?;
    if !output.status.success() {
        bail!("sbatch: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // `123` or `123;cluster`
    let said = String::from_utf8_lossy(&output.stdout);
    let job = said.trim().split(';').next().unwrap_or_default();
    if job.is_empty() || !job.bytes().all(|b| b.is_ascii_digit()) {
        bail!("sbatch said `{}`, expected the number of a job", said.trim());
    }
    Ok(job.to_owned())
}

/// Where things are, for every machine of the cluster.
struct Place<'a> {
    program: &'a Path,
    catalog: &'a Path,
    folder: &'a Path,
}

/// A path as a word of the shell. Errors where it is not text, which a script cannot hold.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains('\n'));
    let text = text.with_context(|| format!("{} cannot stand in a script", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// `#SBATCH` lines that both jobs have.
fn header(args: &SlurmArgs, name: &str, time: &str, output: &str, place: &Place) -> anyhow::Result<String> {
    // Slurm reads the value of an option up to a blank; a quoted one may hold blanks.
    let output = place.folder.join("log").join(output);
    let output = output.to_str().filter(|text| !text.contains(['"', '\n']));
    let output = output.with_context(|| format!("{} cannot stand in a script", place.folder.display()))?;
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let mut text = format!(
        "#!/bin/bash\n#SBATCH --job-name={name}\n#SBATCH --time={time}\n#SBATCH --output=\"{output}\"\n"
    );
    for (option, value) in [("partition", &args.partition), ("account", &args.account)] {
        if let Some(value) = value {
            text += &format!("#SBATCH --{option}={value}\n");
        }
    }
    for other in &args.others {
        text += &format!("#SBATCH {other}\n");
    }
    Ok(text)
}

fn infer_script(args: &SlurmArgs, plan: &Plan, place: &Place) -> anyhow::Result<String> {
    let (program, catalog, folder) = (quoted(place.program)?, quoted(place.catalog)?, quoted(place.folder)?);
    let n = plan.n();
    Ok(header(args, &format!("sedflow-{}", plan.set), &args.time, "infer-%a.out", place)?
        + &format!(
            "#SBATCH --cpus-per-task={}\n#SBATCH --mem={}\n#SBATCH --requeue\n#SBATCH --open-mode=append\n\n\
             # One shard of {n}. Submitted again, it goes on where it was; a machine that fails is made good by the requeue.\n\
             # `exec`, so that Slurm's signals reach the program, which then stops at a safe point.\n\
             exec {program} -C {catalog} --threads \"${{SLURM_CPUS_PER_TASK:-1}}\" infer --plan {folder} --shard \
             \"$SLURM_ARRAY_TASK_ID/{n}\"\n",
            args.cpus, args.mem
        ))
}

fn merge_script(args: &SlurmArgs, plan: &Plan, place: &Place) -> anyhow::Result<String> {
    let (program, catalog, folder) = (quoted(place.program)?, quoted(place.catalog)?, quoted(place.folder)?);
    Ok(header(args, &format!("sedflow-merge-{}", plan.set), &args.merge_time, "merge.out", place)?
        + &format!(
            "#SBATCH --cpus-per-task=1\n#SBATCH --mem={}\n#SBATCH --open-mode=append\n\n\
             # After the array, however it ended: where shards failed this fails with their numbers and merges nothing, and\n\
             # `sedflow slurm DIR --submit` submits those again.\n\
             {program} shard status {folder}\n\
             exec {program} -C {catalog} merge --plan {folder}\n",
            args.mem
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's $HOME")).unwrap(), r"'/a b/it'\''s $HOME'");
        assert!(quoted(Path::new("/a\nb")).is_err());
    }
}
