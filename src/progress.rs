//! The events long work can report; bar, log and terminal UI are listeners.

/// What a listener hears, in this order: `Started`, any number of `Advanced` and `Note`, `Finished`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Started {
        /// What is being done, as a person would say it: "ingesting nsa.fits".
        what: String,
        /// Units of work, where known beforehand.
        total: Option<u64>,
        /// The unit counted, in the plural: "galaxies", "rows".
        unit: &'static str,
    },
    Advanced {
        /// Units done so far, not since the last event.
        done: u64,
    },
    /// How a training run stands, in between `Advanced`. Log densities are natural logs.
    Training {
        /// Epochs finished, and steps done.
        epoch: u64,
        step: u64,
        /// Mean over this epoch's examples so far.
        train_ln_prob: f64,
        /// Mean over the held-out examples, at the end of an epoch.
        validation_ln_prob: Option<f64>,
        best_ln_prob: Option<f64>,
        lr: f64,
        examples_per_s: f64,
        eta_s: Option<f64>,
    },
    Note(String),
    Finished,
}

/// A listener of long work, which it can also ask to stop.
pub trait Progress: Sync {
    fn report(&self, event: Event);

    /// True once the user asked to stop: work ends at the next point where nothing is lost.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing and never cancels.
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: Event) {}
}
