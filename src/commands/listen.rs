//! What a person at the command line sees and does while work runs: a progress bar and Ctrl-C.

use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Event, Progress};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A progress bar on standard error (plain lines for notes where that is no terminal), silent if
/// asked; Ctrl-C or SIGTERM asks the work to stop, a second one ends the process.
pub struct Terminal {
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    pub fn new(quiet: bool) -> Self {
        static HANDLER: OnceLock<()> = OnceLock::new();
        HANDLER.get_or_init(|| {
            let installed = ctrlc::set_handler(|| {
                if INTERRUPTED.swap(true, Ordering::SeqCst) {
                    std::process::exit(i32::from(crate::cli::exit::INTERRUPTED));
                }
                eprintln!("\nstopping at the next safe point; once more to stop at once");
            });
            if let Err(error) = installed {
                eprintln!("warning: Ctrl-C will stop this command without warning: {error}");
            }
        });
        Self { quiet, bar: Mutex::new(None) }
    }

    fn bar_for(what: String, total: Option<u64>, unit: &'static str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => {
                format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} eta {{eta}}")
            }
            None => format!("{{msg}} {{spinner}} {{human_pos}} {unit} {{per_sec}} {{elapsed}}"),
        };
        // The template is ours; a unit with a brace in it would only lose its style.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }
}

impl Progress for Terminal {
    fn report(&self, event: Event) {
        if self.quiet {
            return;
        }
        let mut slot = self.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match (event, slot.as_ref()) {
            (Event::Started { what, total, unit }, _) => *slot = Some(Self::bar_for(what, total, unit)),
            (Event::Advanced { done }, Some(bar)) => bar.set_position(done),
            (event @ Event::Training { validation_ln_prob: Some(_), .. }, bar) => {
                let line = training_line(&event);
                match bar.filter(|bar| !bar.is_hidden()) {
                    Some(bar) => bar.println(line),
                    None => eprintln!("{line}"),
                }
            }
            (event @ Event::Training { .. }, Some(bar)) => bar.set_message(training_line(&event)),
            (Event::Note(text), Some(bar)) if !bar.is_hidden() => bar.println(text),
            (Event::Note(text), _) => eprintln!("{text}"),
            (Event::Finished, Some(bar)) => {
                bar.finish_and_clear();
                *slot = None;
            }
            (Event::Advanced { .. } | Event::Training { .. } | Event::Finished, None) => {}
        }
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}

/// One line on how training stands; empty for other events.
fn training_line(event: &Event) -> String {
    let Event::Training {
        epoch, train_ln_prob, validation_ln_prob, best_ln_prob, examples_per_s, eta_s, ..
    } = event
    else {
        return String::new();
    };
    let mut line = format!("epoch {epoch}: ln q {train_ln_prob:.3}");
    if let Some(held_out) = validation_ln_prob {
        line += &format!(", held out {held_out:.3}");
    }
    if let Some(best) = best_ln_prob {
        line += &format!(" (best {best:.3})");
    }
    line += &format!(", {examples_per_s:.0} examples/s");
    if let Some(eta) = eta_s {
        line += &format!(", {} left", HumanDuration(std::time::Duration::from_secs_f64(eta.clamp(0.0, 1e9))));
    }
    line
}
