//! States to test with.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::config::Config;
use super::jobs::list::{Facts, ListAnswer, ListAsk, Page};
use super::message::{Effect, Msg};
use super::state::State;
use super::update::{begin, update};
use crate::store::{BrowseRow, ColumnValue, GalaxyId, Place, PosteriorSetId};

pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

pub fn facts() -> Facts {
    let columns =
        ["object_id", "redshift", "mag_r", "log_mstar_surviving_q50", "method", "reason", "survey", "ra_deg"];
    let columns: Vec<String> = columns.map(str::to_owned).to_vec();
    Facts {
        shown: columns.clone(),
        columns,
        sets: vec![
            (PosteriorSetId(1), "sdss-ugriz".into(), true),
            (PosteriorSetId(2), "refined".into(), false),
        ],
        current: Some(PosteriorSetId(1)),
        about: 1_000_000,
        notes: vec![],
    }
}

/// Row number `i`; every seventh has reasons, the third a name that would act on a terminal.
pub fn row(i: u64) -> BrowseRow {
    let number = |value: f64| ColumnValue::Number(value);
    let text = |text: &str| ColumnValue::Text(text.to_owned());
    let x = i as f64;
    let bad = i % 7 == 6;
    let name = if i == 2 { "\x1b[2Jevil 星系".to_owned() } else { format!("J{:04}", i * 13) };
    BrowseRow {
        galaxy: GalaxyId(i as i64 + 1),
        place: Place { value: None, tie: i as i64 + 1 },
        cells: vec![
            ColumnValue::Text(name),
            number(0.01 + 0.001 * x),
            number(15.0 + 0.05 * x),
            if bad { ColumnValue::Null } else { number(9.0 + (0.37 * x) % 2.5) },
            if bad { ColumnValue::Null } else { text("npe+is") },
            if bad { text("SIGMA_HIGH_u Z_RANGE") } else { ColumnValue::Null },
            text("nsa"),
            number((17.0 * x) % 360.0),
        ],
    }
}

pub fn page(from: u64, to: u64, all: u64) -> Page {
    Page {
        rows: (from..to).map(row).collect(),
        first: Some(from),
        starts: from == 0,
        ends: to == all,
        total: None,
    }
}

/// A list of `n` galaxies of which the first page has come.
pub fn listed(size: (u16, u16), n: u64) -> State {
    let mut state = State::new("catalog.db".into(), size, Config::default());
    let asked = begin(&mut state);
    assert!(asked.contains(&Effect::List(ListAsk::Facts)));
    update(&mut state, Msg::List(ListAnswer::Facts(facts())));
    let generation = state.galaxies.generation;
    update(&mut state, Msg::List(ListAnswer::Opened { generation, page: page(0, n.min(400), n) }));
    state
}

pub fn key(code: KeyCode) -> Msg {
    Msg::Key(code.into())
}

pub fn control(c: char) -> Msg {
    Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

/// Types letters one after the other; returns the effects of all.
pub fn typed(state: &mut State, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| update(state, key(KeyCode::Char(c)))).collect()
}

/// The posterior of one galaxy from made-up draws.
pub fn portrait() -> super::jobs::galaxy::Portrait {
    use super::portrait::{DrawSet, TELLING, marginals, pairs};
    use crate::prior::Prior;
    let prior = Prior::default();
    let wave = |i: usize, k: usize| {
        (((i * (2 * k + 3)) % 997) as f64 / 997.0 * std::f64::consts::TAU + k as f64).sin()
    };
    let columns: Vec<Vec<f32>> = (0..17)
        .map(|k| {
            let (low, high) = match k {
                12 | 13 => (-1.5, 1.0),
                14 => (-3.0, -1.5),
                15 => (3.0, 9.0),
                16 => (10.0, 11.0),
                k => prior.support(k),
            };
            (0..1500)
                .map(|i| (low + (high - low) * (0.5 + 0.2 * wave(i, k) + 0.15 * wave(i, k + 1))) as f32)
                .collect()
        })
        .collect();
    let summaries: Vec<([f64; 5], f64, f64)> = columns
        .iter()
        .map(|column| {
            let mut sorted = column.clone();
            sorted.sort_by(f32::total_cmp);
            let at = |p: f64| f64::from(sorted[(p * 1499.0) as usize]);
            ([at(0.025), at(0.16), at(0.5), at(0.84), at(0.975)], at(0.5), 0.01)
        })
        .collect();
    let draws = DrawSet { columns, weights: vec![] };
    let marginals = marginals(&draws, &prior, &summaries);
    let chosen: Vec<usize> = TELLING[..12].to_vec();
    let bands = ["u", "g", "r", "i", "z"].map(str::to_owned).to_vec();
    super::jobs::galaxy::Portrait {
        set: Some(PosteriorSetId(1)),
        name: "sdss-ugriz".into(),
        checkpoint: Some("sdss-ugriz".into()),
        method: Some("npe+is".into()),
        reason: Some("SIGMA_HIGH_u".into()),
        n_draws: 1500,
        numbers: vec![("sampling efficiency", 0.31), ("Pareto k", 0.42)],
        pairs: pairs(&draws, &marginals, &chosen),
        marginals,
        chosen,
        data: Some(super::jobs::galaxy::Data {
            bands,
            flux_nmgy: vec![35.9, 87.4, 149.5, 213.4, 245.9],
            sigma_nmgy: vec![2.0, 1.7, 2.8, 4.1, 7.3],
            zred: 0.0827,
        }),
        lacks: None,
    }
}

/// A galaxy opened, with all of its answers.
pub fn opened(size: (u16, u16)) -> State {
    use super::jobs::galaxy::{Curves, GalaxyAnswer, Seen, SeenBand};
    use super::portrait::{BandCurve, BandOf, History, SedCurves};
    let mut state = listed(size, 50);
    update(&mut state, key(KeyCode::Enter));
    let generation = state.galaxy_generation;
    let portrait = portrait();
    let data = portrait.data.clone().unwrap_or_default();
    let band = |i: usize| SeenBand {
        name: data.bands[i].clone(),
        filter: Some(format!("sdss2010-{}", data.bands[i])),
        flux_nmgy: Some(data.flux_nmgy[i]),
        sigma_nmgy: Some(data.sigma_nmgy[i]),
        flags: if i == 0 { "ERROR_FLOOR".into() } else { String::new() },
    };
    let seen = Seen {
        survey: "nsa".into(),
        object_id: "14\x1b[2J0".into(),
        position: Some((122.08666, -36.19685)),
        redshift: Some(0.0827),
        redshift_err: None,
        bands: (0..5).map(band).collect(),
        cuts: vec![("bright".into(), "r below 14".into())],
        provenance: vec![("input file".into(), "nsa.fits".into()), ("row of it".into(), "140".into())],
        sets: vec![(PosteriorSetId(1), "sdss-ugriz".into()), (PosteriorSetId(2), "refined".into())],
    };
    let around = |x: Vec<f64>, f: &dyn Fn(f64) -> f64| {
        let q = [0.7, 0.85, 1.0, 1.15, 1.3].map(|scale| x.iter().map(|x| scale * f(*x)).collect());
        BandOf { x, q }
    };
    let wave: Vec<f64> = (0..200).map(|i| 2800.0 + 40.0 * f64::from(i)).collect();
    let spectrum = around(wave, &|w| 30.0 + 0.03 * (w - 2800.0));
    let pivots = [3556.0, 4702.0, 6176.0, 7489.0, 8946.0];
    let bands = (0..5)
        .map(|i| BandCurve {
            name: data.bands[i].clone(),
            pivot_aa: pivots[i],
            predicted: [0.9, 0.95, 1.0, 1.05, 1.1].map(|s| s * data.flux_nmgy[i]),
            curve: (vec![pivots[i] - 500.0, pivots[i], pivots[i] + 500.0], vec![0.0, 1.0, 0.0]),
        })
        .collect();
    let times: Vec<f64> = (0..70).map(|i| 0.18 * f64::from(i)).collect();
    let history = History {
        sfr: around(times.clone(), &|t| 3.0 + t - 0.05 * t * t),
        z_abs: around(times, &|t| 0.02 * (-0.1 * t).exp()),
    };
    let curves = Curves { sed: Some(SedCurves { spectrum, bands }), history: Some(history) };
    for answer in [
        GalaxyAnswer::Seen { generation, seen: seen.into() },
        GalaxyAnswer::Portrait { generation, portrait: portrait.into() },
        GalaxyAnswer::Curves { generation, curves: curves.into() },
    ] {
        update(&mut state, Msg::Galaxy(answer));
    }
    state
}

/// A galaxy opened with the posteriors of two other sets laid over its own.
pub fn overlaid(size: (u16, u16)) -> State {
    use super::jobs::galaxy::GalaxyAnswer;
    let mut state = opened(size);
    typed(&mut state, "o");
    let other = |id: i64, name: &str, method: &str, shift: f64| {
        let mut other = portrait();
        (other.set, other.name, other.method) = (Some(PosteriorSetId(id)), name.into(), Some(method.into()));
        for marginal in &mut other.marginals {
            let by = (shift * marginal.heights.len() as f64) as usize;
            marginal.heights.rotate_right(by);
        }
        std::sync::Arc::new(other)
    };
    let others = vec![other(2, "refined", "npe", 0.05), other(3, "chains \x1b[2J", "mcmc", 0.1)];
    let generation = state.galaxy_generation;
    update(&mut state, Msg::Galaxy(GalaxyAnswer::Others { generation, others, problem: None }));
    state
}

/// Models, validations and runs as a catalog at work has them.
pub fn at_work(size: (u16, u16), view: super::state::View) -> State {
    use super::jobs::products::{CheckpointRow, HistoryCurves, Lists, ProductsAnswer, ProductsAsk, Series};
    use crate::store::{
        CheckpointId, Holder, Run, RunId, RunState, Standing, TrainingId, TrainingRow, ValidationId,
        ValidationRow,
    };
    let run = |id: i64, command: &str, state: RunState| Run {
        id: RunId(id),
        command: command.into(),
        arguments: vec!["-C".into(), "catalog.db".into(), command.into()],
        config: serde_json::json!({}),
        seed: Some(7),
        program_version: "1.2.3".into(),
        git_commit: "unknown".into(),
        host_arch: "x86_64".into(),
        host_os: "linux".into(),
        host_cores: 2,
        process_id: 4242,
        started_utc: "2026-11-24T14:11:32.406Z".into(),
        ended_utc: (state != RunState::Running).then(|| "2026-11-24T14:12:00.000Z".into()),
        elapsed_s: Some(310.0),
        state,
        message: (state == RunState::Failed).then(|| "nsa.fits: \x1b[2Jno column `z`".into()),
        resumes: None,
    };
    let validation = |id: i64, name: &str| ValidationRow {
        id: ValidationId(id),
        name: None,
        checkpoint: CheckpointId(id),
        checkpoint_name: name.into(),
        config: serde_json::json!({ "mocks": 1000, "draws": 1000, "seed": 7 }),
        begun_utc: "2026-11-24T14:11:32.406Z".into(),
    };
    let mut state = listed(size, 50);
    super::update::go(&mut state, view);
    let lists = Lists {
        checkpoints: vec![CheckpointRow {
            id: CheckpointId(1),
            name: "sdss-ugriz".into(),
            kind: "npe",
            architecture: "nsf".into(),
            n_weights: 1_234_567,
            valid_ln_prob: Some(-5.4321),
            training: None,
        }],
        trainings: vec![TrainingRow {
            id: TrainingId(1),
            name: Some("mine".into()),
            search: None,
            run: RunId(4),
            state: RunState::Running,
            epochs: 12,
            n_examples: 1_000_000,
            best_valid_ln_prob: Some(-6.1),
            elapsed_s: 310.0,
            resumable: true,
        }],
        validations: vec![validation(2, "mine"), validation(1, "sdss-ugriz")],
        runs: vec![run(4, "train", RunState::Running), run(3, "ingest", RunState::Failed)],
        writer: Some(Holder {
            process_id: 4242,
            command: "sedflow train".into(),
            run_id: Some(4),
            standing: Some(Standing {
                what: "training nsf".into(),
                unit: "steps".into(),
                done: 12_000,
                total: Some(30_000),
                eta_s: Some(465.0),
                said: Some("epoch 24: ln q -6.012, held out -6.103 (best -6.100), 24113 examples/s".into()),
            }),
        }),
        under_way: vec![],
    };
    update(&mut state, Msg::Products(ProductsAnswer::Lists(lists.into())));
    let epochs: Vec<f64> = (1..=40).map(f64::from).collect();
    let valid: Vec<f64> = epochs.iter().map(|e| -5.0 - 4.0 / e).collect();
    let series = Series {
        minutes: epochs.iter().map(|e| 0.7 * e).collect(),
        train: valid.iter().map(|v| v + 0.1).collect(),
        valid,
        epoch: epochs,
    };
    let curves = HistoryCurves { title: "checkpoint 1".into(), series: vec![series] };
    let of = ProductsAsk::Checkpoint(CheckpointId(1));
    update(&mut state, Msg::Products(ProductsAnswer::Curves { of, curves: curves.into() }));
    update(&mut state, Msg::Products(ProductsAnswer::Findings(findings(2, 1.3).into())));
    state
}

/// What a validation found whose second quantity is off by a power.
pub fn findings(id: i64, bend: f64) -> super::jobs::products::Findings {
    use crate::store::{Metric, ValidationId};
    let ranks = |bend: f64| -> Vec<f64> { (0..1000).map(|i| (f64::from(i) / 1000.0).powf(bend)).collect() };
    let metric = |subset: &str| Metric {
        metric: "coverage_68".into(),
        parameter: "log_mstar".into(),
        subset: subset.into(),
        value: 0.66,
        low: Some(0.63),
        high: Some(0.69),
        p_value: Some(0.2),
    };
    let bins = (0..30)
        .map(|i| metric(&format!("zred {:.2} to {:.2}", 0.01 * f64::from(i), 0.01 * f64::from(i + 1))));
    super::jobs::products::Findings {
        id: ValidationId(id),
        title: format!("validation {id}"),
        n_mocks: 1000,
        ranks: vec![("log_mstar".into(), ranks(1.0)), ("tau_ism".into(), ranks(bend))],
        levels: vec![("highest density", ranks(1.05)), ("TARP", ranks(0.98)), ("local TARP", ranks(1.0))],
        metrics: std::iter::once(metric("")).chain(bins).collect(),
    }
}
