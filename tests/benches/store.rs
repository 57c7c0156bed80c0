//! What a catalog of a million galaxies costs: rows per second in, milliseconds per question.
//!
//! `cargo bench --bench store [-- GALAXIES [SUMMARIES]]`, by default 1,000,000 and 100,000, in a temporary
//! directory (TMPDIR). Prints JSON lines.

use std::path::Path;
use std::time::Instant;

use rand::{Rng, RngExt, SeedableRng};
use sedflow::galaxy::{BandPhot, GalaxyRecord, SkyPosition};
use sedflow::hash::ContentHash;
use sedflow::prior::{Prior, PriorSpec};
use sedflow::store::{
    BandSpec, Cone, FilterCurve, GalaxyId, IngestSpec, Method, Mode, PosteriorRow, PosteriorSetSpec, RunId,
    RunSpec, SUMMARY_PARAMETERS, Selection, SspGridSpec, Store, StoreError, Summary, SurveySpec,
};
use serde_json::json;

const BATCH: usize = 20_000;
const REPEATS: usize = 21;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<usize>().ok());
    let n_galaxies = numbers.next().unwrap_or(1_000_000);
    let n_summaries = numbers.next().unwrap_or(100_000).min(n_galaxies);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bench.db");

    let start = Instant::now();
    let mut store = Store::create(&path)?;
    drop(store);
    report(json!({"what": "create an empty catalog", "ms": ms(start)}));
    store = Store::open(&path, Mode::Write)?;
    let spec = RunSpec { command: "bench", config: &json!({}), seed: Some(1), resumes: None };
    let run = store.begin_run(&spec)?;

    let (start, cpu) = (Instant::now(), cpu_seconds());
    ingest(&mut store, run, n_galaxies)?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    report(json!({
        "what": "ingest galaxies x 5 bands", "rows": n_galaxies, "seconds": seconds, "cpu_seconds": cpu,
        "galaxies_per_s": n_galaxies as f64 / seconds, "file_bytes": size(&path), "peak_rss_bytes": peak_rss(),
    }));

    let (start, cpu) = (Instant::now(), cpu_seconds());
    summarise(&mut store, run, n_summaries)?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    report(json!({
        "what": "store posterior rows with summaries", "rows": n_summaries, "seconds": seconds, "cpu_seconds": cpu,
        "galaxies_per_s": n_summaries as f64 / seconds, "file_bytes": size(&path), "peak_rss_bytes": peak_rss(),
    }));
    drop(store);

    time("open for reading", || Ok(Store::open(&path, Mode::Read).map(|_| 0)?))?;
    let store = Store::open(&path, Mode::Read)?;
    for radius_deg in [0.05, 0.5, 2.0] {
        let cone = Some(Cone { ra_deg: 187.7, dec_deg: 12.4, radius_deg });
        let selection = Selection { cone, ..Selection::default() };
        time(&format!("cone of {radius_deg} deg"), || Ok(store.select_galaxies(&selection)?.len()))?;
    }
    for condition in [
        "redshift BETWEEN 0.1 AND 0.1001",
        "log_mstar_q50 > 11.97",
        "log_mstar_q50 > 11.9 AND log_sfr_1gyr_q50 < -1.9",
        "log_mstar_q50 > 11.9 AND redshift < 0.01",
    ] {
        let selection = Selection { condition: Some(condition), ..Selection::default() };
        time(condition, || Ok(store.select_galaxies(&selection)?.len()))?;
    }
    let first: Vec<GalaxyId> = (1..=1000).map(GalaxyId).collect();
    time("read 1000 galaxies with photometry", || Ok(store.observed_galaxies(&first)?.len()))?;
    Ok(())
}

/// Median and extremes of repeated calls; `work` returns the number of rows found.
fn time(
    what: &str,
    mut work: impl FnMut() -> Result<usize, Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..REPEATS {
        let start = Instant::now();
        rows = work()?;
        times.push(ms(start));
    }
    let first = times[0];
    times.sort_by(f64::total_cmp);
    report(
        json!({"what": what, "rows": rows, "first_ms": first, "median_ms": times[REPEATS / 2], "min_ms": times[0], "max_ms": times[REPEATS - 1]}),
    );
    Ok(())
}

fn ingest(store: &mut Store, run: RunId, n: usize) -> Result<(), StoreError> {
    let bands = ["u", "g", "r", "i", "z"];
    let mut specs = Vec::new();
    for band in bands {
        let hash = ContentHash::of_bytes(band.as_bytes());
        let curve = FilterCurve {
            name: band,
            hash,
            wave_pivot_aa: 5000.0,
            wave_aa: &[4000.0, 6000.0],
            response: &[1.0, 1.0],
        };
        specs.push(BandSpec {
            name: band.to_owned(),
            filter: Some((store.put_filter(run, &curve)?, hash)),
            ucd: None,
        });
    }
    let band_set = store.put_band_set(run, "ugriz", &specs)?;
    let survey = store
        .put_survey(run, &SurveySpec { name: "synthetic", band_set, description: None, reference: None })?;
    let spec = IngestSpec {
        survey,
        survey_name: "synthetic",
        file_name: "none",
        file_hash: ContentHash::of_bytes(b""),
        n_bytes: 0,
        format: "fits",
        layout: "bench",
        config: &json!({}),
        extinction: "none",
        extra: &[],
    };
    let ingest = store.begin_ingest(run, &spec)?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for first in (0..n).step_by(BATCH) {
        let rows = first..(first + BATCH).min(n);
        let next = rows.end as u64;
        let galaxies: Vec<_> = rows.map(|row| galaxy(row, bands.len(), &mut rng)).collect();
        store.commit_ingest_batch(ingest.id, next, &galaxies, &[], &[])?;
    }
    store.finish_ingest(ingest.id)?;
    Ok(())
}

fn galaxy(row: usize, n_bands: usize, rng: &mut impl Rng) -> GalaxyRecord {
    let flux = || BandPhot { flux_nmgy: Some(123.456 + row as f64), ivar_nmgy: Some(4.5), flags: 0 };
    GalaxyRecord {
        object_id: format!("{}", 1_000_000_000 + row),
        source_row: row as u64,
        position: Some(SkyPosition {
            ra_deg: rng.random::<f64>() * 360.0,
            dec_deg: (rng.random::<f64>() * 2.0 - 1.0).asin().to_degrees(),
        }),
        redshift: Some(rng.random::<f64>() * 0.2),
        redshift_err: Some(1e-5),
        photometry: (0..n_bands).map(|_| flux()).collect(),
        extra: vec![],
        cuts_failed: 0,
    }
}

fn summarise(store: &mut Store, run: RunId, n: usize) -> Result<(), Box<dyn std::error::Error>> {
    let grid = SspGridSpec {
        hash: ContentHash::of_bytes(b"grid"),
        name: "none",
        imf: "none",
        isochrones: "none",
        library: "none",
        lsun_erg_s: 3.846e33,
        bytes: None,
    };
    let grid = store.put_ssp_grid(run, &grid)?;
    let sed_model = store.put_sed_model(run, "none", ContentHash::of_bytes(b"model"), grid, &json!({}))?;
    let prior = store.put_prior(run, "default", &Prior::new(PriorSpec::default())?)?;
    let spec = PosteriorSetSpec {
        name: "bench",
        checkpoint: None,
        sed_model,
        prior,
        config: &json!({}),
        seed: 1,
        n_draws: 10_000,
        parameters: &SUMMARY_PARAMETERS,
    };
    let set = store.begin_posterior_set(run, &spec)?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let mut uniform = move |low: f64, high: f64| low + rng.random::<f64>() * (high - low);
    for first in (0..n).step_by(1000) {
        let rows: Vec<_> = (first..(first + 1000).min(n))
            .map(|row| {
                let summary = (0..SUMMARY_PARAMETERS.len()).map(|parameter| {
                    let q50 = if parameter == 0 { uniform(8.0, 12.0) } else { uniform(-2.0, 2.0) };
                    Summary {
                        mean: q50 + 0.01,
                        std: 0.1,
                        q025: q50 - 0.2,
                        q16: q50 - 0.1,
                        q50,
                        q84: q50 + 0.1,
                        q975: q50 + 0.2,
                        map: q50,
                        edge_frac: 0.001,
                    }
                });
                PosteriorRow {
                    galaxy: GalaxyId(row as i64 + 1),
                    method: Some(Method::Npe),
                    n_draws: 10_000,
                    n_bands: 5,
                    draws_hash: Some(ContentHash::of_bytes(&row.to_le_bytes())),
                    summary: summary.collect(),
                    ..PosteriorRow::default()
                }
            })
            .collect();
        store.commit_posteriors(set.id, &rows)?;
    }
    Ok(())
}

fn report(line: serde_json::Value) {
    println!("{line}");
}

fn ms(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Processor time of this process so far, which says more than the clock on a busy machine; 0 where unknown.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Largest resident size of this process so far; 0 where the system does not tell.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
