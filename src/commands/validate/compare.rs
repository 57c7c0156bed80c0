//! Two validations side by side.

use std::io::Write;

use super::Validated;
use super::document::Document;
use super::figures::Figure;
use super::report::{capital, intro, problems};
use crate::commands::plot::symbol;
use crate::plot::PlotError;
use crate::plot::diagnostics::{Points, side_by_side};
use crate::validate::{Evidence, Findings, Limits, RankFindings, Scalar};

/// Figures of two validations side by side.
pub fn figures(a: &Validated, b: &Validated) -> Result<Vec<Figure>, PlotError> {
    let shared: Vec<&str> =
        a.evidence.names.iter().filter(|n| b.evidence.names.contains(n)).map(String::as_str).collect();
    let labels: Vec<&str> = shared.iter().map(|name| symbol(name).0).collect();
    let pick = |one: &Validated, f: &dyn Fn(&RankFindings) -> (f64, f64, f64)| -> Vec<(f64, f64, f64)> {
        let of = |name: &&str| one.findings.quantities.iter().find(|q| q.name == **name).map(|q| f(&q.ranks));
        shared.iter().filter_map(of).collect()
    };
    let limits = Limits::default();
    let mut figures = Vec::new();
    let mut add = |name, (x_label, range), caption: &str, f: &dyn Fn(&RankFindings) -> (f64, f64, f64)| {
        let points = [a, b].map(|one| Points { label: one.name.as_str(), values: pick(one, f) });
        let canvas = side_by_side(&labels, &points, (x_label, range), &format!("{} and {}", a.name, b.name))?;
        figures.push(Figure { name, canvas, caption: caption.to_owned() });
        Ok::<_, PlotError>(())
    };
    add(
        "compare-ks",
        ("KS distance of ranks", (0.0, limits.ks)),
        "KS distance of the ranks, smaller is better; the limit is shaded.",
        &|r| (r.ks.statistic, r.ks.statistic, r.ks.statistic),
    )?;
    add(
        "compare-68",
        ("truths in 68 % intervals", (0.68 - limits.coverage_68, 0.68 + limits.coverage_68)),
        "Coverage of central 68 % intervals with its 95 % range; what is allowed is shaded.",
        &|r| (r.in_68.low, r.in_68.value, r.in_68.high),
    )?;
    add(
        "compare-spread",
        ("spread of truths in posterior sd", (0.97, 1.03)),
        "Above 1: posteriors too narrow; below: too wide.",
        &|r| (r.spread, r.spread, r.spread),
    )?;
    Ok(figures)
}

/// Two validations side by side: a table to print or show, and what is said of the difference.
pub struct Comparison {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub remark: String,
}

/// `paired` where both were shown the same mocks.
pub fn comparison(a: &Validated, b: &Validated, paired: bool) -> Comparison {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (fa, fb) = (&a.findings, &b.findings);
    let mut row = |what: &str, values: [f64; 2], better: Option<usize>| {
        let mut cells = vec![what.to_owned()];
        for (k, value) in values.into_iter().enumerate() {
            cells.push(format!("{value:.4}{}", if better == Some(k) { " *" } else { "" }));
        }
        rows.push(cells);
    };
    let least = |[x, y]: [f64; 2]| if x == y { None } else { Some(usize::from(y < x)) };
    let worst = |f: &Findings, g: &dyn Fn(&RankFindings) -> f64| {
        f.quantities.iter().map(|q| g(&q.ranks)).fold(0.0, f64::max)
    };
    let ln_q = [fa.ln_q.value, fb.ln_q.value];
    row("mean ln q of the truths", ln_q, least(ln_q.map(|v| -v)));
    for q in &fa.quantities {
        if let Some(other) = fb.quantities.iter().find(|other| other.name == q.name) {
            let ks = [q.ranks.ks.statistic, other.ranks.ks.statistic];
            row(&format!("KS {}", q.name), ks, least(ks));
        }
    }
    type Of<'a> = &'a dyn Fn(&Findings) -> f64;
    let measures: [(&str, Of); 7] = [
        ("KS, worst", &|f| worst(f, &|r| r.ks.statistic)),
        ("68 % coverage, worst error", &|f| worst(f, &|r| (r.in_68.value - 0.68).abs())),
        ("95 % coverage, worst error", &|f| worst(f, &|r| (r.in_95.value - 0.95).abs())),
        ("density coverage KS", &|f| f.joint.density.ks.statistic),
        ("TARP deviation", &|f| f.joint.tarp.deviation.statistic),
        ("local TARP deviation", &|f| f.joint.tarp_local.deviation.statistic),
        ("tests failed, of all mocks", &|f| f.problems.iter().filter(|p| p.subset.is_empty()).count() as f64),
    ];
    for (what, of) in measures {
        let values = [of(fa), of(fb)];
        row(what, values, least(values));
    }
    if let (Some((qa, above_a)), Some((qb, above_b))) = (fa.efficiency, fb.efficiency) {
        row("efficiency, median", [qa[2], qb[2]], least([-qa[2], -qb[2]]));
        row("efficiency above 1 %", [above_a, above_b], least([-above_a, -above_b]));
    }
    let remark = if paired {
        let difference: Vec<f64> = pairs(&a.evidence, &b.evidence);
        let mean = crate::validate::findings::Mean::of(&difference);
        let verdict = if mean.low > 0.0 {
            format!("{} is better", a.name)
        } else if mean.high < 0.0 {
            format!("{} is better", b.name)
        } else {
            "neither is better beyond chance".to_owned()
        };
        format!(
            "ln q of the same truths, {} minus {}: {:.4} ({:.4} to {:.4}) nats per mock; {verdict}. A star marks \
             the better number.",
            a.name, b.name, mean.value, mean.low, mean.high
        )
    } else {
        "the two were trained for other priors, errors or bands, so that each was shown mocks of its own: ln q of \
         one is not to be compared with that of the other"
            .to_owned()
    };
    Comparison { head: vec![String::new(), a.name.clone(), b.name.clone()], rows, remark }
}

fn pairs(a: &Evidence, b: &Evidence) -> Vec<f64> {
    a.scalar(Scalar::LnQ).iter().zip(b.scalar(Scalar::LnQ)).map(|(a, b)| a - b).collect()
}

impl Comparison {
    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let width = |k: usize| {
            let cells = self.rows.iter().map(|row| row[k].chars().count());
            cells.chain([self.head[k].chars().count()]).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        for row in std::iter::once(&self.head).chain(&self.rows) {
            writeln!(
                out,
                "{:<a$}  {:>b$}  {:>c$}",
                row[0],
                row[1],
                row[2],
                a = widths[0],
                b = widths[1],
                c = widths[2]
            )?;
        }
        writeln!(out, "{}", self.remark)
    }

    /// As a document, with the figures of both behind.
    pub fn document(&self, a: &Validated, b: &Validated, figures: &[Figure]) -> Document {
        let mut document = Document::new(format!("{} and {} side by side", a.name, b.name));
        intro(&mut document, a);
        intro(&mut document, b);
        document.heading(2, "Numbers");
        let head: Vec<&str> = self.head.iter().map(String::as_str).collect();
        document.table(&head, self.rows.clone());
        document.text(capital(&self.remark));
        document.heading(2, "Figures");
        for figure in figures {
            document.figure(figure.canvas.svg(), figure.caption.clone());
        }
        for one in [a, b] {
            document.heading(2, format!("What tests call wrong of {}", one.name));
            problems(&mut document, &one.findings);
        }
        document
    }
}
