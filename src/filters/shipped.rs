//! The curves embedded in the program, in the order a list shows them.

use super::{Filter, FilterError, FilterProblem, Stated};
use crate::hash::ContentHash;

macro_rules! curves {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../filters/", $name, ".ecsv")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = curves! {
    "galex-fuv" "galex-nuv"
    "sdss2010-u" "sdss2010-g" "sdss2010-r" "sdss2010-i" "sdss2010-z"
    "decam2014-u" "decam2014-g" "decam2014-r" "decam2014-i" "decam2014-z" "decam2014-Y"
    "decamDR1-g" "decamDR1-r" "decamDR1-i" "decamDR1-z" "decamDR1-Y"
    "BASS-g" "BASS-r" "MzLS-z"
    "panstarrs-g" "panstarrs-r" "panstarrs-i" "panstarrs-z" "panstarrs-y"
    "hsc2017-g" "hsc2017-r" "hsc2017-r2" "hsc2017-i" "hsc2017-i2" "hsc2017-z" "hsc2017-y"
    "lsst2016-u" "lsst2016-g" "lsst2016-r" "lsst2016-i" "lsst2016-z" "lsst2016-y"
    "lsst2023-u" "lsst2023-g" "lsst2023-r" "lsst2023-i" "lsst2023-z" "lsst2023-y"
    "Euclid-VIS" "Euclid-Y" "Euclid-J" "Euclid-H"
    "twomass-J" "twomass-H" "twomass-Ks"
    "wise2010-W1" "wise2010-W2" "wise2010-W3" "wise2010-W4"
};

/// Names of the shipped bands.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Names of the shipped systems (`sdss2010`), each once.
pub fn shipped_groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> =
        shipped_names().filter_map(|name| name.rsplit_once('-')).map(|(group, _)| group).collect();
    groups.dedup();
    groups
}

/// The shipped band of that name; the error names the nearest one.
pub fn shipped(name: &str) -> Result<Filter, FilterError> {
    match SHIPPED.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => Filter::from_text(text, name, &Stated::default()),
        None => Err(FilterProblem::Unknown { known: SHIPPED.len(), nearest: nearest(name) }.of(name)),
    }
}

/// The shipped band with that curve, whatever it is called elsewhere.
pub fn shipped_of_hash(hash: ContentHash) -> Option<Filter> {
    shipped_names().filter_map(|name| shipped(name).ok()).find(|filter| filter.hash() == hash)
}

/// The shipped name fewest edits away, if a third of the letters or fewer differ.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    if wanted.len() > 64 {
        return None;
    }
    let (distance, best) = shipped_names()
        .map(|known| (edits(&wanted, &known.to_ascii_lowercase()), known))
        .min_by_key(|(d, _)| *d)?;
    (3 * distance <= best.len()).then(|| best.to_owned())
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
