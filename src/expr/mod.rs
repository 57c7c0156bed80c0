//! Expressions over named values (`log10(mass) > 10 and class = 'GALAXY'`), parsed, never executed as code.
//!
//! Numbers, texts and truth values; a missing value makes what depends on it missing, as in SQL
//! (`null and false` is false). Operators, loosest first: `or`, `and`, `not`, comparisons and `is null`,
//! `+ -`, `* /`, unary `-`, `**`. A name is `mass`, `FLUX[2]` (element of a vector) or `"any text"`.

use std::fmt;

use thiserror::Error;

mod parse;

/// Longest expression that is read; it bounds the depth of recursion.
pub const MAX_CHARS: usize = 4000;

/// A parsed expression over `names().len()` values.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    root: Node,
    names: Vec<Name>,
}

/// A name in an expression, with the element of a vector it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub name: String,
    pub element: Option<usize>,
    /// Where it stands first, in characters from 0.
    pub at: usize,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Some(element) => write!(f, "{}[{element}]", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
}

impl Value<'_> {
    fn kind(self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
        }
    }
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ExprError {
    pub text: String,
    /// In characters from 0.
    pub at: usize,
    pub what: String,
}

impl ExprError {
    pub fn new(text: &str, at: usize, what: impl Into<String>) -> Self {
        Self { text: text.to_owned(), at, what: what.into() }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One character per character, so that the caret stands under the right one.
        let line: String = self.text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        writeln!(f, "{} (character {})", self.what, self.at + 1)?;
        writeln!(f, "    {line}")?;
        write!(f, "    {:>width$}", '^', width = self.at + 1)
    }
}

/// Values that do not go together, found only when the values are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`{operation}` needs {expected}, not {found}")]
pub struct EvalError {
    pub operation: &'static str,
    pub expected: &'static str,
    pub found: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    Text(String),
    Bool(bool),
    Null,
    /// Index into the names.
    Name(usize),
    Not(Box<Node>),
    Negate(Box<Node>),
    IsNull(Box<Node>),
    Logic {
        is_and: bool,
        left: Box<Node>,
        right: Box<Node>,
    },
    Compare {
        how: Comparison,
        left: Box<Node>,
        right: Box<Node>,
    },
    Arithmetic {
        how: Arithmetic,
        left: Box<Node>,
        right: Box<Node>,
    },
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Abs,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Floor,
    Min,
    Max,
    /// `bit(flags, n)`: whether bit `n` is set.
    Bit,
}

impl Function {
    const ALL: [(&'static str, Function, usize); 9] = [
        ("abs", Function::Abs, 1),
        ("sqrt", Function::Sqrt, 1),
        ("exp", Function::Exp, 1),
        ("ln", Function::Ln, 1),
        ("log10", Function::Log10, 1),
        ("floor", Function::Floor, 1),
        ("min", Function::Min, 2),
        ("max", Function::Max, 2),
        ("bit", Function::Bit, 2),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, function, _)| *function == self).map_or("?", |(name, ..)| name)
    }
}

impl Expr {
    /// Errors point at the character that is wrong.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parse::parse(text)
    }

    /// The names it uses, each once; values are looked up by their index here.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The value of the expression, where `lookup` gives the value of each name by index.
    pub fn eval<'a>(&'a self, lookup: &dyn Fn(usize) -> Value<'a>) -> Result<Value<'a>, EvalError> {
        eval(&self.root, lookup)
    }

    /// Whether the expression is true; `None` where a missing value leaves it open.
    pub fn holds<'a>(&'a self, lookup: &dyn Fn(usize) -> Value<'a>) -> Result<Option<bool>, EvalError> {
        truth("condition", self.eval(lookup)?)
    }
}

fn eval<'a>(node: &'a Node, lookup: &dyn Fn(usize) -> Value<'a>) -> Result<Value<'a>, EvalError> {
    Ok(match node {
        Node::Number(number) => Value::Number(*number),
        Node::Text(text) => Value::Text(text),
        Node::Bool(value) => Value::Bool(*value),
        Node::Null => Value::Null,
        Node::Name(index) => match lookup(*index) {
            Value::Number(number) if number.is_nan() => Value::Null,
            value => value,
        },
        Node::Not(inner) => from_truth(truth("not", eval(inner, lookup)?)?.map(|value| !value)),
        Node::Negate(inner) => from_number(number("-", eval(inner, lookup)?)?.map(|value| -value)),
        Node::IsNull(inner) => Value::Bool(eval(inner, lookup)? == Value::Null),
        Node::Logic { is_and, left, right } => {
            let word = if *is_and { "and" } else { "or" };
            let left = truth(word, eval(left, lookup)?)?;
            if left == Some(!is_and) {
                return Ok(Value::Bool(!is_and));
            }
            let right = truth(word, eval(right, lookup)?)?;
            from_truth(match (left, right) {
                (_, Some(right)) if right != *is_and => Some(right),
                (Some(_), Some(right)) => Some(right),
                _ => None,
            })
        }
        Node::Compare { how, left, right } => {
            from_truth(compare(*how, eval(left, lookup)?, eval(right, lookup)?)?)
        }
        Node::Arithmetic { how, left, right } => {
            let word = how.symbol();
            let left = number(word, eval(left, lookup)?)?;
            let right = number(word, eval(right, lookup)?)?;
            from_number(left.zip(right).map(|(left, right)| how.apply(left, right)))
        }
        Node::Call { function, arguments } => {
            let mut values = [0.0; 2];
            for (value, argument) in values.iter_mut().zip(arguments) {
                match number(function.name(), eval(argument, lookup)?)? {
                    Some(number) => *value = number,
                    None => return Ok(Value::Null),
                }
            }
            function.apply(values)
        }
    })
}

fn truth(operation: &'static str, value: Value) -> Result<Option<bool>, EvalError> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(value)),
        other => Err(EvalError { operation, expected: "a truth value", found: other.kind() }),
    }
}

fn number(operation: &'static str, value: Value) -> Result<Option<f64>, EvalError> {
    match value {
        Value::Null => Ok(None),
        Value::Number(value) => Ok(Some(value)),
        Value::Bool(value) => Ok(Some(f64::from(u8::from(value)))),
        other => Err(EvalError { operation, expected: "a number", found: other.kind() }),
    }
}

fn from_truth<'a>(value: Option<bool>) -> Value<'a> {
    value.map_or(Value::Null, Value::Bool)
}

/// What is no number (`sqrt(-1)`, `0/0`) is missing.
fn from_number<'a>(value: Option<f64>) -> Value<'a> {
    value.filter(|value| !value.is_nan()).map_or(Value::Null, Value::Number)
}

fn compare(how: Comparison, left: Value, right: Value) -> Result<Option<bool>, EvalError> {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return Ok(None),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Text(_), other) | (other, Value::Text(_)) => {
            return Err(EvalError {
                operation: how.symbol(),
                expected: "a text beside a text",
                found: other.kind(),
            });
        }
        (left, right) => match number(how.symbol(), left)?.zip(number(how.symbol(), right)?) {
            Some((left, right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
            None => return Ok(None),
        },
    };
    Ok(Some(match how {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }))
}

impl Comparison {
    fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Power => "**",
        }
    }

    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Power => left.powf(right),
        }
    }
}

impl Function {
    fn apply<'a>(self, [x, y]: [f64; 2]) -> Value<'a> {
        from_number(Some(match self {
            Function::Abs => x.abs(),
            Function::Sqrt => x.sqrt(),
            Function::Exp => x.exp(),
            Function::Ln => x.ln(),
            Function::Log10 => x.log10(),
            Function::Floor => x.floor(),
            Function::Min => x.min(y),
            Function::Max => x.max(y),
            Function::Bit => {
                // Flags are whole numbers; negative ones are the same bits read as signed.
                return match (
                    x.fract() == 0.0 && x.abs() < 9.0e18,
                    y.fract() == 0.0 && (0.0..64.0).contains(&y),
                ) {
                    (true, true) => Value::Bool((x as i64) >> (y as u32) & 1 == 1),
                    _ => Value::Null,
                };
            }
        }))
    }
}

#[cfg(test)]
mod tests;
