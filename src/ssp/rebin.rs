//! Coarser wavelengths for a spectrum, its energy kept.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Stretches of wavelength, each with a step, Angstrom: `91:911:5,911:3541:2`.
#[derive(Debug, Clone, PartialEq)]
pub struct Zones(Vec<Zone>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Zone {
    from_aa: f64,
    to_aa: f64,
    step_aa: f64,
}

#[derive(Debug, Error, PartialEq)]
pub enum RebinError {
    #[error("zone `{found}`: expected FROM:TO:STEP in Angstrom, such as 911:3541:2")]
    Zone { found: String },
    #[error("zone `{found}` starts elsewhere than at {expected} Angstrom, where the one before ends")]
    Gap { found: String, expected: f64 },
    #[error("zones make {found} wavelengths, more than {limit}")]
    TooMany { found: f64, limit: usize },
    #[error("zones reach from {from_aa} to {to_aa} Angstrom, the spectra only from {first_aa} to {last_aa}")]
    Outside { from_aa: f64, to_aa: f64, first_aa: f64, last_aa: f64 },
}

impl FromStr for Zones {
    type Err = RebinError;

    fn from_str(text: &str) -> Result<Self, RebinError> {
        let mut zones: Vec<Zone> = Vec::new();
        for part in text.split(',') {
            let fail = || RebinError::Zone { found: part.to_owned() };
            let numbers: Vec<f64> =
                part.split(':').map(|n| n.trim().parse()).collect::<Result<_, _>>().map_err(|_| fail())?;
            let [from_aa, to_aa, step_aa] = numbers[..] else { return Err(fail()) };
            if !(from_aa > 0.0
                && to_aa > from_aa
                && to_aa.is_finite()
                && step_aa > 0.0
                && step_aa.is_finite())
            {
                return Err(fail());
            }
            if let Some(before) = zones.last()
                && before.to_aa != from_aa
            {
                return Err(RebinError::Gap { found: part.to_owned(), expected: before.to_aa });
            }
            zones.push(Zone { from_aa, to_aa, step_aa });
        }
        let found: f64 = zones.iter().map(|zone| ((zone.to_aa - zone.from_aa) / zone.step_aa).ceil()).sum();
        let limit = super::MAX_SHAPE[2];
        if found >= limit as f64 { Err(RebinError::TooMany { found, limit }) } else { Ok(Self(zones)) }
    }
}

impl fmt::Display for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Zone { from_aa, to_aa, step_aa }) in self.0.iter().enumerate() {
            write!(f, "{}{from_aa}:{to_aa}:{step_aa}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Zones {
    /// The wavelengths, Angstrom, ascending; a zone's last step may be shorter.
    pub fn wave_aa(&self) -> Vec<f64> {
        let mut wave = Vec::new();
        for &Zone { from_aa, to_aa, step_aa } in &self.0 {
            let steps = ((to_aa - from_aa) / step_aa - 1e-6).ceil() as usize;
            wave.extend((0..steps).map(|i| from_aa + i as f64 * step_aa));
        }
        wave.extend(self.0.last().map(|zone| zone.to_aa));
        wave
    }
}

/// Averages a piecewise linear spectrum over the cells around other wavelengths.
///
/// Cells meet halfway between wavelengths, so that the trapezoid rule over the result gives the exact
/// integral of the original from the first to the last wavelength.
#[derive(Debug)]
pub struct Rebin {
    from_aa: Vec<f64>,
    /// Cell edges, `[n + 1]`.
    edges: Vec<f64>,
    /// Original interval each edge lies in.
    interval: Vec<usize>,
}

impl Rebin {
    /// From spectra on `from_aa` to spectra on `to_aa`, both ascending. Errors if the latter reaches further.
    pub fn new(from_aa: &[f64], to_aa: &[f64]) -> Result<Self, RebinError> {
        let ends = |wave: &[f64]| Some((*wave.first()?, *wave.last()?));
        let ((first_aa, last_aa), (from, to)) =
            ends(from_aa).zip(ends(to_aa)).ok_or(RebinError::TooMany { found: 0.0, limit: 0 })?;
        if from < first_aa || to > last_aa {
            return Err(RebinError::Outside { from_aa: from, to_aa: to, first_aa, last_aa });
        }
        let mut edges = vec![from];
        edges.extend(to_aa.windows(2).map(|w| 0.5 * (w[0] + w[1])));
        edges.push(to);
        let last = from_aa.len().saturating_sub(2);
        let interval =
            edges.iter().map(|e| from_aa.partition_point(|w| w <= e).saturating_sub(1).min(last)).collect();
        Ok(Self { from_aa: from_aa.to_vec(), edges, interval })
    }

    /// One spectrum, `[n_from]` to `[n_to]`.
    pub fn apply(&self, spectrum: &[f64]) -> Vec<f64> {
        let wave = &self.from_aa;
        // Integral from the cell's left edge, taken interval by interval so that no large sums cancel.
        let part = |interval: usize, from: f64, to: f64| {
            let (x0, x1, y0, y1) =
                (wave[interval], wave[interval + 1], spectrum[interval], spectrum[interval + 1]);
            let middle = y0 + (y1 - y0) * ((0.5 * (from + to) - x0) / (x1 - x0));
            middle * (to - from)
        };
        let cells = self.edges.windows(2).zip(self.interval.windows(2));
        cells
            .map(|(edge, interval)| {
                let mut sum = 0.0;
                let mut left = edge[0];
                for at in interval[0]..interval[1] {
                    sum += part(at, left, wave[at + 1]);
                    left = wave[at + 1];
                }
                (sum + part(interval[1], left, edge[1])) / (edge[1] - edge[0])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trapezoid(wave: &[f64], y: &[f64]) -> f64 {
        wave.windows(2).zip(y.windows(2)).map(|(w, y)| 0.5 * (w[1] - w[0]) * (y[0] + y[1])).sum()
    }

    #[test]
    fn zones_are_read_written_and_laid_end_to_end() {
        let zones: Zones = "91:101:5,101:104:2".parse().unwrap();
        assert_eq!(zones.wave_aa(), [91.0, 96.0, 101.0, 103.0, 104.0]);
        assert_eq!(zones.to_string(), "91:101:5,101:104:2");
        let error = |text: &str| text.parse::<Zones>().unwrap_err().to_string();
        assert_eq!(error("1:2"), "zone `1:2`: expected FROM:TO:STEP in Angstrom, such as 911:3541:2");
        assert_eq!(error("5:4:1"), "zone `5:4:1`: expected FROM:TO:STEP in Angstrom, such as 911:3541:2");
        assert_eq!(
            error("1:2:1,3:4:1"),
            "zone `3:4:1` starts elsewhere than at 2 Angstrom, where the one before ends"
        );
        assert_eq!(error("1:2:1e-9"), "zones make 1000000000 wavelengths, more than 200000");
    }

    #[test]
    fn a_straight_line_stays_one_inside_a_zone() {
        let wave: Vec<f64> = (0..101).map(f64::from).map(|i| 1000.0 + i).collect();
        let line: Vec<f64> = wave.iter().map(|w| 3.0 * w - 7.0).collect();
        let to: Vec<f64> = (0..11).map(f64::from).map(|i| 1000.0 + 10.0 * i).collect();
        let out = Rebin::new(&wave, &to).unwrap().apply(&line);
        for i in 1..10 {
            assert!((out[i] - (3.0 * to[i] - 7.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn wavelengths_beyond_the_spectrum_are_refused() {
        let error = Rebin::new(&[10.0, 20.0], &[5.0, 15.0]).unwrap_err().to_string();
        assert_eq!(error, "zones reach from 5 to 15 Angstrom, the spectra only from 10 to 20");
    }

    proptest! {
        #[test]
        fn energy_is_kept_whatever_the_wavelengths(
            steps in prop::collection::vec((0.1f64..5.0, 0.0f64..1.0), 3..60),
            parts in prop::collection::vec(0.01f64..1.0, 1..20),
        ) {
            let mut at = 100.0;
            let (wave, y): (Vec<f64>, Vec<f64>) = steps.iter().map(|(step, y)| { at += step; (at, *y) }).unzip();
            let (first, last) = (wave[0], wave[wave.len() - 1]);
            let total: f64 = parts.iter().sum();
            let mut to = vec![first];
            let mut sum = 0.0;
            for part in &parts[..parts.len() - 1] {
                sum += part;
                to.push(first + (last - first) * sum / total);
            }
            to.push(last);
            let out = Rebin::new(&wave, &to).unwrap().apply(&y);
            prop_assert!((trapezoid(&to, &out) / trapezoid(&wave, &y).max(1e-12) - 1.0).abs() < 1e-9);
            prop_assert!(out.iter().all(|v| *v >= 0.0));
        }
    }
}
