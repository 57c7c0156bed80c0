use super::*;

fn value(text: &str) -> Value<'static> {
    let expr = Box::leak(Box::new(Expr::parse(text).unwrap()));
    expr.eval(&|index| match expr.names()[index].to_string().as_str() {
        "x" => Value::Number(2.0),
        "FLUX[3]" => Value::Number(-7.0),
        "name" => Value::Text("NGC 1;'--"),
        "nan" => Value::Number(f64::NAN),
        _ => Value::Null,
    })
    .unwrap()
}

#[test]
fn operators_bind_as_in_sql_and_arithmetic() {
    for (text, expected) in [
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("-x ** 2", -4.0),
        ("2 ** -1", 0.5),
        ("(1 + 2) * 3", 9.0),
        ("10 - 3 - 2", 5.0),
        ("log10(1000) + ln(exp(1)) + sqrt(16) + abs(-1)", 9.0),
        ("min(x, 1) + max(x, 5) + floor(2.9)", 8.0),
        ("FLUX[3] + 0x10", 9.0),
        ("1.5e-3*1e+3", 1.5),
        (".5", 0.5),
    ] {
        assert_eq!(value(text), Value::Number(expected), "{text}");
    }
    for (text, expected) in [
        ("1 < 2 and not 2 < 1 or false", true),
        ("true or true and false", true),
        ("not true or true", true),
        ("x >= 2 AND x <= 2 && x = 2 && x == 2", true),
        ("x <> 2 || x != 2", false),
        ("!(x > 3)", true),
        ("name = 'NGC 1;''--'", true),
        ("bit(5, 2) and not bit(5, 1)", true),
        ("bit(-1, 31)", true),
    ] {
        assert_eq!(value(text), Value::Bool(expected), "{text}");
    }
}

#[test]
fn what_is_missing_stays_missing() {
    for text in [
        "nosuch + 1",
        "nosuch = nosuch",
        "nan > 0",
        "sqrt(-1)",
        "not nosuch",
        "true and nosuch",
        "log10(nan)",
    ] {
        assert_eq!(value(text), Value::Null, "{text}");
    }
    assert_eq!(value("false and nosuch"), Value::Bool(false));
    assert_eq!(value("nosuch or true"), Value::Bool(true));
    assert_eq!(value("nosuch is null and x is not null"), Value::Bool(true));
}

#[test]
fn errors_point_at_the_character() {
    for (text, at, word) in [
        ("", 0, "missing"),
        ("x >", 3, "found the end"),
        ("x > 1 y", 6, "operator"),
        ("1 < x < 3", 6, "do not chain"),
        ("(x > 1", 6, "expected `)`"),
        ("nosuch(x)", 0, "no function"),
        ("sqrt(x, 1)", 0, "takes 1"),
        ("name = 'abc", 7, "does not close"),
        ("x > 'a' + 1", 4, "needs a number"),
        ("x and 3", 6, "needs a condition"),
        ("3 = 'a'", 0, "needs a text"),
        ("x + 1e", 4, "not a number"),
        ("é > § 3", 4, "found `§`"),
        ("FLUX[a]", 5, "element"),
        ("x; DROP TABLE galaxy", 1, "operator"),
        ("x is 3", 5, "null"),
    ] {
        let error = Expr::parse(text).unwrap_err();
        assert_eq!((error.at, error.what.contains(word)), (at, true), "{text}: {error}");
    }
    let error = Expr::parse("x > \u{1b}[31m").unwrap_err().to_string();
    assert!(!error.contains('\u{1b}') && error.ends_with("\n        ^"), "{error}");
}

#[test]
fn depth_and_length_are_bounded() {
    assert!(Expr::parse(&"(".repeat(3000)).unwrap_err().what.contains("deeply"));
    assert!(Expr::parse(&"-".repeat(3000)).unwrap_err().what.contains("deeply"));
    assert!(Expr::parse(&format!("x{}", "+x".repeat(3000))).unwrap_err().what.contains("longer"));
    assert_eq!(value(&format!("1{}", "+1".repeat(1900))), Value::Number(1901.0));
}

#[test]
fn values_that_do_not_go_together_are_errors_when_seen() {
    let expr = Expr::parse("class > 3").unwrap();
    let error = expr.eval(&|_| Value::Text("GALAXY")).unwrap_err();
    assert_eq!(error.to_string(), "`>` needs a text beside a text, not a number");
}

#[test]
fn names_are_listed_once_with_their_element() {
    let expr = Expr::parse("a + a + \"b c\"[2] + a[0]").unwrap();
    let names: Vec<_> = expr.names().iter().map(Name::to_string).collect();
    assert_eq!(names, ["a", "b c[2]", "a[0]"]);
}

#[test]
fn between_and_in_are_what_they_stand_for() {
    for (text, expected) in [
        ("x between 2 and 3", Value::Bool(true)),
        ("x between 1 and 1.9 or x not between 3 and 4", Value::Bool(true)),
        ("x not in (1, 3) and x in (5, 2)", Value::Bool(true)),
        ("name in ('a', 'NGC 1;''--')", Value::Bool(true)),
        ("x in (1, null)", Value::Null),
        ("x in (2, null)", Value::Bool(true)),
        ("nosuch between 1 and 2", Value::Null),
        ("x between 3 and nosuch", Value::Bool(false)),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    for (text, at, word) in [
        ("x between 1", 11, "`and`"),
        ("x in 3", 5, "list"),
        ("x in ()", 6, "found `)`"),
        ("x not > 3", 6, "`between` or `in`"),
        ("3 between 1 and 'a'", 0, "needs a text"),
        ("x in (1, 'a') and (x", 20, "`)`"),
    ] {
        let error = Expr::parse(text).unwrap_err();
        assert_eq!((error.at, error.what.contains(word)), (at, true), "{text}: {error}");
    }
}

#[test]
fn aggregates_are_known_by_what_they_take_and_only_where_they_may_be() {
    let text =
        "P(a > 11 and b < z) > 0.9 and z < 0.05 and (quantile(a - b, 0.16) > 1 or P(a > 11 and b < z) > 0.5)";
    let expr = Expr::parse_with_aggregates(text).unwrap();
    let names = |expr: &Expr| expr.names().iter().map(Name::to_string).collect::<Vec<_>>();
    assert_eq!(names(&expr), ["z"]);
    let [first, second] = expr.aggregates() else { panic!("{:?}", expr.aggregates()) };
    assert_eq!((first.kind, first.written.as_str()), (AggregateKind::Probability, "P(a > 11 and b < z)"));
    assert_eq!(second.kind, AggregateKind::Quantile(0.16));
    assert_eq!(names(&first.arguments[0]), ["a", "b", "z"]);
    let parts = expr.conjuncts();
    assert_eq!(parts.iter().map(Expr::uses).collect::<Vec<_>>(), [vec![1], vec![0], vec![1, 2]]);
    let holds = |p: f64, z: f64, q: f64| expr.holds(&|i| Value::Number([z, p, q][i])).unwrap();
    assert_eq!(holds(0.95, 0.04, 0.0), Some(true));
    assert_eq!(holds(0.85, 0.04, 2.0), Some(false));
    assert_eq!(holds(f64::NAN, 0.04, 2.0), None);

    assert!(Expr::parse("P(a > 1) > 0.5").unwrap_err().what.contains("no function `P`"));
    for (text, at, word) in [
        ("P(a) > 0.5 and P(a + 1) > 0", 17, "needs a condition"),
        ("P(a > P(b > 1)) > 0.5", 6, "inside another"),
        ("quantile(a) > 1", 10, "takes 2"),
        ("quantile(a, 2) > 1", 12, "from 0 to 1"),
        ("quantile(a, q) > 1", 12, "from 0 to 1"),
        ("mean(a, b) > 1", 6, "expected `)`"),
        ("P(a > 1", 7, "expected `)`"),
        ("P(a > ) > 1", 6, "found `)`"),
        ("corr(a) > 1", 6, "takes 2"),
        ("mean(a) and b", 0, "needs a condition"),
        ("prop(a > 1)", 0, "no function `prop`"),
    ] {
        let error = Expr::parse_with_aggregates(text).unwrap_err();
        assert_eq!((error.at, error.what.contains(word)), (at, true), "{text}: {error}");
    }
}

/// Texts of expressions over `a`, `b` and `c`, numbers or conditions, of all that columns can do.
struct Random(rand_chacha::ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(crate::rng::Streams::new(seed, "expr test").at(0))
    }

    fn below(&mut self, n: usize) -> usize {
        use rand::RngExt;
        self.0.random_range(0..n)
    }

    fn uniform(&mut self) -> f64 {
        use rand::RngExt;
        self.0.random()
    }

    fn number(&mut self, depth: usize) -> String {
        let choice = if depth == 0 { self.below(4) } else { self.below(14) };
        let deeper = depth.saturating_sub(1);
        match choice {
            0..=2 => ["a", "b", "c"][choice].to_owned(),
            3 => ["0", "1", "-0.5", "2.5", "10"][self.below(5)].to_owned(),
            4..=8 => {
                let sign = ["+", "-", "*", "/", "**"][choice - 4];
                format!("({} {sign} {})", self.number(deeper), self.number(deeper))
            }
            9 => format!("(- {})", self.number(deeper)),
            10 => {
                let function = ["abs", "sqrt", "exp", "ln", "log10", "floor"][self.below(6)];
                format!("{function}({})", self.number(deeper))
            }
            11 => format!("min({}, {})", self.number(deeper), self.number(deeper)),
            12 => format!("max({}, {})", self.number(deeper), self.number(deeper)),
            _ => format!("({} + 1)", self.condition(deeper)),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let deeper = depth.saturating_sub(1);
        match if depth == 0 { 0 } else { self.below(8) } {
            0..=2 => {
                let sign = ["=", "!=", "<", "<=", ">", ">="][self.below(6)];
                format!("({} {sign} {})", self.number(deeper), self.number(deeper))
            }
            3 => format!("({} and {})", self.condition(deeper), self.condition(deeper)),
            4 => format!("({} or {})", self.condition(deeper), self.condition(deeper)),
            5 => format!("(not {})", self.condition(deeper)),
            6 => {
                let (value, low, high) = (self.number(deeper), self.number(deeper), self.number(deeper));
                match self.below(3) {
                    0 => format!("({value} between {low} and {high})"),
                    1 => format!("({value} in ({low}, {high}, 1))"),
                    _ => format!("({value} not in (null, {high}))"),
                }
            }
            _ => format!("({} is null)", self.number(deeper)),
        }
    }
}

fn name_index(name: &Name) -> usize {
    ["a", "b", "c"].iter().position(|known| *known == name.name).unwrap()
}

#[test]
fn columns_give_every_draw_what_single_values_give() {
    let mut random = Random::new(1);
    let n = 600;
    let special = [f32::NAN, 0.0, -0.0, 1.0, f32::INFINITY];
    let mut column = |shift: f64| -> Vec<f32> {
        (0..n)
            .map(|i| if i % 17 < 5 { special[i % 17] } else { (4.0 * random.uniform() - 2.0 + shift) as f32 })
            .collect()
    };
    let columns = [column(0.0), column(1.0), column(10.0)];
    for round in 0..400 {
        let is_condition = round % 2 == 0;
        let text = if is_condition { random.condition(3) } else { random.number(3) };
        let expr = Expr::parse(&text).unwrap();
        let program = expr.compile(if is_condition { Want::Condition } else { Want::Number }).unwrap();
        let inputs: Vec<Input<'_>> =
            expr.names().iter().map(|name| Input::Column(&columns[name_index(name)])).collect();
        let mut found = Vec::new();
        program.values(&inputs, n, &mut found);
        let mut n_true = 0;
        for (draw, &found) in found.iter().enumerate() {
            let lookup = |i: usize| Value::Number(f64::from(columns[name_index(&expr.names()[i])][draw]));
            let expected = match expr.eval(&lookup).unwrap() {
                Value::Bool(value) => f64::from(u8::from(value)),
                Value::Number(value) => value,
                _ => f64::NAN,
            };
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{text}: {found} {expected}");
            n_true += u64::from(expected == 1.0);
        }
        assert_eq!(program.probability(&inputs, n, None), n_true as f64 / n as f64, "{text}");
        let ones = vec![1.0; n];
        assert_eq!(program.probability(&inputs, n, Some(&ones)), n_true as f64 / n as f64, "{text}");
    }
}

#[test]
fn only_numbers_and_conditions_are_made_ready_for_columns() {
    for (text, want, at, word) in [
        ("a > 'x'", Want::Condition, 4, "a text"),
        ("a", Want::Condition, 0, "condition"),
        ("b and a > 1", Want::Condition, 0, "`b` is a number"),
        ("a > 1 and not b", Want::Condition, 14, "`b` is a number"),
        ("a + 1", Want::Condition, 0, "condition"),
        ("a > 1 and b[2] > 1", Want::Condition, 10, "elements"),
    ] {
        let error = Expr::parse(text).unwrap().compile(want).unwrap_err();
        assert_eq!((error.at, error.what.contains(word)), (at, true), "{text}: {error}");
    }
    assert!(Expr::parse("a > 1").unwrap().compile(Want::Number).is_ok());
    let weighted = Expr::parse("a > 1").unwrap().compile(Want::Condition).unwrap();
    let p = weighted.probability(&[Input::Column(&[0.0, 2.0, 3.0])], 3, Some(&[1.0, 0.5, 2.5]));
    assert_eq!(p, 0.75);
}

#[test]
fn a_range_holds_whatever_the_values_within_it_give() {
    let mut random = Random::new(2);
    for round in 0..2000 {
        let text = if round % 2 == 0 { random.condition(2) } else { random.number(2) };
        let expr = Expr::parse(&text).unwrap();
        let mut ends = Vec::new();
        for _ in 0..3 {
            let low = [-2.0, 0.0, 0.5, 1.0, 10.0][random.below(5)];
            ends.push((low, low + [0.0, 0.5, 3.0][random.below(3)]));
        }
        let range = expr.range(&|i| {
            let (low, high) = ends[name_index(&expr.names()[i])];
            Range::Within { low, high, missing: false }
        });
        for _ in 0..20 {
            let values: Vec<f64> =
                ends.iter().map(|(low, high)| low + random.uniform() * (high - low)).collect();
            let value = expr.eval(&|i| Value::Number(values[name_index(&expr.names()[i])])).unwrap();
            let inside = match (range, value) {
                (Range::Open, _) => true,
                (Range::Is(expected), value) => expected == value,
                (Range::Within { missing, .. } | Range::Truth { missing, .. }, Value::Null) => missing,
                (Range::Within { low, high, .. }, Value::Number(value)) => low <= value && value <= high,
                (Range::Truth { yes, no, .. }, Value::Bool(value)) => {
                    if value {
                        yes
                    } else {
                        no
                    }
                }
                _ => false,
            };
            assert!(inside, "{text} with {values:?} in {ends:?}: {value:?} not in {range:?}");
        }
    }
}

const LEVELS: [f64; 5] = [0.025, 0.16, 0.5, 0.84, 0.975];

fn quantiles(values: &[f32]) -> [f64; 5] {
    let mut column = crate::draws::Column::of(values, None);
    LEVELS.map(|p| column.quantile(p))
}

#[test]
fn bounds_from_quantiles_hold_for_the_draws_and_for_draws_that_moved() {
    let mut random = Random::new(3);
    let n = 500;
    let mut decided = [0; 2];
    for round in 0..300 {
        // three columns of different shapes, the second following the first
        let mut columns = [vec![], vec![], vec![]];
        for _ in 0..n {
            let (u, v) = (random.uniform(), random.uniform());
            columns[0].push((4.0 * u - 2.0) as f32);
            columns[1].push((u.powi(3) + 0.2 * v) as f32);
            columns[2].push(if v < 0.3 { 1.0 } else { (10.0 + v) as f32 });
        }
        let known = columns.iter().map(|values| quantiles(values)).collect::<Vec<_>>();
        // in some rounds the stored draws are others, at a stated distance
        let moved = round % 3 == 0;
        if moved {
            for column in &mut columns {
                for value in &mut column[..10] {
                    *value += 100.0;
                }
            }
        }
        let bounds = ProbabilityBounds::new(n as u64, &LEVELS, if moved { 10.0 / n as f64 } else { 0.0 });
        let text = random.condition(2);
        let expr = Expr::parse(&text).unwrap();
        let marginal =
            |name: &Name| MarginalBounds { quantiles: known[name_index(name)], margin: 0.0, moved: None };
        let of_names: Vec<Known<'_>> = expr.names().iter().map(|name| Known::Draws(marginal(name))).collect();
        let (low, high) = bounds.of(&expr, &of_names);
        let inputs: Vec<Input<'_>> =
            expr.names().iter().map(|name| Input::Column(&columns[name_index(name)])).collect();
        let p = expr.compile(Want::Condition).unwrap().probability(&inputs, n, None);
        assert!(low <= p && p <= high, "{text}: {p} not in {low}..{high}");
        decided[0] += usize::from(low > 0.5 || high < 0.5);
        for p in [0.01, 0.16, 0.3, 0.5, 0.9] {
            let known = MarginalBounds {
                moved: (!moved).then_some(0.0),
                ..marginal(&Name { name: "a".into(), element: None, at: 0 })
            };
            let Range::Within { low, high, .. } = bounds.quantile(&known, p) else { panic!() };
            let exact = crate::draws::Column::of(&columns[0], None).quantile(p);
            assert!(low <= exact && exact <= high, "{p}: {exact} not in {low}..{high}");
            decided[1] += usize::from(low.is_finite() && high.is_finite());
        }
    }
    assert!(decided[0] > 120 && decided[1] > 600, "{decided:?}");
}

#[test]
fn bounds_decide_what_is_far_and_leave_open_what_is_near() {
    let bounds = ProbabilityBounds::new(10_000, &LEVELS, 0.003);
    let known =
        Known::Draws(MarginalBounds { quantiles: [10.6, 10.8, 11.0, 11.2, 11.4], margin: 0.0, moved: None });
    let of = |text: &str| {
        let expr = Expr::parse(text).unwrap();
        bounds.of(&expr, &vec![known; expr.names().len()])
    };
    let near = |(low, high): (f64, f64), expected: (f64, f64)| {
        (low - expected.0).abs() < 0.01 && (high - expected.1).abs() < 0.01
    };
    assert!(near(of("m > 10.5"), (0.975, 1.0)), "{:?}", of("m > 10.5"));
    assert!(near(of("m > 11.5"), (0.0, 0.025)));
    assert!(near(of("not m > 11.5"), (0.975, 1.0)));
    assert!(near(of("m > 11.1"), (0.16, 0.5)));
    assert!(near(of("10.5 < m and m < 11.5"), (0.95, 1.0)));
    assert!(near(of("m between 12 and 13"), (0.0, 0.025)));
    // ten to the power, and the sum of two that are hardly ever both high
    assert!(near(of("10 ** m > 3e10"), (0.975, 1.0)), "{:?}", of("10 ** m > 3e10"));
    assert!(near(of("m + s > 23"), (0.0, 0.05)), "{:?}", of("m + s > 23"));
    assert!(near(of("sqrt(m) is null"), (0.0, 0.025)));
}
