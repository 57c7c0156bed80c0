//! Expressions over named values (`log10(mass) > 10 and class = 'GALAXY'`), parsed, never executed as code.
//!
//! Numbers, texts and truth values; a missing value makes what depends on it missing, as in SQL
//! (`null and false` is false). Operators, loosest first: `or`, `and`, `not`, comparisons with `is null`,
//! `between` and `in`, `+ -`, `* /`, unary `-`, `**`. A name is `mass`, `FLUX[2]` (element of a vector) or
//! `"any text"`.
//!
//! One tree, four readings: of single values ([`Expr::eval`]), of whole columns of draws
//! ([`Expr::compile`]), of ranges of values ([`Expr::range`]), and as SQL ([`Expr::to_sql`]).

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

mod bounds;
mod columns;
mod parse;
mod range;
mod sql;

pub use bounds::{Known, MarginalBounds, ProbabilityBounds};
pub use columns::{Input, Program, Want};
pub use range::Range;
pub use sql::{Bound, Literal};

/// Longest expression that is read; it bounds the depth of recursion.
pub const MAX_CHARS: usize = 4000;

/// A parsed expression over `names().len()` values and `aggregates().len()` more.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    root: Node,
    text: Arc<str>,
    names: Vec<Name>,
    aggregates: Vec<Aggregate>,
}

/// A number made of all draws of a posterior: `P(log_mstar > 11)`, `quantile(tau_ism, 0.9)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub kind: AggregateKind,
    /// What is taken of each draw: one expression, two for a correlation.
    pub arguments: Vec<Expr>,
    /// Where it begins, in characters from 0.
    pub at: usize,
    /// As it was written.
    pub written: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AggregateKind {
    /// Weight of the draws for which a condition is true.
    Probability,
    Mean,
    Sd,
    Quantile(f64),
    Correlation,
    /// Ends of the shortest interval that holds this much of the weight.
    HdiLow(f64),
    HdiHigh(f64),
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
    Text {
        text: String,
        at: usize,
    },
    Bool(bool),
    Null,
    /// Index into the names.
    Name(usize),
    /// Index into the aggregates.
    Aggregate(usize),
    Between {
        value: Box<Node>,
        ends: Box<[Node; 2]>,
    },
    Among {
        value: Box<Node>,
        list: Vec<Node>,
    },
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

    fn arity(self) -> usize {
        Self::ALL.iter().find(|(_, function, _)| *function == self).map_or(1, |(.., n)| *n)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, function, _)| *function == self).map_or("?", |(name, ..)| name)
    }
}

impl Expr {
    /// Errors point at the character that is wrong.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parse::parse(text, false)
    }

    /// The same with [`Aggregate`]s over the draws of a posterior among the functions: `P(condition)`,
    /// `mean(x)`, `sd(x)`, `median(x)`, `quantile(x, p)`, `corr(x, y)`, `hdi_low(x, mass)`, `hdi_high(x, mass)`.
    pub fn parse_with_aggregates(text: &str) -> Result<Self, ExprError> {
        parse::parse(text, true)
    }

    /// The names it uses outside of aggregates, each once; values are looked up by their index here.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The aggregates it uses; they are looked up by `names().len()` plus their index here.
    pub fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// What it was parsed from; for an argument of an aggregate, all of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// An error that points into [`Self::text`].
    pub fn wrong(&self, at: usize, what: impl Into<String>) -> ExprError {
        ExprError::new(&self.text, at, what)
    }

    /// A name and nothing more.
    pub fn of_name(name: &str) -> Self {
        let names = vec![Name { name: name.to_owned(), element: None, at: 0 }];
        Self { root: Node::Name(0), text: name.into(), names, aggregates: vec![] }
    }

    /// The name that this is and nothing more.
    pub fn as_name(&self) -> Option<&Name> {
        match self.root {
            Node::Name(index) => self.names.get(index),
            _ => None,
        }
    }

    /// The parts that must all be true, which name and aggregate by the same indexes as the whole.
    pub fn conjuncts(&self) -> Vec<Expr> {
        let mut parts = Vec::new();
        let mut waiting = vec![&self.root];
        while let Some(node) = waiting.pop() {
            match node {
                Node::Logic { is_and: true, left, right } => waiting.extend([right.as_ref(), left.as_ref()]),
                other => parts.push(Expr { root: other.clone(), ..self.clone_names() }),
            }
        }
        parts
    }

    fn clone_names(&self) -> Expr {
        Expr {
            root: Node::Null,
            text: self.text.clone(),
            names: self.names.clone(),
            aggregates: self.aggregates.clone(),
        }
    }

    /// Which of its names and aggregates (by lookup index) the expression really uses; a conjunct may not use all.
    pub fn uses(&self) -> Vec<usize> {
        let mut used = Vec::new();
        self.root.visit(&mut |node| match node {
            Node::Name(index) => used.push(*index),
            Node::Aggregate(index) => used.push(self.names.len() + index),
            _ => {}
        });
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Errors where it is no condition, so far as that is known without the values.
    pub fn require_condition(&self) -> Result<(), ExprError> {
        match parse::kind_of(&self.root) {
            parse::Kind::Truth | parse::Kind::Open => Ok(()),
            _ => Err(self.wrong(0, "a condition is needed, this is a value")),
        }
    }

    /// The value of the expression, where `lookup` gives the value of each name and aggregate by index.
    pub fn eval<'a>(&'a self, lookup: &dyn Fn(usize) -> Value<'a>) -> Result<Value<'a>, EvalError> {
        eval(&self.root, self.names.len(), lookup)
    }

    /// Whether the expression is true; `None` where a missing value leaves it open.
    pub fn holds<'a>(&'a self, lookup: &dyn Fn(usize) -> Value<'a>) -> Result<Option<bool>, EvalError> {
        truth("condition", self.eval(lookup)?)
    }
}

fn eval<'a>(
    node: &'a Node,
    n_names: usize,
    lookup: &dyn Fn(usize) -> Value<'a>,
) -> Result<Value<'a>, EvalError> {
    let eval = |node| eval(node, n_names, lookup);
    Ok(match node {
        Node::Number(number) => Value::Number(*number),
        Node::Text { text, .. } => Value::Text(text),
        Node::Bool(value) => Value::Bool(*value),
        Node::Null => Value::Null,
        Node::Name(index) => present(lookup(*index)),
        Node::Aggregate(index) => present(lookup(n_names + index)),
        Node::Between { value, ends } => {
            let value = eval(value)?;
            let above = compare(Comparison::GreaterOrEqual, value, eval(&ends[0])?)?;
            let below = compare(Comparison::LessOrEqual, value, eval(&ends[1])?)?;
            from_truth(both(above, below))
        }
        Node::Among { value, list } => {
            let value = eval(value)?;
            let mut found = Some(false);
            for member in list {
                match compare(Comparison::Equal, value, eval(member)?)? {
                    Some(true) => return Ok(Value::Bool(true)),
                    Some(false) => {}
                    None => found = None,
                }
            }
            from_truth(found)
        }
        Node::Not(inner) => from_truth(truth("not", eval(inner)?)?.map(|value| !value)),
        Node::Negate(inner) => from_number(number("-", eval(inner)?)?.map(|value| -value)),
        Node::IsNull(inner) => Value::Bool(eval(inner)? == Value::Null),
        Node::Logic { is_and, left, right } => {
            let word = if *is_and { "and" } else { "or" };
            let left = truth(word, eval(left)?)?;
            if left == Some(!is_and) {
                return Ok(Value::Bool(!is_and));
            }
            let right = truth(word, eval(right)?)?;
            from_truth(if *is_and {
                both(left, right)
            } else {
                both(left.map(|left| !left), right.map(|right| !right)).map(|neither| !neither)
            })
        }
        Node::Compare { how, left, right } => from_truth(compare(*how, eval(left)?, eval(right)?)?),
        Node::Arithmetic { how, left, right } => {
            let word = how.symbol();
            let left = number(word, eval(left)?)?;
            let right = number(word, eval(right)?)?;
            from_number(left.zip(right).map(|(left, right)| how.apply(left, right)))
        }
        Node::Call { function, arguments } => {
            let mut values = [0.0; 2];
            for (value, argument) in values.iter_mut().zip(arguments) {
                match number(function.name(), eval(argument)?)? {
                    Some(number) => *value = number,
                    None => return Ok(Value::Null),
                }
            }
            function.apply(values)
        }
    })
}

fn present(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_nan() => Value::Null,
        value => value,
    }
}

/// `and` of what may be missing.
fn both(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
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
    Ok(Some(how.holds(order)))
}

impl Node {
    fn children(&self) -> Vec<&Node> {
        match self {
            Node::Number(_) | Node::Text { .. } | Node::Bool(_) | Node::Null => vec![],
            Node::Name(_) | Node::Aggregate(_) => vec![],
            Node::Not(inner) | Node::Negate(inner) | Node::IsNull(inner) => vec![inner],
            Node::Logic { left, right, .. }
            | Node::Compare { left, right, .. }
            | Node::Arithmetic { left, right, .. } => vec![left, right],
            Node::Between { value, ends } => vec![value, &ends[0], &ends[1]],
            Node::Among { value, list } => std::iter::once(&**value).chain(list).collect(),
            Node::Call { arguments, .. } => arguments.iter().collect(),
        }
    }

    fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Node)) {
        let mut waiting = vec![self];
        while let Some(node) = waiting.pop() {
            see(node);
            waiting.extend(node.children());
        }
    }
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }

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
