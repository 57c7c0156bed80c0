//! Several trainings at once, one per core: the members of an ensemble, the trials of a search.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::{Data, Stop, TrainError, Trainer};
use crate::progress::{Event, Progress};

/// A training with the name that its remarks go under.
pub struct Named {
    pub name: String,
    pub trainer: Trainer,
}

/// Trains each on one thread, as many at once as there are threads, until all have ended or the
/// listener asks to stop; the result does not depend on the number of threads.
///
/// `save` is called for each after every `every` and at its end, with what ended it (`None` in between,
/// and where it is stopped by the listener, after which it can go on). A training that fails ends with
/// its error; the others go on. `true` where all have ended.
pub fn run_many<E>(
    trainings: &mut [Named],
    data: &Data,
    progress: &dyn Progress,
    every: Duration,
    mut save: impl FnMut(usize, &Trainer, Option<&Result<Stop, TrainError>>) -> Result<(), E>,
) -> Result<bool, E> {
    let at_once = rayon::current_num_threads().max(1);
    for (wave, trainings) in trainings.chunks_mut(at_once).enumerate() {
        let mut running: Vec<(usize, &mut Named)> = trainings.iter_mut().enumerate().collect();
        while !running.is_empty() {
            let results: Vec<Option<Result<Stop, TrainError>>> = running
                .par_iter_mut()
                .map(|(_, Named { name, trainer })| {
                    let turn = Turn { inner: progress, name, until: Instant::now() + every };
                    match on_one_thread(|| trainer.run(data, &turn)) {
                        Ok(Stop::Cancelled) => None,
                        ended => Some(ended),
                    }
                })
                .collect();
            for ((index, named), result) in running.iter().zip(&results) {
                save(wave * at_once + index, &named.trainer, result.as_ref())?;
            }
            if progress.cancelled() {
                return Ok(false);
            }
            let mut ended = results.iter().map(Option::is_some);
            running.retain(|_| !ended.next().unwrap_or(true));
        }
    }
    Ok(true)
}

/// Runs `work` in a pool of one thread, or here where none can be started.
fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// Passes on remarks, under a name, and the wish to stop (several bars at once help nobody); asks to
/// stop when its time is over.
struct Turn<'a> {
    inner: &'a dyn Progress,
    name: &'a str,
    until: Instant,
}

impl Progress for Turn<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Note(text) => self.inner.report(Event::Note(format!("{}: {text}", self.name))),
            Event::Training { epoch, validation_ln_prob: Some(score), .. } => {
                self.inner.report(Event::Note(format!("{}: epoch {epoch}, held out {score:.3}", self.name)));
            }
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled() || Instant::now() >= self.until
    }
}
