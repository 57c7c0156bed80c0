//! Two methods on the same galaxies: do their draws agree?

use ndarray::ArrayView2;

use super::c2st::c2st;
use super::findings::Measure;
use super::samples::{Difference, quantile};

/// Draws of one galaxy by one method.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Quantities `[k, n]`, one after the other.
    pub columns: &'a [f32],
    /// Coordinates `[n, d]`.
    pub rows: ArrayView2<'a, f32>,
}

/// One galaxy by two methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Accuracy of a classifier over all coordinates; NaN where it has no answer.
    pub c2st: f64,
    /// One per quantity: the first method against the second.
    pub differences: Vec<Difference>,
}

impl Pair {
    /// Compares two sets of draws; the answer depends on them and `seed` alone.
    pub fn of(a: &Sample, b: &Sample, seed: u64) -> Self {
        let flat = |sample: &Sample| -> Vec<f32> { sample.rows.iter().copied().collect() };
        let (n, m) = (a.rows.nrows().max(1), b.rows.nrows().max(1));
        let differences = a.columns.chunks_exact(n).zip(b.columns.chunks_exact(m));
        Self {
            c2st: c2st(&flat(a), &flat(b), a.rows.ncols(), seed).map_or(f64::NAN, |c| c.accuracy),
            differences: differences.map(|(a, b)| Difference::of(a, b)).collect(),
        }
    }

    /// As numbers, `1 + 4 k` of them.
    pub fn to_numbers(&self) -> Vec<f32> {
        let of = |d: &Difference| [d.wasserstein, d.median_shift, d.width_ratio, d.ks];
        std::iter::once(self.c2st).chain(self.differences.iter().flat_map(of)).map(|v| v as f32).collect()
    }

    /// Back from [`Self::to_numbers`].
    pub fn from_numbers(numbers: &[f32]) -> Self {
        let of = |d: &[f32]| Difference {
            wasserstein: f64::from(d[0]),
            median_shift: f64::from(d[1]),
            width_ratio: f64::from(d[2]),
            ks: f64::from(d[3]),
        };
        Self {
            c2st: numbers.first().map_or(f64::NAN, |&v| f64::from(v)),
            differences: numbers.get(1..).unwrap_or_default().chunks_exact(4).map(of).collect(),
        }
    }
}

/// How far apart the two methods are in one quantity: over all galaxies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apart {
    /// Medians over the galaxies of the Wasserstein distance, of the absolute shift of the median (both in
    /// posterior standard deviations) and of the ratio of widths.
    pub wasserstein: f64,
    pub shift: f64,
    pub width_ratio: f64,
    /// 95 % of the galaxies have an absolute shift below this.
    pub shift_95: f64,
}

/// Many galaxies by two methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    pub n: usize,
    /// 16, 50 and 84 % of the galaxies have a classifier's accuracy below.
    pub c2st: [f64; 3],
    /// Fraction of galaxies with an accuracy of at most 0.55.
    pub c2st_within: f64,
    /// In the order of the quantities.
    pub quantities: Vec<Apart>,
}

impl Agreement {
    /// Of at least one galaxy; NaN otherwise. A number that is not finite counts as the worst.
    pub fn of(pairs: &[Pair]) -> Self {
        let sorted = |values: Vec<f64>| {
            let mut values: Vec<f64> =
                values.into_iter().map(|v| if v.is_nan() { f64::INFINITY } else { v }).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let accuracy = sorted(pairs.iter().map(|pair| pair.c2st).collect());
        let within = accuracy.iter().filter(|&&a| a <= 0.55).count() as f64;
        let k = pairs.first().map_or(0, |pair| pair.differences.len());
        let apart = |q: usize| {
            let of = |f: &dyn Fn(&Difference) -> f64| {
                sorted(pairs.iter().filter_map(|pair| pair.differences.get(q)).map(f).collect())
            };
            let shift = of(&|d| d.median_shift.abs());
            Apart {
                wasserstein: quantile(&of(&|d| d.wasserstein), 0.5),
                shift: quantile(&shift, 0.5),
                width_ratio: quantile(&of(&|d| d.width_ratio), 0.5),
                shift_95: quantile(&shift, 0.95),
            }
        };
        Self {
            n: pairs.len(),
            c2st: [0.16, 0.5, 0.84].map(|p| quantile(&accuracy, p)),
            c2st_within: within / pairs.len() as f64,
            quantities: (0..k).map(apart).collect(),
        }
    }
}

impl Agreement {
    /// Every number as rows, `metric_METHOD`; `names` are the quantities', `subset` the galaxies'.
    pub fn measures(&self, method: &str, names: &[String], subset: &str) -> Vec<Measure> {
        let measure = |metric: &str, quantity: &str, value: f64, range| Measure {
            metric: format!("{metric}_{method}"),
            quantity: quantity.to_owned(),
            subset: subset.to_owned(),
            value,
            range,
            p_value: None,
        };
        let mut all = vec![
            measure("c2st", "", self.c2st[1], Some((self.c2st[0], self.c2st[2]))),
            measure("c2st_within_055", "", self.c2st_within, None),
        ];
        for (name, q) in names.iter().zip(&self.quantities) {
            all.push(measure("wasserstein", name, q.wasserstein, None));
            all.push(measure("median_shift", name, q.shift, None));
            all.push(measure("median_shift_q95", name, q.shift_95, None));
            all.push(measure("width_ratio", name, q.width_ratio, None));
        }
        all.retain(|m| m.value.is_finite());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Streams, fill_standard_normal};
    use ndarray::Array2;

    fn draws(seed: u64, shift: f32) -> (Vec<f32>, Array2<f32>) {
        let mut columns = vec![0.0; 600];
        fill_standard_normal(&mut Streams::new(seed, "agreement test").at(0), &mut columns);
        columns[..300].iter_mut().for_each(|v| *v += shift);
        let rows = Array2::from_shape_fn((300, 2), |(i, k)| columns[k * 300 + i]);
        (columns, rows)
    }

    fn pair(seed: u64, shift: f32) -> Pair {
        let ((a, a_rows), (b, b_rows)) = (draws(2 * seed, shift), draws(2 * seed + 1, 0.0));
        let a = Sample { columns: &a, rows: a_rows.view() };
        Pair::of(&a, &Sample { columns: &b, rows: b_rows.view() }, seed)
    }

    #[test]
    fn methods_that_agree_are_not_told_apart_and_a_shifted_one_is_in_its_quantity() {
        let same = Agreement::of(&(0..8).map(|seed| pair(seed, 0.0)).collect::<Vec<_>>());
        assert!((same.c2st[1] - 0.5).abs() < 0.04 && same.c2st_within > 0.7, "{same:?}");
        assert!(same.quantities.iter().all(|q| q.shift < 0.12 && (q.width_ratio - 1.0).abs() < 0.1));
        let off = Agreement::of(&(0..8).map(|seed| pair(seed, 1.0)).collect::<Vec<_>>());
        assert!(off.c2st[0] > 0.6 && off.c2st_within == 0.0, "{off:?}");
        assert!((off.quantities[0].shift - 1.0).abs() < 0.1 && off.quantities[1].shift < 0.15, "{off:?}");
        assert!(off.quantities[0].shift_95 >= off.quantities[0].shift);
    }

    #[test]
    fn a_pair_survives_as_numbers_and_what_is_unknown_is_not_good() {
        let one = pair(3, 0.2);
        let back = Pair::from_numbers(&one.to_numbers());
        assert!((back.c2st - one.c2st).abs() < 1e-6 && back.differences.len() == 2);
        assert!((back.differences[0].median_shift - one.differences[0].median_shift).abs() < 1e-6);
        let unknown = Pair::from_numbers(&[f32::NAN; 9]);
        let found = Agreement::of(&[one, unknown.clone(), unknown]);
        assert!(found.c2st[1].is_infinite() && found.quantities[0].shift.is_infinite(), "{found:?}");
        assert!(Agreement::of(&[]).c2st[1].is_nan());
    }
}
