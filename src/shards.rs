//! Many machines: which shard a galaxy falls into, how full shards are, and what a run of them takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::ContentHash;

/// More would be files of a few galaxies each.
pub const MOST_SHARDS: u32 = 1_000_000;

/// One of several shards; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardOf {
    pub index: u32,
    pub of: u32,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no shard: expected I/N, such as 3/8, with I from 1 to N and N at most {MOST_SHARDS}")]
pub struct ShardError(String);

impl FromStr for ShardOf {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let wrong = || ShardError(text.to_owned());
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let (index, of) = (index.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if index == 0 || index > of || of > MOST_SHARDS {
            return Err(wrong());
        }
        Ok(Self { index, of })
    }
}

impl fmt::Display for ShardOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl ShardOf {
    /// Name of its file: `shard-0003-of-0008.db`, so that a folder lists them in order.
    pub fn file_name(self) -> String {
        format!("shard-{:04}-of-{:04}.db", self.index, self.of)
    }

    /// True for galaxies that fall into it.
    pub fn holds(self, stream: u64) -> bool {
        shard_of(stream, self.of) == self.index
    }
}

/// The random stream of a galaxy: the same in every catalog that holds it.
pub fn stream_of(survey: &str, object_id: &str) -> u64 {
    let hash = ContentHash::of_parts([survey.as_bytes(), object_id.as_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The shard, 1 to `n`, of a galaxy with that random stream.
///
/// It depends on the galaxy alone, so shards are the same whatever else is selected, in which order galaxies came
/// and on which machine; and hard galaxies spread evenly. Sizes scatter as Poisson's.
pub fn shard_of(stream: u64, n: u32) -> u32 {
    // The high half of the product maps the stream's range evenly onto 0 .. n.
    ((u128::from(stream) * u128::from(n)) >> 64) as u32 + 1
}

/// The galaxies of a shard in short: how many, and a number that changes with any of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub galaxies: u64,
    pub fingerprint: u64,
}

impl Members {
    /// Counts a galaxy in, in any order.
    pub fn add(&mut self, stream: u64) {
        self.galaxies += 1;
        // Sums of hashes, as those of sums would tell fewer sets apart.
        let mixed = ContentHash::of_bytes(&stream.to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&mixed.as_bytes()[..8]);
        self.fingerprint = self.fingerprint.wrapping_add(u64::from_le_bytes(first));
    }
}

/// What one galaxy and one shard cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// Core-seconds to answer a galaxy.
    pub core_s_per_galaxy: f64,
    /// Seconds until a shard's first galaxy.
    pub start_s: f64,
    /// Bytes of a galaxy's answer, and of its photometry in a shard.
    pub answer_bytes: f64,
    pub input_bytes: f64,
    /// Bytes of a shard without galaxies: the checkpoint, mostly.
    pub shard_bytes: f64,
    /// Galaxies merged per second.
    pub merged_per_s: f64,
}

/// How the work is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Layout {
    pub galaxies: u64,
    pub shards: u64,
    /// Cores of one shard, and shards at work at once.
    pub cores: u64,
    pub at_once: u64,
}

/// What the whole takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub core_hours: f64,
    pub hours_per_shard: f64,
    /// Until the last shard is there, `at_once` of them at a time.
    pub hours: f64,
    pub merge_hours: f64,
    pub files: u64,
    pub galaxies_per_shard: f64,
    pub gb_per_shard: f64,
    pub gb_shards: f64,
    /// What the merged catalog grows by.
    pub gb_merged: f64,
}

impl Layout {
    /// Hours, files and gigabytes (1e9 bytes) at these rates.
    pub fn estimate(&self, rates: &Rates) -> Estimate {
        let (galaxies, shards) = (self.galaxies as f64, self.shards.max(1) as f64);
        let (cores, at_once) = (self.cores.max(1) as f64, self.at_once.max(1) as f64);
        let per_shard = galaxies / shards;
        let shard_s = rates.start_s + per_shard * rates.core_s_per_galaxy / cores;
        let gb_per_shard = (rates.shard_bytes + per_shard * (rates.answer_bytes + rates.input_bytes)) * 1e-9;
        Estimate {
            core_hours: shard_s * cores * shards / 3600.0,
            hours_per_shard: shard_s / 3600.0,
            hours: (shards / at_once.min(shards)).ceil() * shard_s / 3600.0,
            merge_hours: galaxies / rates.merged_per_s / 3600.0,
            files: self.shards,
            galaxies_per_shard: per_shard,
            gb_per_shard,
            gb_shards: gb_per_shard * shards,
            gb_merged: galaxies * rates.answer_bytes * 1e-9,
        }
    }
}

/// Numbers as Slurm's `--array` takes them: `1-3,7,9-10`. They must ascend.
pub fn ranges(indices: &[u32]) -> String {
    let mut text = String::new();
    let mut i = 0;
    while i < indices.len() {
        let mut end = i;
        while end + 1 < indices.len() && indices[end + 1] == indices[end] + 1 {
            end += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text += &match end - i {
            0 => indices[i].to_string(),
            _ => format!("{}-{}", indices[i], indices[end]),
        };
        i = end + 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_galaxy_is_in_one_shard_and_shards_are_alike() {
        let n = 7;
        let mut sizes = vec![0_u32; n as usize];
        for i in 0..70_000 {
            let stream = stream_of("nsa", &i.to_string());
            let holding: Vec<u32> = (1..=n).filter(|&index| ShardOf { index, of: n }.holds(stream)).collect();
            assert_eq!(holding, [shard_of(stream, n)]);
            sizes[shard_of(stream, n) as usize - 1] += 1;
        }
        // five standard deviations of a binomial number
        assert!(sizes.iter().all(|&size| (f64::from(size) - 10_000.0).abs() < 5.0 * 93.0), "{sizes:?}");
        assert_eq!((shard_of(0, n), shard_of(u64::MAX, n)), (1, n));
    }

    #[test]
    fn a_shard_is_written_as_it_is_read() {
        let shard: ShardOf = "3/8".parse().unwrap();
        assert_eq!((shard, shard.to_string().as_str()), (ShardOf { index: 3, of: 8 }, "3/8"));
        assert_eq!(shard.file_name(), "shard-0003-of-0008.db");
        for wrong in ["", "3", "0/8", "9/8", "a/8", "3/", "-1/8", "1/1000001", "3/8/9"] {
            assert!(wrong.parse::<ShardOf>().unwrap_err().to_string().contains("3/8"), "{wrong}");
        }
    }

    #[test]
    fn members_tell_sets_apart_but_not_their_order() {
        let of = |streams: &[u64]| {
            let mut members = Members::default();
            streams.iter().for_each(|&stream| members.add(stream));
            members
        };
        assert_eq!(of(&[1, 2, 3]), of(&[3, 1, 2]));
        assert_ne!(of(&[1, 2, 3]), of(&[1, 2, 4]));
        assert_ne!(of(&[1, 4]), of(&[2, 3]));
    }

    #[test]
    fn an_estimate_is_rates_times_galaxies() {
        let rates = Rates {
            core_s_per_galaxy: 0.36,
            start_s: 0.0,
            answer_bytes: 1000.0,
            input_bytes: 0.0,
            shard_bytes: 0.0,
            merged_per_s: 1000.0,
        };
        let layout = Layout { galaxies: 3_600_000, shards: 100, cores: 10, at_once: 30 };
        let estimate = layout.estimate(&rates);
        assert!((estimate.core_hours - 360.0).abs() < 1e-9);
        assert!((estimate.hours_per_shard - 0.36).abs() < 1e-12);
        // 100 shards, 30 at once, are four rounds
        assert!((estimate.hours - 4.0 * 0.36).abs() < 1e-12);
        assert!((estimate.merge_hours - 1.0).abs() < 1e-12);
        assert!((estimate.gb_shards - 3.6).abs() < 1e-9 && (estimate.gb_merged - 3.6).abs() < 1e-9);
        assert_eq!(estimate.files, 100);
    }

    #[test]
    fn numbers_join_to_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
    }
}
