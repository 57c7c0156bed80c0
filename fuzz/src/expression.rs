//! Conditions on columns, as column maps and `--where` hold them, and questions to posteriors: whatever can be
//! parsed means the same value by value, over columns, within ranges and by the bounds of a summary.

use sedflow::draws::Column;
use sedflow::expr::{
    AggregateKind, Expr, ExprError, Input, Known, MarginalBounds, ProbabilityBounds, Range, Value, Want,
};

const N: usize = 40;
const LEVELS: [f64; 5] = [0.025, 0.16, 0.5, 0.84, 0.975];

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Expr::parse(&text) {
        Ok(expr) => {
            for value in [Value::Null, Value::Number(-1.5), Value::Text("x"), Value::Bool(true)] {
                let _ = expr.eval(&|_| value);
            }
            over_columns(&expr);
        }
        Err(error) => points_at_a_character(&error, &text),
    }
    match Expr::parse_with_aggregates(&text) {
        Ok(expr) => question(&expr),
        Err(error) => points_at_a_character(&error, &text),
    }
}

fn points_at_a_character(error: &ExprError, text: &str) {
    assert!(error.at <= text.chars().count());
    assert!(!error.to_string().is_empty());
}

fn question(expr: &Expr) {
    let _ = expr.require_condition();
    for part in expr.conjuncts() {
        let _ = part.range(&|i| Range::Within { low: -1.0, high: i as f64, missing: i % 2 == 0 });
        if let Ok(bound) = part.to_sql(&|name| Some(format!("\"{}\"", name.name.replace('"', "\"\"")))) {
            // every value is bound, none is written into the statement
            assert!(bound.values.len() <= bound.sql.matches('?').count());
        }
    }
    for aggregate in expr.aggregates() {
        assert!(!aggregate.written.is_empty());
        let wanted = if aggregate.kind == AggregateKind::Probability { 1..=1 } else { 1..=2 };
        assert!(wanted.contains(&aggregate.arguments.len()));
        aggregate.arguments.iter().for_each(over_columns);
    }
}

/// Draws of the name of this index, some of them special; none missing where the name's number is odd.
fn column(name: usize) -> Vec<f32> {
    let special = [0.0, -0.0, 1.0, -1.0, 1e30, f32::NAN, f32::INFINITY];
    let plain = |i: usize| ((i * 7919 + name * 104_729) % 1009) as f32 / 100.0 - 5.0;
    (0..N).map(|i| if name.is_multiple_of(2) && i < special.len() { special[i] } else { plain(i) }).collect()
}

fn over_columns(expr: &Expr) {
    let columns: Vec<Vec<f32>> = (0..expr.names().len()).map(column).collect();
    let Ok(program) = expr.compile(Want::Number) else { return };
    let inputs: Vec<Input<'_>> = columns.iter().map(|column| Input::Column(column)).collect();
    let mut values = Vec::new();
    program.values(&inputs, N, &mut values);
    for (draw, value) in values.iter().enumerate() {
        let lookup = |name: usize| Value::Number(f64::from(columns[name][draw]));
        let expected = match expr.eval(&lookup) {
            Ok(Value::Bool(value)) => f64::from(u8::from(value)),
            Ok(Value::Number(value)) => value,
            Ok(Value::Null) => f64::NAN,
            // a name where a condition must stand, which columns are refused for
            other => panic!("{other:?}"),
        };
        assert!(*value == expected || value.is_nan() && expected.is_nan(), "{value} {expected}");
        let point = |name: usize| {
            let value = f64::from(columns[name][draw]);
            if value.is_nan() {
                Range::Is(Value::Null)
            } else {
                Range::Within { low: value, high: value, missing: false }
            }
        };
        match expr.range(&point) {
            Range::Within { low, high, missing } => {
                assert!(if expected.is_nan() { missing } else { low <= expected && expected <= high });
            }
            Range::Truth { yes, no, missing } => {
                assert!(if expected.is_nan() {
                    missing
                } else {
                    yes && expected == 1.0 || no && expected == 0.0
                });
            }
            _ => {}
        }
    }
    let Ok(condition) = expr.compile(Want::Condition) else { return };
    let p = condition.probability(&inputs, N, None);
    let known: Vec<Known<'_>> = columns
        .iter()
        .map(|values| {
            if values.iter().all(|value| value.is_finite()) {
                let mut sorted = Column::of(values, None);
                let quantiles = LEVELS.map(|p| sorted.quantile(p));
                Known::Draws(MarginalBounds { quantiles, margin: 0.0, moved: None })
            } else {
                Known::Fixed(Range::ANY_NUMBER)
            }
        })
        .collect();
    let (low, high) = ProbabilityBounds::new(N as u64, &LEVELS, 0.0).of(expr, &known);
    assert!(low <= p && p <= high, "{p} not in {low}..{high}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "log_mstar > 10.5 and log_sfr_1gyr - log_mstar < -11",
        "not bit(FLAGS[2], 18) or \"odd name\" is not null",
        "abs(-a ** 2) / sqrt(b + 1e-3) >= min(1, 0x10) and class = 'GALAXY'",
        "P(log_mstar > 11) > 0.9 and redshift < 0.05 and survey in ('nsa', 'sdss')",
        "quantile(a - b, 0.16) between -1 and 2 or corr(a, b) > 0.5 and not hdi_low(c, 0.68) = 1",
        "a between b and 3 or a not in (1, b, null) and max(exp(a), ln(b)) * -c ** 0.5 <> floor(log10(a / b))",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
