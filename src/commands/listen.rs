//! What a person sees and does while work runs: a progress bar and Ctrl-C at the command line, and from another
//! process how far it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Event, Progress};
use crate::store::{Standing, Store};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A progress bar on standard error (plain lines for notes where that is no terminal), silent if
/// asked; Ctrl-C or SIGTERM asks the work to stop, a second one ends the process.
pub struct Terminal {
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
    board: Mutex<Board>,
}

impl Terminal {
    /// For work that writes to `catalog`.
    pub fn new(quiet: bool, catalog: &Path) -> Self {
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
        Self { quiet, bar: Mutex::new(None), board: Mutex::new(Board::new(catalog)) }
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
        self.board.lock().unwrap_or_else(PoisonError::into_inner).report(&event);
        if self.quiet {
            return;
        }
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
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

/// How often other processes are told.
const POST: Duration = Duration::from_millis(500);

/// Tells other processes how far the work is.
struct Board {
    catalog: PathBuf,
    standing: Option<Standing>,
    /// When the work first said how far it was, and how far: what was done before took no time of this process.
    first: Option<(Instant, u64)>,
    posted: Option<Instant>,
}

impl Board {
    fn new(catalog: &Path) -> Self {
        Self { catalog: catalog.to_owned(), standing: None, first: None, posted: None }
    }

    fn report(&mut self, event: &Event) {
        match (event, &mut self.standing) {
            (Event::Started { what, total, unit }, _) => {
                self.first = None;
                let (what, unit) = (what.clone(), (*unit).to_owned());
                self.standing = Some(Standing { what, unit, total: *total, ..Standing::default() });
                self.post();
            }
            (Event::Advanced { done }, Some(standing)) => {
                standing.done = *done;
                let (begun, before) = *self.first.get_or_insert_with(|| (Instant::now(), *done));
                if let Some(total) = standing.total.filter(|_| *done > before) {
                    let left = total.saturating_sub(*done) as f64 / (*done - before) as f64;
                    standing.eta_s = Some(begun.elapsed().as_secs_f64() * left);
                }
                self.post_if_due();
            }
            (Event::Training { step, eta_s, .. }, Some(standing)) => {
                (standing.done, standing.eta_s) = (*step, *eta_s);
                standing.said = Some(training_words(event));
                self.post_if_due();
            }
            (Event::Finished, Some(_)) => {
                self.standing = None;
                self.post();
            }
            _ => {}
        }
    }

    fn post_if_due(&mut self) {
        if self.posted.is_none_or(|posted| posted.elapsed() >= POST) {
            self.post();
        }
    }

    fn post(&mut self) {
        self.posted = Some(Instant::now());
        // work goes on also where nobody can be told how far it is
        let _ = Store::post(&self.catalog, self.standing.clone());
    }
}

/// One line on how training stands; empty for other events.
fn training_line(event: &Event) -> String {
    let mut line = training_words(event);
    if let Event::Training { eta_s: Some(eta), .. } = event {
        let eta = Duration::try_from_secs_f64(eta.min(1e9)).unwrap_or_default();
        line += &format!(", {} left", HumanDuration(eta));
    }
    line
}

fn training_words(event: &Event) -> String {
    let Event::Training { epoch, train_ln_prob, validation_ln_prob, best_ln_prob, examples_per_s, .. } =
        event
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
    line + &format!(", {examples_per_s:.0} examples/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_on_sees_how_far_the_writer_is_and_when_it_will_be_done() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = folder.path().join("a.db");
        let _store = Store::create(&catalog).unwrap();
        let standing = || Store::writer(&catalog).unwrap().standing;
        let terminal = Terminal::new(true, &catalog);
        assert_eq!(standing(), None);
        terminal.report(Event::Started { what: "ingesting".into(), total: Some(100), unit: "rows" });
        // 60 rows were there before: they say nothing about how fast the rest will be
        terminal.report(Event::Advanced { done: 60 });
        std::thread::sleep(POST);
        terminal.report(Event::Advanced { done: 80 });
        let seen = standing().unwrap();
        assert_eq!((seen.what.as_str(), seen.done, seen.total), ("ingesting", 80, Some(100)));
        let eta_s = seen.eta_s.unwrap();
        assert!((0.5..2.0).contains(&eta_s), "{eta_s}");
        terminal.report(Event::Finished);
        assert_eq!(standing(), None);
    }
}
