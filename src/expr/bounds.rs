//! What the summary of a posterior says of `P(condition)` without its draws: bounds that always hold.
//!
//! A quantile at p of n draws leaves at least a certain number of draws on each side of it, so an interval
//! between quantiles holds at least a known share of the draws, and a box over several parameters at least
//! one minus the sum of what its sides may leave out (Bonferroni). Where interval arithmetic finds a
//! condition true all over a box, its probability is at least the box's share; where it is true nowhere in
//! it, at most one minus that. Conditions joined by `and` and `or` have the bounds of Fréchet (1935).

use super::range::range;
use super::{Expr, Node, Range, Value};

/// Draws by which a count may differ from what the quantile's definition says: quantiles are interpolated
/// in more ways than one.
const SLACK: f64 = 2.0;

/// Parts of a condition joined by `and` and `or` that have more nodes than this are left to Fréchet's bounds.
const MAX_NODES: usize = 40;

/// What is known of one parameter of one galaxy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginalBounds {
    /// Values of the quantiles that the [`ProbabilityBounds`] were made for, ascending.
    pub quantiles: [f64; 5],
    /// How far beyond them draws may lie that the distance given to [`ProbabilityBounds::new`] does not tell of.
    pub margin: f64,
    /// No draw differs by more than this from the one that the quantiles were computed of, where that is known.
    pub moved: Option<f64>,
}

/// One side of a box: from which quantile to which, and the least share of the draws between them.
#[derive(Debug, Clone, Copy)]
struct Side {
    from: Option<usize>,
    to: Option<usize>,
    share: f64,
}

/// Bounds of probabilities for posteriors of `n` draws whose quantiles at five levels are known.
#[derive(Debug, Clone)]
pub struct ProbabilityBounds {
    n: f64,
    levels: [f64; 5],
    ks: f64,
    /// Widest first.
    sides: Vec<Side>,
}

/// What is known of a name in a condition on draws.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// A column of draws, by its quantiles.
    Draws(MarginalBounds),
    /// The same for all draws, or something of which no more is known.
    Fixed(Range<'a>),
}

impl ProbabilityBounds {
    /// For `n` draws and ascending quantile `levels`, where no column's distribution differs by more than `ks`
    /// (Kolmogorov-Smirnov distance) from the one that the quantiles are of.
    pub fn new(n: u64, levels: &[f64; 5], ks: f64) -> Self {
        let n = n as f64;
        let place = |i: usize| (levels[i] * (n - 1.0)).floor();
        let at_least = |i: usize| ((n - 1.0 - place(i) - SLACK) / n - ks).max(0.0);
        let at_most = |i: usize| ((place(i) + 1.0 - SLACK) / n - ks).max(0.0);
        let mut sides = Vec::new();
        for from in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            for to in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
                let share = from.map_or(1.0, at_least) + to.map_or(1.0, at_most) - 1.0;
                if share > 0.0 {
                    sides.push(Side { from, to, share });
                }
            }
        }
        sides.sort_by(|a, b| b.share.total_cmp(&a.share));
        Self { n, levels: *levels, ks, sides }
    }

    /// Limits of the quantile at `p`.
    pub fn quantile(&self, marginal: &MarginalBounds, p: f64) -> Range<'static> {
        // the draw at or below a quantile, counted from 0
        let place = |p: f64| (p * (self.n - 1.0)).floor();
        let far = self.ks * self.n + SLACK;
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for (&level, q) in self.levels.iter().zip(marginal.quantiles) {
            if place(level) + 1.0 + far <= place(p) {
                low = low.max(q - marginal.margin);
            }
            if place(level) - far >= place(p) + 1.0 {
                high = high.min(q + marginal.margin);
            }
            // quantiles of draws that each moved little moved no more
            if let Some(moved) = marginal.moved {
                low = if level <= p { low.max(q - moved) } else { low };
                high = if level >= p { high.min(q + moved) } else { high };
            }
        }
        Range::Within { low, high, missing: false }
    }

    /// The least and greatest probability that `condition` can have, given what is known of each of its names.
    pub fn of(&self, condition: &Expr, known: &[Known<'_>]) -> (f64, f64) {
        self.node(&condition.root, true, known)
    }

    /// Bounds of the share of draws for which `node` is `wanted` (true or false; missing is neither).
    fn node(&self, node: &Node, wanted: bool, known: &[Known<'_>]) -> (f64, f64) {
        let (low, high) = match node {
            Node::Not(inner) => return self.node(inner, !wanted, known),
            Node::Logic { is_and, left, right } => {
                let (a, b) = (self.node(left, wanted, known), self.node(right, wanted, known));
                if *is_and == wanted { both(a, b) } else { either(a, b) }
            }
            _ => (0.0, 1.0),
        };
        let boxes = self.boxes(node, wanted, known);
        (low.max(boxes.0), high.min(boxes.1))
    }

    fn boxes(&self, node: &Node, wanted: bool, known: &[Known<'_>]) -> (f64, f64) {
        let (mut names, mut n_nodes) = (Vec::new(), 0);
        node.visit(&mut |node| {
            n_nodes += 1;
            match node {
                Node::Name(name) if matches!(known[*name], Known::Draws(_)) => names.push(*name),
                _ => {}
            }
        });
        if n_nodes > MAX_NODES && matches!(node, Node::Logic { .. }) {
            return (0.0, 1.0);
        }
        names.sort_unstable();
        names.dedup();
        let mut found = Found { low: 0.0, high: 1.0 };
        match names.as_slice() {
            [] => found.look(node, wanted, known, &[], 1.0),
            [name] => {
                for side in &self.sides {
                    found.look(node, wanted, known, &[(*name, *side)], side.share);
                }
            }
            [one, other] => {
                for a in &self.sides {
                    for b in &self.sides {
                        let share = a.share + b.share - 1.0;
                        // sides are sorted, so the rest is narrower still
                        if share <= 0.0 {
                            break;
                        }
                        found.look(node, wanted, known, &[(*one, *a), (*other, *b)], share);
                    }
                }
            }
            several => {
                for side in &self.sides {
                    let share = 1.0 - several.len() as f64 * (1.0 - side.share);
                    if share <= 0.0 {
                        break;
                    }
                    let sides: Vec<(usize, Side)> = several.iter().map(|&name| (name, *side)).collect();
                    found.look(node, wanted, known, &sides, share);
                }
            }
        }
        (found.low, found.high)
    }
}

struct Found {
    low: f64,
    high: f64,
}

impl Found {
    /// Whether a box of this share could improve a bound without contradicting the other.
    fn could_help(&self, share: f64) -> bool {
        share > self.low && share <= self.high || share > 1.0 - self.high && share <= 1.0 - self.low
    }

    fn look(&mut self, node: &Node, wanted: bool, known: &[Known<'_>], sides: &[(usize, Side)], share: f64) {
        if !self.could_help(share) {
            return;
        }
        let lookup = |name: usize| match known[name] {
            Known::Fixed(range) => range,
            Known::Draws(marginal) => {
                let side = sides.iter().find(|(of, _)| *of == name).map(|(_, side)| side);
                let (from, to) = side.map_or((None, None), |side| (side.from, side.to));
                Range::Within {
                    low: from.map_or(f64::NEG_INFINITY, |i| marginal.quantiles[i] - marginal.margin),
                    high: to.map_or(f64::INFINITY, |i| marginal.quantiles[i] + marginal.margin),
                    missing: false,
                }
            }
        };
        let (always, never) = match range(node, known.len(), &lookup) {
            Range::Is(Value::Bool(value)) => (value == wanted, value != wanted),
            Range::Is(Value::Null) => (false, true),
            Range::Truth { yes, no, missing } => {
                let (wanted, other) = if wanted { (yes, no) } else { (no, yes) };
                (wanted && !other && !missing, !wanted)
            }
            _ => (false, false),
        };
        if always {
            self.low = self.low.max(share);
        }
        if never {
            self.high = self.high.min(1.0 - share);
        }
    }
}

/// Both of two events.
fn both(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    ((a.0 + b.0 - 1.0).max(0.0), a.1.min(b.1))
}

/// At least one of two events.
fn either(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0.max(b.0), (a.1 + b.1).min(1.0))
}
