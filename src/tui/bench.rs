//! `sedflow bench tui`: how fast the terminal interface answers on a large catalog, and what memory it takes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::config::Config;
use super::message::Msg;
use super::screenshot::Session;
use super::view;
use crate::codec;
use crate::commands::bench::report::Report;
use crate::commands::{Context, Outcome};
use crate::galaxy::{BandPhot, GalaxyRecord};
use crate::hash::ContentHash;
use crate::store::{IngestSpec, Mode, PosteriorRow, PosteriorSetSpec, RunSpec, RunState, Selection, Store};

#[derive(Debug, clap::Args)]
pub struct TuiArgs {
    /// Build a catalog of N galaxies, a tenth of them with posteriors, from the demo's, and measure on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2000..=100_000_000))]
    synthetic: Option<u64>,
    /// Keep the catalog built in this file, which must not exist [default: a temporary one]
    #[arg(long, value_name = "FILE", requires = "synthetic")]
    keep: Option<PathBuf>,
}

/// What a session may take for anything, before it is called stuck.
const PATIENCE: Duration = Duration::from_secs(120);
/// Galaxies committed together.
const BATCH: u64 = 20_000;
/// Draws of most synthetic posteriors: a hundred thousand of full size would fill twelve gigabytes.
const FEW_DRAWS: usize = 400;

pub fn run(args: TuiArgs, context: &Context) -> anyhow::Result<Outcome> {
    let Some(n) = args.synthetic else {
        return measure(&context.catalog, context).map(|()| Outcome::Done);
    };
    let folder = std::env::temp_dir().join(format!("sedflow-bench-tui-{}", std::process::id()));
    let catalog = match &args.keep {
        Some(path) => path.clone(),
        None => {
            std::fs::create_dir_all(&folder)?;
            folder.join("catalog.db")
        }
    };
    let built = build(&catalog, n, context);
    // another process, whose memory is that of the interface alone
    let measured = built.and_then(|()| {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg("-C").arg(&catalog).args(["bench", "tui"]);
        if context.quiet {
            command.arg("--quiet");
        }
        Ok(command.status()?)
    });
    if args.keep.is_none() {
        // what is left in a temporary folder is no failure
        let _ = std::fs::remove_dir_all(&folder);
    }
    if !measured?.success() {
        bail!("the measurement failed");
    }
    Ok(Outcome::Done)
}

/// The demo's catalog with as many more galaxies: its own, shifted a little in flux, redshift and place.
fn build(catalog: &Path, n: u64, context: &Context) -> anyhow::Result<()> {
    if catalog.exists() {
        bail!("{} is there already", catalog.display());
    }
    let begun = Instant::now();
    let mut demo = std::process::Command::new(std::env::current_exe()?);
    demo.args(["--quiet", "demo", "--method", "npe", "--out"])
        .arg(catalog)
        .stdout(std::process::Stdio::null());
    if !demo.status()?.success() {
        bail!("the demo that the catalog begins with failed");
    }
    let mut store = Store::open(catalog, Mode::Write)?;
    let ids = store.select_galaxies(&Selection::default())?;
    let real = store.observed_galaxies(&ids)?;
    let set = store.current_posterior_set()?.context("the demo made no posteriors")?;
    let mut answers: Vec<PosteriorRow> = Vec::new();
    for galaxy in real.iter().take(300) {
        if let Some(posterior) = store.posterior(set.id, galaxy.id)? {
            answers.push(fewer_draws(posterior.row)?);
        }
    }
    let survey = store.find_survey("sdss")?.or(store.surveys()?.into_iter().next()).context("no survey")?;
    let config = json!({ "galaxies": n });
    let spec = RunSpec { command: "bench", config: &config, seed: None, resumes: None };
    store.recorded(&spec, |store, run| -> anyhow::Result<((), RunState)> {
        let spec = IngestSpec {
            survey: survey.id,
            survey_name: &survey.name,
            file_name: "synthetic",
            file_hash: ContentHash::of_bytes(b"synthetic"),
            n_bytes: 0,
            format: "csv",
            layout: "synthetic",
            config: &config,
            extinction: "none",
            extra: &[],
        };
        let state = store.begin_ingest(run, &spec)?;
        let more = n.saturating_sub(real.len() as u64);
        for first in (0..more).step_by(BATCH as usize) {
            let last = (first + BATCH).min(more);
            let galaxies: Vec<GalaxyRecord> =
                (first..last).map(|i| like(&real[i as usize % real.len()], i)).collect();
            store.commit_ingest_batch(state.id, last, &galaxies, &[], &[])?;
        }
        store.finish_ingest(state.id)?;
        let parameters: Vec<&str> = set.parameters.iter().map(String::as_str).collect();
        let config = json!({ "steps_per_width": codec::STEPS_PER_WIDTH, "samples": true, "recipe": false });
        let made = store.begin_posterior_set(
            run,
            &PosteriorSetSpec {
                name: "synthetic",
                checkpoint: set.checkpoint,
                sed_model: set.sed_model,
                prior: set.prior,
                config: &config,
                seed: 0,
                n_draws: FEW_DRAWS as u64,
                parameters: &parameters,
            },
        )?;
        let ids = store.select_galaxies(&Selection::default())?;
        let of = |i: usize| {
            let mut row = answers[i % answers.len()].clone();
            row.galaxy = ids[i * 10];
            // medians are to differ, that sorting by them has something to do
            let shift =
                ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24) - 0.5;
            row.summary.iter_mut().for_each(|s| s.q50 += 0.2 * shift);
            row
        };
        let all = ids.len() / 10;
        for first in (0..all).step_by(2000) {
            let rows: Vec<PosteriorRow> = (first..(first + 2000).min(all)).map(of).collect();
            store.commit_posteriors(made.id, &rows)?;
        }
        store.finish_posterior_set(made.id)?;
        store.set_current_posterior_set("synthetic")?;
        Ok(((), RunState::Done))
    })?;
    context.remark(&format!("built {} in {:.0} s", catalog.display(), begun.elapsed().as_secs_f64()));
    Ok(())
}

/// The same answer with a few of its draws.
fn fewer_draws(mut row: PosteriorRow) -> anyhow::Result<PosteriorRow> {
    let Some(bytes) = &row.samples else { return Ok(row) };
    let draws = codec::decode(bytes)?;
    let n = draws.n.min(FEW_DRAWS);
    let columns: Vec<(&str, &[f32])> =
        draws.names.iter().enumerate().map(|(i, name)| (name.as_str(), &draws.column(i)[..n])).collect();
    let packed = codec::encode(&columns, &codec::EncodeOptions::default())?;
    row.n_draws = n as u64;
    row.draws_hash = Some(packed.hash);
    row.samples = Some(packed.bytes);
    row.recipe = None;
    Ok(row)
}

fn like(real: &crate::store::ObservedGalaxy, i: u64) -> GalaxyRecord {
    let mix =
        |k: u64| (i.wrapping_add(k).wrapping_mul(0xd134_2543_de82_ef95) >> 11) as f64 / (1_u64 << 53) as f64;
    let scale = 0.8 + 0.4 * mix(1);
    let flux = |band: &BandPhot| BandPhot { flux_nmgy: band.flux_nmgy.map(|flux| flux * scale), ..*band };
    GalaxyRecord {
        object_id: format!("S{:09}", i.wrapping_mul(7_919) % 1_000_000_007),
        source_row: i,
        position: Some(crate::galaxy::SkyPosition {
            ra_deg: 360.0 * mix(2),
            dec_deg: (2.0 * mix(3) - 1.0).asin().to_degrees(),
        }),
        redshift: real.redshift.map(|z| (z * (0.9 + 0.2 * mix(4))).max(1e-4)),
        redshift_err: real.redshift_err,
        photometry: real.photometry.iter().map(flux).collect(),
        extra: vec![],
        cuts_failed: real.cuts_failed,
    }
}

/// Times of one thing, milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, begun: Instant) {
        self.0.push(begun.elapsed().as_secs_f64() * 1e3);
    }

    /// Median, 99 % and longest.
    fn numbers(&mut self) -> [f64; 3] {
        self.0.sort_by(f64::total_cmp);
        let at = |p: f64| {
            self.0.get(((self.0.len().max(1) - 1) as f64 * p).round() as usize).copied().unwrap_or(f64::NAN)
        };
        [at(0.5), at(0.99), at(1.0)]
    }
}

/// Drives a session on a catalog and prints what everything took.
fn measure(catalog: &Path, context: &Context) -> anyhow::Result<()> {
    let size = (120, 40);
    let mut screen = Terminal::new(TestBackend::new(size.0, size.1))?;
    let mut draws = Times::default();
    let mut report = Report::new(&["what", "n", "median/ms", "99%/ms", "longest/ms", "asked/ms"]);
    let mut add = |what: &str, times: &mut Times, asked: Option<f64>| {
        let [median, most, longest] = times.numbers();
        let n = times.0.len();
        report.row(
            json!({ "bench": "tui", "what": what, "n": n, "median_ms": median, "p99_ms": most, "longest_ms": longest, "asked_ms": asked }),
            vec![
                what.to_owned(),
                n.to_string(),
                format!("{median:.2}"),
                format!("{most:.2}"),
                format!("{longest:.2}"),
                asked.map_or("-".to_owned(), |asked| format!("{asked:.0}")),
            ],
        );
    };
    let begun = Instant::now();
    let mut session = Session::start(catalog.to_owned(), Config::default(), size);
    screen.draw(|frame| view::view(&session.state, frame))?;
    let mut frame = Times::default();
    frame.add(begun);
    add("first frame", &mut frame, Some(100.0));
    let there =
        session.until(PATIENCE, |state| !state.galaxies.rows.is_empty() || state.no_catalog.is_some());
    if let Some(problem) = &session.state.no_catalog {
        bail!("{problem}");
    }
    if !there {
        bail!("no galaxy was listed in {} s", PATIENCE.as_secs());
    }
    screen.draw(|frame| view::view(&session.state, frame))?;
    let mut paint = Times::default();
    paint.add(begun);
    add("first paint with galaxies", &mut paint, Some(100.0));
    session.settle();
    // one key: what the event loop does between two waits
    let mut press = |session: &mut Session,
                     screen: &mut Terminal<TestBackend>,
                     code: KeyCode,
                     times: &mut Times|
     -> anyhow::Result<()> {
        let begun = Instant::now();
        session.take(Msg::Key(KeyEvent::from(code)));
        screen.draw(|frame| view::view(&session.state, frame))?;
        times.add(begun);
        draws.add(begun);
        session.until(Duration::from_micros(200), |_| false);
        Ok(())
    };
    for (what, code, n) in [
        ("key: down", KeyCode::Char('j'), 3000),
        ("key: page down", KeyCode::PageDown, 300),
        ("key: up", KeyCode::Char('k'), 1000),
        ("key: right", KeyCode::Char('l'), 8),
        ("key: mark", KeyCode::Char('m'), 100),
    ] {
        let mut times = Times::default();
        for _ in 0..n {
            press(&mut session, &mut screen, code, &mut times)?;
        }
        add(what, &mut times, Some(16.0));
    }
    // to the end and back: until the rows are there
    let mut times = Times::default();
    for code in ['G', 'g', 'G', 'g'] {
        let begun = Instant::now();
        session.take(Msg::Key(KeyCode::Char(code).into()));
        session.until(PATIENCE, |state| state.galaxies.busy.is_none());
        times.add(begun);
    }
    add("to the end, to the beginning", &mut times, None);
    for (what, keys) in [
        ("sort by an indexed median", ":sort log_mstar_surviving_q50 desc"),
        ("sort by a magnitude (no index)", ":sort mag_r"),
        ("filter by columns", "&redshift < 0.02 and mag_g - mag_r > 0.7"),
        ("filter by draws, P(...)", "&P(log_mstar_surviving > 11) > 0.9"),
        ("fuzzy name", "/S0123"),
    ] {
        session.take(Msg::Key(KeyCode::Char('x').into()));
        session.until(PATIENCE, |state| state.galaxies.busy.is_none());
        let mut times = Times::default();
        keys.chars().for_each(|letter| session.take(Msg::Key(KeyCode::Char(letter).into())));
        let begun = Instant::now();
        session.take(Msg::Key(KeyCode::Enter.into()));
        let there = session.until(PATIENCE, |state| state.galaxies.busy.is_none());
        if !there || session.state.galaxies.problem.is_some() {
            bail!("{what}: {}", session.state.galaxies.problem.as_deref().unwrap_or("no answer"));
        }
        times.add(begun);
        add(what, &mut times, None);
    }
    // galaxies with posteriors, the first of which has read the checkpoint
    session.take(Msg::Key(KeyCode::Char('x').into()));
    session.until(PATIENCE, |state| state.galaxies.busy.is_none());
    ":sort log_mstar_surviving_q50"
        .chars()
        .for_each(|letter| session.take(Msg::Key(KeyCode::Char(letter).into())));
    session.take(Msg::Key(KeyCode::Enter.into()));
    session.until(PATIENCE, |state| state.galaxies.busy.is_none());
    let (mut open, mut curves) = (Times::default(), Times::default());
    for _ in 0..41 {
        let begun = Instant::now();
        session.take(Msg::Key(KeyCode::Enter.into()));
        if !session.until(PATIENCE, |state| state.galaxy.as_ref().is_some_and(|view| view.portrait.is_some()))
        {
            bail!("a galaxy did not open");
        }
        screen.draw(|frame| view::view(&session.state, frame))?;
        open.add(begun);
        session.until(PATIENCE, |state| {
            state.galaxy.as_ref().is_none_or(|view| {
                view.curves.is_some()
                    || view.portrait.as_ref().is_some_and(|p| p.lacks.is_some() || p.method.is_none())
            })
        });
        screen.draw(|frame| view::view(&session.state, frame))?;
        curves.add(begun);
        session.take(Msg::Key(KeyCode::Esc.into()));
        session.take(Msg::Key(KeyCode::Char('j').into()));
    }
    let first = open.0.remove(0);
    curves.0.remove(0);
    add("the first galaxy, posterior", &mut Times(vec![first]), None);
    add("a galaxy: posterior on screen", &mut open, Some(50.0));
    add("a galaxy: spectrum and history too", &mut curves, None);
    session.take(Msg::Key(KeyCode::Enter.into()));
    session.until(PATIENCE, |state| state.galaxy.as_ref().is_some_and(|view| view.curves.is_some()));
    session.take(Msg::Key(KeyCode::Char('w').into()));
    let mut what_if = Times::default();
    for _ in 0..51 {
        let moved = |state: &super::state::State| {
            let whatif = state.galaxy.as_ref().and_then(|view| view.whatif.as_ref());
            whatif
                .is_none_or(|whatif| !whatif.asked && (whatif.portrait.is_some() || whatif.problem.is_some()))
        };
        session.until(PATIENCE, moved);
        session.settle_for(Duration::from_millis(60));
        let begun = Instant::now();
        session.take(Msg::Key(KeyCode::Char('+').into()));
        session.until(PATIENCE, moved);
        screen.draw(|frame| view::view(&session.state, frame))?;
        what_if.add(begun);
    }
    what_if.0.remove(0);
    add("what if: posterior moved", &mut what_if, Some(50.0));
    add("update and frame of any key", &mut draws, Some(16.0));
    let longest = session.longest_update.as_secs_f64() * 1e3;
    add("longest update of the state", &mut Times(vec![longest]), Some(16.0));
    let memory_mb = peak_memory_mb();
    report.row(
        json!({ "bench": "tui", "what": "peak memory", "megabytes": memory_mb, "asked_megabytes": 200 }),
        vec![
            "peak memory/MB".into(),
            String::new(),
            format!("{memory_mb:.0}"),
            String::new(),
            String::new(),
            "200".into(),
        ],
    );
    report.print(context.quiet)?;
    Ok(())
}

/// The most memory this process has had in use, where the system tells.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}
