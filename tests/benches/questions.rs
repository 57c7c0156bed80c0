//! What questions to the posteriors of a large catalog cost.
//!
//! `cargo bench --bench questions [-- GALAXIES [DRAWS [CATALOG]]]`, by default 100,000 galaxies of 2,000 draws in a
//! temporary directory (TMPDIR). 200 distinct posteriors are given to the galaxies in turn: those of the
//! current set of CATALOG, or made-up ones. Prints JSON lines.

#[path = "../synthetic/mod.rs"]
mod synthetic;

use std::path::Path;
use std::time::Instant;

use sedflow::find::{Question, Vocabulary, find};
use sedflow::store::{Mode, PosteriorRow, Selection, Store, Summary};
use serde_json::json;
use synthetic::{Synthetic, posterior};

const DISTINCT: usize = 200;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number =
        |i: usize, default: usize| words.get(i).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (n, n_draws) = (number(0, 100_000), number(1, 2_000));
    let rows = match words.get(2) {
        Some(catalog) => of_catalog(Path::new(catalog))?,
        None => (0..DISTINCT).map(|i| posterior(i as u64, n_draws).row).collect(),
    };
    let n_draws = rows.first().map_or(0, |row| row.n_draws);
    let bytes: usize = rows.iter().filter_map(|row| row.samples.as_ref()).map(Vec::len).sum();
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bench.db");
    let start = Instant::now();
    let mut made = Synthetic::new(&path, n)?;
    // the second set is the first, moved by a tenth of a standard deviation
    made.add_set("v1", 1, n_draws, (1, n), &mut |i| rows[i % rows.len()].clone())?;
    made.add_set("v2", 2, n_draws, (1, n), &mut |i| moved(&rows[i % rows.len()]))?;
    made.store.set_current_posterior_set("v1")?;
    drop(made);
    let file_bytes = std::fs::metadata(&path)?.len();
    println!(
        "{}",
        json!({
            "what": "catalog", "galaxies": n, "draws": n_draws, "distinct": rows.len(),
            "kb_per_posterior": bytes as f64 / rows.len() as f64 / 1e3, "file_bytes": file_bytes,
            "seconds": start.elapsed().as_secs_f64(), "threads": rayon::current_num_threads(),
        })
    );
    let store = Store::open(&path, Mode::Read)?;
    for (what, question) in [
        ("summary, by index", "log_mstar_q50 > 11.3 and redshift < 0.02"),
        ("P decided by summaries", "P(log_mstar > 13) > 0.9"),
        ("P decided by summaries for most", "P(log_mstar > 11) > 0.9"),
        ("P decided by draws", "P(log_mstar > log_mstar_q50 - 0.3 * log_mstar_std) > 0.6"),
        (
            "P of two parameters decided by draws",
            "P(log_sfr_1gyr - log_mstar > log_sfr_1gyr_q50 - log_mstar_q50) > 0.5",
        ),
        ("P decided by draws, after an index", "redshift < 0.02 and P(tau_ism > tau_ism_q50) > 0.49"),
    ] {
        ask(&store, what, question)?;
    }
    for arguments in [&["diff", "v1", "v2"][..], &["find", "P(log_mstar > 11) > 0.9", "--count"]] {
        let start = Instant::now();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_sedflow"))
            .arg("-C")
            .arg(&path)
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            peak = peak_rss(&child.id().to_string()).max(peak);
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let seconds = start.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("{arguments:?} ended with {status}").into());
        }
        let what = format!("sedflow {}", arguments.join(" "));
        println!("{}", json!({"what": what, "seconds": seconds, "peak_rss_bytes": peak}));
    }
    println!("{}", json!({"what": "this process", "peak_rss_bytes": peak_rss("self")}));
    Ok(())
}

/// Posteriors of the current set of a catalog.
fn of_catalog(path: &Path) -> Result<Vec<PosteriorRow>, Failure> {
    let store = Store::open(path, Mode::Read)?;
    let set = store.current_posterior_set()?.ok_or("the catalog has no posteriors")?;
    let mut rows = Vec::new();
    for id in
        store.select_galaxies(&Selection { condition: Some("method = 'npe'"), ..Selection::default() })?
    {
        if let Some(found) = store.posterior(set.id, id)? {
            rows.push(found.row);
        }
        if rows.len() == DISTINCT {
            break;
        }
    }
    Ok(rows)
}

fn moved(row: &PosteriorRow) -> PosteriorRow {
    let moved = |s: &Summary| {
        let by = 0.1 * s.std;
        Summary {
            mean: s.mean + by,
            q025: s.q025 + by,
            q16: s.q16 + by,
            q50: s.q50 + by,
            q84: s.q84 + by,
            q975: s.q975 + by,
            ..*s
        }
    };
    let summary = row.summary.iter().map(moved).collect();
    PosteriorRow {
        summary,
        codec: None,
        codec_ks: None,
        draws_hash: None,
        samples: None,
        recipe: None,
        ..row.clone()
    }
}

/// Asks thrice: milliseconds of the first and the fastest.
fn ask(store: &Store, what: &str, text: &str) -> Result<(), Failure> {
    let set = store.current_posterior_set()?;
    let question = Question::parse(text, store, &Vocabulary::new(store, set.as_ref())?)?;
    let mut times = Vec::new();
    let mut tally = Default::default();
    for _ in 0..3 {
        let start = Instant::now();
        tally = find(store, &question, &Selection::default(), None, &mut |_| Ok(true))?;
        times.push(start.elapsed().as_secs_f64());
    }
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "{}",
        json!({
            "what": what, "question": text, "first_ms": 1e3 * times[0], "best_ms": 1e3 * best,
            "candidates": tally.candidates, "by_summary": tally.summary_yes + tally.summary_no,
            "by_draws": tally.unpacked, "found": tally.found,
            "galaxies_per_s": tally.candidates as f64 / best,
        })
    );
    Ok(())
}

fn peak_rss(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
