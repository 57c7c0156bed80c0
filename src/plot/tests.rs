use super::axes::Axis;
use super::corner::{Sample, Variable, corner};
use super::curves::{QuantileBand, TrainingCurve};
use super::diagnostics::{
    ByBin, Counted, Histogram, Levels, Points, Ranks, Recovered, coverage_by_bin, histograms,
    rank_histograms, recovery, side_by_side, uniform_curves,
};
use super::*;
use crate::noise::NoiseModel;
use crate::rng::Streams;
use rand_distr::{Distribution, StandardNormal};

/// Writes the figure where `SEDFLOW_TEST_FIGURES` points, to be looked at.
fn keep(canvas: &Canvas, name: &str) {
    if let Ok(folder) = std::env::var("SEDFLOW_TEST_FIGURES") {
        for ending in ["svg", "png"] {
            canvas.save(&Path::new(&folder).join(format!("{name}.{ending}"))).unwrap();
        }
    }
}

#[test]
fn ticks_are_round_and_inside() {
    let labels = |axis: Axis, n| axis.ticks(n).into_iter().map(|t| t.1).collect::<Vec<_>>();
    assert_eq!(labels(Axis::linear(0.0, 1.0), 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(labels(Axis::linear(-2.0, 1.0), 2), ["−2", "−1", "0", "1"]);
    assert_eq!(labels(Axis::log(0.5, 300.0), 5), ["1", "10", "100"]);
    assert_eq!(labels(Axis::log(1e-9, 1e-6), 5), ["10⁻⁹", "10⁻⁸", "10⁻⁷", "10⁻⁶"]);
}

fn draws(n: u64) -> Vec<Vec<f32>> {
    let streams = Streams::new(5, "plot test");
    let mut columns = vec![Vec::new(), Vec::new(), Vec::new()];
    for i in 0..n {
        let mut rng = streams.at(i);
        let e: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
        columns[0].push((10.3 + 0.08 * e[0]) as f32);
        columns[1].push((0.5 + 0.1 * (0.8 * e[0] + 0.6 * e[1])) as f32);
        columns[2].push(crate::special::norm_cdf(e[2] - 0.5 * e[1]) as f32);
    }
    columns
}

#[test]
fn a_corner_plot_has_a_contour_for_every_pair_and_its_labels() {
    let columns = draws(5000);
    let variable = |label, support: (f64, f64)| Variable {
        label,
        support,
        prior: support.0.is_finite().then(|| {
            let density = 1.0 / (support.1 - support.0);
            vec![(support.0, density), (support.1, density)]
        }),
        truth: None,
    };
    let variables = [
        variable("log M⋆ [M☉]", (7.0, 12.5)),
        variable("f_burst", (f64::NEG_INFINITY, f64::INFINITY)),
        variable("τ_ISM", (0.0, 1.0)),
    ];
    let all: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
    let half: Vec<&[f32]> = columns.iter().map(|c| &c[..1500]).collect();
    let samples = [
        Sample { label: "npe", columns: all, weights: &[] },
        Sample { label: "mcmc", columns: half, weights: &[] },
    ];
    let canvas = corner(&variables, &samples, "galaxy 1").unwrap();
    let svg = canvas.svg();
    for text in ["log M⋆", ">τ<", ">ISM<", "galaxy 1", "npe", "mcmc", "prior"] {
        assert!(svg.contains(text), "{text} is missing");
    }
    // One marginal area and two filled contours for each of three pairs.
    assert!(svg.matches("<path").count() >= 3 + 6);
    keep(&canvas, "corner");
    let error = corner(&variables[..2], &samples, "").unwrap_err().to_string();
    assert_eq!(error, "cannot draw a corner plot: npe has 3 columns for 2 variables");
}

#[test]
fn the_other_figures_have_their_labels() {
    let x: Vec<f64> = (0..100).map(|i| 0.13 * f64::from(i)).collect();
    let draws: Vec<Vec<f64>> = (1..200)
        .map(|k| x.iter().map(|t| (1.0 + 0.004 * f64::from(k)) * (0.3 + t) * (-t / 4.0).exp()).collect())
        .collect();
    let band = QuantileBand::of(x, &draws);
    let canvas = curves::history(&band, &band, "galaxy 1").unwrap();
    assert!(canvas.svg().contains("lookback time"));
    keep(&canvas, "history");

    let canvas = curves::noise(&NoiseModel::shipped().unwrap(), &[]).unwrap();
    assert!(canvas.svg().contains("sdss2010-u"));
    keep(&canvas, "noise");

    let steps: Vec<f64> = (1..60).map(f64::from).collect();
    let curve = TrainingCurve {
        label: "nsf",
        train_ln_prob: steps.iter().map(|s| -6.0 - 9.0 * (-s / 8.0).exp() + 0.05 * (s * 3.0).sin()).collect(),
        valid_ln_prob: steps.iter().map(|s| -6.1 - 9.0 * (-s / 8.0).exp()).collect(),
        spent: steps,
    };
    let canvas = curves::training(&[curve], "examples seen  [millions]", "training").unwrap();
    assert!(canvas.svg().contains("examples seen"));
    keep(&canvas, "training");
}

/// Ranks of 500 mocks, of quantities that lean more and more.
fn leaning() -> Vec<Vec<f64>> {
    let lean = |k: i32| (0..500).map(|i| (f64::from(i) / 500.0).powf(0.9 + 0.03 * f64::from(k))).collect();
    (1..9).map(lean).collect()
}

const QUANTITIES: [&str; 8] = ["log M⋆", "β₁", "β₂", "β₃", "β₄", "f", "t", "n"];

#[test]
fn rank_figures_show_every_quantity_and_say_what_is_wrong() {
    let ranks = leaning();
    let panels: Vec<Ranks> = (0..8)
        .map(|i| {
            let note = if i < 2 { "draws low by 0.1 sd" } else { "uniform" };
            Ranks { label: QUANTITIES[i], values: &ranks[i], note }
        })
        .collect();
    let canvas = rank_histograms(&panels, 20, "500 mocks").unwrap();
    let svg = canvas.svg();
    assert!(QUANTITIES.iter().all(|name| svg.contains(name)));
    assert!(svg.contains("draws low by 0.1 sd") && !svg.contains("uniform"));
    keep(&canvas, "ranks");
    let curves: Vec<Levels> = (0..8).map(|i| Levels { label: QUANTITIES[i], values: &ranks[i] }).collect();
    let canvas = uniform_curves(&curves, ("rank", "fraction of truths below"), "500 mocks").unwrap();
    assert!(canvas.svg().contains("difference"));
    keep(&canvas, "pp");
    assert!(rank_histograms(&[], 20, "none").is_err() && uniform_curves(&[], ("", ""), "none").is_err());
}

#[test]
fn subsets_recovery_and_comparisons_are_drawn() {
    let by = |covariate| ByBin {
        covariate,
        x: vec![0.05, 0.1, 0.15],
        lines: vec![vec![0.67, 0.69, 0.70], vec![0.66, 0.68, f64::NAN]],
        joint: vec![0.66, 0.68, 0.71],
        expected: vec![(0.65, 0.71); 3],
    };
    let canvas = coverage_by_bin(&[by("redshift"), by("magnitude")], &QUANTITIES[..2], "68 %").unwrap();
    assert!(canvas.svg().contains("all jointly"));
    keep(&canvas, "subsets");
    let columns = draws(3000);
    let truth: Vec<f64> = columns[0].iter().map(|&v| f64::from(v)).collect();
    let median: Vec<f64> =
        truth.iter().zip(&columns[1]).map(|(t, e)| t + 0.2 * (f64::from(*e) - 0.5)).collect();
    let one = Recovered { label: "log M", truth: &truth, median: &median, note: "bias 0.0, scatter 0.02" };
    let canvas = recovery(&[one; 5], "recovery").unwrap();
    assert!(canvas.svg().contains("posterior median"));
    keep(&canvas, "recovery");
    let series =
        vec![Counted { label: "mocks", values: &median }, Counted { label: "real galaxies", values: &truth }];
    let one = Histogram { x_label: "value", range: (10.0, 10.6), n_bins: 20, series, marks: vec![10.3] };
    let canvas = histograms(&[one.clone(), one], "histograms").unwrap();
    assert!(canvas.svg().contains("real galaxies"));
    keep(&canvas, "histograms");
    let points = |label, off: f64| Points { label, values: vec![(0.66 + off, 0.68 + off, 0.70 + off); 8] };
    let all = [points("old", 0.0), points("new", 0.01)];
    let canvas = side_by_side(&QUANTITIES, &all, ("in 68 %", (0.665, 0.695)), "old and new").unwrap();
    assert!(canvas.svg().contains("old and new"));
    keep(&canvas, "side-by-side");
    assert!(side_by_side(&QUANTITIES[..3], &all, ("", (0.0, 1.0)), "").is_err());
}

#[test]
fn an_sed_shows_fluxes_filters_and_model() {
    let wave: Vec<f64> = (0..400).map(|i| 2900.0 + 20.0 * f64::from(i)).collect();
    let draws: Vec<Vec<f64>> = (0..50)
        .map(|k| {
            wave.iter()
                .map(|w| {
                    100.0 * (w / 6000.0).powf(1.5) * (1.0 + 0.004 * f64::from(k) + 0.1 * (w / 150.0).sin())
                })
                .collect()
        })
        .collect();
    let spectrum = QuantileBand::of(wave.clone(), &draws);
    let curves: Vec<(Vec<f64>, Vec<f64>)> = [3551.0, 4686.0, 6166.0, 7480.0, 8932.0]
        .iter()
        .map(|p: &f64| {
            let w: Vec<f64> = (-30..=30).map(|k| p + 20.0 * f64::from(k)).collect();
            let r = w.iter().map(|w| (-((w - p) / 400.0).powi(4)).exp()).collect();
            (w, r)
        })
        .collect();
    let bands: Vec<sed::Band> = ["u", "g", "r", "i", "z"]
        .iter()
        .zip([3551.0_f64, 4686.0, 6166.0, 7480.0, 8932.0])
        .zip(&curves)
        .map(|((label, pivot_aa), curve)| {
            let flux = 110.0 * (pivot_aa / 6000.0).powf(1.5);
            sed::Band {
                label,
                pivot_aa,
                observed: (*label != "i").then_some((flux * 1.02, flux * 0.03)),
                predicted: [0.95, 0.98, 1.0, 1.02, 1.05].map(|f| f * flux),
                curve: (&curve.0, &curve.1),
            }
        })
        .collect();
    let canvas = sed::sed(&bands, &spectrum, "galaxy 1, z = 0.05").unwrap();
    assert!(canvas.svg().contains("observed wavelength"));
    keep(&canvas, "sed");
}

#[test]
fn text_that_reads_upwards_stands_where_it_should_with_smooth_edges() {
    let mut canvas = Canvas::new(60.0, 100.0);
    // ends at the top: from y = 20 downwards, its foot at x = 30
    canvas.text((30.0, 20.0), "HHH", 20, canvas::Anchor::End, true);
    let png = canvas.png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (120, 200));
    let ink: Vec<(usize, usize, u8)> =
        (0..200 * 120).map(|i| (i % 120, i / 120, pixels[3 * i])).filter(|p| p.2 < 250).collect();
    let (left, right) = (ink.iter().map(|p| p.0).min().unwrap(), ink.iter().map(|p| p.0).max().unwrap());
    let (top, bottom) = (ink.iter().map(|p| p.1).min().unwrap(), ink.iter().map(|p| p.1).max().unwrap());
    assert!((28..=34).contains(&left) && (57..=61).contains(&right), "{left} {right}");
    let length = 2.0 * text::width("HHH", 20);
    assert!((40..=46).contains(&top) && (bottom as f64 - 40.0 - length).abs() < 6.0, "{top} {bottom}");
    // neither all black nor all ghost: most ink is dark, its edges are grey
    let dark = ink.iter().filter(|p| p.2 < 60).count();
    let grey = ink.iter().filter(|p| (60..220).contains(&p.2)).count();
    assert!(dark > ink.len() / 3 && grey > 20, "{dark} {grey} of {}", ink.len());
}

#[test]
fn a_figure_is_saved_as_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut canvas = Canvas::new(40.0, 30.0);
    canvas.text((20.0, 20.0), "z", 12, canvas::Anchor::Middle, false);
    let path = folder.path().join("a.png");
    canvas.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[..4], *b"\x89PNG");
    assert!(matches!(canvas.save(&folder.path().join("a.pdf")), Err(PlotError::Extension { .. })));
    assert!(matches!(canvas.save(Path::new("/nowhere/a.svg")), Err(PlotError::Write { .. })));
}

#[test]
fn a_drawing_of_few_colours_is_smaller_with_a_palette_and_looks_the_same() {
    let mut canvas = canvas::Canvas::new(200.0, 100.0);
    let square = vec![(0.0, 0.0), (200.0, 0.0), (200.0, 100.0), (0.0, 100.0)];
    canvas.fill(&[square], canvas::Color(23, 26, 33), 1.0);
    for i in 0..12 {
        canvas.circle((10.0 + 15.0 * f64::from(i), 50.0), 6.0, Some(canvas::Color(86, 180, 233)), None);
    }
    canvas.text((20.0, 20.0), "galaxies", 13, canvas::Anchor::Start, false);
    let pixels = |bytes: &[u8]| {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let channels = info.color_type.samples();
        pixels.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect::<Vec<u8>>()
    };
    let (full, small) = (canvas.png().unwrap(), canvas.small_png().unwrap());
    assert!(2 * small.len() < full.len(), "{} of {}", small.len(), full.len());
    let off = pixels(&full).iter().zip(pixels(&small)).map(|(a, b)| a.abs_diff(b)).max().unwrap();
    assert!(off <= 16, "{off}");
}
