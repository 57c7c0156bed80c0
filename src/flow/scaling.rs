//! Standardisation of columns, part of the flow so that nobody can forget it.

use ndarray::ArrayView2;

/// `(value - shift) / scale` per column.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaling {
    pub fn identity(width: usize) -> Self {
        Self { shift: vec![0.0; width], scale: vec![1.0; width] }
    }

    /// `None` unless both have the same length and every scale is positive and finite.
    pub fn from_parts(shift: Vec<f32>, scale: Vec<f32>) -> Option<Self> {
        let valid = shift.len() == scale.len()
            && shift.iter().all(|v| v.is_finite())
            && scale.iter().all(|v| v.is_finite() && *v > 0.0);
        valid.then_some(Self { shift, scale })
    }

    /// Mean and standard deviation of each column of `table`, and the columns that are constant;
    /// those get scale 1, so that they read as zero.
    pub fn of(table: ArrayView2<f32>) -> (Self, Vec<usize>) {
        let n = table.nrows().max(1) as f64;
        let mut scaling = Self::identity(table.ncols());
        let mut constant = Vec::new();
        for (index, column) in table.columns().into_iter().enumerate() {
            let mean = column.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
            let variance = column.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
            let spread = variance.sqrt() as f32;
            scaling.shift[index] = mean as f32;
            // Rounding leaves a spread of about 1e-8 of the mean in a constant column.
            if spread > 1e-6 * mean.abs() as f32 && spread > f32::MIN_POSITIVE {
                scaling.scale[index] = spread;
            } else {
                constant.push(index);
            }
        }
        (scaling, constant)
    }

    pub fn len(&self) -> usize {
        self.shift.len()
    }

    pub fn is_empty(&self) -> bool {
        self.shift.is_empty()
    }

    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Standardised rows, contiguous `[n, width]`.
    pub(crate) fn standardize(&self, table: ArrayView2<f32>) -> Vec<f32> {
        let mut out = Vec::with_capacity(table.len());
        for row in table.rows() {
            out.extend(
                row.iter().zip(&self.shift).zip(&self.scale).map(|((v, shift), scale)| (v - shift) / scale),
            );
        }
        out
    }

    /// Sum of the logs of the scales: the log density in original units is lower by this.
    pub(crate) fn ln_volume(&self) -> f32 {
        self.scale.iter().map(|scale| crate::vmath::ln(*scale)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn columns_come_out_with_mean_zero_and_spread_one_and_constant_ones_are_named() {
        let table = array![[1.0, 5.1, 1e6], [3.0, 5.1, 1e6 + 1.0]];
        let (scaling, constant) = Scaling::of(table.view());
        assert_eq!(constant, [1, 2]);
        assert_eq!(scaling.standardize(table.view())[..2], [-1.0, 0.0]);
        assert_eq!(scaling.scale(), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn parts_that_cannot_scale_are_refused() {
        assert!(Scaling::from_parts(vec![0.0], vec![1.0, 1.0]).is_none());
        assert!(Scaling::from_parts(vec![0.0], vec![0.0]).is_none());
        assert!(Scaling::from_parts(vec![f32::NAN], vec![1.0]).is_none());
        assert!(Scaling::from_parts(vec![0.0], vec![2.0]).is_some());
    }
}
