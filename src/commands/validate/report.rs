//! What a validation found, in words and tables.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::Validated;
use super::document::Document;
use super::figures::Figure;
use crate::validate::findings::Joint;
use crate::validate::predictive::empirical_p_value;
use crate::validate::{Findings, Limits, RankFindings, Scalar, Shape};

/// The shape with its size: what to correct, and by how much.
pub fn reading(ranks: &RankFindings) -> String {
    match ranks.shape {
        Shape::Uniform => "uniform".to_owned(),
        Shape::TooNarrow | Shape::TooWide => {
            format!("{} by {:.1} %", ranks.shape, 100.0 * (ranks.spread - 1.0).abs())
        }
        Shape::DrawsLow | Shape::DrawsHigh => format!("{} by {:.3} sd", ranks.shape, ranks.bias.abs()),
        Shape::Irregular => "irregular".to_owned(),
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-3 { format!("{p:.0e}") } else { format!("{p:.3}") }
}

/// The table that the command prints.
pub fn print(out: &mut impl Write, one: &Validated) -> std::io::Result<()> {
    let Findings { quantities, joint, weighted_joint, ln_q, efficiency, .. } = &one.findings;
    let weighted = weighted_joint.is_some();
    let width = quantities.iter().map(|q| q.name.len()).max().unwrap_or(9).max(9);
    write!(
        out,
        "{:<width$} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7}",
        "quantity", "KS", "p", "in 68", "in 95", "bias", "spread"
    )?;
    if weighted {
        write!(out, " {:>7} {:>8}", "KS IS", "in 68 IS")?;
    }
    writeln!(out, "  ranks")?;
    for q in quantities {
        let r = &q.ranks;
        write!(
            out,
            "{:<width$} {:>7.4} {:>8} {:>7.3} {:>7.3} {:>7.3} {:>7.3}",
            q.name,
            r.ks.statistic,
            p_value(r.ks.p_value),
            r.in_68.value,
            r.in_95.value,
            r.bias,
            r.spread
        )?;
        if let Some(w) = &q.weighted {
            write!(out, " {:>7.4} {:>8.3}", w.ks.statistic, w.in_68.value)?;
        }
        writeln!(out, "  {}", reading(r))?;
    }
    let line = |joint: &Joint, suffix: &str| {
        format!(
            "all jointly{suffix}: density regions hold {:.3} / {:.3} (KS {:.4}), TARP {:.4}, local TARP {:.4}",
            joint.density.in_68.value,
            joint.density.in_95.value,
            joint.density.ks.statistic,
            joint.tarp.deviation.statistic,
            joint.tarp_local.deviation.statistic
        )
    };
    writeln!(out, "{}", line(joint, ""))?;
    if let Some(joint) = weighted_joint {
        writeln!(out, "{}", line(joint, ", weighted"))?;
    }
    if let Some((q, above)) = efficiency {
        writeln!(
            out,
            "efficiency of importance weights: 5 / 50 / 95 % of mocks below {:.3} / {:.3} / {:.3}; {:.1} % above 0.01",
            q[0],
            q[2],
            q[4],
            100.0 * above
        )?;
    }
    writeln!(out, "mean ln q of the truths: {:.3} ({:.3} to {:.3})", ln_q.value, ln_q.low, ln_q.high)?;
    let short = one.findings.shortfall;
    if short.value.is_finite() {
        let text = "exact ln density of the truths above ln q by";
        writeln!(out, "{text} {:.3} ({:.3} to {:.3}) nats", short.value, short.low, short.high)?;
    }
    for text in [galaxies_text(one), judged_text(one)].into_iter().flatten() {
        writeln!(out, "{text}")?;
    }
    for text in exact_texts(one) {
        writeln!(out, "{text}")?;
    }
    for check in one.findings.checks(&Limits::default()) {
        let of = if check.quantity.is_empty() { String::new() } else { format!(" ({})", check.quantity) };
        let limit = limit_text(check.limit);
        writeln!(
            out,
            "{:<26} worst {:.4}{of}, limit {limit}: {}",
            check.what,
            check.value,
            check.verdict.as_str()
        )?;
    }
    Ok(())
}

/// What a likelihood says of the real galaxies, read against the mocks.
fn judged_text(one: &Validated) -> Option<String> {
    let judged = one.judged.as_ref()?;
    let mut mocks = judged.mocks.p_value.clone();
    mocks.sort_by(f64::total_cmp);
    let calibrated: Vec<f64> =
        judged.galaxies.p_value.iter().map(|&p| empirical_p_value(&mocks, p)).collect();
    let n = calibrated.len();
    let share = |p: f64| 100.0 * calibrated.iter().filter(|&&c| c < p).count() as f64 / n as f64;
    let mut text = format!(
        "judged by {}: predictive p-values of {} mocks have median {:.2}",
        judged.by,
        mocks.len(),
        crate::validate::samples::quantile(&mocks, 0.5)
    );
    if n > 0 {
        text += &format!(
            "; of {n} real galaxies {:.1} % are as improbable as the least probable 1 % of mocks, {:.1} % as the least \
             probable 5 %",
            share(0.01),
            share(0.05)
        );
    }
    Some(text)
}

/// What comparisons with MCMC came to, one sentence each.
fn exact_texts(one: &Validated) -> Vec<String> {
    let mut texts = Vec::new();
    for (section, exact) in &one.exact {
        let of = if *section == super::exact::MOCKS { "mocks" } else { "real galaxies" };
        let converged = exact.converged.iter().filter(|&&converged| converged).count();
        for (method, agreement) in exact.agreements() {
            let name = if method == "npe" { "draws" } else { "weighted draws" };
            let shifts = agreement.quantities.iter().map(|q| q.shift);
            texts.push(format!(
                "{name} against MCMC, {} {of} ({converged} chains converged): C2ST {:.3} ({:.3} to {:.3} for 68 %), at \
                 most 0.55 for {:.0} %; medians within {:.3} posterior sd in every quantity, typically",
                agreement.n,
                agreement.c2st[1],
                agreement.c2st[0],
                agreement.c2st[2],
                100.0 * agreement.c2st_within,
                shifts.fold(0.0, f64::max)
            ));
        }
    }
    texts
}

fn exact_section(document: &mut Document, one: &Validated) {
    if one.exact.is_empty() {
        return;
    }
    document.heading(2, "Against MCMC");
    document.text(
        "Draws of the network, and the same weighted to the exact posterior, against Markov chains of it. C2ST is the \
         accuracy of a classifier told to tell them apart (0.5: it cannot). Shifts of the median and Wasserstein \
         distances are in standard deviations of the chain's posterior.",
    );
    for text in exact_texts(one) {
        document.text(capital(&text));
    }
    for (section, exact) in &one.exact {
        let of = if *section == super::exact::MOCKS { "Mocks" } else { "Real galaxies" };
        document.heading(3, of);
        let [(_, npe), (_, is)] = exact.agreements();
        let rows =
            one.evidence.names.iter().zip(npe.quantities.iter().zip(&is.quantities)).map(|(name, (a, b))| {
                let mut row = vec![name.clone()];
                for q in [a, b] {
                    row.extend(
                        [q.shift, q.shift_95, q.width_ratio, q.wasserstein].map(|v| format!("{v:.3}")),
                    );
                }
                row
            });
        document.table(
            &[
                "quantity",
                "|shift|",
                "95 % below",
                "width ratio",
                "Wasserstein",
                "|shift| weighted",
                "95 % below",
                "width ratio",
                "Wasserstein",
            ],
            rows.collect(),
        );
    }
}

fn limit_text((low, high): (f64, f64)) -> String {
    if low == 0.0 { format!("{high}") } else { format!("{low:.3} to {high:.3}") }
}

/// Predictive p-values of the galaxies among those of the mocks.
fn calibrated(one: &Validated) -> Option<Vec<f64>> {
    let galaxies = one.galaxies.as_ref().filter(|galaxies| !galaxies.p_value.is_empty())?;
    let mut mocks = one.evidence.scalar(Scalar::PredictiveP);
    mocks.retain(|p| p.is_finite());
    mocks.sort_by(f64::total_cmp);
    Some(galaxies.p_value.iter().map(|&p| empirical_p_value(&mocks, p)).collect())
}

fn galaxies_text(one: &Validated) -> Option<String> {
    let galaxies = one.galaxies.as_ref()?;
    let Some(calibrated) = calibrated(one) else {
        return Some(format!("real galaxies: none of {} is inside the support", galaxies.refused));
    };
    let n = calibrated.len() as f64;
    let share = |p: f64| 100.0 * calibrated.iter().filter(|&&c| c < p).count() as f64 / n;
    let mut chi2 = galaxies.chi2_best.clone();
    chi2.sort_by(f64::total_cmp);
    Some(format!(
        "real galaxies: {} inside the support, {} outside; chi2 of the best draw has median {:.2}; {:.1} % have a \
         predictive p-value as small as the smallest 1 % of mocks, {:.1} % as the smallest 5 %",
        calibrated.len(),
        galaxies.refused,
        crate::validate::samples::quantile(&chi2, 0.5),
        share(0.01),
        share(0.05)
    ))
}

/// The whole of one validation.
pub fn document(one: &Validated, figures: &[Figure]) -> Document {
    let mut document = Document::new(format!("Validation of {}", one.name));
    intro(&mut document, one);
    document.heading(2, "Limits");
    document.table(
        &["what", "worst", "of", "limit", "verdict"],
        one.findings
            .checks(&Limits::default())
            .into_iter()
            .map(|c| {
                let of = if c.quantity.is_empty() { "all jointly".to_owned() } else { c.quantity };
                let verdict = c.verdict.as_str().to_owned();
                vec![c.what.to_owned(), format!("{:.4}", c.value), of, limit_text(c.limit), verdict]
            })
            .collect(),
    );
    document.heading(2, "Each quantity");
    quantities_table(&mut document, &one.findings);
    document.heading(2, "All jointly");
    joint_table(&mut document, &one.findings);
    document.heading(2, "What tests call wrong");
    problems(&mut document, &one.findings);
    document.heading(2, "Recovery");
    document.table(
        &[
            "quantity",
            "bias",
            "scatter",
            "half-width of 68 %",
            "over the prior's",
            "beyond 3 sd",
            "correlation",
        ],
        one.findings
            .quantities
            .iter()
            .map(|q| {
                let r = &q.recovery;
                let numbers = [r.bias, r.scatter, r.width, r.width_over_prior];
                let mut row = vec![q.name.clone()];
                row.extend(numbers.iter().map(|v| format!("{v:.3}")));
                row.extend([format!("{:.2} %", 100.0 * r.outliers), format!("{:.3}", r.correlation)]);
                row
            })
            .collect(),
    );
    let texts: Vec<String> = [galaxies_text(one), judged_text(one)].into_iter().flatten().collect();
    if !texts.is_empty() {
        document.heading(2, "Real galaxies");
        texts.iter().for_each(|text| document.text(capital(text)));
    }
    exact_section(&mut document, one);
    document.heading(2, "Figures");
    for figure in figures {
        document.figure(figure.canvas.svg(), figure.caption.clone());
    }
    document
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect::<String>() + ".")
}

pub fn intro(document: &mut Document, one: &Validated) {
    document.text(format!(
        "Checkpoint {} ({}), {} mocks of {} draws each, seed {}; sedflow {}. Mean ln q of the truths: {:.3} \
         ({:.3} to {:.3}).",
        one.name,
        one.hash.short(),
        one.findings.n_mocks,
        one.config["draws"],
        one.config["seed"],
        crate::store::PROGRAM_VERSION,
        one.findings.ln_q.value,
        one.findings.ln_q.low,
        one.findings.ln_q.high
    ));
    let short = one.findings.shortfall;
    if short.value.is_finite() {
        document.text(format!(
            "The exact ln density of the truths is higher by {:.3} nats ({:.3} to {:.3}) on average: the divergence of \
             this density from the right one, and all that training could still gain.",
            short.value, short.low, short.high
        ));
    }
    document.text(
        "Each mock is a galaxy drawn from the prior, with noise. Where posteriors are right, its truth is one more \
         draw: its rank among the draws is uniform, and regions of any mass hold it that often.",
    );
}

fn quantities_table(document: &mut Document, findings: &Findings) {
    let weighted = findings.weighted_joint.is_some();
    let mut head =
        vec!["quantity", "KS", "p", "SBC χ² p", "in 68 %", "in 95 %", "bias / sd", "spread", "ranks"];
    if weighted {
        head.extend(["KS weighted", "in 68 % weighted", "in 95 % weighted"]);
    }
    let rows = findings.quantities.iter().map(|q| {
        let r = &q.ranks;
        let mut row = vec![
            q.name.clone(),
            format!("{:.4}", r.ks.statistic),
            p_value(r.ks.p_value),
            p_value(r.chi2.p_value),
            format!("{:.3}", r.in_68.value),
            format!("{:.3}", r.in_95.value),
            format!("{:.3}", r.bias),
            format!("{:.3}", r.spread),
            reading(r),
        ];
        if let Some(w) = &q.weighted {
            row.extend([w.ks.statistic, w.in_68.value, w.in_95.value].map(|v| format!("{v:.4}")));
        }
        row
    });
    document.table(&head, rows.collect());
    document.text(
        "KS: largest distance of the ranks' distribution from uniform. Bias: mean offset of the truths from the \
         draws in posterior standard deviations (above 0: draws too low). Spread: scatter of the truths in posterior \
         standard deviations (above 1: posteriors too narrow).",
    );
}

fn joint_table(document: &mut Document, findings: &Findings) {
    let sets = [("draws", Some(&findings.joint)), ("weighted draws", findings.weighted_joint.as_ref())];
    let rows = sets.into_iter().filter_map(|(name, joint)| joint.map(|j| (name, j))).map(|(name, j)| {
        let tarp = |t: &crate::validate::tarp::Tarp| {
            let (low, high) = t.deviation_range;
            format!("{:.4} ({low:.4} to {high:.4})", t.deviation.statistic)
        };
        vec![
            name.to_owned(),
            format!("{:.4}", j.density.ks.statistic),
            format!("{:.3}", j.density.in_68.value),
            format!("{:.3}", j.density.in_95.value),
            tarp(&j.tarp),
            tarp(&j.tarp_local),
        ]
    });
    document.table(
        &["", "density KS", "density in 68 %", "density in 95 %", "TARP (95 % bootstrap)", "local TARP"],
        rows.collect(),
    );
}

pub fn problems(document: &mut Document, findings: &Findings) {
    if findings.problems.is_empty() {
        document.text("Nothing: no test tells these posteriors from right ones.");
        return;
    }
    document.text(
        "Tests that a right checkpoint would fail with a probability of 1 % all together. With many mocks also \
         errors too small to matter are seen: their size is in the tables above.",
    );
    let or_all = |text: &str| if text.is_empty() { "all".to_owned() } else { text.to_owned() };
    document.table(
        &["diagnostic", "quantity", "mocks", "reading", "p"],
        findings
            .problems
            .iter()
            .map(|p| {
                vec![
                    p.diagnostic.to_owned(),
                    or_all(&p.quantity),
                    or_all(&p.subset),
                    p.shape.to_string(),
                    p_value(p.p_value),
                ]
            })
            .collect(),
    );
}

/// Refuses a name no report can have, before any work is done.
pub fn check_name(path: &Path) -> anyhow::Result<()> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm" | "md") => Ok(()),
        _ => bail!("{}: the name of a report ends in .html or .md", path.display()),
    }
}

/// Writes a report as the kind of file its name says.
pub fn write(document: &Document, path: &Path) -> anyhow::Result<()> {
    check_name(path)?;
    let text = if path.extension().is_some_and(|ending| ending == "md") {
        document.markdown()
    } else {
        document.html()
    };
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
