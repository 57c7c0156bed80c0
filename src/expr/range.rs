//! What an expression can come to when its values are known within limits only (interval arithmetic).
//!
//! Rounding is monotonic for the four operations, so a result computed from the ends of its operands
//! holds every result computed from values between them; functions whose rounding is not promised are
//! given a few units in the last place more.

use super::{Arithmetic, Comparison, Expr, Function, Node, Value};

/// All that a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range<'a> {
    /// This and nothing else.
    Is(Value<'a>),
    /// A number from `low` to `high`, or nothing if it may be missing.
    Within { low: f64, high: f64, missing: bool },
    /// A truth value: which ones are possible.
    Truth { yes: bool, no: bool, missing: bool },
    /// Anything.
    Open,
}

impl Range<'_> {
    /// A number of which nothing is known.
    pub const ANY_NUMBER: Range<'static> =
        Range::Within { low: f64::NEG_INFINITY, high: f64::INFINITY, missing: true };

    /// Whether a condition is true; `None` where the limits leave it open.
    pub fn decided(&self) -> Option<bool> {
        match self.truth() {
            (true, false, false) => Some(true),
            (false, ..) => Some(false),
            _ => None,
        }
    }

    /// Which of true, false and missing it may be.
    fn truth(&self) -> (bool, bool, bool) {
        match *self {
            Range::Is(Value::Bool(value)) => (value, !value, false),
            Range::Is(Value::Null) => (false, false, true),
            Range::Truth { yes, no, missing } => (yes, no, missing),
            _ => (true, true, true),
        }
    }

    /// The ends of a number, and whether it may be missing.
    fn ends(&self) -> (f64, f64, bool) {
        match *self {
            Range::Is(Value::Number(value)) if !value.is_nan() => (value, value, false),
            Range::Is(Value::Bool(value)) => {
                let value = f64::from(u8::from(value));
                (value, value, false)
            }
            Range::Within { low, high, missing } => (low, high, missing),
            Range::Truth { .. } => (0.0, 1.0, true),
            _ => (f64::NEG_INFINITY, f64::INFINITY, true),
        }
    }
}

impl Expr {
    /// What the expression can come to, where `lookup` gives what each name and aggregate can be.
    pub fn range<'a>(&'a self, lookup: &dyn Fn(usize) -> Range<'a>) -> Range<'a> {
        range(&self.root, self.names.len(), lookup)
    }
}

pub(super) fn range<'a>(node: &'a Node, n_names: usize, lookup: &dyn Fn(usize) -> Range<'a>) -> Range<'a> {
    let of = |node| range(node, n_names, lookup);
    match node {
        Node::Number(number) => Range::Is(Value::Number(*number)),
        Node::Text { text, .. } => Range::Is(Value::Text(text)),
        Node::Bool(value) => Range::Is(Value::Bool(*value)),
        Node::Null => Range::Is(Value::Null),
        Node::Name(index) => present(lookup(*index)),
        Node::Aggregate(index) => present(lookup(n_names + index)),
        Node::Not(inner) => {
            let (yes, no, missing) = of(inner).truth();
            Range::Truth { yes: no, no: yes, missing }
        }
        Node::IsNull(inner) => match of(inner) {
            Range::Is(value) => Range::Is(Value::Bool(value == Value::Null)),
            Range::Within { missing: false, .. } | Range::Truth { missing: false, .. } => {
                Range::Is(Value::Bool(false))
            }
            _ => Range::Truth { yes: true, no: true, missing: false },
        },
        Node::Logic { is_and: true, left, right } => and(of(left), of(right)),
        Node::Logic { is_and: false, left, right } => or(of(left), of(right)),
        Node::Compare { how, left, right } => compare(*how, of(left), of(right)),
        Node::Between { value, ends } => {
            let value = of(value);
            let above = compare(Comparison::GreaterOrEqual, value, of(&ends[0]));
            and(above, compare(Comparison::LessOrEqual, value, of(&ends[1])))
        }
        Node::Among { value, list } => {
            let value = of(value);
            let none = Range::Is(Value::Bool(false));
            list.iter().fold(none, |found, member| or(found, compare(Comparison::Equal, value, of(member))))
        }
        Node::Negate(inner) => match of(inner) {
            NOTHING => NOTHING,
            inner => {
                let (low, high, missing) = inner.ends();
                Range::Within { low: -high, high: -low, missing }
            }
        },
        Node::Arithmetic { how, left, right } => match (of(left), of(right)) {
            (NOTHING, _) | (_, NOTHING) => NOTHING,
            (left, right) => arithmetic(*how, left.ends(), right.ends()),
        },
        Node::Call { function, arguments } => {
            let mut ends = [(0.0, 0.0, false); 2];
            for (ends, argument) in ends.iter_mut().zip(arguments) {
                match of(argument) {
                    NOTHING => return NOTHING,
                    argument => *ends = argument.ends(),
                }
            }
            call(*function, ends)
        }
    }
}

const NOTHING: Range<'static> = Range::Is(Value::Null);

fn present(range: Range<'_>) -> Range<'_> {
    match range {
        Range::Is(value) => Range::Is(super::present(value)),
        other => other,
    }
}

fn and<'a>(left: Range<'_>, right: Range<'_>) -> Range<'a> {
    let (a, b) = (left.truth(), right.truth());
    // missing only if neither is false: (true or missing) with missing
    let missing = a.2 && (b.0 || b.2) || b.2 && (a.0 || a.2);
    Range::Truth { yes: a.0 && b.0, no: a.1 || b.1, missing }
}

fn or<'a>(left: Range<'_>, right: Range<'_>) -> Range<'a> {
    let (a, b) = (left.truth(), right.truth());
    let missing = a.2 && (b.1 || b.2) || b.2 && (a.1 || a.2);
    Range::Truth { yes: a.0 || b.0, no: a.1 && b.1, missing }
}

fn compare<'a>(how: Comparison, left: Range<'_>, right: Range<'_>) -> Range<'a> {
    let text = |range: Range<'_>| matches!(range, Range::Is(Value::Text(_)) | Range::Open);
    if let (Range::Is(left), Range::Is(right)) = (left, right) {
        return match super::compare(how, left, right) {
            Ok(value) => Range::Is(super::from_truth(value)),
            // which the evaluation of values then reports
            Err(_) => Range::Open,
        };
    }
    if left == NOTHING || right == NOTHING {
        return NOTHING;
    }
    if text(left) || text(right) {
        return Range::Open;
    }
    let ((a_low, a_high, a_missing), (b_low, b_high, b_missing)) = (left.ends(), right.ends());
    let (less, more) = (a_low < b_high, a_high > b_low);
    let equal = a_low <= b_high && a_high >= b_low;
    let same = a_low == a_high && b_low == b_high && a_low == b_low;
    let (yes, no) = match how {
        Comparison::Less => (less, a_high >= b_low),
        Comparison::LessOrEqual => (a_low <= b_high, more),
        Comparison::Greater => (more, a_low <= b_high),
        Comparison::GreaterOrEqual => (a_high >= b_low, less),
        Comparison::Equal => (equal, !same),
        Comparison::NotEqual => (!same, equal),
    };
    Range::Truth { yes, no, missing: a_missing || b_missing }
}

type Ends = (f64, f64, bool);

fn arithmetic<'a>(how: Arithmetic, a: Ends, b: Ends) -> Range<'a> {
    // what is not bounded may be infinite, and infinities may cancel
    const ENDLESS: f64 = f64::INFINITY;
    let (a_down, a_up, b_down, b_up) = (a.0 == -ENDLESS, a.1 == ENDLESS, b.0 == -ENDLESS, b.1 == ENDLESS);
    let has_zero = |ends: Ends| ends.0 <= 0.0 && ends.1 >= 0.0;
    let cancels = match how {
        Arithmetic::Add => a_down && b_up || a_up && b_down,
        Arithmetic::Subtract => a_down && b_down || a_up && b_up,
        Arithmetic::Multiply => (a_down || a_up) && has_zero(b) || (b_down || b_up) && has_zero(a),
        _ => false,
    };
    let missing = a.2 || b.2 || cancels;
    match how {
        Arithmetic::Add => within([a.0 + b.0, a.1 + b.1], missing),
        Arithmetic::Subtract => within([a.0 - b.1, a.1 - b.0], missing),
        Arithmetic::Multiply => within([a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1], missing),
        Arithmetic::Divide if b.0 > 0.0 || b.1 < 0.0 => {
            within([a.0 / b.0, a.0 / b.1, a.1 / b.0, a.1 / b.1], missing)
        }
        // exp(b ln a) has its extremes in the corners
        Arithmetic::Power if a.0 > 0.0 => {
            let corners = [a.0.powf(b.0), a.0.powf(b.1), a.1.powf(b.0), a.1.powf(b.1)];
            loosened(within(corners, missing))
        }
        _ => Range::ANY_NUMBER,
    }
}

fn call<'a>(function: Function, [a, b]: [Ends; 2]) -> Range<'a> {
    let (low, high, missing) = a;
    match function {
        Function::Abs if low <= 0.0 && high >= 0.0 => within([0.0, -low, high], missing),
        Function::Abs => within([low.abs(), high.abs()], missing),
        Function::Floor => within([low.floor(), high.floor()], missing),
        Function::Exp => loosened(within([low.exp(), high.exp()], missing)),
        Function::Sqrt if low >= 0.0 => within([low.sqrt(), high.sqrt()], missing),
        Function::Ln if low >= 0.0 => loosened(within([low.ln(), high.ln()], missing)),
        Function::Log10 if low >= 0.0 => loosened(within([low.log10(), high.log10()], missing)),
        Function::Min => within([low.min(b.0), high.min(b.1)], missing || b.2),
        Function::Max => within([low.max(b.0), high.max(b.1)], missing || b.2),
        Function::Bit => Range::Truth { yes: true, no: true, missing: true },
        _ => Range::ANY_NUMBER,
    }
}

fn within<'a, const N: usize>(corners: [f64; N], missing: bool) -> Range<'a> {
    // infinities that cancel: nothing is known any more
    if corners.iter().any(|corner| corner.is_nan()) {
        return Range::ANY_NUMBER;
    }
    let (low, high) =
        corners.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &c| (a.min(c), b.max(c)));
    Range::Within { low, high, missing }
}

fn loosened(range: Range<'_>) -> Range<'_> {
    match range {
        Range::Within { low, high, missing } => {
            let slack = |end: f64| 4.0 * f64::EPSILON * end.abs() + f64::MIN_POSITIVE;
            let (low_slack, high_slack) = (slack(low), slack(high));
            Range::Within {
                low: if low.is_finite() { low - low_slack } else { low },
                high: if high.is_finite() { high + high_slack } else { high },
                missing,
            }
        }
        other => other,
    }
}
