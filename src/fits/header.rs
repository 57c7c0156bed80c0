//! Header cards: keyword, value and comment, with strings continued over cards.

use super::{CARD, FitsError};

/// A card's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Logical(bool),
    Integer(i64),
    Real(f64),
    /// A keyword with a value left blank.
    Undefined,
    /// COMMENT, HISTORY, blank keywords, and values of no simple type (complex), as written.
    Free(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub key: String,
    pub value: Value,
    pub comment: String,
}

/// The cards of one HDU in order, without END.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    pub cards: Vec<Card>,
    pub(crate) hdu: usize,
}

impl Header {
    /// Parses cards of 80 bytes, END excluded.
    pub(crate) fn parse(bytes: &[u8], hdu: usize) -> Result<Self, FitsError> {
        let mut cards: Vec<Card> = Vec::with_capacity(bytes.len() / CARD);
        for (index, raw) in bytes.chunks_exact(CARD).enumerate() {
            let fail = |problem| FitsError::Card {
                hdu,
                card: index + 1,
                text: String::from_utf8_lossy(raw).trim_end().to_owned(),
                problem,
            };
            let card = parse_card(raw).map_err(fail)?;
            match cards.last_mut() {
                Some(Card { value: Value::Text(text), comment, .. })
                    if card.key == "CONTINUE" && text.ends_with('&') =>
                {
                    let Value::Text(more) = card.value else {
                        return Err(fail("CONTINUE without a string"));
                    };
                    text.pop();
                    text.push_str(&more);
                    comment.push_str(&card.comment);
                }
                _ => cards.push(card),
            }
        }
        Ok(Self { cards, hdu })
    }

    /// The first value of that keyword.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.cards.iter().find(|card| card.key == key).map(|card| &card.value)
    }

    /// A text value, trailing blanks removed; absent is `None`.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FitsError> {
        match self.get(key) {
            None | Some(Value::Undefined) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.trim_end())),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// An integer value; absent is `None`.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, FitsError> {
        match self.get(key) {
            None | Some(Value::Undefined) => Ok(None),
            Some(Value::Integer(n)) => Ok(Some(*n)),
            Some(other) => Err(self.wrong(key, other, "an integer")),
        }
    }

    /// A real value, which may be written as an integer; absent is `None`.
    pub fn real(&self, key: &str) -> Result<Option<f64>, FitsError> {
        match self.get(key) {
            None | Some(Value::Undefined) => Ok(None),
            Some(Value::Integer(n)) => Ok(Some(*n as f64)),
            Some(Value::Real(x)) => Ok(Some(*x)),
            Some(other) => Err(self.wrong(key, other, "a number")),
        }
    }

    /// A count that must be there and lie in `0..=limit`.
    pub(crate) fn count(&self, key: &str, limit: u64) -> Result<u64, FitsError> {
        let found =
            self.integer(key)?.ok_or_else(|| FitsError::Missing { hdu: self.hdu, key: key.to_owned() })?;
        u64::try_from(found)
            .ok()
            .filter(|n| *n <= limit)
            .ok_or_else(|| self.wrong(key, &Value::Integer(found), "a count within bounds"))
    }

    pub(crate) fn wrong(&self, key: &str, found: &Value, expected: &'static str) -> FitsError {
        let found = match found {
            Value::Text(text) => format!("'{text}'"),
            Value::Logical(b) => if *b { "T" } else { "F" }.to_owned(),
            Value::Integer(n) => n.to_string(),
            Value::Real(x) => x.to_string(),
            Value::Undefined => "blank".to_owned(),
            Value::Free(text) => format!("`{text}`"),
        };
        FitsError::Keyword { hdu: self.hdu, key: key.to_owned(), found, expected }
    }
}

fn parse_card(raw: &[u8]) -> Result<Card, &'static str> {
    let keyword = &raw[..8];
    let commentary = [b"COMMENT ", b"HISTORY ", b"        "].iter().any(|k| k.as_slice() == keyword);
    if commentary || (&raw[8..10] != b"= " && keyword != b"CONTINUE" && keyword != b"HIERARCH") {
        // Commentary may hold anything; it is kept readable rather than refused.
        let key = std::str::from_utf8(keyword).map_err(|_| "the keyword is not ASCII")?.trim_end().to_owned();
        let text = String::from_utf8_lossy(&raw[8..]).trim_end().to_owned();
        return Ok(Card { key, value: Value::Free(text), comment: String::new() });
    }
    let text = std::str::from_utf8(raw).ok().filter(|t| t.is_ascii()).ok_or("it is not ASCII")?;
    let (key, rest) = if keyword == b"CONTINUE" {
        ("CONTINUE", &text[8..])
    } else if keyword == b"HIERARCH" {
        let (key, rest) = text[8..].split_once('=').ok_or("HIERARCH without =")?;
        (key.trim(), rest)
    } else {
        let key = text[..8].trim_end();
        let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if key.is_empty() || !key.chars().all(legal) {
            return Err("the keyword has characters other than A-Z 0-9 - _");
        }
        (key, &text[10..])
    };
    let (value, comment) = parse_value(rest.trim_start())?;
    Ok(Card { key: key.to_owned(), value, comment })
}

fn parse_value(text: &str) -> Result<(Value, String), &'static str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut value = String::new();
        let mut rest = quoted;
        loop {
            let end = rest.find('\'').ok_or("the string has no closing quote")?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('\'') {
                Some(after) => {
                    value.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        let comment = rest.split_once('/').map_or("", |(_, comment)| comment.trim());
        return Ok((Value::Text(value.trim_end().to_owned()), comment.to_owned()));
    }
    let (value, comment) = text.split_once('/').unwrap_or((text, ""));
    let value = value.trim();
    let parsed = match value {
        "" => Value::Undefined,
        "T" => Value::Logical(true),
        "F" => Value::Logical(false),
        _ if value.starts_with('(') => Value::Free(value.to_owned()),
        _ => number(value).ok_or("the value is no string, number or T/F")?,
    };
    Ok((parsed, comment.trim().to_owned()))
}

fn number(text: &str) -> Option<Value> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.EeDd".contains(&b)) {
        return None;
    }
    if let Ok(n) = text.parse() {
        return Some(Value::Integer(n));
    }
    text.replace(['D', 'd'], "E").parse().ok().map(Value::Real)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cards: &[&str]) -> Result<Header, FitsError> {
        let bytes: Vec<u8> = cards.iter().flat_map(|card| format!("{card:80}").into_bytes()).collect();
        Header::parse(&bytes, 3)
    }

    #[test]
    fn values_of_every_type_are_read() {
        let cases = [
            ("A       =                    T / yes", Value::Logical(true)),
            ("A       = F", Value::Logical(false)),
            ("A       =                  -42", Value::Integer(-42)),
            ("A       =               1.5D+3", Value::Real(1500.0)),
            ("A       =                  -.5", Value::Real(-0.5)),
            ("A       = 'it''s / here  '     / not in it", Value::Text("it's / here".into())),
            ("A       = ''", Value::Text(String::new())),
            ("A       =                      / blank", Value::Undefined),
            ("A       = (1.0, 2.0)", Value::Free("(1.0, 2.0)".into())),
            ("A       = 123456789012345678901234567890", Value::Real(123456789012345678901234567890.0)),
        ];
        for (card, expected) in cases {
            assert_eq!(header(&[card]).unwrap().get("A"), Some(&expected), "{card}");
        }
        let long = header(&["HIERARCH ESO DET NAME = 'x' / c"]).unwrap();
        assert_eq!(long.get("ESO DET NAME"), Some(&Value::Text("x".into())));
    }

    #[test]
    fn a_string_goes_on_over_continue_cards() {
        let cards = ["A       = 'one &'", "CONTINUE  'two ''&'", "CONTINUE  'three' / why", "B       = 1"];
        let header = header(&cards).unwrap();
        assert_eq!(header.text("A").unwrap(), Some("one two 'three"));
        assert_eq!(header.integer("B").unwrap(), Some(1));
        assert_eq!(header.cards.len(), 2);
    }

    #[test]
    fn a_bad_card_is_named() {
        let cases = [
            ("A       = 'open", "HDU 3, card 1 `A       = 'open`: the string has no closing quote"),
            ("a b     = 1", "HDU 3, card 1 `a b     = 1`: the keyword has characters other than A-Z 0-9 - _"),
            ("A       = one", "HDU 3, card 1 `A       = one`: the value is no string, number or T/F"),
            ("A       = é", "HDU 3, card 1 `A       = é`: it is not ASCII"),
        ];
        for (card, expected) in cases {
            // One byte less of padding for each byte beyond ASCII.
            let mut bytes = format!("{card:80}").into_bytes();
            bytes.truncate(80);
            assert_eq!(Header::parse(&bytes, 3).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        let header = header(&["NAXIS   = 'two'"]).unwrap();
        assert_eq!(
            header.integer("NAXIS").unwrap_err().to_string(),
            "HDU 3: NAXIS is 'two', expected an integer"
        );
        assert_eq!(header.count("BITPIX", 9).unwrap_err().to_string(), "HDU 3: keyword BITPIX is missing");
    }
}
