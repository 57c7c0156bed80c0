//! An expression as SQL with values to bind, meaning the same as [`Expr::eval`].

use super::{Arithmetic, Expr, ExprError, Function, Name, Node};

/// A value to bind.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Number(f64),
    Text(String),
}

/// SQL with a `?` for each value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bound {
    pub sql: String,
    pub values: Vec<Literal>,
}

impl Expr {
    /// The expression as SQL, where `column` gives the SQL of a name.
    ///
    /// Errors, at the character, for a name without a column and for what is taken over draws.
    pub fn to_sql(&self, column: &dyn Fn(&Name) -> Option<String>) -> Result<Bound, ExprError> {
        let mut bound = Bound::default();
        Writer { expr: self, column, out: &mut bound }.node(&self.root)?;
        Ok(bound)
    }
}

struct Writer<'a> {
    expr: &'a Expr,
    column: &'a dyn Fn(&Name) -> Option<String>,
    out: &'a mut Bound,
}

impl Writer<'_> {
    fn say(&mut self, text: &str) {
        self.out.sql.push_str(text);
    }

    fn bind(&mut self, value: Literal) {
        self.say("?");
        self.out.values.push(value);
    }

    /// `(before left between right after)`.
    fn around(&mut self, parts: [&str; 3], left: &Node, right: &Node) -> Result<(), ExprError> {
        self.say(parts[0]);
        self.node(left)?;
        self.say(parts[1]);
        self.node(right)?;
        self.say(parts[2]);
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), ExprError> {
        match node {
            Node::Number(number) => self.bind(Literal::Number(*number)),
            Node::Text { text, .. } => self.bind(Literal::Text(text.clone())),
            Node::Bool(value) => self.say(if *value { "TRUE" } else { "FALSE" }),
            Node::Null => self.say("NULL"),
            Node::Name(index) => {
                let name = &self.expr.names[*index];
                match (self.column)(name) {
                    Some(column) => self.say(&column),
                    None => return Err(self.expr.wrong(name.at, format!("there is no column `{name}`"))),
                }
            }
            Node::Aggregate(index) => {
                let at = self.expr.aggregates[*index].at;
                return Err(self.expr.wrong(at, "this takes draws, which cannot be done here"));
            }
            Node::Not(inner) => {
                self.say("(NOT ");
                self.node(inner)?;
                self.say(")");
            }
            Node::Negate(inner) => {
                self.say("(- ");
                self.node(inner)?;
                self.say(")");
            }
            Node::IsNull(inner) => {
                self.say("(");
                self.node(inner)?;
                self.say(" IS NULL)");
            }
            Node::Logic { is_and, left, right } => {
                self.around(["(", if *is_and { " AND " } else { " OR " }, ")"], left, right)?;
            }
            Node::Compare { how, left, right } => {
                self.around(["(", &format!(" {} ", how.symbol()), ")"], left, right)?;
            }
            Node::Between { value, ends } => {
                self.say("(");
                self.node(value)?;
                self.around([" BETWEEN ", " AND ", ")"], &ends[0], &ends[1])?;
            }
            Node::Among { value, list } => {
                self.say("(");
                self.node(value)?;
                for (i, member) in list.iter().enumerate() {
                    self.say(if i == 0 { " IN (" } else { ", " });
                    self.node(member)?;
                }
                self.say("))");
            }
            Node::Arithmetic { how, left, right } => {
                let parts = match how {
                    Arithmetic::Power => ["pow(", ", ", ")"],
                    // whole numbers would be divided as such
                    Arithmetic::Divide => ["(1.0 * ", " / ", ")"],
                    Arithmetic::Add => ["(", " + ", ")"],
                    Arithmetic::Subtract => ["(", " - ", ")"],
                    Arithmetic::Multiply => ["(", " * ", ")"],
                };
                self.around(parts, left, right)?;
            }
            Node::Call { function: Function::Bit, arguments } => {
                self.around(
                    ["((CAST(", " AS INTEGER) >> CAST(", " AS INTEGER)) & 1)"],
                    &arguments[0],
                    &arguments[1],
                )?;
            }
            Node::Call { function, arguments } => {
                for (i, argument) in arguments.iter().enumerate() {
                    if i == 0 {
                        self.say(&format!("{}(", function.name()));
                    } else {
                        self.say(", ");
                    }
                    self.node(argument)?;
                }
                self.say(")");
            }
        }
        Ok(())
    }
}
