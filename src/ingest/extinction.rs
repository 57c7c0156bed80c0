//! `A_band / E(B-V)` per filter: the table of Schlafly & Finkbeiner 2011, and the curve of Fitzpatrick 1999.

use super::map::Law;
use crate::filters::Filter;

/// Schlafly & Finkbeiner 2011 (ApJ 737, 103), Table 6, R_V = 3.1: `A_band / E(B-V)_SFD`, a recalibration of
/// the SFD map (it holds 14 % too much). The last three systems are those of the Legacy Surveys (DR9 and
/// `desiutil.dust`), made in the same way.
const TABLE_SFD: &[(&str, f64)] = &[
    ("sdss2010-u", 4.239),
    ("sdss2010-g", 3.303),
    ("sdss2010-r", 2.285),
    ("sdss2010-i", 1.698),
    ("sdss2010-z", 1.263),
    ("decamDR1-g", 3.237),
    ("decamDR1-r", 2.176),
    ("decamDR1-i", 1.595),
    ("decamDR1-z", 1.217),
    ("decamDR1-Y", 1.058),
    ("lsst2016-u", 4.145),
    ("lsst2016-g", 3.237),
    ("lsst2016-r", 2.273),
    ("lsst2016-i", 1.684),
    ("lsst2016-z", 1.323),
    ("lsst2016-y", 1.088),
    ("panstarrs-g", 3.172),
    ("panstarrs-r", 2.271),
    ("panstarrs-i", 1.682),
    ("panstarrs-z", 1.322),
    ("panstarrs-y", 1.087),
    ("twomass-J", 0.723),
    ("twomass-H", 0.460),
    ("twomass-Ks", 0.310),
    ("decam2014-u", 3.995),
    ("decam2014-g", 3.212),
    ("decam2014-r", 2.164),
    ("decam2014-i", 1.592),
    ("decam2014-z", 1.211),
    ("decam2014-Y", 1.064),
    ("BASS-g", 3.258),
    ("BASS-r", 2.176),
    ("MzLS-z", 1.199),
    ("wise2010-W1", 0.184),
    ("wise2010-W2", 0.113),
    ("wise2010-W3", 0.0241),
    ("wise2010-W4", 0.00910),
];

/// E(B-V)_SFD to the A(1 micron) of Schlafly & Finkbeiner: 1.32 (SFD) times 0.78 (their normalisation).
const A_1UM_PER_EBV_SFD: f64 = 1.32 * 0.78;
const R_V: f64 = 3.1;

/// `A_band / E(B-V)` of a filter, and where the number comes from.
pub fn coefficient(law: Law, filter: &Filter) -> (f64, &'static str) {
    match law {
        Law::Fitzpatrick1999 => (band_average(filter), "Fitzpatrick 1999, R_V 3.1, over the filter"),
        Law::SchlaflyFinkbeiner2011 => match TABLE_SFD.iter().find(|(name, _)| *name == filter.name()) {
            Some((_, coefficient)) => (*coefficient, "table"),
            None => {
                let scale = A_1UM_PER_EBV_SFD / fitzpatrick_1999(1.0);
                (scale * band_average(filter), "Fitzpatrick 1999 over the filter, normalised as there")
            }
        },
    }
}

/// Extinction in the limit of little dust, averaged over the photons of a 7000 K black body (Schlafly &
/// Finkbeiner 2011 used a star of that temperature), per E(B-V).
fn band_average(filter: &Filter) -> f64 {
    let (wave, response) = (filter.wave_aa(), filter.response());
    let (mut absorbed, mut total) = (0.0, 0.0);
    for i in 0..wave.len() {
        let left = if i == 0 { wave[0] } else { wave[i - 1] };
        let right = if i + 1 == wave.len() { wave[i] } else { wave[i + 1] };
        // Photons per wavelength: B_lambda lambda ~ lambda^-4 / (exp(hc / lambda k T) - 1).
        let photons = wave[i].powi(-4) / (1.438_776_9e8 / (wave[i] * 7000.0)).exp_m1();
        let weight = 0.5 * (right - left) * response[i] * photons;
        absorbed += weight * fitzpatrick_1999(1e4 / wave[i]);
        total += weight;
    }
    absorbed / total
}

/// A(lambda) / E(B-V) at `x` inverse microns for R_V = 3.1 (Fitzpatrick 1999, PASP 111, 63): a cubic spline
/// through the points of its Table 3 in the optical and infrared, the form of Fitzpatrick & Massa 1990
/// in the ultraviolet.
pub fn fitzpatrick_1999(x: f64) -> f64 {
    const X: [f64; 9] = [
        0.0,
        1.0 / 2.65,
        1.0 / 1.22,
        1.0 / 0.6,
        1.0 / 0.547,
        1.0 / 0.467,
        1.0 / 0.411,
        1.0 / 0.27,
        1.0 / 0.26,
    ];
    let y = [0.0, 0.265, 0.829, 2.688, 3.055, 3.806, 4.315, ultraviolet(X[7]), ultraviolet(X[8])];
    if x >= X[7] { ultraviolet(x) } else { natural_spline(&X, &y, x.max(0.0)) }
}

fn ultraviolet(x: f64) -> f64 {
    let c2 = -0.824 + 4.717 / R_V;
    let c1 = 2.030 - 3.007 * c2;
    let (c3, c4, x0, gamma): (f64, f64, f64, f64) = (3.23, 0.41, 4.596, 0.99);
    let drude = x * x / ((x * x - x0 * x0).powi(2) + (x * gamma).powi(2));
    let far = (x - 5.9).max(0.0);
    R_V + c1 + c2 * x + c3 * drude + c4 * (0.5392 * far.powi(2) + 0.05644 * far.powi(3))
}

/// The cubic spline through `(x, y)` whose second derivative vanishes at both ends.
fn natural_spline<const N: usize>(x: &[f64; N], y: &[f64; N], at: f64) -> f64 {
    // Second derivatives by elimination of the tridiagonal system.
    let (mut second, mut upper) = ([0.0; N], [0.0; N]);
    for i in 1..N - 1 {
        let share = (x[i] - x[i - 1]) / (x[i + 1] - x[i - 1]);
        let pivot = share * second[i - 1] + 2.0;
        second[i] = (share - 1.0) / pivot;
        let slopes = (y[i + 1] - y[i]) / (x[i + 1] - x[i]) - (y[i] - y[i - 1]) / (x[i] - x[i - 1]);
        upper[i] = (6.0 * slopes / (x[i + 1] - x[i - 1]) - share * upper[i - 1]) / pivot;
    }
    second[N - 1] = 0.0;
    for i in (0..N - 1).rev() {
        second[i] = second[i] * second[i + 1] + upper[i];
    }
    let k = (1..N - 1).take_while(|&i| x[i] <= at).count();
    let h = x[k + 1] - x[k];
    let (a, b) = ((x[k + 1] - at) / h, (at - x[k]) / h);
    a * y[k] + b * y[k + 1] + ((a.powi(3) - a) * second[k] + (b.powi(3) - b) * second[k + 1]) * h * h / 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_goes_through_its_points() {
        // Table 3 of Fitzpatrick 1999.
        for (x, a) in
            [(0.377_36, 0.265), (0.819_67, 0.829), (1.666_67, 2.688), (1.828_15, 3.055), (2.433_09, 4.315)]
        {
            assert!((fitzpatrick_1999(x) - a).abs() < 1e-3, "x = {x}");
        }
        assert!((fitzpatrick_1999(1.0 / 0.27) - 6.265).abs() < 2e-3);
        assert!((fitzpatrick_1999(1.0 / 0.26) - 6.591).abs() < 2e-3);
        assert_eq!(fitzpatrick_1999(0.0), 0.0);
    }

    #[test]
    fn the_computed_coefficients_are_those_of_the_published_table() {
        for &(name, published) in
            TABLE_SFD.iter().filter(|(name, _)| name.starts_with("sdss") || name.starts_with("pan"))
        {
            let filter = crate::filters::resolve(name).unwrap();
            let computed = A_1UM_PER_EBV_SFD / fitzpatrick_1999(1.0) * band_average(&filter);
            // Filter curves and the stellar spectrum differ a little from theirs.
            assert!((computed / published - 1.0).abs() < 0.02, "{name}: {computed:.3} for {published}");
        }
    }

    #[test]
    fn a_filter_outside_the_table_gets_a_computed_coefficient() {
        let (fuv, source) =
            coefficient(Law::SchlaflyFinkbeiner2011, &crate::filters::resolve("galex-fuv").unwrap());
        assert!((6.0..8.5).contains(&fuv) && source != "table", "{fuv}");
        let (r, _) = coefficient(Law::Fitzpatrick1999, &crate::filters::resolve("sdss2010-r").unwrap());
        assert!((r / 2.285 - 1.16).abs() < 0.03, "{r}");
    }
}
