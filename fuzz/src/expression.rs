//! Conditions on columns, as column maps and `--where` hold them.

use sedflow::expr::{Expr, Value};

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Expr::parse(&text) {
        Ok(expr) => {
            for value in [Value::Null, Value::Number(-1.5), Value::Text("x"), Value::Bool(true)] {
                let _ = expr.eval(&|_| value);
            }
        }
        Err(error) => {
            assert!(error.at <= text.chars().count());
            assert!(!error.to_string().is_empty());
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "log_mstar > 10.5 and log_sfr_1gyr - log_mstar < -11",
        "not bit(FLAGS[2], 18) or \"odd name\" is not null",
        "abs(-a ** 2) / sqrt(b + 1e-3) >= min(1, 0x10) and class = 'GALAXY'",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
