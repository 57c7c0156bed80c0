//! Places on the sky: angles between them and the HEALPix cells that index them.
//!
//! HEALPix, nested scheme (Gorski et al. 2005, ApJ 622, 759). The catalog stores the cell of order 29,
//! which is the order of HATS and of the IVOA's MOC; all galaxies of a coarser cell have consecutive numbers.

use std::f64::consts::{FRAC_PI_2, PI};
use std::ops::RangeInclusive;

/// The finest order: cells of 0.4 milliarcseconds.
pub const MAX_ORDER: u32 = 29;

/// Unit vector of a direction given in degrees.
pub fn unit_vector(ra_deg: f64, dec_deg: f64) -> [f64; 3] {
    let (sin_ra, cos_ra) = ra_deg.to_radians().sin_cos();
    let (sin_dec, cos_dec) = dec_deg.to_radians().sin_cos();
    [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec]
}

/// Angle between two directions, degrees; accurate at all separations (Vincenty's formula).
pub fn separation_deg(ra1_deg: f64, dec1_deg: f64, ra2_deg: f64, dec2_deg: f64) -> f64 {
    let (sin_d, cos_d) = (ra2_deg - ra1_deg).to_radians().sin_cos();
    let (sin_1, cos_1) = dec1_deg.to_radians().sin_cos();
    let (sin_2, cos_2) = dec2_deg.to_radians().sin_cos();
    let across = (cos_2 * sin_d).hypot(cos_1 * sin_2 - sin_1 * cos_2 * cos_d);
    across.atan2(sin_1 * sin_2 + cos_1 * cos_2 * cos_d).to_degrees()
}

/// The nested HEALPix cell of order 29 that holds a direction in degrees.
pub fn healpix29(ra_deg: f64, dec_deg: f64) -> u64 {
    let (sin_dec, cos_dec) = dec_deg.to_radians().sin_cos();
    let n_side = (1u64 << MAX_ORDER) as f64;
    let last = (1u64 << MAX_ORDER) - 1;
    // longitude in quarter turns, [0, 4)
    let quarters = (ra_deg / 90.0).rem_euclid(4.0);
    let quarters = if quarters >= 4.0 { 0.0 } else { quarters };
    let (face, x, y) = if sin_dec.abs() <= 2.0 / 3.0 {
        let along = n_side * (0.5 + quarters);
        let across = n_side * sin_dec * 0.75;
        // ascending and descending edge lines
        let (rising, falling) = ((along - across).max(0.0) as u64, (along + across).max(0.0) as u64);
        let (face_rising, face_falling) = (rising >> MAX_ORDER, falling >> MAX_ORDER);
        let face = match face_rising.cmp(&face_falling) {
            std::cmp::Ordering::Equal => (face_falling & 3) + 4,
            std::cmp::Ordering::Less => face_rising & 3,
            std::cmp::Ordering::Greater => (face_falling & 3) + 8,
        };
        (face, falling & last, last - (rising & last))
    } else {
        let quarter = (quarters as u64).min(3);
        let within = quarters - quarter as f64;
        // sqrt(3 (1 - |sin dec|)), written so that nothing is lost at the poles
        let scale = n_side * cos_dec * (3.0 / (1.0 + sin_dec.abs())).sqrt();
        let (toward, away) =
            (((within * scale) as u64).min(last), (((1.0 - within) * scale) as u64).min(last));
        if sin_dec > 0.0 { (quarter, last - away, last - toward) } else { (quarter + 8, toward, away) }
    };
    face << (2 * MAX_ORDER) | spread(x) | spread(y) << 1
}

/// Bits of a 32-bit number moved to the even places.
fn spread(value: u64) -> u64 {
    let mut v = value & 0xffff_ffff;
    v = (v | v << 16) & 0x0000_ffff_0000_ffff;
    v = (v | v << 8) & 0x00ff_00ff_00ff_00ff;
    v = (v | v << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    v = (v | v << 2) & 0x3333_3333_3333_3333;
    (v | v << 1) & 0x5555_5555_5555_5555
}

fn gather(value: u64) -> u64 {
    let mut v = value & 0x5555_5555_5555_5555;
    v = (v | v >> 1) & 0x3333_3333_3333_3333;
    v = (v | v >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    v = (v | v >> 4) & 0x00ff_00ff_00ff_00ff;
    v = (v | v >> 8) & 0x0000_ffff_0000_ffff;
    (v | v >> 16) & 0xffff_ffff
}

/// Centre of a nested cell of the given order, degrees.
pub fn healpix_centre(order: u32, cell: u64) -> (f64, f64) {
    healpix_place(order, cell, [0.5, 0.5])
}

/// Points along the border of a nested cell, degrees: `per_side` on each of its four sides, going round.
pub fn healpix_border(order: u32, cell: u64, per_side: u32) -> Vec<(f64, f64)> {
    let side = |i: u32| f64::from(i) / f64::from(per_side.max(1));
    let along = |corner: [f64; 2], step: [f64; 2]| {
        (0..per_side.max(1)).map(move |i| {
            healpix_place(order, cell, [corner[0] + step[0] * side(i), corner[1] + step[1] * side(i)])
        })
    };
    along([0.0, 0.0], [1.0, 0.0])
        .chain(along([1.0, 0.0], [0.0, 1.0]))
        .chain(along([1.0, 1.0], [-1.0, 0.0]))
        .chain(along([0.0, 1.0], [0.0, -1.0]))
        .collect()
}

/// A place within a nested cell, degrees, its coordinates along the cell's sides from 0 to 1.
fn healpix_place(order: u32, cell: u64, within: [f64; 2]) -> (f64, f64) {
    let n_side = (1u64 << order) as f64;
    let face = cell >> (2 * order);
    let (x, y) = (gather(cell) & ((1 << order) - 1), gather(cell >> 1) & ((1 << order) - 1));
    // ring counted from the north pole in units of 1/n_side, and place along it
    let ring = [2.0, 3.0, 4.0][(face / 4) as usize] - ((x + y) as f64 + within[0] + within[1]) / n_side;
    let row = [1.0, 3.0, 5.0, 7.0, 0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0][face as usize];
    let offset = (x as f64 - y as f64 + within[0] - within[1]) / n_side;
    // At a pole all longitudes are one place.
    if !(1e-12..=4.0 - 1e-12).contains(&ring) {
        return (0.0, if ring < 1.0 { 90.0 } else { -90.0 });
    }
    let (quarter_width, dec) = if ring < 1.0 {
        (ring, FRAC_PI_2 - polar_distance(ring))
    } else if ring > 3.0 {
        (4.0 - ring, polar_distance(4.0 - ring) - FRAC_PI_2)
    } else {
        (1.0, ((2.0 - ring) * 2.0 / 3.0).asin())
    };
    let ra = (row + offset / quarter_width) * PI / 4.0;
    (ra.rem_euclid(2.0 * PI).to_degrees(), dec.to_degrees())
}

/// Angle from the pole of a polar ring: sin dec = 1 - ring^2/3.
fn polar_distance(ring: f64) -> f64 {
    2.0 * (ring / 6.0f64.sqrt()).asin()
}

/// Ranges of order-29 cells that together hold the cone, and somewhat more: the caller checks the angle.
///
/// Centre and radius in degrees. At most a few dozen ranges, ascending and disjoint.
pub fn cone_ranges(ra_deg: f64, dec_deg: f64, radius_deg: f64) -> Vec<RangeInclusive<u64>> {
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    // cells about a quarter of the radius wide describe the cone well enough
    let finest = (0..MAX_ORDER).find(|&order| cell_radius_deg(order) < radius_deg / 4.0).unwrap_or(MAX_ORDER);
    let mut pending: Vec<(u32, u64)> = (0..12).rev().map(|face| (0, face)).collect();
    while let Some((order, cell)) = pending.pop() {
        let (ra, dec) = healpix_centre(order, cell);
        let distance = separation_deg(ra_deg, dec_deg, ra, dec);
        let reach = cell_radius_deg(order);
        if distance > radius_deg + reach {
            continue;
        }
        if order == finest || distance + reach <= radius_deg {
            let shift = 2 * (MAX_ORDER - order);
            let (first, last) = (cell << shift, ((cell + 1) << shift) - 1);
            match ranges.last_mut() {
                Some(range) if range.end() + 1 == first => *range = *range.start()..=last,
                _ => ranges.push(first..=last),
            }
        } else {
            pending.extend((0..4).rev().map(|child| (order + 1, cell << 2 | child)));
        }
    }
    ranges
}

/// An upper bound of the angle from a cell's centre to its farthest point, degrees.
///
/// The largest cells of order 0 reach 48.2 deg; the bound halves with each order, with a margin for
/// cells that are longer than their parents' shape suggests.
fn cell_radius_deg(order: u32) -> f64 {
    let widest = 60.0 / (1u64 << order) as f64;
    widest.min(49.0) + 1e-12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_lies_between_inside_and_outside() {
        for (order, cell) in [(0, 0), (0, 5), (0, 11), (3, 77), (6, 40_000), (2, 191)] {
            let (ra0, dec0) = healpix_centre(order, cell);
            for (ra, dec) in healpix_border(order, cell, 8) {
                let reach = separation_deg(ra0, dec0, ra, dec);
                assert!(reach < cell_radius_deg(order), "{order} {cell}: {reach}");
                // a step from the border towards the centre is inside
                let [a, b] = [unit_vector(ra, dec), unit_vector(ra0, dec0)];
                let v: [f64; 3] = std::array::from_fn(|i| a[i] + 0.02 * (b[i] - a[i]));
                let (x, y) = (
                    v[1].atan2(v[0]).to_degrees().rem_euclid(360.0),
                    v[2].atan2(v[0].hypot(v[1])).to_degrees(),
                );
                assert_eq!(healpix29(x, y) >> (2 * (MAX_ORDER - order)), cell, "{order} {cell}: {ra} {dec}");
            }
        }
    }

    #[test]
    fn cells_agree_with_astropy_healpix() {
        let reference = [
            (0.1, 0.1, 1369095419848407993),
            (45.3, 0.2, 1633310815002751749),
            (359.999999, -0.5, 1224962383639491500),
            (123.456, 41.8, 460869725110306799),
            (123.456, 41.9, 460876052848134890),
            (200.25, -41.75, 3068542625225866942),
            (10.1, 89.9, 288229998556392946),
            (350.0, -89.99, 3170534143210993131),
            (187.70593, 12.39112, 1953854728243268183),
            (266.41681, -29.00782, 2028740913184772158),
            (90.0, 66.0, 504385222482062079),
            (269.9, -66.0, 2954379177947156315),
            (0.0, -90.0, 2305843009213693952),
            (83.82208, -5.39111, 1508682038474913486),
            (299.59, 35.2, 1029691833921620440),
            (184.255785, -42.909816, 3072501017939344292),
            (342.166931, -36.271594, 3298074400395751372),
            (51.897461, 56.560633, 224264887189120386),
            (341.513801, -73.45513, 3190931272388556732),
            (112.259323, 18.018095, 1585145144960185555),
            (152.397522, 41.140895, 401902053682556343),
            (297.972934, -56.177807, 3224448950815207258),
            (147.311689, -80.073607, 2600893835316201614),
        ];
        for (ra, dec, cell) in reference {
            assert_eq!(healpix29(ra, dec), cell, "{ra} {dec}");
        }
    }

    #[test]
    fn the_centre_of_a_cell_lies_in_it_and_no_point_is_farther_than_the_bound() {
        for order in [0, 1, 2, 5, 12, 20] {
            let step = ((12u64 << (2 * order)) / 997).max(1);
            for cell in (0..12u64 << (2 * order)).step_by(step as usize) {
                let (ra, dec) = healpix_centre(order, cell);
                assert_eq!(
                    healpix29(ra, dec) >> (2 * (MAX_ORDER - order)),
                    cell,
                    "order {order} cell {cell}"
                );
            }
        }
        let mut farthest = [0.0f64; 9];
        for i in 0..40_000 {
            // golden-angle points, even over the sphere
            let ra = (i as f64 * 137.507_764_05) % 360.0;
            let dec = (1.0 - (2 * i + 1) as f64 / 40_000.0).asin().to_degrees();
            for (order, far) in farthest.iter_mut().enumerate() {
                let (ra0, dec0) =
                    healpix_centre(order as u32, healpix29(ra, dec) >> (2 * (MAX_ORDER as usize - order)));
                *far = far.max(separation_deg(ra, dec, ra0, dec0));
            }
        }
        for (order, far) in farthest.iter().enumerate() {
            assert!(*far < cell_radius_deg(order as u32), "order {order}: {far}");
        }
    }

    #[test]
    fn a_cone_s_ranges_hold_every_point_of_it_and_little_else() {
        for (ra0, dec0) in [(0.0, 0.0), (359.9, 41.8), (45.0, 90.0), (200.0, -89.9), (123.4, -41.8)] {
            for radius in [1e-4, 0.03, 1.0, 20.0, 170.0] {
                let ranges = cone_ranges(ra0, dec0, radius);
                assert!(ranges.len() <= 128, "{} ranges", ranges.len());
                let within = |ra, dec| {
                    let cell = healpix29(ra, dec);
                    ranges.iter().any(|range| range.contains(&cell))
                };
                let (mut inside, mut covered) = (0, 0);
                for i in 0..2000 {
                    // points around the centre, out to twice the radius
                    let distance: f64 = (2.0 * radius).min(180.0) * ((i as f64 + 0.5) / 2000.0).sqrt();
                    let angle = (i as f64 * 137.507_764_05).to_radians();
                    let (sin_d, cos_d) = distance.to_radians().sin_cos();
                    let (sin_0, cos_0) = f64::to_radians(dec0).sin_cos();
                    let dec =
                        (sin_0 * cos_d + cos_0 * sin_d * angle.cos()).clamp(-1.0, 1.0).asin().to_degrees();
                    let ra = (ra0
                        + (angle.sin() * sin_d)
                            .atan2(cos_0 * cos_d - sin_0 * sin_d * angle.cos())
                            .to_degrees())
                    .rem_euclid(360.0);
                    if separation_deg(ra0, dec0, ra, dec) <= radius {
                        inside += 1;
                        assert!(within(ra, dec), "({ra}, {dec}) is {distance} from ({ra0}, {dec0})");
                    }
                    covered += usize::from(within(ra, dec));
                }
                assert!(
                    inside > 0 && (radius > 100.0 || covered < 3 * inside),
                    "{inside} inside, {covered} covered"
                );
            }
        }
    }

    #[test]
    fn separations_are_exact_where_the_cosine_formula_fails() {
        assert!((separation_deg(10.0, 20.0, 10.0, 20.0 + 1e-9) / 1e-9 - 1.0).abs() < 1e-5);
        assert!((separation_deg(0.0, 0.0, 180.0, 0.0) - 180.0).abs() < 1e-12);
        assert!((separation_deg(0.0, 90.0, 77.0, -90.0) - 180.0).abs() < 1e-12);
    }
}
