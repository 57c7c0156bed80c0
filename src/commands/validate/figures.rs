//! The figures of a validation.

use std::path::Path;

use anyhow::Context as _;

use super::Validated;
use super::report::reading;
use crate::commands::plot::symbol;
use crate::plot::diagnostics::{
    ByBin, Counted, Histogram, Levels, Ranks, Recovered, coverage_by_bin, histograms, rank_histograms,
    recovery, uniform_curves,
};
use crate::plot::{Canvas, PlotError};
use crate::validate::ranks::RANK_BINS;
use crate::validate::{Findings, RankFindings, Scalar};

/// A figure with the name of its file and what to see in it.
pub struct Figure {
    pub name: &'static str,
    pub canvas: Canvas,
    pub caption: String,
}

/// The figures of one validation.
pub fn of_one(one: &Validated) -> Result<Vec<Figure>, PlotError> {
    let Validated { name, evidence, findings, .. } = one;
    let n = findings.n_mocks;
    let k = evidence.names.len();
    let labels: Vec<&str> = evidence.names.iter().map(|name| symbol(name).0).collect();
    let columns = |f: fn(&crate::validate::evidence::Quantity) -> f32| -> Vec<Vec<f64>> {
        (0..k).map(|i| evidence.quantity(i, f)).collect()
    };
    let ranks = columns(|q| q.rank);
    let notes: Vec<String> = findings.quantities.iter().map(|q| reading(&q.ranks)).collect();
    let mut figures = Vec::new();
    let panels: Vec<Ranks> =
        (0..k).map(|i| Ranks { label: labels[i], values: &ranks[i], note: &notes[i] }).collect();
    figures.push(Figure {
        name: "ranks",
        canvas: rank_histograms(&panels, RANK_BINS, &format!("{name}: ranks of {n} truths among draws"))?,
        caption: "Rank histograms (Talts et al. 2018): flat where posteriors are right; a valley where they are \
                  too narrow, a hill where too wide, a slope where biased. The band holds 99 of 100 bars of a right \
                  posterior; panels that a test calls not flat are red and say what they show."
            .into(),
    });
    let mut pp = |name: &'static str, ranks: &[Vec<f64>], title: String| -> Result<(), PlotError> {
        let curves: Vec<Levels> =
            labels.iter().zip(ranks).map(|(label, values)| Levels { label, values }).collect();
        figures.push(Figure {
            name,
            canvas: uniform_curves(&curves, ("rank", "fraction of truths below"), &title)?,
            caption: "Left: cumulative distribution of the ranks (p-p plot). Right: its difference from the \
                      diagonal, whose largest value is the KS distance; curves of right posteriors stay in the grey \
                      range 95 % of the time."
                .into(),
        });
        Ok(())
    };
    pp("pp", &ranks, format!("{name}: p-p plot, {n} mocks"))?;
    if evidence.is_weighted() {
        let weighted = columns(|q| q.rank_is);
        pp("pp-weighted", &weighted, format!("{name}, weighted: p-p plot, {n} mocks"))?;
    }
    let mut scalars = vec![
        ("highest density", Scalar::DensityLevel),
        ("TARP", Scalar::Tarp),
        ("local TARP", Scalar::TarpLocal),
    ];
    if evidence.is_weighted() {
        scalars.extend([
            ("highest density, weighted", Scalar::DensityLevelIs),
            ("TARP, weighted", Scalar::TarpIs),
            ("local TARP, weighted", Scalar::TarpLocalIs),
        ]);
    }
    let levels: Vec<Vec<f64>> = scalars.iter().map(|(_, scalar)| evidence.scalar(*scalar)).collect();
    let curves: Vec<Levels> =
        scalars.iter().zip(&levels).map(|((label, _), values)| Levels { label, values }).collect();
    figures.push(Figure {
        name: "coverage",
        canvas: uniform_curves(
            &curves,
            ("credible mass", "fraction of truths inside"),
            &format!("{name}: expected coverage, all parameters"),
        )?,
        caption: "Coverage of regions of all parameters jointly. Curves below the diagonal: posteriors too \
                  narrow; above: too wide. Balls around points of the prior (TARP) and around the posterior's mean (local TARP) see \
                  wrong correlations that no single parameter shows."
            .into(),
    });
    for (name, title, mass, pick) in [
        ("subsets-68", "truths in 68 % intervals, by subset", 0.68, true),
        ("subsets-95", "truths in 95 % intervals, by subset", 0.95, false),
    ] {
        let panels = by_bin(findings, mass, pick);
        if panels.is_empty() {
            continue;
        }
        figures.push(Figure {
            name,
            canvas: coverage_by_bin(&panels, &labels, title)?,
            caption: "Local calibration: the same fractions among mocks of a redshift, magnitude or \
                      signal-to-noise alone. The grey range holds 95 of 100 points of a right posterior."
                .into(),
        });
    }
    let (truth, median) = (columns(|q| q.truth), columns(|q| q.q50));
    let notes: Vec<String> = findings
        .quantities
        .iter()
        .map(|q| format!("bias {:.3}, scatter {:.3}", q.recovery.bias, q.recovery.scatter))
        .collect();
    let panels: Vec<Recovered> = (0..k)
        .map(|i| Recovered { label: labels[i], truth: &truth[i], median: &median[i], note: &notes[i] })
        .collect();
    figures.push(Figure {
        name: "recovery",
        canvas: recovery(&panels, &format!("{name}: recovery of the truths"))?,
        caption: "Truth against posterior median, with the median and the 16 to 84 % range of the truths at each \
                  median: the median of a right posterior lies on the diagonal. Flat clouds are quantities that the \
                  photometry does not constrain."
            .into(),
    });
    if let Some(figure) = predictive_figure(one)? {
        figures.push(figure);
    }
    Ok(figures)
}

/// Coverage of each quantity and of all jointly by bins of each covariate.
fn by_bin(findings: &Findings, mass: f64, is_68: bool) -> Vec<ByBin<'static>> {
    let names = [("zred", "redshift"), ("mag", "magnitude of the reference band"), ("snr", "flux / error")];
    let k = findings.quantities.len();
    names
        .into_iter()
        .filter_map(|(covariate, title)| {
            let subsets: Vec<_> = findings.subsets.iter().filter(|s| s.covariate == covariate).collect();
            if subsets.len() < 2 {
                return None;
            }
            let of = |r: &RankFindings| if is_68 { r.in_68.value } else { r.in_95.value };
            Some(ByBin {
                covariate: title,
                x: subsets.iter().map(|s| 0.5 * (s.bin.low + s.bin.high)).collect(),
                lines: (0..k).map(|q| subsets.iter().map(|s| of(&s.ranks[q])).collect()).collect(),
                joint: subsets
                    .iter()
                    .map(|s| if is_68 { s.density.in_68.value } else { s.density.in_95.value })
                    .collect(),
                expected: subsets
                    .iter()
                    .map(|s| {
                        let half = 1.96 * (mass * (1.0 - mass) / s.bin.members.len() as f64).sqrt();
                        (mass - half, mass + half)
                    })
                    .collect(),
            })
        })
        .collect()
}

fn predictive_figure(one: &Validated) -> Result<Option<Figure>, PlotError> {
    let mocks = (one.evidence.scalar(Scalar::PredictiveP), one.evidence.scalar(Scalar::Chi2Best));
    if mocks.0.iter().all(|p| p.is_nan()) {
        return Ok(None);
    }
    let galaxies = one.galaxies.clone().unwrap_or_default();
    let mut p = vec![Counted { label: "mocks", values: &mocks.0 }];
    let log = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| v.max(1e-3).log10()).collect() };
    let (log_mocks, log_galaxies) = (log(&mocks.1), log(&galaxies.chi2_best));
    let mut chi2 = vec![Counted { label: "mocks", values: &log_mocks }];
    if !galaxies.p_value.is_empty() {
        p.push(Counted { label: "real galaxies", values: &galaxies.p_value });
        chi2.push(Counted { label: "real galaxies", values: &log_galaxies });
    }
    let judged = one.judged.clone().unwrap_or_default();
    let mut panels = vec![
        Histogram {
            x_label: "posterior predictive p-value",
            range: (0.0, 1.0),
            n_bins: 25,
            series: p,
            marks: vec![],
        },
        Histogram {
            x_label: "log χ² of the best draw",
            range: (-3.0, 3.0),
            n_bins: 30,
            series: chi2,
            marks: vec![],
        },
    ];
    if !judged.mocks.p_value.is_empty() {
        let mut series = vec![Counted { label: "mocks", values: &judged.mocks.p_value }];
        if !judged.galaxies.p_value.is_empty() {
            series.push(Counted { label: "real galaxies", values: &judged.galaxies.p_value });
        }
        let x_label = "p-value by the learned likelihood";
        panels.push(Histogram { x_label, range: (0.0, 1.0), n_bins: 25, series, marks: vec![] });
    }
    Ok(Some(Figure {
        name: "predictive",
        canvas: histograms(&panels, &format!("{}: does the posterior predict the photometry?", one.name))?,
        caption: "Posterior predictive checks. Mocks are right by construction and show what to expect (p-values \
                  lean to the middle, because the same photometry made the posterior); galaxies piled up at small \
                  p-values have photometry that the model cannot make."
            .into(),
    }))
}

/// Writes figures as PNG and SVG to a folder, which is made if it does not exist.
pub fn save(figures: &[Figure], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for figure in figures {
        for ending in ["png", "svg"] {
            figure.canvas.save(&folder.join(format!("{}.{ending}", figure.name)))?;
        }
    }
    Ok(())
}
