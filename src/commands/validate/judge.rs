//! A learned likelihood as a judge: is a galaxy's photometry probable under its posterior?

use anyhow::bail;
use rayon::prelude::*;

use super::exact::Subject;
use super::galaxies::Chosen;
use super::mocks::{Examiner, Parts};
use crate::commands::setup::{Loaded, LoadedLikelihood};
use crate::infer::nle::{Checked, Nle, Probable};
use crate::progress::{Event, Progress};
use crate::store::Store;
use crate::validate::evidence::Named;

/// Galaxies of one part.
const PART: usize = 20;
/// Draws of each posterior, and repetitions of its photometry.
const DRAWS: usize = 50;
/// Fewest mocks to read real galaxies against.
const MOCKS: u64 = 300;

/// What a likelihood says of mocks and of real galaxies, one entry each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// Name of the likelihood.
    pub by: String,
    pub mocks: Verdicts,
    pub galaxies: Verdicts,
}

/// Predictive densities and p-values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts {
    pub ln_density: Vec<f64>,
    pub p_value: Vec<f64>,
}

impl Verdicts {
    fn to_arrays(&self, section: &str) -> Vec<Named> {
        let array = |name: &str, values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            (format!("{section}_{name}"), vec![values.len()], values)
        };
        vec![array("ln_density", &self.ln_density), array("p_value", &self.p_value)]
    }

    fn from_arrays(section: &str, arrays: &[Named]) -> Self {
        let get = |name: &str| -> Vec<f64> {
            let found = arrays.iter().find(|(found, ..)| *found == format!("{section}_{name}"));
            found.map_or(vec![], |(_, _, values)| values.iter().map(|&v| f64::from(v)).collect())
        };
        Self { ln_density: get("ln_density"), p_value: get("p_value") }
    }

    fn append(&mut self, mut other: Self) {
        self.ln_density.append(&mut other.ln_density);
        self.p_value.append(&mut other.p_value);
    }
}

const SECTIONS: [&str; 2] = ["nle_mock", "nle_galaxy"];

impl Judged {
    pub fn to_arrays(&self) -> Vec<Named> {
        let [mocks, galaxies] = SECTIONS;
        [self.mocks.to_arrays(mocks), self.galaxies.to_arrays(galaxies)].concat()
    }

    pub fn from_arrays(by: &str, arrays: &[Named]) -> Self {
        let [mocks, galaxies] = SECTIONS.map(|section| Verdicts::from_arrays(section, arrays));
        Self { by: by.to_owned(), mocks, galaxies }
    }
}

/// How many galaxies are judged: all that were chosen, and as many mocks.
pub fn most(chosen: &Option<Chosen>) -> u64 {
    chosen.as_ref().map_or(MOCKS, |chosen| (chosen.galaxies.len() as u64).max(MOCKS))
}

/// Errors where the likelihood is not one of the posterior's galaxies.
pub fn check(likelihood: &LoadedLikelihood, posterior: &Loaded) -> anyhow::Result<()> {
    let (judge, judged) = (&likelihood.nle.card().model, posterior.npe.card());
    let differs = |what: &str| {
        anyhow::anyhow!(
            "likelihood {} was trained with another {what} than checkpoint {}",
            likelihood.name,
            posterior.name
        )
    };
    if likelihood.prior != posterior.prior {
        return Err(differs("prior"));
    }
    if judge.filters != judged.filters {
        return Err(differs("list of bands"));
    }
    if judge.sed_model != judged.sed_model {
        return Err(differs("SED model"));
    }
    if judged.features.allows_missing() {
        bail!("checkpoint {} accepts missing bands, which likelihoods do not", posterior.name);
    }
    Ok(())
}

/// Judges mocks and real galaxies; `None` if stopped.
pub fn gather(
    store: &mut Store,
    parts: &Parts,
    examiner: &Examiner,
    likelihood: &LoadedLikelihood,
    subjects: [&[Subject]; 2],
    progress: &dyn Progress,
) -> anyhow::Result<Option<Judged>> {
    let mut sets = [Verdicts::default(), Verdicts::default()];
    let total = Some(subjects.iter().map(|s| s.len() as u64).sum());
    let what = format!("judging by {}", likelihood.name);
    progress.report(Event::Started { what, total, unit: "galaxies" });
    let mut done = 0;
    for ((section, subjects), set) in SECTIONS.into_iter().zip(subjects).zip(&mut sets) {
        for (part, subjects) in (0..).zip(subjects.chunks(PART)) {
            if let Some(arrays) = parts.get(store, (section, part))? {
                set.append(Verdicts::from_arrays(section, &arrays));
            } else {
                let verdicts: Vec<Option<Probable>> = subjects
                    .par_iter()
                    .map(|subject| {
                        (!progress.cancelled()).then(|| one(&likelihood.nle, examiner, subject)).flatten()
                    })
                    .collect();
                if progress.cancelled() {
                    progress.report(Event::Finished);
                    return Ok(None);
                }
                let verdicts: Vec<Probable> = verdicts.into_iter().flatten().collect();
                let found = Verdicts {
                    ln_density: verdicts.iter().map(|v| v.ln_density).collect(),
                    p_value: verdicts.iter().map(|v| v.p_value).collect(),
                };
                parts.put(store, (section, part), &found.to_arrays(section))?;
                set.append(found);
            }
            done += subjects.len() as u64;
            progress.report(Event::Advanced { done });
        }
    }
    progress.report(Event::Finished);
    let [mocks, galaxies] = sets;
    Ok(Some(Judged { by: likelihood.name.clone(), mocks, galaxies }))
}

fn one(nle: &Nle, examiner: &Examiner, subject: &Subject) -> Option<Probable> {
    let npe = &examiner.loaded.npe;
    let x = npe.features(&subject.measured.at(subject.zred)).ok()?;
    let stream = (examiner.seed, subject.stream);
    let draws = npe.draw(&x, subject.zred, DRAWS, stream, &examiner.loaded.derived).ok()?;
    let galaxy = Checked {
        u: draws.latent.as_slice()?,
        log_mstar: draws.column(0),
        flux_nmgy: &subject.measured.flux_nmgy,
        sigma_nmgy: &subject.measured.sigma_nmgy,
        zred: subject.zred,
    };
    let found = nle.probable(&galaxy, DRAWS, stream).ok()?;
    // A density too small for a number is small, not unknown.
    let ln_density = if found.ln_density.is_finite() { found.ln_density } else { f64::from(f32::MIN) };
    Some(Probable { ln_density, ..found })
}
