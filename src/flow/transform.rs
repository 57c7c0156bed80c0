//! The map of one coordinate for a row of examples: affine, or affine and then a monotone
//! rational-quadratic spline (Durkan et al. 2019, arXiv:1906.04032), with derivatives and inverse.
//!
//! Parameters come as rows: scale, shift, then for a spline of K bins K width logits, K height
//! logits and K - 1 inner knot derivatives. All zero is the identity for the spline transform.

// Loops run over columns of many rows at once; iterators over ten rows would say less.
#![allow(clippy::needless_range_loop)]

use multiversion::multiversion;

use super::buffer::Buffer;
use super::config::Transform;
use crate::vmath;

/// Narrowest bin and least slope of a spline, as fractions of the whole and absolute.
const MIN_BIN: f32 = 1e-3;
const MIN_SLOPE: f32 = 1e-3;
/// `softplus(SLOPE_OFFSET) + MIN_SLOPE = 1`.
const SLOPE_OFFSET: f32 = 0.539_742_4;
/// The log scale of the affine map stays within this, so that no step can blow up a density.
const MAX_LOG_SCALE: f32 = 8.0;
/// Least scale of the plain affine transform.
const MIN_SCALE: f32 = 1e-3;

/// Working rows for one coordinate.
#[derive(Default)]
pub(crate) struct Scratch {
    rows: Buffer,
}

const SCRATCH_ROWS: usize = 9;

impl Scratch {
    fn rows(&mut self, n: usize) -> [&mut [f32]; SCRATCH_ROWS] {
        if self.rows.len() < SCRATCH_ROWS * n {
            self.rows.resize(SCRATCH_ROWS * n);
        }
        let mut rest = &mut self.rows[..SCRATCH_ROWS * n];
        std::array::from_fn(|_| {
            let (row, tail) = std::mem::take(&mut rest).split_at_mut(n);
            rest = tail;
            row
        })
    }
}

/// Log scale and its derivative with respect to the network's output.
#[inline(always)]
fn soft_clamp(a: f32) -> (f32, f32) {
    let r = 1.0 / (1.0 + a.abs() * (1.0 / MAX_LOG_SCALE));
    (a * r, r * r)
}

/// `z = T(y)` and `ln_det += ln T'(y)`, over columns. Leaves in `params` what [`backward`] needs.
pub(crate) fn forward(
    transform: Transform,
    params: &mut [f32],
    y: &[f32],
    z: &mut [f32],
    ln_det: &mut [f32],
    scratch: &mut Scratch,
) {
    match transform {
        Transform::Affine => affine_forward(params, y, z, ln_det),
        Transform::AffineSpline { bins, tail_bound } => {
            spline_forward(bins, tail_bound, params, y, z, ln_det, scratch.rows(y.len()))
        }
    }
}

/// From the gradients by `z` (`dz`) and by `ln_det` (`dl`), that by `y`; `params`, as [`forward`]
/// left them, become their own gradient.
pub(crate) fn backward(
    transform: Transform,
    params: &mut [f32],
    y: &[f32],
    dz: &[f32],
    dl: &[f32],
    dy: &mut [f32],
    scratch: &mut Scratch,
) {
    match transform {
        Transform::Affine => affine_backward(params, y, dz, dl, dy),
        Transform::AffineSpline { bins, tail_bound } => {
            spline_backward(bins, tail_bound, params, y, dz, dl, dy, scratch.rows(y.len()))
        }
    }
}

/// `y = T^-1(z)` and `ln_det += ln T'(y)`; `params` are overwritten.
pub(crate) fn inverse(
    transform: Transform,
    params: &mut [f32],
    z: &[f32],
    y: &mut [f32],
    ln_det: &mut [f32],
    scratch: &mut Scratch,
) {
    match transform {
        Transform::Affine => affine_inverse(params, z, y, ln_det),
        Transform::AffineSpline { bins, tail_bound } => {
            spline_inverse(bins, tail_bound, params, z, y, ln_det, scratch.rows(z.len()))
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn affine_forward(params: &[f32], y: &[f32], z: &mut [f32], ln_det: &mut [f32]) {
    let n = y.len();
    let (a, b) = (&params[..n], &params[n..2 * n]);
    let (z, ln_det) = (&mut z[..n], &mut ln_det[..n]);
    for c in 0..n {
        let scale = vmath::softplus(a[c]) + MIN_SCALE;
        z[c] = scale * y[c] + b[c];
        ln_det[c] += vmath::ln(scale);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn affine_backward(params: &mut [f32], y: &[f32], dz: &[f32], dl: &[f32], dy: &mut [f32]) {
    let n = y.len();
    let (a, b) = params.split_at_mut(n);
    let (b, dz, dl, dy) = (&mut b[..n], &dz[..n], &dl[..n], &mut dy[..n]);
    for c in 0..n {
        let scale = vmath::softplus(a[c]) + MIN_SCALE;
        dy[c] = dz[c] * scale;
        a[c] = (dz[c] * y[c] + dl[c] / scale) * vmath::sigmoid(a[c]);
        b[c] = dz[c];
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn affine_inverse(params: &[f32], z: &[f32], y: &mut [f32], ln_det: &mut [f32]) {
    let n = z.len();
    let (a, b) = (&params[..n], &params[n..2 * n]);
    let (y, ln_det) = (&mut y[..n], &mut ln_det[..n]);
    for c in 0..n {
        let scale = vmath::softplus(a[c]) + MIN_SCALE;
        y[c] = (z[c] - b[c]) / scale;
        ln_det[c] += vmath::ln(scale);
    }
}

/// Turns the logits in `rows` `[bins, n]` into probabilities; `sum` and `top` are working rows.
#[inline(always)]
fn softmax(bins: usize, n: usize, rows: &mut [f32], top: &mut [f32], sum: &mut [f32]) {
    let (top, sum) = (&mut top[..n], &mut sum[..n]);
    top.copy_from_slice(&rows[..n]);
    for row in rows[n..bins * n].chunks_exact(n) {
        for c in 0..n {
            top[c] = top[c].max(row[c]);
        }
    }
    sum.fill(0.0);
    for row in rows[..bins * n].chunks_exact_mut(n) {
        for c in 0..n {
            let e = vmath::exp(row[c] - top[c]);
            row[c] = e;
            sum[c] += e;
        }
    }
    for s in sum.iter_mut() {
        *s = 1.0 / *s;
    }
    for row in rows[..bins * n].chunks_exact_mut(n) {
        for c in 0..n {
            row[c] *= sum[c];
        }
    }
}

/// The bin a value falls in: left edges, sizes, raw knot slopes, and the bin's number.
struct Bin<'a> {
    xl: &'a mut [f32],
    width: &'a mut [f32],
    yl: &'a mut [f32],
    height: &'a mut [f32],
    left: &'a mut [f32],
    right: &'a mut [f32],
    number: &'a mut [f32],
}

/// Finds for each column the bin of `at`, along x, or along y where `by_height`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn find_bin(
    bins: usize,
    bound: f32,
    params: &[f32],
    at: &[f32],
    by_height: bool,
    bin: &mut Bin,
    edge_x: &mut [f32],
    edge_y: &mut [f32],
) {
    let n = at.len();
    let (widths, rest) = params.split_at(bins * n);
    let (heights, slopes) = rest.split_at(bins * n);
    let floor = 2.0 * bound * MIN_BIN;
    let share = 2.0 * bound * (1.0 - MIN_BIN * bins as f32);
    let (edge_x, edge_y) = (&mut edge_x[..n], &mut edge_y[..n]);
    let (xl, width) = (&mut bin.xl[..n], &mut bin.width[..n]);
    let (yl, height) = (&mut bin.yl[..n], &mut bin.height[..n]);
    let (left, right, number) = (&mut bin.left[..n], &mut bin.right[..n], &mut bin.number[..n]);
    let (w, h) = (&widths[..n], &heights[..n]);
    for c in 0..n {
        xl[c] = -bound;
        yl[c] = -bound;
        width[c] = floor + share * w[c];
        height[c] = floor + share * h[c];
        edge_x[c] = width[c] - bound;
        edge_y[c] = height[c] - bound;
        left[c] = 0.0;
        number[c] = 0.0;
    }
    right.copy_from_slice(&slopes[..n]);
    for k in 1..bins {
        let (w, h) = (&widths[k * n..(k + 1) * n], &heights[k * n..(k + 1) * n]);
        let l = &slopes[(k - 1) * n..k * n];
        let last = k + 1 == bins;
        let r = if last { l } else { &slopes[k * n..(k + 1) * n] };
        let keep = if last { 0.0 } else { 1.0 };
        for c in 0..n {
            let here = at[c] >= if by_height { edge_y[c] } else { edge_x[c] };
            let (wk, hk) = (floor + share * w[c], floor + share * h[c]);
            xl[c] = if here { edge_x[c] } else { xl[c] };
            yl[c] = if here { edge_y[c] } else { yl[c] };
            width[c] = if here { wk } else { width[c] };
            height[c] = if here { hk } else { height[c] };
            left[c] = if here { l[c] } else { left[c] };
            right[c] = if here { keep * r[c] } else { right[c] };
            number[c] = if here { k as f32 } else { number[c] };
            edge_x[c] += wk;
            edge_y[c] += hk;
        }
    }
}

#[inline(always)]
fn slope(raw: f32) -> f32 {
    vmath::softplus(raw + SLOPE_OFFSET) + MIN_SLOPE
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn spline_forward(
    bins: usize,
    bound: f32,
    params: &mut [f32],
    y: &[f32],
    z: &mut [f32],
    ln_det: &mut [f32],
    scratch: [&mut [f32]; SCRATCH_ROWS],
) {
    let n = y.len();
    let (affine, spline) = params.split_at_mut(2 * n);
    let (a, b) = (&affine[..n], &affine[n..2 * n]);
    let (z, ln_det) = (&mut z[..n], &mut ln_det[..n]);
    let [xl, width, yl, height, left, right, number, edge_x, edge_y] = scratch;
    for c in 0..n {
        let (log_scale, _) = soft_clamp(a[c]);
        z[c] = vmath::exp(log_scale) * y[c] + b[c];
        ln_det[c] += log_scale;
    }
    softmax(bins, n, &mut spline[..bins * n], edge_x, edge_y);
    softmax(bins, n, &mut spline[bins * n..2 * bins * n], edge_x, edge_y);
    let mut bin = Bin { xl, width, yl, height, left, right, number };
    find_bin(bins, bound, spline, z, false, &mut bin, edge_x, edge_y);
    let (xl, width) = (&bin.xl[..n], &bin.width[..n]);
    let (yl, height) = (&bin.yl[..n], &bin.height[..n]);
    let (left, right) = (&bin.left[..n], &bin.right[..n]);
    for c in 0..n {
        let v = z[c];
        let inside = v.abs() < bound;
        let at = v.clamp(-bound, bound);
        let (dl, dr) = (slope(left[c]), slope(right[c]));
        let inv_w = 1.0 / width[c];
        let xi = (at - xl[c]) * inv_w;
        let s = height[c] * inv_w;
        let t = xi * (1.0 - xi);
        let den = s + (dl + dr - 2.0 * s) * t;
        let num = s * xi * xi + dl * t;
        let m = dr * xi * xi + 2.0 * s * t + dl * (1.0 - xi) * (1.0 - xi);
        let inv_den = 1.0 / den;
        let value = yl[c] + height[c] * num * inv_den;
        let ratio = s * inv_den;
        let log = vmath::ln(ratio * ratio * m);
        z[c] = if inside { value } else { v };
        ln_det[c] += if inside { log } else { 0.0 };
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
#[allow(clippy::too_many_arguments)]
fn spline_backward(
    bins: usize,
    bound: f32,
    params: &mut [f32],
    y: &[f32],
    dz: &[f32],
    dl: &[f32],
    dy: &mut [f32],
    scratch: [&mut [f32]; SCRATCH_ROWS],
) {
    let n = y.len();
    let (affine, spline) = params.split_at_mut(2 * n);
    let (a, b) = affine.split_at_mut(n);
    let (b, dz, dl, dy) = (&mut b[..n], &dz[..n], &dl[..n], &mut dy[..n]);
    let [xl, width, yl, height, left, right, number, edge_x, edge_y] = scratch;
    // dy holds the spline's argument until the last loop.
    for c in 0..n {
        let (log_scale, _) = soft_clamp(a[c]);
        dy[c] = vmath::exp(log_scale) * y[c] + b[c];
    }
    let mut bin = Bin { xl, width, yl, height, left, right, number };
    find_bin(bins, bound, spline, dy, false, &mut bin, edge_x, edge_y);
    {
        // Each row of the bin becomes the gradient by what it held.
        let (xl, width) = (&mut bin.xl[..n], &mut bin.width[..n]);
        let (yl, height) = (&mut bin.yl[..n], &mut bin.height[..n]);
        let (left, right) = (&mut bin.left[..n], &mut bin.right[..n]);
        for c in 0..n {
            let v = dy[c];
            let inside = v.abs() < bound;
            let at = v.clamp(-bound, bound);
            let (d0, d1) = (slope(left[c]), slope(right[c]));
            let inv_w = 1.0 / width[c];
            let xi = (at - xl[c]) * inv_w;
            let one_xi = 1.0 - xi;
            let s = height[c] * inv_w;
            let t = xi * one_xi;
            let bend = d0 + d1 - 2.0 * s;
            let den = s + bend * t;
            let inv_den = 1.0 / den;
            let num = s * xi * xi + d0 * t;
            let m = d1 * xi * xi + 2.0 * s * t + d0 * one_xi * one_xi;
            let (gz, gl) = (dz[c], dl[c]);
            let q = num * inv_den;
            let g_num = gz * height[c] * inv_den;
            let g_den = -g_num * q - 2.0 * gl * inv_den;
            let g_m = gl / m;
            let g_s = 2.0 * gl / s + g_num * xi * xi + 2.0 * g_m * t + g_den * (1.0 - 2.0 * t);
            let g_d0 = (g_num + g_den) * t + g_m * one_xi * one_xi;
            let g_d1 = g_m * xi * xi + g_den * t;
            let g_t = g_num * d0 + 2.0 * g_m * s + g_den * bend;
            let g_xi = 2.0 * (g_num * s * xi + g_m * (d1 * xi - d0 * one_xi)) + g_t * (one_xi - xi);
            let on = if inside { 1.0 } else { 0.0 };
            let g_x = g_xi * inv_w;
            dy[c] = if inside { g_x } else { gz };
            left[c] = on * g_d0 * vmath::sigmoid(left[c] + SLOPE_OFFSET);
            right[c] = on * g_d1 * vmath::sigmoid(right[c] + SLOPE_OFFSET);
            let g_height = gz * q + g_s * inv_w;
            height[c] = on * g_height;
            width[c] = -on * (g_s * s + g_xi * xi) * inv_w;
            xl[c] = -on * g_x;
            yl[c] = on * gz;
        }
    }
    let (widths, rest) = spline.split_at_mut(bins * n);
    let (heights, slopes) = rest.split_at_mut(bins * n);
    let number = &bin.number[..n];
    let share = 2.0 * bound * (1.0 - MIN_BIN * bins as f32);
    for (rows, edge, size) in [(widths, &*bin.xl, &*bin.width), (heights, &*bin.yl, &*bin.height)] {
        let (edge, size, mean) = (&edge[..n], &size[..n], &mut edge_x[..n]);
        mean.fill(0.0);
        for (k, row) in rows.chunks_exact(n).enumerate() {
            let k = k as f32;
            for c in 0..n {
                let g = if k < number[c] {
                    edge[c]
                } else if k == number[c] {
                    size[c]
                } else {
                    0.0
                };
                mean[c] += row[c] * g;
            }
        }
        for (k, row) in rows.chunks_exact_mut(n).enumerate() {
            let k = k as f32;
            for c in 0..n {
                let g = if k < number[c] {
                    edge[c]
                } else if k == number[c] {
                    size[c]
                } else {
                    0.0
                };
                row[c] *= share * (g - mean[c]);
            }
        }
    }
    let (left, right) = (&bin.left[..n], &bin.right[..n]);
    for (k, row) in slopes[..(bins - 1) * n].chunks_exact_mut(n).enumerate() {
        let k = k as f32;
        for c in 0..n {
            let from_right = if number[c] == k { right[c] } else { 0.0 };
            row[c] = if number[c] == k + 1.0 { left[c] } else { from_right };
        }
    }
    for c in 0..n {
        let (log_scale, slope) = soft_clamp(a[c]);
        let scale = vmath::exp(log_scale);
        let g = dy[c];
        b[c] = g;
        a[c] = (g * y[c] * scale + dl[c]) * slope;
        dy[c] = g * scale;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn spline_inverse(
    bins: usize,
    bound: f32,
    params: &mut [f32],
    z: &[f32],
    y: &mut [f32],
    ln_det: &mut [f32],
    scratch: [&mut [f32]; SCRATCH_ROWS],
) {
    let n = z.len();
    let (affine, spline) = params.split_at_mut(2 * n);
    let (a, b) = (&affine[..n], &affine[n..2 * n]);
    let (y, ln_det) = (&mut y[..n], &mut ln_det[..n]);
    let [xl, width, yl, height, left, right, number, edge_x, edge_y] = scratch;
    softmax(bins, n, &mut spline[..bins * n], edge_x, edge_y);
    softmax(bins, n, &mut spline[bins * n..2 * bins * n], edge_x, edge_y);
    let mut bin = Bin { xl, width, yl, height, left, right, number };
    find_bin(bins, bound, spline, z, true, &mut bin, edge_x, edge_y);
    let (xl, width) = (&bin.xl[..n], &bin.width[..n]);
    let (yl, height) = (&bin.yl[..n], &bin.height[..n]);
    let (left, right) = (&bin.left[..n], &bin.right[..n]);
    for c in 0..n {
        let inside = z[c].abs() < bound;
        let (dl, dr) = (slope(left[c]), slope(right[c]));
        let rise = z[c].clamp(-bound, bound) - yl[c];
        let s = height[c] / width[c];
        let bend = dl + dr - 2.0 * s;
        let qa = height[c] * (s - dl) + rise * bend;
        let qb = height[c] * dl - rise * bend;
        let qc = -s * rise;
        let root = (qb * qb - 4.0 * qa * qc).max(0.0).sqrt();
        let xi = (-2.0 * qc / (qb + root)).clamp(0.0, 1.0);
        let one_xi = 1.0 - xi;
        let t = xi * one_xi;
        let ratio = s / (s + bend * t);
        let m = dr * xi * xi + 2.0 * s * t + dl * one_xi * one_xi;
        let log = vmath::ln(ratio * ratio * m);
        let v = if inside { xl[c] + xi * width[c] } else { z[c] };
        let (log_scale, _) = soft_clamp(a[c]);
        y[c] = (v - b[c]) * vmath::exp(-log_scale);
        ln_det[c] += log_scale + if inside { log } else { 0.0 };
    }
}
