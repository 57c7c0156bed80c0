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
