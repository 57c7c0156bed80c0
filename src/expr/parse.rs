//! Recursive descent from text to [`Expr`], one method per level of precedence.

use super::{Arithmetic, Comparison, Expr, ExprError, Function, MAX_CHARS, Name, Node};

/// Parentheses and prefixes within each other.
const MAX_DEPTH: usize = 100;

pub(super) fn parse(text: &str) -> Result<Expr, ExprError> {
    let chars: Vec<char> = text.chars().collect();
    let mut parser = Parser { text, chars, at: 0, depth: 0, names: Vec::new() };
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
    Ok(Expr { root, names: parser.names })
}

struct Parser<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    names: Vec<Name>,
}

/// What a part of an expression is, where that is known without the values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Truth,
    Number,
    Text,
    Open,
}

impl Parser<'_> {
    fn wrong(&self, at: usize, what: impl Into<String>) -> ExprError {
        ExprError::new(self.text, at, what)
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
        match (kind_of(&left), kind_of(&right)) {
            (Kind::Text, _) => self.need(&right, at, Kind::Text, how.symbol())?,
            (_, Kind::Text) => self.need(&left, start, Kind::Text, how.symbol())?,
            _ => {}
        }
        Ok(Node::Compare { how, left: Box::new(left), right: Box::new(right) })
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
                Ok(Node::Text(text))
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
                    "and" | "or" | "not" | "is" => {
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
        let Some(&(name, function, n)) = Function::ALL.iter().find(|(name, ..)| *name == lower) else {
            let known: Vec<_> = Function::ALL.iter().map(|(name, ..)| *name).collect();
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

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '$')
}

fn kind_of(node: &Node) -> Kind {
    match node {
        Node::Number(_) | Node::Negate(_) | Node::Arithmetic { .. } => Kind::Number,
        Node::Text(_) => Kind::Text,
        Node::Bool(_) | Node::Not(_) | Node::IsNull(_) | Node::Logic { .. } | Node::Compare { .. } => {
            Kind::Truth
        }
        Node::Call { function: Function::Bit, .. } => Kind::Truth,
        Node::Call { .. } => Kind::Number,
        Node::Null | Node::Name(_) => Kind::Open,
    }
}
