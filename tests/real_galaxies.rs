//! Stellar masses of real galaxies against those that others published; `docs/real-galaxies.md` says what is
//! found and why.
//!
//! More draws, and the table of priors, which takes minutes:
//! `SEDFLOW_DRAWS=10000 cargo test --release --test real_galaxies -- --nocapture --include-ignored`.

mod common;

use std::path::{Path, PathBuf};

use common::{query, run, sedflow, text};
use sedflow::store::{Mode, Selection, Store};

fn draws(few: &str) -> String {
    std::env::var("SEDFLOW_DRAWS").unwrap_or_else(|_| few.to_owned())
}

/// A file that stands beside the project, or nothing, said aloud.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// A catalog of the galaxies of a file, or of the shipped sample, with posteriors.
fn inferred(file: Option<&Path>, few: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(here, &["-q", "-C", "c.db", "init"]);
    let source = file.map_or("--sample".into(), |file| file.to_string_lossy().into_owned());
    let ingested = sedflow(here, &["-q", "-C", "c.db", "ingest", &source]).output().unwrap();
    assert!(matches!(ingested.status.code(), Some(0 | 4)), "{}", text(&ingested.stderr));
    run(here, &["-q", "-C", "c.db", "infer", "--method", "npe", "--draws", &draws(few)]);
    folder
}

/// Differences of two masses, in dex.
struct Offsets(Vec<f64>);

impl Offsets {
    fn quantile(&self, p: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * p).round() as usize]
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// 1.4826 times the median distance from the median: the standard deviation, were they normal.
    fn scatter(&self) -> f64 {
        let mut distances: Vec<f64> = self.0.iter().map(|d| (d - self.median()).abs()).collect();
        distances.sort_by(f64::total_cmp);
        1.4826 * distances[distances.len() / 2]
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {} galaxies, median offset {:+.3} dex, robust scatter {:.3} dex, 16 and 84 % {:+.3} {:+.3}",
            self.0.len(),
            self.median(),
            self.scatter(),
            self.quantile(0.16),
            self.quantile(0.84)
        );
    }
}

impl FromIterator<f64> for Offsets {
    fn from_iter<T: IntoIterator<Item = f64>>(offsets: T) -> Self {
        let mut offsets: Vec<f64> = offsets.into_iter().collect();
        offsets.sort_by(f64::total_cmp);
        Self(offsets)
    }
}

/// Galaxies with a published mass in the extra column `column`.
fn published(column: &str, also: &str) -> String {
    format!("g.extra->>'{column}' BETWEEN 5 AND 13{also}")
}

/// Median surviving mass less the published one.
fn offsets(folder: &Path, column: &str, also: &str) -> Offsets {
    let sql = format!(
        "SELECT q.log_mstar_surviving_q50 - g.extra->>'{column}' FROM galaxy g JOIN posterior_summary q \
         USING (galaxy_id) WHERE {}",
        published(column, also)
    );
    query(folder, "c.db", &sql).lines().map(|line| line.parse::<f64>().unwrap()).collect()
}

const GOOD_FITS: &str = " AND g.extra->>'CHI2' < 20";

#[test]
fn masses_of_the_sample_agree_with_those_of_k_correct() {
    let folder = inferred(None, "200");
    let found = offsets(folder.path(), "KC5_LOGMASS", "");
    found.say("k-correct");
    assert!(found.0.len() > 950);
    assert!(found.median().abs() <= 0.12 && found.scatter() <= 0.15);
}

#[test]
fn masses_agree_with_those_of_isedfit() {
    let Some(file) = shared("nsa_virgo_isedfit_dev.fits") else { return };
    let folder = inferred(Some(&file), "100");
    let found = offsets(folder.path(), "MSTAR_50", GOOD_FITS);
    found.say("iSEDfit");
    // iSEDfit puts the galaxies nearer: H0 = 70, ours is 67.77, and masses go as the distance squared.
    let nearer = 2.0 * (67.77_f64 / 70.0).log10();
    let found: Offsets = found.0.iter().map(|offset| offset + nearer).collect();
    found.say("iSEDfit, at one distance");
    assert!(found.0.len() > 2500);
    assert!(found.median().abs() <= 0.12 && found.scatter() <= 0.15);
}

#[test]
fn masses_agree_with_those_of_gswlc() {
    let Some(file) = shared("nsa_lcs_gswlc_dev.fits") else { return };
    let folder = inferred(Some(&file), "100");
    let found = offsets(folder.path(), "GSWLC_LOGMSTAR", "");
    found.say("GSWLC");
    assert!(found.0.len() > 700);
    assert!(found.median().abs() <= 0.12 && found.scatter() <= 0.2);
}

/// A weight of a draw: another prior over ours.
type Weight = fn(&[f64]) -> f64;

/// Columns that the weights look at.
const COLUMNS: [&str; 7] =
    ["log_mstar_surviving", "tau_ism", "n_dust", "fburst", "tau_bc", "log_z_mw", "t_age_mw_gyr"];

const PRIORS: [(&str, Weight); 8] = [
    ("the default prior", |_| 1.0),
    ("tau_ism exponential, mean 0.3", |d| (-d[1] / 0.3).exp()),
    ("tau_ism below 1", |d| f64::from(u8::from(d[1] < 1.0))),
    ("n_dust normal, -0.3 +- 0.3", |d| (-0.5 * ((d[2] + 0.3) / 0.3).powi(2)).exp()),
    ("fburst below 0.1", |d| f64::from(u8::from(d[3] < 0.1))),
    ("tau_bc exponential, mean 1", |d| (-d[4]).exp()),
    ("Z above 0.004", |d| f64::from(u8::from(d[5] > -2.4))),
    ("age above 7 Gyr", |d| f64::from(u8::from(d[6] > 7.0))),
];

#[test]
#[ignore = "takes minutes; prints what other priors would do to the masses"]
fn offsets_under_other_priors() {
    let isedfit = shared("nsa_virgo_isedfit_dev.fits");
    let sources = [(None, "KC5_LOGMASS", "")].into_iter();
    let sources = sources.chain(isedfit.as_deref().map(|file| (Some(file), "MSTAR_50", GOOD_FITS)));
    for (file, column, also) in sources {
        let folder = inferred(file, "2000");
        let store = Store::open(&folder.path().join("c.db"), Mode::Read).unwrap();
        let set = store.current_posterior_set().unwrap().unwrap();
        let sql = format!(
            "SELECT g.galaxy_id, g.extra->>'{column}' FROM galaxy g JOIN posterior_summary q USING (galaxy_id) WHERE {}",
            published(column, also)
        );
        let masses: std::collections::BTreeMap<String, f64> = query(folder.path(), "c.db", &sql)
            .lines()
            .map(|line| line.split_once(',').unwrap())
            .map(|(id, mass)| (id.to_owned(), mass.parse().unwrap()))
            .collect();
        let mut found: Vec<Vec<f64>> = vec![vec![]; PRIORS.len()];
        for id in store.select_galaxies(&Selection::default()).unwrap() {
            let Some(mass) = masses.get(&id.to_string()) else { continue };
            let columns = store.draws_of(set.id, id, &COLUMNS).unwrap().unwrap();
            for ((_, weight), found) in PRIORS.iter().zip(&mut found) {
                found.extend(weighted_median(&columns, *weight).map(|median| median - mass));
            }
        }
        for ((prior, _), found) in PRIORS.iter().zip(found) {
            found.into_iter().collect::<Offsets>().say(&format!("{column}, {prior}"));
        }
    }
}

/// Median of the first column under weights; none where they rest on fewer than 50 effective draws.
fn weighted_median(columns: &[Vec<f32>], weight: Weight) -> Option<f64> {
    let mut draws: Vec<(f64, f64)> = (0..columns[0].len())
        .map(|i| {
            let draw: Vec<f64> = columns.iter().map(|column| f64::from(column[i])).collect();
            (draw[0], weight(&draw))
        })
        .collect();
    draws.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = draws.iter().map(|draw| draw.1).sum();
    let squares: f64 = draws.iter().map(|draw| draw.1 * draw.1).sum();
    if total * total < 50.0 * squares || squares == 0.0 {
        return None;
    }
    let mut sum = 0.0;
    let middle = draws.iter().find(|draw| {
        sum += draw.1;
        sum >= 0.5 * total
    });
    middle.map(|draw| draw.0)
}
