use proptest::prelude::*;

use super::*;

fn stated(unit: &str, counts: &str) -> Stated {
    Stated {
        name: Some("my-g".into()),
        unit: Some(unit.parse().unwrap()),
        counts: Some(counts.parse().unwrap()),
        ..Stated::default()
    }
}

fn message(text: &str) -> String {
    Filter::from_text(text, "g.txt", &Stated::default()).unwrap_err().to_string()
}

const HEADER: &str = "# name: my-g\n# unit: nm\n# counts: photon\n";

#[test]
fn every_shipped_curve_parses_under_its_own_name_and_writes_itself_back() {
    for name in shipped_names() {
        let filter = shipped(name).unwrap();
        assert_eq!(filter.name(), name);
        assert!(!filter.source().is_empty() && !filter.description().is_empty(), "{name}");
        let again = Filter::from_text(&filter.to_ecsv(), name, &Stated::default()).unwrap();
        assert_eq!(again, filter);
        assert_eq!(filter.response()[0], 0.0, "{name} ends in zeros, so that nothing is cut off");
        assert_eq!(*filter.response().last().unwrap(), 0.0, "{name}");
    }
    assert_eq!(shipped_names().count(), 56);
    assert!(shipped_groups().contains(&"sdss2010"));
}

#[test]
fn pivot_wavelengths_are_the_published_ones() {
    // SDSS: Doi et al. 2010 system as integrated by other codes (kcorrect); 2MASS, WISE, GALEX: SVO Filter Profile Service.
    let published = [
        ("sdss2010-g", 4702.0, 8.0),
        ("sdss2010-r", 6176.0, 8.0),
        ("sdss2010-i", 7490.0, 8.0),
        ("galex-fuv", 1535.1, 12.0),
        ("galex-nuv", 2300.8, 25.0),
        ("twomass-J", 12358.0, 40.0),
        ("twomass-H", 16458.0, 40.0),
        ("twomass-Ks", 21603.0, 40.0),
        ("wise2010-W1", 33682.0, 200.0),
        ("wise2010-W2", 46179.0, 200.0),
    ];
    for (name, pivot_aa, tolerance_aa) in published {
        let found = shipped(name).unwrap().pivot_aa();
        assert!((found - pivot_aa).abs() < tolerance_aa, "{name}: {found} for {pivot_aa}");
    }
}

#[test]
fn a_box_pivots_at_the_geometric_mean_of_its_edges_and_is_as_wide_as_it_is() {
    // int lambda / int 1/lambda = (b^2 - a^2) / (2 ln(b / a)).
    let filter = Filter::new("box", vec![4000.0, 5000.0], vec![0.3, 0.3]).unwrap();
    let exact = ((5000.0f64.powi(2) - 4000.0f64.powi(2)) / 2.0 / (5.0f64 / 4.0).ln()).sqrt();
    assert!((filter.pivot_aa() - exact).abs() < 1e-9 * exact);
    assert!((filter.effective_width_aa() - 1000.0).abs() < 1e-9);
    assert_eq!(filter.support_aa(), (4000.0, 5000.0));
    assert_eq!(filter.response_at(4000.0), 0.3);
    assert_eq!(
        (filter.response_at(3999.9), filter.response_at(5000.1), filter.response_at(f64::NAN)),
        (0.0, 0.0, 0.0)
    );
}

#[test]
fn a_curve_in_nm_or_micron_is_the_curve_in_angstrom() {
    let aa = Filter::from_text("4000 0\n4500 1\n5000 0\n", "g.txt", &stated("angstrom", "photon")).unwrap();
    let nm = Filter::from_text("400 0\n450 1\n500 0\n", "g.txt", &stated("nm", "photon")).unwrap();
    let micron = Filter::from_text("0.4,0\n0.45,1\n0.5,0\n", "g.csv", &stated("micron", "photon")).unwrap();
    assert_eq!(aa, nm);
    assert_eq!(aa, micron);
    assert_eq!(aa.hash(), micron.hash());
}

#[test]
fn a_response_per_energy_is_divided_by_wavelength() {
    let energy = Filter::from_text("4000 0.5\n5000 1\n", "g.txt", &stated("angstrom", "energy")).unwrap();
    let expected = [0.5 / 4000.0 * 5000.0, 1.0];
    for (found, expected) in energy.response().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-8);
    }
}

#[test]
fn zeros_beyond_the_first_at_either_end_are_dropped() {
    let text = "3000 0\n3500 0\n4000 0.2\n4200 0\n4500 1\n5000 0\n6000 0\n7000 0";
    let filter = Filter::from_text(text, "g.txt", &stated("angstrom", "photon")).unwrap();
    assert_eq!(filter.wave_aa(), [3500.0, 4000.0, 4200.0, 4500.0, 5000.0]);
}

#[test]
fn columns_are_found_by_name_and_speclite_headers_are_understood() {
    let text = "# %ECSV 0.9\n# ---\n# datatype:\n# - {name: response, datatype: float64}\n\
                # - {name: wavelength, unit: nm, datatype: float64}\n# meta: !!omap\n\
                # - {url: 'http://example.org/a,b'}\n# - {band_name: g}\n# - {group_name: my}\n\
                response wavelength\n0 400\n1 450\n0 500\n";
    let asked = Stated { counts: Some(Counts::Photon), ..Stated::default() };
    let filter = Filter::from_text(text, "my-g.ecsv", &asked).unwrap();
    assert_eq!(filter.wave_aa(), [4000.0, 4500.0, 5000.0]);
    assert_eq!((filter.name(), filter.source()), ("my-g", "http://example.org/a,b"));
}

#[test]
fn each_bad_curve_is_named_with_its_line() {
    let cases = [
        (
            "4 1\n",
            "g.txt: the file states no wavelength unit: add `unit: angstrom` (or nm, micron) to its header, or say --unit",
        ),
        (
            "# unit: nm\n400 1\n",
            "g.txt: the file does not say what the response counts: add `counts: photon` (or energy) to its header, or say --counts",
        ),
        (
            "# unit: furlong\n400 1\n",
            "g.txt: wavelength unit `furlong` is unknown: expected angstrom, nm or micron",
        ),
        (
            "# unit: nm\n# counts: sheep\n400 1\n",
            "g.txt: counting `sheep` is unknown: expected photon or energy",
        ),
        (
            "# unit: nm\n# counts: photon\n400 1\n500 1\n",
            "g.txt: the file names no band: state one (`name: NAME` in the header, or --name)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(message(text), expected);
    }
    let rows = [
        (
            "500 1\n400 1\n",
            "g.txt: line 5: wavelength 400 is not above the 500 before it: wavelengths must ascend",
        ),
        (
            "400 1\n400 1\n",
            "g.txt: line 5: wavelength 400 is not above the 400 before it: wavelengths must ascend",
        ),
        ("400 1\n500 -0.1\n", "g.txt: line 5: response -0.1 is negative"),
        ("400 1\n500 nan\n", "g.txt: line 5: response is NaN, expected a finite number"),
        ("400 1\ninf 1\n", "g.txt: line 5: wavelength is inf, expected a finite number"),
        ("-400 1\n500 1\n", "g.txt: line 4: wavelength -400 is not positive"),
        ("400 1\n500 one\n", "g.txt: line 5: `one` where a response was expected"),
        ("400 1\n500\n", "g.txt: line 5: 1 columns, expected wavelength and response"),
        ("400 0\n500 0\n", "g.txt: the response is zero everywhere"),
        ("400 1\n", "g.txt: 1 rows: a curve needs at least 2"),
        ("", "g.txt: 0 rows: a curve needs at least 2"),
        (
            "4 1\n5 1\n",
            "g.txt: pivot wavelength 44.9 Angstrom (from nm) is outside 900 .. 1e7 Angstrom: is the unit right?",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(message(&format!("{HEADER}{text}")), expected);
    }
}

#[test]
fn a_unit_asked_for_against_the_file_is_an_error() {
    let error = Filter::from_text(&format!("{HEADER}400 1\n500 1\n"), "g.txt", &stated("micron", "photon"))
        .unwrap_err();
    assert_eq!(error.to_string(), "g.txt: the file states unit nm, the command line micron");
}

#[test]
fn an_unknown_band_is_told_the_nearest_one() {
    let error = resolve("SDSS2010-U").unwrap_err().to_string();
    assert_eq!(
        error,
        "SDSS2010-U: no such band among the 56 shipped ones, nor a file of that name; nearest: sdss2010-u"
    );
    let error = resolve("no such thing at all").unwrap_err().to_string();
    assert_eq!(
        error,
        "no such thing at all: no such band among the 56 shipped ones, nor a file of that name"
    );
}

#[test]
fn names_that_could_break_a_column_are_refused() {
    for bad in ["", "-u", "a b", "a,b", "é", &"x".repeat(65)] {
        let error = Filter::new(bad, vec![4000.0, 5000.0], vec![1.0, 1.0]).unwrap_err();
        assert!(matches!(error.problem, FilterProblem::Name { .. }), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_curve_written_is_read_back_unchanged(
        start in 1000.0f64..20000.0,
        rows in prop::collection::vec((0.001f64..500.0, 0.0f64..1.0), 2..40),
    ) {
        let mut wave = start;
        let mut text = String::new();
        for (step, response) in &rows {
            wave += step;
            text.push_str(&format!("{wave:e}\t{response:?}\n"));
        }
        let filter = Filter::from_text(&text, "p", &stated("angstrom", "energy")).unwrap();
        let again = Filter::from_text(&filter.to_ecsv(), "p", &Stated::default()).unwrap();
        prop_assert_eq!(filter, again);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[#%{}:,'a-z0-9. \n-]{0,200}") {
        let _ = Filter::from_text(&text, "p", &stated("nm", "energy"));
    }
}
