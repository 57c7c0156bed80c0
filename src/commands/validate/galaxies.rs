//! Real galaxies of the catalog: does the posterior predict the photometry it was made from?

use rayon::prelude::*;

use super::exact::Subject;
use super::mocks::{Examiner, Parts};
use crate::commands::infer::measured_for;
use crate::hash::ContentHash;
use crate::infer::Measured;
use crate::infer::ladder::{Ladder, Question, Roads, Rules};
use crate::progress::{Event, Progress};
use crate::shards::stream_of;
use crate::store::{GalaxyId, ObservedGalaxy, Selection, Store};
use crate::validate::evidence::Named;

/// Galaxies of one part.
const PART: usize = 50;

/// Predictive checks of galaxies inside the checkpoint's support, one entry each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Galaxies {
    /// Rows of the catalog.
    pub ids: Vec<f64>,
    pub chi2_best: Vec<f64>,
    pub p_value: Vec<f64>,
    /// Galaxies that the checkpoint has no posterior for.
    pub refused: u64,
}

const FIELDS: [&str; 3] = ["galaxy_id", "galaxy_chi2_best", "galaxy_ppc_p_value"];

impl Galaxies {
    pub fn to_arrays(&self) -> Vec<Named> {
        let array = |(name, values): (&str, &Vec<f64>)| {
            (name.to_owned(), vec![values.len()], values.iter().map(|&v| v as f32).collect())
        };
        let mut arrays: Vec<Named> =
            FIELDS.into_iter().zip([&self.ids, &self.chi2_best, &self.p_value]).map(array).collect();
        arrays.push(("galaxies_refused".to_owned(), vec![1], vec![self.refused as f32]));
        arrays
    }

    /// Back from [`Self::to_arrays`]; empty where there are none.
    pub fn from_arrays(arrays: &[Named]) -> Self {
        let get = |name: &str| -> Vec<f64> {
            let array = arrays.iter().find(|(found, ..)| found == name);
            array.map_or(vec![], |(_, _, values)| values.iter().map(|&v| f64::from(v)).collect())
        };
        Self {
            ids: get(FIELDS[0]),
            chi2_best: get(FIELDS[1]),
            p_value: get(FIELDS[2]),
            refused: get("galaxies_refused").first().map_or(0, |&n| n as u64),
        }
    }

    fn append(&mut self, mut other: Self) {
        self.ids.append(&mut other.ids);
        self.chi2_best.append(&mut other.chi2_best);
        self.p_value.append(&mut other.p_value);
        self.refused += other.refused;
    }
}

/// Galaxies to look at, chosen and read.
pub struct Chosen {
    pub galaxies: Vec<(ObservedGalaxy, Measured)>,
    /// Of all that was observed of them.
    pub hash: ContentHash,
}

impl Chosen {
    /// About `n` galaxies that meet the condition, spread over the catalog.
    pub fn new(store: &Store, examiner: &Examiner, condition: Option<&str>, n: u64) -> anyhow::Result<Self> {
        let ids = store.select_galaxies(&Selection { condition, ..Selection::default() })?;
        let step = (ids.len() as u64).div_ceil(n.max(1)).max(1) as usize;
        let ids: Vec<GalaxyId> = ids.into_iter().step_by(step).collect();
        let mut galaxies = Vec::with_capacity(ids.len());
        let mut observed = Vec::new();
        for id in ids {
            let (galaxy, measured) = measured_for(store, examiner.loaded, id)?;
            observed.extend_from_slice(galaxy.object_id.as_bytes());
            let numbers = measured.flux_nmgy.iter().chain(&measured.sigma_nmgy).chain(&galaxy.redshift);
            numbers.for_each(|number| observed.extend(number.to_le_bytes()));
            galaxies.push((galaxy, measured));
        }
        Ok(Self { galaxies, hash: ContentHash::of_bytes(&observed) })
    }
}

impl Chosen {
    /// The first `n` that the network has a posterior for, to be asked by other methods too.
    pub fn subjects(&self, examiner: &Examiner, n: usize) -> Vec<Subject> {
        let npe = &examiner.loaded.npe;
        let of = |(galaxy, measured): &(ObservedGalaxy, Measured)| {
            let zred = galaxy.redshift?;
            let observation = measured.at(zred);
            let x = npe.features(&observation).ok()?;
            let stream = stream_of("validate", &galaxy.object_id);
            let inside = npe.outside(&observation, &x).is_empty();
            inside.then(|| Subject { measured: measured.clone(), zred, stream })
        };
        self.galaxies.iter().filter_map(of).take(n).collect()
    }
}

/// Predictive checks of the galaxies; `None` if stopped.
pub fn gather(
    store: &mut Store,
    parts: &Parts,
    examiner: &Examiner,
    chosen: &Chosen,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Galaxies>> {
    let mut all = Galaxies::default();
    let ladder = examiner.ladder(Rules::default())?;
    let total = chosen.galaxies.len() as u64;
    progress.report(Event::Started { what: "real galaxies".into(), total: Some(total), unit: "galaxies" });
    let mut done = 0;
    for (part, galaxies) in (0..).zip(chosen.galaxies.chunks(PART)) {
        if let Some(arrays) = parts.get(store, ("galaxies", part))? {
            all.append(Galaxies::from_arrays(&arrays));
        } else {
            let rows: Vec<Option<(f64, f64, f64)>> = galaxies
                .par_iter()
                .map(|(galaxy, measured)| {
                    (!progress.cancelled()).then(|| one(&ladder, examiner, galaxy, measured)).flatten()
                })
                .collect();
            if progress.cancelled() {
                progress.report(Event::Finished);
                return Ok(None);
            }
            let mut found = Galaxies::default();
            for row in rows {
                match row {
                    Some((id, chi2, p)) => {
                        found.ids.push(id);
                        found.chi2_best.push(chi2);
                        found.p_value.push(p);
                    }
                    None => found.refused += 1,
                }
            }
            parts.put(store, ("galaxies", part), &found.to_arrays())?;
            all.append(found);
        }
        done += galaxies.len() as u64;
        progress.report(Event::Advanced { done });
    }
    progress.report(Event::Finished);
    Ok(Some(all))
}

/// One galaxy's number, chi-squared of the best draw and p-value; nothing where it has no posterior.
fn one(
    ladder: &Ladder,
    examiner: &Examiner,
    galaxy: &ObservedGalaxy,
    measured: &Measured,
) -> Option<(f64, f64, f64)> {
    let question = Question {
        measured,
        zred: galaxy.redshift,
        n: examiner.draws,
        seed: examiner.seed,
        stream: stream_of("validate", &galaxy.object_id),
    };
    let evidence = ladder.answer(&question, Roads::Npe).evidence;
    Some((galaxy.id.0 as f64, evidence.chi2_best?, evidence.ppc_p_value?))
}
