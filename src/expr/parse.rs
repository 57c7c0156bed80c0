//! Recursive descent from text to [`Expr`], one method per level of precedence.

use std::sync::Arc;

use super::{
    Aggregate, AggregateKind, Arithmetic, Comparison, Expr, ExprError, Function, MAX_CHARS, Name, Node,
};

/// Parentheses and prefixes within each other.
const MAX_DEPTH: usize = 100;

pub(super) fn parse(text: &str, with_aggregates: bool) -> Result<Expr, ExprError> {
    let mut parser = Parser {
        text: text.into(),
        chars: text.chars().collect(),
        at: 0,
        depth: 0,
        names: Vec::new(),
        aggregates: Vec::new(),
        over_draws: if with_aggregates { OverDraws::Allowed } else { OverDraws::Never },
    };
    if parser.chars.len() > MAX_CHARS {
        return Err(parser.wrong(MAX_CHARS, format!("longer than {MAX_CHARS} characters")));
    }
    parser.blanks();
    if parser.at == parser.chars.len() {
        return Err(parser.wrong(0, "an expression is missing"));
    }
    let root = parser.or()?;
    if parser.at < parser.chars.len() {
        let found = parser.chars[parser.at];
        let what = match found {
            '<' | '>' | '=' | '!' => "comparisons do not chain; join them with `and`".to_owned(),
            _ => format!("expected an operator, found `{}`", found.escape_debug()),
        };
        return Err(parser.wrong(parser.at, what));
    }
    Ok(Expr { root, text: parser.text, names: parser.names, aggregates: parser.aggregates })
}

struct Parser {
    text: Arc<str>,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    names: Vec<Name>,
    aggregates: Vec<Aggregate>,
    over_draws: OverDraws,
}

/// Whether aggregates may be called here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OverDraws {
    Never,
    Allowed,
    /// Inside one already.
    Within,
}

/// Names of the aggregates, in lower case, with how many expressions and whether a number follows them.
const AGGREGATES: [(&str, usize, bool); 10] = [
    ("p", 1, false),
    ("prob", 1, false),
    ("mean", 1, false),
    ("sd", 1, false),
    ("std", 1, false),
    ("median", 1, false),
    ("quantile", 1, true),
    ("corr", 2, false),
    ("hdi_low", 1, true),
    ("hdi_high", 1, true),
];

/// What a part of an expression is, where that is known without the values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Truth,
    Number,
    Text,
    Open,
}

impl Parser {
    fn wrong(&self, at: usize, what: impl Into<String>) -> ExprError {
        ExprError::new(&self.text, at, what)
    }

    fn blanks(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    /// Takes a symbol and the blanks after it.
    fn symbol(&mut self, symbol: &str) -> bool {
        let found = symbol.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        if found {
            self.at += symbol.chars().count();
            self.blanks();
        }
        found
    }

    /// Takes a word in any case, if it stands alone.
    fn word(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let found = end <= self.chars.len()
            && self.chars[self.at..end].iter().zip(word.chars()).all(|(a, b)| a.eq_ignore_ascii_case(&b))
            && !self.chars.get(end).is_some_and(|&c| in_name(c));
        if found {
            self.at = end;
            self.blanks();
        }
        found
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(self.at, "nested too deeply"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn need(&self, node: &Node, at: usize, kind: Kind, operation: &str) -> Result<(), ExprError> {
        let found = kind_of(node);
        let fits = match (found, kind) {
            (Kind::Open, _) => true,
            (Kind::Truth, Kind::Number) => true,
            (found, kind) => found == kind,
        };
        if fits {
            return Ok(());
        }
        let word = |kind| match kind {
            Kind::Truth => "a condition",
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::Open => "a value",
        };
        Err(self.wrong(at, format!("`{operation}` needs {}, this is {}", word(kind), word(found))))
    }

    fn or(&mut self) -> Result<Node, ExprError> {
        self.logic(false, "or", "||", Self::and)
    }

    fn and(&mut self) -> Result<Node, ExprError> {
        self.logic(true, "and", "&&", Self::not)
    }

    fn logic(
        &mut self,
        is_and: bool,
        word: &str,
        symbol: &str,
        operand: fn(&mut Self) -> Result<Node, ExprError>,
    ) -> Result<Node, ExprError> {
        let start = self.at;
        let mut left = operand(self)?;
        while self.word(word) || self.symbol(symbol) {
            self.need(&left, start, Kind::Truth, word)?;
            let at = self.at;
            let right = operand(self)?;
            self.need(&right, at, Kind::Truth, word)?;
            left = Node::Logic { is_and, left: Box::new(left), right: Box::new(right) };
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Node, ExprError> {
        let not_equal = self.chars.get(self.at + 1) == Some(&'=');
        if self.word("not") || (!not_equal && self.symbol("!")) {
            let at = self.at;
            let inner = self.deeper(Self::not)?;
            self.need(&inner, at, Kind::Truth, "not")?;
            return Ok(Node::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let start = self.at;
        let left = self.sum()?;
        if self.word("is") {
            let negated = self.word("not");
            if !self.word("null") {
                return Err(self.wrong(self.at, "expected `null` after `is`"));
            }
            let is_null = Node::IsNull(Box::new(left));
            return Ok(if negated { Node::Not(Box::new(is_null)) } else { is_null });
        }
        let negated = self.word("not");
        if self.word("between") {
            let between = self.between(left, start)?;
            return Ok(if negated { Node::Not(Box::new(between)) } else { between });
        }
        if self.word("in") {
            let among = self.among(left, start)?;
            return Ok(if negated { Node::Not(Box::new(among)) } else { among });
        }
        if negated {
            return Err(self.wrong(self.at, "expected `between` or `in` after `not`"));
        }
        let how = if self.symbol("==") || self.symbol("=") {
            Comparison::Equal
        } else if self.symbol("!=") || self.symbol("<>") {
            Comparison::NotEqual
        } else if self.symbol("<=") {
            Comparison::LessOrEqual
        } else if self.symbol(">=") {
            Comparison::GreaterOrEqual
        } else if self.symbol("<") {
            Comparison::Less
        } else if self.symbol(">") {
            Comparison::Greater
        } else {
            return Ok(left);
        };
        let at = self.at;
        let right = self.sum()?;
        self.comparable((&left, start), (&right, at), how.symbol())?;
        Ok(Node::Compare { how, left: Box::new(left), right: Box::new(right) })
    }

    fn comparable(
        &self,
        left: (&Node, usize),
        right: (&Node, usize),
        operation: &str,
    ) -> Result<(), ExprError> {
        match (kind_of(left.0), kind_of(right.0)) {
            (Kind::Text, _) => self.need(right.0, right.1, Kind::Text, operation),
            (_, Kind::Text) => self.need(left.0, left.1, Kind::Text, operation),
            _ => Ok(()),
        }
    }

    fn between(&mut self, value: Node, start: usize) -> Result<Node, ExprError> {
        let at = self.at;
        let low = self.sum()?;
        self.comparable((&value, start), (&low, at), "between")?;
        if !self.word("and") {
            return Err(self.wrong(self.at, "expected `and` between the ends of `between`"));
        }
        let at = self.at;
        let high = self.sum()?;
        self.comparable((&value, start), (&high, at), "between")?;
        Ok(Node::Between { value: Box::new(value), ends: Box::new([low, high]) })
    }

    fn among(&mut self, value: Node, start: usize) -> Result<Node, ExprError> {
        if !self.symbol("(") {
            return Err(self.wrong(self.at, "expected `(` and a list of values after `in`"));
        }
        let mut list = Vec::new();
        loop {
            let at = self.at;
            let member = self.deeper(Self::sum)?;
            self.comparable((&value, start), (&member, at), "in")?;
            list.push(member);
            if self.symbol(")") {
                return Ok(Node::Among { value: Box::new(value), list });
            }
            if !self.symbol(",") {
                return Err(self.wrong(self.at, "expected `,` or `)`"));
            }
        }
    }

    fn arithmetic(
        &mut self,
        how: Arithmetic,
        left: Node,
        start: usize,
        right: Node,
        at: usize,
    ) -> Result<Node, ExprError> {
        self.need(&left, start, Kind::Number, how.symbol())?;
        self.need(&right, at, Kind::Number, how.symbol())?;
        Ok(Node::Arithmetic { how, left: Box::new(left), right: Box::new(right) })
    }

    fn sum(&mut self) -> Result<Node, ExprError> {
        let start = self.at;
        let mut left = self.product()?;
        loop {
            let how = if self.symbol("+") {
                Arithmetic::Add
            } else if self.symbol("-") {
                Arithmetic::Subtract
            } else {
                return Ok(left);
            };
            let at = self.at;
            let right = self.product()?;
            left = self.arithmetic(how, left, start, right, at)?;
        }
    }

    fn product(&mut self) -> Result<Node, ExprError> {
        let start = self.at;
        let mut left = self.unary()?;
        loop {
            let how = if self.symbol("*") {
                Arithmetic::Multiply
            } else if self.symbol("/") {
                Arithmetic::Divide
            } else {
                return Ok(left);
            };
            let at = self.at;
            let right = self.unary()?;
            left = self.arithmetic(how, left, start, right, at)?;
        }
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        if self.symbol("-") {
            let at = self.at;
            let inner = self.deeper(Self::unary)?;
            self.need(&inner, at, Kind::Number, "-")?;
            return Ok(Node::Negate(Box::new(inner)));
        }
        if self.symbol("+") {
            return self.deeper(Self::unary);
        }
        let start = self.at;
        let base = self.primary()?;
        if !self.symbol("**") {
            return Ok(base);
        }
        let at = self.at;
        let exponent = self.deeper(Self::unary)?;
        self.arithmetic(Arithmetic::Power, base, start, exponent, at)
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let start = self.at;
        match self.chars.get(self.at) {
            None => Err(self.wrong(start, "expected a value, found the end")),
            Some('(') => {
                self.symbol("(");
                let inner = self.deeper(Self::or)?;
                if !self.symbol(")") {
                    return Err(self.wrong(self.at, "expected `)`"));
                }
                Ok(inner)
            }
            Some('\'') => {
                let text = self.quoted('\'')?;
                Ok(Node::Text { text, at: start })
            }
            Some('"') => {
                let name = self.quoted('"')?;
                self.named(name, start)
            }
            Some(c) if c.is_ascii_digit() || *c == '.' => self.number(),
            Some(&c) if in_name(c) => {
                let end =
                    (start..self.chars.len()).find(|&i| !in_name(self.chars[i])).unwrap_or(self.chars.len());
                let word: String = self.chars[start..end].iter().collect();
                self.at = end;
                self.blanks();
                if self.chars.get(self.at) == Some(&'(') {
                    return self.call(&word, start);
                }
                match word.to_ascii_lowercase().as_str() {
                    "true" => Ok(Node::Bool(true)),
                    "false" => Ok(Node::Bool(false)),
                    "null" => Ok(Node::Null),
                    "and" | "or" | "not" | "is" | "between" | "in" => {
                        Err(self.wrong(start, format!("expected a value, found `{word}`")))
                    }
                    _ => self.named(word, start),
                }
            }
            Some(c) => Err(self.wrong(start, format!("expected a value, found `{}`", c.escape_debug()))),
        }
    }

    /// A text between quotes, which are doubled inside it.
    fn quoted(&mut self, quote: char) -> Result<String, ExprError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.chars.get(self.at) {
                None => return Err(self.wrong(start, "this quote does not close")),
                Some(&c) if c == quote && self.chars.get(self.at + 1) == Some(&quote) => {
                    text.push(quote);
                    self.at += 2;
                }
                Some(&c) if c == quote => break,
                Some(&c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.blanks();
        Ok(text)
    }

    /// A name, and the element after it.
    fn named(&mut self, name: String, start: usize) -> Result<Node, ExprError> {
        let mut element = None;
        if self.symbol("[") {
            let at = self.at;
            let digits: String = self.chars[at..].iter().take_while(|c| c.is_ascii_digit()).collect();
            element = Some(
                digits.parse().map_err(|_| self.wrong(at, "expected the number of an element, from 0"))?,
            );
            self.at += digits.len();
            self.blanks();
            if !self.symbol("]") {
                return Err(self.wrong(self.at, "expected `]`"));
            }
        }
        let known = self.names.iter().position(|known| known.name == name && known.element == element);
        Ok(Node::Name(known.unwrap_or_else(|| {
            self.names.push(Name { name, element, at: start });
            self.names.len() - 1
        })))
    }

    fn number(&mut self) -> Result<Node, ExprError> {
        let start = self.at;
        let rest = &self.chars[start..];
        if rest.len() > 2 && rest[0] == '0' && matches!(rest[1], 'x' | 'X') {
            let digits: String = rest[2..].iter().take_while(|c| c.is_ascii_hexdigit()).collect();
            let value = u64::from_str_radix(&digits, 16)
                .map_err(|_| self.wrong(start, "this is no hexadecimal number of 64 bits"))?;
            self.at += 2 + digits.len();
            self.blanks();
            return Ok(Node::Number(value as f64));
        }
        let mut end = 0;
        while let Some(&c) = rest.get(end) {
            let in_exponent = end > 0 && matches!(rest[end - 1], 'e' | 'E');
            if c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || (in_exponent && matches!(c, '+' | '-')) {
                end += 1;
            } else {
                break;
            }
        }
        let text: String = rest[..end].iter().collect();
        let value = text.parse().map_err(|_| self.wrong(start, format!("`{text}` is not a number")))?;
        self.at += end;
        self.blanks();
        Ok(Node::Number(value))
    }

    fn call(&mut self, word: &str, start: usize) -> Result<Node, ExprError> {
        let lower = word.to_ascii_lowercase();
        if let Some(&(name, n, number)) = AGGREGATES.iter().find(|(name, ..)| *name == lower)
            && self.over_draws != OverDraws::Never
        {
            return self.aggregate(name, n, number, start);
        }
        let Some(&(name, function, n)) = Function::ALL.iter().find(|(name, ..)| *name == lower) else {
            let mut known: Vec<_> = Function::ALL.iter().map(|(name, ..)| *name).collect();
            if self.over_draws == OverDraws::Allowed {
                known.extend(AGGREGATES.iter().map(|(name, ..)| *name));
            }
            return Err(self.wrong(start, format!("no function `{word}`; there are {}", known.join(", "))));
        };
        self.symbol("(");
        let mut arguments = Vec::new();
        if !self.symbol(")") {
            loop {
                let at = self.at;
                let argument = self.deeper(Self::or)?;
                self.need(&argument, at, Kind::Number, name)?;
                arguments.push(argument);
                if self.symbol(")") {
                    break;
                }
                if !self.symbol(",") {
                    return Err(self.wrong(self.at, "expected `,` or `)`"));
                }
            }
        }
        if arguments.len() != n {
            return Err(self.wrong(start, format!("`{name}` takes {n} values, not {}", arguments.len())));
        }
        Ok(Node::Call { function, arguments })
    }
}

impl Parser {
    fn aggregate(
        &mut self,
        name: &'static str,
        n: usize,
        number: bool,
        start: usize,
    ) -> Result<Node, ExprError> {
        if self.over_draws == OverDraws::Within {
            return Err(self.wrong(start, "what is taken over draws cannot stand inside another such"));
        }
        self.symbol("(");
        self.over_draws = OverDraws::Within;
        let outer = std::mem::take(&mut self.names);
        let mut arguments = Vec::new();
        let mut level = None;
        let kind = if matches!(name, "p" | "prob") { Kind::Truth } else { Kind::Number };
        while arguments.len() < n {
            let at = self.at;
            let root = self.deeper(Self::or)?;
            self.need(&root, at, kind, name)?;
            let names = std::mem::take(&mut self.names);
            arguments.push(Expr { root, text: self.text.clone(), names, aggregates: vec![] });
            if (arguments.len() < n || number) && !self.symbol(",") {
                let more = n + usize::from(number);
                return Err(self.wrong(self.at, format!("expected `,`: `{name}` takes {more} values")));
            }
        }
        self.names = outer;
        self.over_draws = OverDraws::Allowed;
        if number {
            let at = self.at;
            level = match self.sum()? {
                Node::Number(p) if (0.0..=1.0).contains(&p) => Some(p),
                _ => return Err(self.wrong(at, format!("`{name}` needs a number from 0 to 1 here"))),
            };
        }
        if !self.symbol(")") {
            return Err(self.wrong(self.at, "expected `)`"));
        }
        let written: String = self.chars[start..self.at].iter().collect();
        let level = level.unwrap_or(0.5);
        let kind = match name {
            "p" | "prob" => AggregateKind::Probability,
            "mean" => AggregateKind::Mean,
            "sd" | "std" => AggregateKind::Sd,
            "corr" => AggregateKind::Correlation,
            "hdi_low" => AggregateKind::HdiLow(level),
            "hdi_high" => AggregateKind::HdiHigh(level),
            _ => AggregateKind::Quantile(level),
        };
        let written = written.trim_end().to_owned();
        let known = self.aggregates.iter().position(|known| known.kind == kind && known.written == written);
        Ok(Node::Aggregate(known.unwrap_or_else(|| {
            self.aggregates.push(Aggregate { kind, arguments, at: start, written });
            self.aggregates.len() - 1
        })))
    }
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '$')
}

pub(super) fn kind_of(node: &Node) -> Kind {
    match node {
        Node::Number(_) | Node::Negate(_) | Node::Arithmetic { .. } | Node::Aggregate(_) => Kind::Number,
        Node::Text { .. } => Kind::Text,
        Node::Bool(_) | Node::Not(_) | Node::IsNull(_) | Node::Logic { .. } => Kind::Truth,
        Node::Compare { .. } | Node::Between { .. } | Node::Among { .. } => Kind::Truth,
        Node::Call { function: Function::Bit, .. } => Kind::Truth,
        Node::Call { .. } => Kind::Number,
        Node::Null | Node::Name(_) => Kind::Open,
    }
}
