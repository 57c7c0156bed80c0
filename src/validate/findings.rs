//! All that the evidence of mocks says of a checkpoint: numbers with their uncertainty, what is wrong
//! where, and whether stated limits are kept.

use super::coverage::{Fraction, LevelFindings};
use super::evidence::{Evidence, Quantity, Scalar};
use super::local::{Bin, bins};
use super::ranks::{RankFindings, Shape};
use super::recovery::{Recovered, Recovery};
use super::tarp::Tarp;

/// How findings are made of evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Chance accepted of calling a right checkpoint wrong, over all tests of all mocks together (and
    /// again over all tests of subsets).
    pub alpha: f64,
    /// Bins of each covariate.
    pub n_bins: usize,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { alpha: 0.01, n_bins: 5, seed: 0 }
    }
}

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Mean {
    /// Of the finite values; NaN of none.
    pub fn of(values: &[f64]) -> Self {
        let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let n = finite.len() as f64;
        let value = finite.iter().sum::<f64>() / n;
        let variance = finite.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0);
        let half = 1.96 * (variance / n).sqrt();
        Self { value, low: value - half, high: value + half }
    }
}

/// One quantity over all mocks.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantityFindings {
    pub name: String,
    pub ranks: RankFindings,
    /// The same among weighted draws.
    pub weighted: Option<RankFindings>,
    pub recovery: Recovery,
}

/// All parameters together.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    pub density: LevelFindings,
    pub tarp: Tarp,
    pub tarp_local: Tarp,
}

impl Joint {
    fn of(evidence: &Evidence, [density, tarp, local]: [Scalar; 3], alpha: f64, seed: u64) -> Self {
        Self {
            density: LevelFindings::of(&evidence.scalar(density), alpha),
            tarp: Tarp::of(&evidence.scalar(tarp), seed),
            tarp_local: Tarp::of(&evidence.scalar(local), seed),
        }
    }
}

/// Mocks of one bin of one covariate.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    pub covariate: &'static str,
    pub bin: Bin,
    /// In the order of the quantities.
    pub ranks: Vec<RankFindings>,
    pub density: LevelFindings,
    pub ln_q: Mean,
}

impl Subset {
    pub fn label(&self) -> String {
        self.bin.label(self.covariate)
    }
}

/// A test that a right checkpoint would hardly fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Which diagnostic: `ranks`, `density coverage`, `tarp`, `tarp_local`; `_is` where draws are weighted.
    pub diagnostic: &'static str,
    /// The quantity, empty for all together.
    pub quantity: String,
    /// The subset, empty for all mocks.
    pub subset: String,
    pub shape: Shape,
    pub p_value: f64,
}

/// One number of the findings, as rows are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub metric: String,
    pub quantity: String,
    pub subset: String,
    pub value: f64,
    pub range: Option<(f64, f64)>,
    pub p_value: Option<f64>,
}

/// What the evidence says.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    pub n_mocks: usize,
    pub quantities: Vec<QuantityFindings>,
    pub joint: Joint,
    pub weighted_joint: Option<Joint>,
    /// ln q of the truths.
    pub ln_q: Mean,
    /// Exact ln density of the truths minus ln q: the mean is the Kullback-Leibler divergence of q from what
    /// it should be. NaN where the exact density is not known.
    pub shortfall: Mean,
    /// Efficiency of the importance weights: quantiles 5, 25, 50, 75, 95 %, and the fraction above 1 %.
    pub efficiency: Option<([f64; 5], f64)>,
    pub subsets: Vec<Subset>,
    pub problems: Vec<Problem>,
}

const COVARIATES: [(&str, Scalar); 3] =
    [("zred", Scalar::Redshift), ("mag", Scalar::Magnitude), ("snr", Scalar::SignalToNoise)];

impl Findings {
    pub fn of(evidence: &Evidence, settings: &Settings) -> Self {
        let k = evidence.names.len();
        let weighted = evidence.is_weighted();
        let rank = |q: &Quantity| q.rank;
        // All tests of one table share alpha.
        let n_tests = (k + 3) * if weighted { 2 } else { 1 };
        let alpha = settings.alpha / n_tests as f64;
        let quantities: Vec<QuantityFindings> = (0..k)
            .map(|i| QuantityFindings {
                name: evidence.names[i].clone(),
                ranks: RankFindings::of(&evidence.quantity(i, rank), alpha),
                weighted: weighted.then(|| RankFindings::of(&evidence.quantity(i, |q| q.rank_is), alpha)),
                recovery: Recovery::of(Recovered {
                    truth: &evidence.quantity(i, |q| q.truth),
                    median: &evidence.quantity(i, |q| q.q50),
                    low: &evidence.quantity(i, |q| q.q16),
                    high: &evidence.quantity(i, |q| q.q84),
                }),
            })
            .collect();
        let plain = [Scalar::DensityLevel, Scalar::Tarp, Scalar::TarpLocal];
        let joint = Joint::of(evidence, plain, alpha, settings.seed);
        let weighted_joint = weighted.then(|| {
            let scalars = [Scalar::DensityLevelIs, Scalar::TarpIs, Scalar::TarpLocalIs];
            Joint::of(evidence, scalars, alpha, settings.seed)
        });
        let subsets = subsets(evidence, settings);
        let both = evidence.scalar(Scalar::LnExact).into_iter().zip(evidence.scalar(Scalar::LnQ));
        let shortfall: Vec<f64> = both.map(|(exact, q)| exact - q).collect();
        let mut findings = Self {
            n_mocks: evidence.len(),
            quantities,
            joint,
            weighted_joint,
            ln_q: Mean::of(&evidence.scalar(Scalar::LnQ)),
            shortfall: Mean::of(&shortfall),
            efficiency: weighted.then(|| efficiency(&evidence.scalar(Scalar::Efficiency))),
            subsets,
            problems: vec![],
        };
        findings.problems = findings.find_problems(alpha);
        findings
    }

    fn find_problems(&self, alpha: f64) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |diagnostic, quantity: &str, subset: &str, shape: Shape, p_value: f64| {
            if shape != Shape::Uniform {
                let (quantity, subset) = (quantity.to_owned(), subset.to_owned());
                problems.push(Problem { diagnostic, quantity, subset, shape, p_value });
            }
        };
        for q in &self.quantities {
            note("ranks", &q.name, "", q.ranks.shape, q.ranks.p_value);
            if let Some(weighted) = &q.weighted {
                note("ranks_is", &q.name, "", weighted.shape, weighted.p_value);
            }
        }
        let sets = [
            (Some(&self.joint), ["density coverage", "tarp", "tarp_local"]),
            (self.weighted_joint.as_ref(), ["density coverage_is", "tarp_is", "tarp_local_is"]),
        ];
        for (joint, names) in sets {
            let Some(joint) = joint else { continue };
            note(names[0], "", "", joint.density.shape, joint.density.p_value);
            for (name, tarp) in [(names[1], &joint.tarp), (names[2], &joint.tarp_local)] {
                let p = tarp.deviation.p_value;
                note(name, "", "", if p < alpha { Shape::Irregular } else { Shape::Uniform }, p);
            }
        }
        for subset in &self.subsets {
            let label = subset.label();
            note("density coverage", "", &label, subset.density.shape, subset.density.p_value);
            for (q, ranks) in self.quantities.iter().zip(&subset.ranks) {
                note("ranks", &q.name, &label, ranks.shape, ranks.p_value);
            }
        }
        problems
    }

    /// Every number, to be kept as rows. Numbers that are not finite are left out.
    pub fn measures(&self) -> Vec<Measure> {
        let mut rows = Rows(Vec::new());
        rows.add("ln_q", ("", ""), self.ln_q.value, Some((self.ln_q.low, self.ln_q.high)), None);
        let short = self.shortfall;
        rows.add("ln_q_shortfall", ("", ""), short.value, Some((short.low, short.high)), None);
        for q in &self.quantities {
            rows.ranks("", (&q.name, ""), &q.ranks);
            if let Some(weighted) = &q.weighted {
                rows.ranks("_is", (&q.name, ""), weighted);
            }
            let at = (q.name.as_str(), "");
            let r = &q.recovery;
            for (metric, value) in [
                ("recovery_bias", r.bias),
                ("recovery_scatter", r.scatter),
                ("recovery_outliers", r.outliers),
                ("recovery_correlation", r.correlation),
                ("width_over_prior", r.width_over_prior),
            ] {
                rows.add(metric, at, value, None, None);
            }
        }
        for (suffix, joint) in [("", Some(&self.joint)), ("_is", self.weighted_joint.as_ref())] {
            let Some(joint) = joint else { continue };
            rows.density(suffix, "", &joint.density);
            for (name, tarp) in [("tarp", &joint.tarp), ("tarp_local", &joint.tarp_local)] {
                let t = &tarp.deviation;
                let name = format!("{name}{suffix}");
                rows.add(&name, ("", ""), t.statistic, Some(tarp.deviation_range), Some(t.p_value));
            }
        }
        if let Some((quantiles, above)) = self.efficiency {
            for (percent, value) in [5, 25, 50, 75, 95].into_iter().zip(quantiles) {
                rows.add(&format!("efficiency_q{percent:02}"), ("", ""), value, None, None);
            }
            rows.add("efficiency_above_1pc", ("", ""), above, None, None);
        }
        for subset in &self.subsets {
            let label = subset.label();
            rows.add("n", ("", &label), subset.bin.members.len() as f64, None, None);
            let ln_q = subset.ln_q;
            rows.add("ln_q", ("", &label), ln_q.value, Some((ln_q.low, ln_q.high)), None);
            rows.density("", &label, &subset.density);
            for (q, ranks) in self.quantities.iter().zip(&subset.ranks) {
                rows.ranks("", (&q.name, &label), ranks);
            }
        }
        rows.0
    }
}

fn subsets(evidence: &Evidence, settings: &Settings) -> Vec<Subset> {
    let k = evidence.names.len();
    let alpha = settings.alpha / ((k + 1) * settings.n_bins.max(1) * COVARIATES.len()) as f64;
    let columns: Vec<Vec<f64>> = (0..k).map(|i| evidence.quantity(i, |q| q.rank)).collect();
    let levels = evidence.scalar(Scalar::DensityLevel);
    let ln_q = evidence.scalar(Scalar::LnQ);
    let mut subsets = Vec::new();
    for (covariate, scalar) in COVARIATES {
        for bin in bins(&evidence.scalar(scalar), settings.n_bins) {
            subsets.push(Subset {
                covariate,
                ranks: columns.iter().map(|ranks| RankFindings::of(&bin.pick(ranks), alpha)).collect(),
                density: LevelFindings::of(&bin.pick(&levels), alpha),
                ln_q: Mean::of(&bin.pick(&ln_q)),
                bin,
            });
        }
    }
    subsets
}

fn efficiency(values: &[f64]) -> ([f64; 5], f64) {
    let mut sorted: Vec<f64> = values.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
    sorted.sort_by(f64::total_cmp);
    let above = sorted.iter().filter(|&&v| v > 0.01).count() as f64 / sorted.len() as f64;
    ([0.05, 0.25, 0.5, 0.75, 0.95].map(|p| super::samples::quantile(&sorted, p)), above)
}

struct Rows(Vec<Measure>);

impl Rows {
    fn add(
        &mut self,
        metric: &str,
        (quantity, subset): (&str, &str),
        value: f64,
        range: Option<(f64, f64)>,
        p_value: Option<f64>,
    ) {
        if value.is_finite() {
            self.0.push(Measure {
                metric: metric.to_owned(),
                quantity: quantity.to_owned(),
                subset: subset.to_owned(),
                value,
                range: range.filter(|(low, high)| low.is_finite() && high.is_finite()),
                p_value,
            });
        }
    }

    fn fraction(&mut self, metric: &str, at: (&str, &str), fraction: Fraction) {
        self.add(metric, at, fraction.value, Some((fraction.low, fraction.high)), None);
    }

    fn ranks(&mut self, suffix: &str, at: (&str, &str), ranks: &RankFindings) {
        let name = |metric: &str| format!("{metric}{suffix}");
        let (ks, chi2, c68, c95) = (name("ks"), name("sbc_chi2"), name("coverage68"), name("coverage95"));
        let (bias, spread) = (name("bias"), name("spread"));
        self.add(&ks, at, ranks.ks.statistic, None, Some(ranks.ks.p_value));
        self.add(&chi2, at, ranks.chi2.statistic, None, Some(ranks.chi2.p_value));
        self.fraction(&c68, at, ranks.in_68);
        self.fraction(&c95, at, ranks.in_95);
        self.add(&bias, at, ranks.bias, None, None);
        self.add(&spread, at, ranks.spread, None, None);
    }

    fn density(&mut self, suffix: &str, subset: &str, levels: &LevelFindings) {
        let at = ("", subset);
        let t = levels.ks;
        self.add(&format!("density_ks{suffix}"), at, t.statistic, None, Some(t.p_value));
        self.fraction(&format!("density_coverage68{suffix}"), at, levels.in_68);
        self.fraction(&format!("density_coverage95{suffix}"), at, levels.in_95);
    }
}

/// Limits that a checkpoint to be shipped keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// KS distance of the ranks of each quantity, plain and weighted.
    pub ks: f64,
    pub ks_is: f64,
    /// Largest deviation of TARP.
    pub tarp: f64,
    /// How far the coverage of 68 and 95 % intervals may be off.
    pub coverage_68: f64,
    pub coverage_95: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ks: 0.02, ks_is: 0.015, tarp: 0.02, coverage_68: 0.015, coverage_95: 0.007 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    Missed,
    /// Beyond the limit, but so could a right checkpoint be with so few mocks.
    Open,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Kept => "kept",
            Verdict::Missed => "missed",
            Verdict::Open => "open: more mocks would tell",
        }
    }
}

/// One limit and the worst number it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub what: &'static str,
    /// The quantity where the number is worst, empty for all together.
    pub quantity: String,
    pub value: f64,
    pub limit: (f64, f64),
    pub verdict: Verdict,
}

impl Findings {
    /// The limits against the worst of the numbers they are for.
    pub fn checks(&self, limits: &Limits) -> Vec<Check> {
        let mut checks = Vec::new();
        // 99 % of right checkpoints have a smaller KS distance in the worst of so many quantities: each exceeds
        // x / sqrt(n) with a probability of at most 2 exp(-2 x^2).
        let chance = |of: usize| ((2.0 * of as f64 / 0.01).ln() / 2.0 / self.n_mocks.max(1) as f64).sqrt();
        let distance = |what, quantity: &str, value: f64, limit: f64, of: usize| Check {
            what,
            quantity: quantity.to_owned(),
            value,
            limit: (0.0, limit),
            verdict: match value {
                value if value <= limit => Verdict::Kept,
                value if value <= chance(of) => Verdict::Open,
                _ => Verdict::Missed,
            },
        };
        let n = self.quantities.len();
        let coverage = |what, quantity: &str, found: Fraction, mass: f64, off: f64| {
            let limit = (mass - off, mass + off);
            let verdict = match found {
                f if limit.0 <= f.value && f.value <= limit.1 => Verdict::Kept,
                f if f.low <= limit.1 && f.high >= limit.0 => Verdict::Open,
                _ => Verdict::Missed,
            };
            Check { what, quantity: quantity.to_owned(), value: found.value, limit, verdict }
        };
        let mut worst = |all: Vec<Check>| {
            // A distance has no least value to be short of.
            let below = |c: &Check| if c.limit.0 > 0.0 { c.limit.0 - c.value } else { f64::NEG_INFINITY };
            let off = |c: &Check| (c.value - c.limit.1).max(below(c));
            checks.extend(all.into_iter().max_by(|a, b| off(a).total_cmp(&off(b))));
        };
        let ranks = || self.quantities.iter().map(|q| (q.name.as_str(), &q.ranks));
        let weighted =
            || self.quantities.iter().filter_map(|q| Some((q.name.as_str(), q.weighted.as_ref()?)));
        worst(ranks().map(|(q, r)| distance("KS of ranks", q, r.ks.statistic, limits.ks, n)).collect());
        worst(
            weighted()
                .map(|(q, r)| distance("KS of ranks, weighted", q, r.ks.statistic, limits.ks_is, n))
                .collect(),
        );
        worst(vec![distance("TARP deviation", "", self.joint.tarp.deviation.statistic, limits.tarp, 1)]);
        if let Some(joint) = &self.weighted_joint {
            let value = joint.tarp.deviation.statistic;
            worst(vec![distance("TARP deviation, weighted", "", value, limits.tarp, 1)]);
        }
        worst(
            ranks()
                .map(|(q, r)| coverage("truths in 68 % intervals", q, r.in_68, 0.68, limits.coverage_68))
                .collect(),
        );
        worst(
            ranks()
                .map(|(q, r)| coverage("truths in 95 % intervals", q, r.in_95, 0.95, limits.coverage_95))
                .collect(),
        );
        checks
    }
}
