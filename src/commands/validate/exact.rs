//! The network's draws and weighted draws against Markov chains of the exact posterior.

use ndarray::{Array2, s};
use rayon::prelude::*;

use super::mocks::{Examine, Examiner, Parts, measured};
use crate::infer::ladder::{Errors, Ladder, Question, Roads, Rules};
use crate::infer::{Draws, Measured};
use crate::progress::{Event, Progress};
use crate::simulate::Rows;
use crate::store::Store;
use crate::validate::evidence::Named;
use crate::validate::{Agreement, Pair, Sample};

/// Galaxies of one part.
const PART: usize = 4;

/// Pairs of one set of galaxies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exact {
    /// The network's draws against the chain's, and weighted draws against them.
    pub npe: Vec<Pair>,
    pub is: Vec<Pair>,
    /// Whether each chain converged.
    pub converged: Vec<bool>,
}

/// A galaxy that all methods are asked about.
pub struct Subject {
    pub measured: Measured,
    pub zred: f64,
    pub stream: u64,
}

impl Subject {
    /// Mocks whose first is number `first`.
    pub fn mocks(rows: &Rows, first: u64) -> Vec<Self> {
        let of = |i: usize| Self {
            measured: measured(rows, i),
            zred: f64::from(rows.zred[i]),
            stream: first + i as u64,
        };
        (0..rows.len()).map(of).collect()
    }
}

impl Exact {
    fn to_arrays(&self, section: &str) -> Vec<Named> {
        let table = |name: &str, pairs: &[Pair]| {
            let rows: Vec<Vec<f32>> = pairs.iter().map(Pair::to_numbers).collect();
            let width = rows.first().map_or(0, Vec::len);
            (format!("{section}_{name}"), vec![rows.len(), width], rows.concat())
        };
        let converged: Vec<f32> = self.converged.iter().map(|&c| if c { 1.0 } else { 0.0 }).collect();
        vec![
            table("npe", &self.npe),
            table("is", &self.is),
            (format!("{section}_converged"), vec![converged.len()], converged),
        ]
    }

    fn from_arrays(section: &str, arrays: &[Named]) -> Self {
        let find = |name: &str| arrays.iter().find(|(found, ..)| *found == format!("{section}_{name}"));
        let pairs = |name: &str| -> Vec<Pair> {
            find(name).map_or(vec![], |(_, shape, values)| {
                let width = shape.get(1).copied().unwrap_or(0).max(1);
                values.chunks_exact(width).map(Pair::from_numbers).collect()
            })
        };
        let converged =
            find("converged").map_or(vec![], |(_, _, values)| values.iter().map(|&v| v > 0.5).collect());
        Self { npe: pairs("npe"), is: pairs("is"), converged }
    }

    /// The arrays of a set of galaxies, for the catalog.
    pub fn arrays(sets: &[(&'static str, Exact)]) -> Vec<Named> {
        sets.iter().flat_map(|(section, exact)| exact.to_arrays(section)).collect()
    }

    /// Back from [`Self::arrays`], those of `sections` that are there.
    pub fn sets(sections: &[&'static str], arrays: &[Named]) -> Vec<(&'static str, Exact)> {
        let of = |section: &&'static str| (*section, Self::from_arrays(section, arrays));
        sections.iter().map(of).filter(|(_, exact)| !exact.npe.is_empty()).collect()
    }

    fn append(&mut self, mut other: Self) {
        self.npe.append(&mut other.npe);
        self.is.append(&mut other.is);
        self.converged.append(&mut other.converged);
    }

    /// What the pairs of both methods say: the network's, and weighted.
    pub fn agreements(&self) -> [(&'static str, Agreement); 2] {
        [("npe", Agreement::of(&self.npe)), ("is", Agreement::of(&self.is))]
    }
}

/// Asks all methods about the subjects; `None` if stopped. `section` names the parts kept.
pub fn gather(
    store: &mut Store,
    parts: &Parts,
    examiner: &Examiner,
    subjects: &[Subject],
    section: &'static str,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Exact>> {
    // Mocks are the noise model's by construction; of real galaxies the ladder decides.
    let errors = if section == MOCKS { Errors::Modelled } else { Errors::Auto };
    let mut rules = Rules { errors, ..Rules::default() };
    rules.chain.min_ess = rules.chain.min_ess.max((CHAIN_TIMES * examiner.draws) as f64);
    rules.min_ess = rules.min_ess.max((WEIGHTED_TIMES * examiner.draws) as f64);
    rules.chain.iterations *= CHAIN_TIMES;
    rules.max_weighted = rules.max_weighted.max(MOST_WEIGHTED * examiner.draws);
    let ladder = examiner.ladder(rules)?;
    let mut all = Exact::default();
    let total = Some(subjects.len() as u64);
    progress.report(Event::Started { what: "Markov chains".into(), total, unit: "galaxies" });
    for (part, subjects) in (0..).zip(subjects.chunks(PART)) {
        if let Some(arrays) = parts.get(store, (section, part))? {
            all.append(Exact::from_arrays(section, &arrays));
        } else {
            let rows: Vec<Option<(Pair, Pair, bool)>> = subjects
                .par_iter()
                .map(|subject| (!progress.cancelled()).then(|| one(&ladder, examiner, subject)).flatten())
                .collect();
            if progress.cancelled() {
                progress.report(Event::Finished);
                return Ok(None);
            }
            let mut found = Exact::default();
            for (npe, is, converged) in rows.into_iter().flatten() {
                found.npe.push(npe);
                found.is.push(is);
                found.converged.push(converged);
            }
            parts.put(store, (section, part), &found.to_arrays(section))?;
            all.append(found);
        }
        progress.report(Event::Advanced { done: all.npe.len() as u64 });
    }
    progress.report(Event::Finished);
    Ok(Some(all))
}

/// Sections of parts and arrays.
pub const MOCKS: &str = "mcmc";
pub const GALAXIES: &str = "galaxy_mcmc";

/// Draws of the exact methods that are made for each one compared: neighbours in a chain are alike, and
/// resampled draws come twice, both of which a classifier would take for a difference.
const CHAIN_TIMES: usize = 4;
const WEIGHTED_TIMES: usize = 10;
/// Most draws weighted for each draw compared.
const MOST_WEIGHTED: usize = 400;

/// One galaxy by all methods; nothing where the network or the chain has no answer.
fn one(ladder: &Ladder, examiner: &Examiner, subject: &Subject) -> Option<(Pair, Pair, bool)> {
    let npe = &examiner.loaded.npe;
    let question = |times: usize| Question {
        measured: &subject.measured,
        zred: Some(subject.zred),
        n: times * examiner.draws,
        seed: examiner.seed,
        stream: subject.stream,
    };
    let x = npe.features(&subject.measured.at(subject.zred)).ok()?;
    let derived = &examiner.loaded.derived;
    let plain = npe.draw(&x, subject.zred, examiner.draws, (examiner.seed, subject.stream), derived).ok()?;
    let chain = ladder.answer(&question(CHAIN_TIMES), Roads::Mcmc);
    let converged = chain.evidence.chain.as_ref().is_some_and(|report| report.converged);
    let (_, chain) = chain.draws?;
    let weighted = ladder.answer(&question(WEIGHTED_TIMES), Roads::Is).draws.map(|(_, draws)| draws);
    let seed = examiner.seed ^ subject.stream;
    let (exact, exact_rows) = every(CHAIN_TIMES, examiner, &chain);
    let against = |draws: &Draws, times: usize| {
        let (columns, rows) = every(times, examiner, draws);
        let exact = Sample { columns: &exact, rows: exact_rows.view() };
        Pair::of(&Sample { columns: &columns, rows: rows.view() }, &exact, seed)
    };
    let unknown = || Pair::from_numbers(&vec![f32::NAN; 1 + 4 * examiner.names().len()]);
    let is = weighted.as_ref().map_or_else(unknown, |draws| against(draws, WEIGHTED_TIMES));
    Some((against(&plain, 1), is, converged))
}

/// Quantities `[17, n]` and coordinates `[n, n_free]` of one in `times` draws.
fn every(times: usize, examiner: &Examiner, draws: &Draws) -> (Vec<f32>, Array2<f32>) {
    let columns = examiner.pick(&draws.columns, draws.n);
    let kept = columns.chunks_exact(draws.n.max(1)).flat_map(|column| column.iter().step_by(times));
    (kept.copied().collect(), draws.latent.slice(s![..;times, ..]).to_owned())
}
