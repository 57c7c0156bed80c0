//! Density of points on a grid and closed contours around stated fractions of it.

/// A density on cells of the unit square, `nx` by `ny`, row after row.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub nx: usize,
    pub ny: usize,
    pub cells: Vec<f64>,
}

impl Grid {
    /// Counts points given in the unit square; those outside are left out.
    pub fn count(points: impl Iterator<Item = (f64, f64, f64)>, nx: usize, ny: usize) -> Self {
        let mut cells = vec![0.0; nx * ny];
        for (x, y, weight) in points {
            if (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y) {
                let i = ((x * nx as f64) as usize).min(nx - 1);
                let j = ((y * ny as f64) as usize).min(ny - 1);
                cells[j * nx + i] += weight;
            }
        }
        Self { nx, ny, cells }
    }

    /// Smooths by a Gaussian of so many cells along x and y, reflected at the edges so that a density
    /// cut off by a prior keeps its height there.
    pub fn smooth(mut self, (sigma_x, sigma_y): (f64, f64)) -> Self {
        let (nx, ny) = (self.nx, self.ny);
        let mut line = vec![0.0; nx.max(ny)];
        for j in 0..ny {
            line[..nx].copy_from_slice(&self.cells[j * nx..(j + 1) * nx]);
            self.cells[j * nx..(j + 1) * nx].copy_from_slice(&smooth(&line[..nx], sigma_x));
        }
        for i in 0..nx {
            for (j, value) in line.iter_mut().enumerate().take(ny) {
                *value = self.cells[j * nx + i];
            }
            for (j, value) in smooth(&line[..ny], sigma_y).into_iter().enumerate() {
                self.cells[j * nx + i] = value;
            }
        }
        self
    }

    /// The density above which the grid holds a fraction `mass` of its sum.
    pub fn level(&self, mass: f64) -> f64 {
        let mut sorted = self.cells.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let total: f64 = sorted.iter().sum();
        let mut sum = 0.0;
        for value in sorted {
            sum += value;
            if sum >= mass * total {
                return value;
            }
        }
        0.0
    }

    /// Closed outlines, in the unit square, of where the density exceeds `level`; the dense side is
    /// on the left of each (marching squares on a grid framed by zeros).
    pub fn outlines(&self, level: f64) -> Vec<Vec<(f64, f64)>> {
        let (nx, ny) = (self.nx as i64, self.ny as i64);
        let value = |i: i64, j: i64| {
            if i < 0 || j < 0 || i >= nx || j >= ny { 0.0 } else { self.cells[(j * nx + i) as usize] }
        };
        // A node at the edge of the square stands for the frame of zeros.
        let position = |i: i64, n: i64| ((i as f64 + 0.5) / n as f64).clamp(0.0, 1.0);
        let crossing = |a: (i64, i64), b: (i64, i64)| {
            let (va, vb) = (value(a.0, a.1), value(b.0, b.1));
            let t = if va == vb { 0.5 } else { ((level - va) / (vb - va)).clamp(0.0, 1.0) };
            let (xa, xb) = (position(a.0, nx), position(b.0, nx));
            let (ya, yb) = (position(a.1, ny), position(b.1, ny));
            (xa + t * (xb - xa), ya + t * (yb - ya))
        };
        // Each crossed edge is named by its lower node and direction, and starts one segment.
        let mut next = std::collections::BTreeMap::new();
        let mut at = std::collections::BTreeMap::new();
        for j in -1..ny {
            for i in -1..nx {
                let nodes = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
                let edges = [(i, j, 0), (i + 1, j, 1), (i, j + 1, 0), (i, j, 1)];
                let above = nodes.map(|(i, j)| value(i, j) > level);
                // Walking round the cell, the outline leaves through an edge that goes from above
                // to below and enters through one that goes from below to above.
                let mut enters = Vec::new();
                let mut leaves = Vec::new();
                for (a, &edge) in edges.iter().enumerate() {
                    let b = (a + 1) % 4;
                    if above[a] != above[b] {
                        at.entry(edge).or_insert_with(|| crossing(nodes[a], nodes[b]));
                        if above[a] { leaves.push((a, edge)) } else { enters.push((a, edge)) }
                    }
                }
                for &(k, from) in &leaves {
                    // In a saddle, pair each start with the next end round the cell.
                    let to = enters.iter().min_by_key(|(m, _)| (m + 4 - k) % 4);
                    if let Some(&(_, to)) = to {
                        next.insert(from, to);
                    }
                }
            }
        }
        let mut outlines = Vec::new();
        while let Some((&start, _)) = next.iter().next() {
            let mut outline = Vec::new();
            let mut edge = start;
            while let Some(to) = next.remove(&edge) {
                outline.extend(at.get(&edge).copied());
                edge = to;
            }
            outlines.push(outline);
        }
        outlines
    }
}

/// A line of values smoothed by a Gaussian of `sigma` cells, reflected at both ends.
pub(super) fn smooth(values: &[f64], sigma: f64) -> Vec<f64> {
    let n = values.len() as i64;
    let reach = (4.0 * sigma).ceil() as i64;
    let kernel: Vec<f64> = (-reach..=reach).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect();
    let norm: f64 = kernel.iter().sum();
    let reflect = |i: i64| {
        let i = i.rem_euclid(2 * n);
        (if i < n { i } else { 2 * n - 1 - i }) as usize
    };
    (0..n)
        .map(|i| kernel.iter().zip(-reach..).map(|(w, k)| w * values[reflect(i + k)]).sum::<f64>() / norm)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(n: usize, sigma: f64) -> Grid {
        let at = |i: usize| ((i as f64 + 0.5) / n as f64 - 0.5) / sigma;
        let cells = (0..n * n).map(|k| (-0.5 * (at(k % n).powi(2) + at(k / n).powi(2))).exp()).collect();
        Grid { nx: n, ny: n, cells }
    }

    #[test]
    fn contour_of_a_gaussian_has_the_radius_of_its_mass() {
        let grid = gaussian(80, 0.1);
        for (mass, radius) in [(0.68_f64, 0.1509_f64), (0.95, 0.2448)] {
            let outlines = grid.outlines(grid.level(mass));
            assert_eq!(outlines.len(), 1);
            for (x, y) in &outlines[0] {
                let r = (x - 0.5).hypot(y - 0.5);
                assert!((r - radius).abs() < 0.004, "{mass}: {r} for {radius}");
            }
        }
    }

    #[test]
    fn a_hole_runs_the_other_way_round() {
        let mut grid = gaussian(60, 0.15);
        let middle = grid.cells.clone();
        for (cell, value) in grid.cells.iter_mut().zip(middle) {
            *cell = value * (1.0 - value);
        }
        let area = |outline: &Vec<(f64, f64)>| {
            let n = outline.len();
            (0..n)
                .map(|i| {
                    let (a, b) = (outline[i], outline[(i + 1) % n]);
                    a.0 * b.1 - b.0 * a.1
                })
                .sum::<f64>()
        };
        let outlines = grid.outlines(0.1);
        assert_eq!(outlines.len(), 2);
        assert!(area(&outlines[0]) * area(&outlines[1]) < 0.0);
    }

    #[test]
    fn smoothing_keeps_the_sum_and_a_flat_density_flat() {
        let flat = smooth(&[2.0; 30], 1.5);
        assert!(flat.iter().all(|v| (v - 2.0).abs() < 1e-12));
        let mut spike = vec![0.0; 30];
        spike[0] = 1.0;
        assert!((smooth(&spike, 2.0).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
