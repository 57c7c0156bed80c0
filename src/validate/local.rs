//! Subsets of mocks by a covariate: calibration over all can hide opposite errors at either end.

/// Mocks whose covariate lies in a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// The least and the greatest value among its members.
    pub low: f64,
    pub high: f64,
    pub members: Vec<usize>,
}

impl Bin {
    /// The members' entries of a column.
    pub fn pick(&self, column: &[f64]) -> Vec<f64> {
        self.members.iter().filter_map(|&member| column.get(member).copied()).collect()
    }

    /// Its range as a label, `zred 0.012..0.050`, in as many digits as tell it from every other bin.
    pub fn label(&self, name: &str) -> String {
        let width = self.high - self.low;
        if width <= 0.0 {
            return format!("{name} {}..{}", self.low, self.high);
        }
        let apart = 2.0 - width.log10().floor();
        let digits =
            |value: f64| (2.0 - value.abs().max(1e-9).log10().floor()).min(4.0).max(apart).clamp(0.0, 17.0);
        let [low, high] = [self.low, self.high].map(|value| format!("{value:.*}", digits(value) as usize));
        format!("{name} {low}..{high}")
    }
}

/// At most `n_bins` bins of equally many values; those that are not finite are in none.
///
/// Equal values share a bin, so that a covariate of few values has few bins.
pub fn bins(values: &[f64], n_bins: usize) -> Vec<Bin> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    let n = order.len();
    let mut bins = Vec::new();
    let mut from = 0;
    for bin in 1..=n_bins {
        let mut to = (n * bin / n_bins).max(from);
        while to > from && to < n && values[order[to]] == values[order[to - 1]] {
            to += 1;
        }
        if to > from {
            let members = order[from..to].to_vec();
            bins.push(Bin { low: values[order[from]], high: values[order[to - 1]], members });
            from = to;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_of_equal_size_and_hold_every_finite_value_once() {
        let values: Vec<f64> = (0..103).map(|i| f64::from((i * 37) % 103)).chain([f64::NAN]).collect();
        let bins = bins(&values, 4);
        assert_eq!(bins.len(), 4);
        let mut all: Vec<usize> = bins.iter().flat_map(|bin| bin.members.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert!(bins.iter().all(|bin| (25..=26).contains(&bin.members.len())));
        assert!(bins.windows(2).all(|pair| pair[0].high < pair[1].low));
        assert_eq!(bins[0].pick(&values).iter().copied().fold(0.0, f64::max), bins[0].high);
    }

    #[test]
    fn equal_values_are_not_torn_apart() {
        let found = bins(&[1.0, 1.0, 1.0, 1.0, 2.0], 5);
        assert_eq!(found.iter().map(|bin| bin.members.len()).collect::<Vec<_>>(), [4, 1]);
        assert!(bins(&[f64::NAN], 3).is_empty() && bins(&[], 3).is_empty());
        assert_eq!(bins(&[0.0123, 0.2], 1)[0].label("zred"), "zred 0.0123..0.200");
        assert_eq!(bins(&[17.31, 123.4], 1)[0].label("snr"), "snr 17.3..123");
        let close = [0.05, 0.050_000_1, 0.050_000_2, 0.050_000_3, 0.06];
        for n_bins in 1..=5 {
            let labels: Vec<String> = bins(&close, n_bins).iter().map(|bin| bin.label("zred")).collect();
            assert!((1..labels.len()).all(|i| !labels[i..].contains(&labels[i - 1])), "{labels:?}");
        }
    }
}
