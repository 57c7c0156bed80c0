//! Names and texts that a format cannot hold, mapped to such as it can.

use std::collections::BTreeSet;

use super::fields::{Field, Kind};

/// What names a format takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Any text.
    Any,
    /// Printable ASCII; names may not differ in case alone.
    Ascii,
    /// Any but control characters; names may not differ in case alone.
    Xml,
    /// Letters, digits and `_`.
    Word,
}

/// Gives every field a name of the alphabet, noting the one it had. Returns (old, new) of those changed.
pub fn fit(fields: &mut [Field], alphabet: Alphabet) -> Vec<(String, String)> {
    let mut taken = BTreeSet::new();
    let mut changed = Vec::new();
    for field in fields {
        let legal = |c: char| match alphabet {
            Alphabet::Any => true,
            Alphabet::Ascii => c.is_ascii_graphic() || c == ' ',
            Alphabet::Xml => !c.is_control() && !('\u{fffe}'..='\u{ffff}').contains(&c),
            Alphabet::Word => c.is_ascii_alphanumeric() || c == '_',
        };
        let mut name: String = field.name.chars().map(|c| if legal(c) { c } else { '_' }).collect();
        // Readers strip blanks at the ends.
        if alphabet != Alphabet::Any && name.trim() != name || name.is_empty() {
            name = format!("_{}_", name.trim());
        }
        let key = |name: &str| if alphabet == Alphabet::Any { name.to_owned() } else { name.to_lowercase() };
        let stem = name.clone();
        let mut n = 2;
        while !taken.insert(key(&name)) {
            name = format!("{stem}_{n}");
            n += 1;
        }
        if name != field.name {
            let old = std::mem::replace(&mut field.name, name.clone());
            field.notes.name.get_or_insert(old.clone());
            changed.push((old, name));
        }
    }
    changed
}

/// Marks the text columns whose values must be percent-encoded: those with blanks at an end, which readers strip,
/// and where `ascii` is all that a format holds, those of more than printable ASCII.
pub fn mark_encoded(fields: &mut [Field], ascii: bool) {
    for field in fields {
        if let Kind::Text { bytes, plain, blanks } = field.kind
            && (blanks || ascii && !plain)
        {
            field.notes.encoded = true;
            field.kind = Kind::Text { bytes: 3 * bytes, plain: true, blanks: false };
        }
    }
}

/// Printable ASCII of a text: every other byte of its UTF-8, `%`, and a blank at either end as `%41`.
pub fn percent_encode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut encoded = String::with_capacity(bytes.len());
    for (i, &byte) in bytes.iter().enumerate() {
        let at_end = byte == b' ' && (i == 0 || i + 1 == bytes.len());
        if (0x20..0x7f).contains(&byte) && byte != b'%' && !at_end {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The inverse; what is no encoding is left as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                i += 3;
            }
            None => {
                decoded.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_changed_only_where_they_must_be_and_stay_apart() {
        let named = |names: &[&str]| -> Vec<Field> {
            names.iter().map(|name| Field::new(*name, Kind::Int, "x")).collect()
        };
        let mut fields = named(&["a", "größe", "gr__e", "A", " b", "FLUX[2]"]);
        let changed = fit(&mut fields, Alphabet::Ascii);
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a", "gr__e", "gr__e_2", "A_2", "_b_", "FLUX[2]"]);
        assert_eq!(changed.len(), 4);
        assert_eq!(fields[1].notes.name.as_deref(), Some("größe"));
        let mut fields = named(&["a", "größe", "A", "\u{1b}[1m"]);
        assert!(fit(&mut fields, Alphabet::Any).is_empty());
        assert_eq!(fit(&mut fields, Alphabet::Xml).len(), 2);
        assert_eq!(fields[1].name, "größe");
    }

    #[test]
    fn encoding_is_undone() {
        for text in ["plain", "100 %", "%41", " blank ", "\u{1b}[31mé\n", "", "日本"] {
            let encoded = percent_encode(text);
            assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b)) && encoded.trim() == encoded);
            assert_eq!(percent_decode(&encoded), text);
        }
        assert_eq!(percent_decode("50 % of é%"), "50 % of é%");
    }
}
