//! Going through galaxies: batches are decided by their summaries, the rest by their draws on all cores.

use rayon::prelude::*;

use super::evaluate::{BoundsCache, Cells, Evaluator};
use super::{FindError, Question};
use crate::samples::Samples;
use crate::store::{Candidate, GalaxyId, Readers, Selection, Store, StoreError};

/// Galaxies looked at together.
const BATCH: usize = 1024;

/// How an answer was come by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Galaxies that are as the SQL part asks.
    pub candidates: u64,
    /// Of these, decided by their summaries alone: yes, and no.
    pub summary_yes: u64,
    pub summary_no: u64,
    /// Decided by their draws, unpacked or made again.
    pub unpacked: u64,
    pub remade: u64,
    /// Undecided: the summary leaves it open and the draws are not stored. They count as no.
    pub without_draws: u64,
    pub found: u64,
}

/// Makes the draws of a galaxy again that are not stored; `None` if they cannot be.
pub type Remake<'a> = &'a (
        dyn Fn(&Store, &Candidate) -> Result<Option<Samples>, Box<dyn std::error::Error + Send + Sync>> + Sync
    );

/// Where draws come from.
struct Source<'a> {
    readers: Readers,
    remake: Option<Remake<'a>>,
}

impl Source<'_> {
    /// The draws of a galaxy's parameters, and whether they had to be made again.
    fn samples(&self, galaxy: &Candidate, names: &[&str]) -> Result<Option<(Samples, bool)>, FindError> {
        let Some(posterior) = &galaxy.posterior else { return Ok(None) };
        if posterior.stored {
            let samples = self.readers.with(|store| store.samples(posterior.id, Some(names)))?;
            return Ok(samples.map(|samples| (samples, false)));
        }
        let Some(remake) = self.remake.filter(|_| posterior.recipe) else { return Ok(None) };
        self.readers.with(|store| {
            let made = remake(store, galaxy);
            let samples = made.map_err(|source| FindError::Remake { galaxy: galaxy.galaxy, source })?;
            Ok(samples.map(|samples| (samples, true)))
        })
    }
}

enum Verdict {
    Summary(bool),
    Unpacked(bool),
    Remade(bool),
    NoDraws,
}

/// Hands the galaxies that answer the question to `take`, by ascending number, until that says `false`.
///
/// `selection` may narrow the question; its `bound` conditions are taken from the question.
pub fn find(
    store: &Store,
    question: &Question,
    selection: &Selection<'_>,
    remake: Option<Remake<'_>>,
    take: &mut dyn FnMut(GalaxyId) -> Result<bool, FindError>,
) -> Result<Tally, FindError> {
    let selection = Selection { bound: &question.in_sql, ..*selection };
    let evaluator = &question.of_draws;
    let source = Source { readers: store.readers(), remake };
    let mut tally = Tally::default();
    let mut batch: Vec<Candidate> = Vec::new();
    let mut settle = |batch: &mut Vec<Candidate>| -> Result<bool, FindError> {
        let verdicts = judge(evaluator, batch, &source)?;
        for (galaxy, verdict) in batch.drain(..).zip(verdicts) {
            tally.candidates += 1;
            let found = match verdict {
                Verdict::Summary(yes) => {
                    *(if yes { &mut tally.summary_yes } else { &mut tally.summary_no }) += 1;
                    yes
                }
                Verdict::Unpacked(yes) => {
                    tally.unpacked += 1;
                    yes
                }
                Verdict::Remade(yes) => {
                    tally.remade += 1;
                    yes
                }
                Verdict::NoDraws => {
                    tally.without_draws += 1;
                    false
                }
            };
            if found {
                tally.found += 1;
                if !take(galaxy.galaxy)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    };
    let mut go_on = true;
    let parameters: Vec<&str> = evaluator.parameters.clone();
    store.candidates(&selection, &evaluator.columns, &parameters, &mut |galaxy| {
        batch.push(galaxy);
        if batch.len() == BATCH {
            go_on = settle(&mut batch)?;
        }
        Ok::<_, FindError>(go_on)
    })?;
    if go_on {
        settle(&mut batch)?;
    }
    Ok(tally)
}

fn judge(evaluator: &Evaluator, batch: &[Candidate], source: &Source<'_>) -> Result<Vec<Verdict>, FindError> {
    if evaluator.is_empty() {
        return Ok(batch.iter().map(|_| Verdict::Summary(true)).collect());
    }
    let judge = |cache: &mut BoundsCache, galaxy: &Candidate| {
        let decided = evaluator.decide(galaxy, cache);
        if decided.contains(&Some(false)) {
            return Ok(Verdict::Summary(false));
        }
        if decided.iter().all(|decided| *decided == Some(true)) {
            return Ok(Verdict::Summary(true));
        }
        match source.samples(galaxy, &evaluator.draws_of(&decided))? {
            Some((mut samples, remade)) => {
                let holds = evaluator.holds(galaxy, &decided, Some(&mut samples))?;
                Ok(if remade { Verdict::Remade(holds) } else { Verdict::Unpacked(holds) })
            }
            None if galaxy.posterior.is_some() => Ok(Verdict::NoDraws),
            // without a posterior all that is taken of draws is missing
            None => evaluator.holds(galaxy, &decided, None).map(Verdict::Summary),
        }
    };
    batch.par_iter().map_init(BoundsCache::default, judge).collect()
}

/// A galaxy with the values of expressions.
pub type Measured = (GalaxyId, Cells);

/// The values of the evaluator's expressions for these galaxies, in the order of their numbers.
pub fn measure(
    store: &Store,
    evaluator: &Evaluator,
    selection: &Selection<'_>,
    remake: Option<Remake<'_>>,
) -> Result<Vec<Measured>, FindError> {
    let source = Source { readers: store.readers(), remake };
    let mut galaxies = Vec::new();
    let parameters: Vec<&str> = evaluator.parameters.clone();
    store.candidates(selection, &evaluator.columns, &parameters, &mut |galaxy| {
        galaxies.push(galaxy);
        Ok::<_, StoreError>(true)
    })?;
    let names = evaluator.draws_of(&[]);
    let measure = |galaxy: &Candidate| {
        let mut samples = if evaluator.takes_draws() { source.samples(galaxy, &names)? } else { None };
        let samples = samples.as_mut().map(|(samples, _)| samples);
        Ok((galaxy.galaxy, evaluator.values(galaxy, samples)?))
    };
    galaxies.par_iter().map(measure).collect()
}
