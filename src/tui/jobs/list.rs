//! Pages of the list of galaxies.

use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::{Desk, worker};
use crate::find::{Question, Vocabulary, asks_of_draws, find};
use crate::output::{Cell, Format, RowSink as _, Writer};
use crate::store::{
    BrowseRow, ColumnValue, Cone, GalaxyId, Interrupter, Order, Place, PosteriorSet, PosteriorSetId,
    Selection, Store, StoreError, Towards,
};
use crate::tui::message::Msg;

/// Names kept of a fuzzy search.
const BEST: usize = 2000;
/// Rows written at a time.
const EXPORTED: usize = 2000;

/// Which galaxies are listed, and how.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListSpec {
    pub columns: Vec<String>,
    pub set: Option<PosteriorSetId>,
    pub order: Order,
    /// A condition, as `galaxies --where` and `find` take it; empty for none.
    pub filter: String,
    pub cone: Option<Cone>,
    /// Letters that identifiers should have; empty for none.
    pub names: String,
    pub only: Option<Vec<GalaxyId>>,
}

/// Where the rows of a page go from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    pub place: Place,
    /// Number of the row, from 0, where known.
    pub rank: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ListAsk {
    /// What the catalog has; asked again when it has changed.
    Facts,
    /// Whether another process has changed the file.
    Watch,
    /// A list from its beginning.
    Open { generation: u64, spec: ListSpec, limit: usize },
    /// More rows beyond a row of the list opened last.
    More { generation: u64, from: Anchor, towards: Towards, limit: usize },
    /// Rows around row `rank`, or before the end.
    Jump { generation: u64, rank: Option<u64>, limit: usize },
    /// All rows of the list opened last, to a new CSV file.
    Export { generation: u64, path: PathBuf },
}

/// Rows, and where they belong.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub rows: Vec<BrowseRow>,
    /// Number of the first row, where known.
    pub first: Option<u64>,
    /// Whether the rows reach the beginning, the end.
    pub starts: bool,
    pub ends: bool,
    /// Rows there are, where known.
    pub total: Option<u64>,
}

/// What the list needs to know of the catalog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub columns: Vec<String>,
    /// Columns to show where the user has not chosen.
    pub shown: Vec<String>,
    /// Number, name, whether complete.
    pub sets: Vec<(PosteriorSetId, String, bool)>,
    pub current: Option<PosteriorSetId>,
    /// The largest galaxy number.
    pub about: u64,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ListAnswer {
    Facts(Facts),
    /// Another process has written to the file.
    Changed,
    /// The catalog cannot be opened.
    NoCatalog(String),
    Opened {
        generation: u64,
        page: Page,
    },
    More {
        generation: u64,
        towards: Towards,
        page: Page,
    },
    Jumped {
        generation: u64,
        to_end: bool,
        page: Page,
    },
    Progress {
        generation: u64,
        text: String,
    },
    Problem {
        generation: u64,
        text: String,
    },
    Exported {
        generation: u64,
        said: Result<String, String>,
    },
}

/// The list worker, and what stops it in the middle of a question that is no longer asked.
pub struct Handle {
    send: Sender<ListAsk>,
    newest: Arc<AtomicU64>,
    interrupter: Arc<Mutex<Option<Interrupter>>>,
}

impl Handle {
    pub fn ask(&self, ask: ListAsk) {
        if let ListAsk::Open { generation, .. } = &ask {
            self.newest.store(*generation, Ordering::SeqCst);
            if let Some(interrupter) = &*self.interrupter.lock().unwrap_or_else(PoisonError::into_inner) {
                interrupter.interrupt();
            }
        }
        // a worker that has ended has said so
        let _ = self.send.send(ask);
    }
}

pub fn start(catalog: PathBuf, answers: Sender<Msg>) -> Handle {
    let newest = Arc::new(AtomicU64::new(0));
    let interrupter = Arc::new(Mutex::new(None));
    let mut lister = Lister {
        desk: Desk::new(catalog, answers.clone()),
        newest: newest.clone(),
        interrupter: interrupter.clone(),
        generation: 0,
        spec: ListSpec::default(),
        ids: None,
        version: None,
        watched: false,
    };
    let send = worker("list", answers, move |_, ask| lister.take(ask));
    Handle { send, newest, interrupter }
}

struct Lister {
    desk: Desk,
    newest: Arc<AtomicU64>,
    interrupter: Arc<Mutex<Option<Interrupter>>>,
    generation: u64,
    spec: ListSpec,
    /// The galaxies of the list where no index gives them, in its order.
    ids: Option<Vec<GalaxyId>>,
    /// Of the file when it was looked at last.
    version: Option<i64>,
    watched: bool,
}

impl Lister {
    fn take(&mut self, ask: ListAsk) {
        let (generation, answer) = match ask {
            ListAsk::Facts => {
                if !self.watched {
                    self.watch();
                }
                // a list opened meanwhile may have interrupted the first try
                let facts = self.facts().or_else(|_| self.facts());
                (u64::MAX, facts.map(ListAnswer::Facts))
            }
            ListAsk::Watch => return self.watch(),
            ListAsk::Open { generation, spec, limit } => {
                if generation < self.newest.load(Ordering::SeqCst) {
                    return;
                }
                (self.generation, self.spec, self.ids) = (generation, spec, None);
                let opened = self.open(limit).map(|page| ListAnswer::Opened { generation, page });
                (generation, opened)
            }
            ListAsk::More { generation, from, towards, limit } if generation == self.generation => {
                let page = self.more(from, towards, limit);
                (generation, page.map(|page| ListAnswer::More { generation, towards, page }))
            }
            ListAsk::Jump { generation, rank, limit } if generation == self.generation => {
                let page = self.jump(rank, limit);
                let to_end = rank.is_none();
                (generation, page.map(|page| ListAnswer::Jumped { generation, to_end, page }))
            }
            ListAsk::Export { generation, path } if generation == self.generation => {
                let said = match self.export(&path) {
                    Ok(n) => Ok(format!("wrote {n} galaxies to {}", path.display())),
                    Err(error) => Err(format!("{}: {error:#}", path.display())),
                };
                (u64::MAX, Ok(ListAnswer::Exported { generation, said }))
            }
            // of a list that is no longer shown
            ListAsk::Export { .. } | ListAsk::More { .. } | ListAsk::Jump { .. } => return,
        };
        if generation < self.newest.load(Ordering::SeqCst) {
            return;
        }
        let answer = answer.unwrap_or_else(|error| {
            if self.desk.store().is_err() {
                ListAnswer::NoCatalog(error.to_string())
            } else {
                // a file replaced under our feet is opened again next time
                self.desk.close();
                ListAnswer::Problem { generation, text: error.to_string() }
            }
        });
        self.desk.answer(Msg::List(answer));
    }

    /// Tells of a change since the last look; a catalog that was not there is looked for again.
    fn watch(&mut self) {
        let version = self.store().ok().and_then(|store| store.data_version().ok());
        let changed = version.is_some() && version != self.version;
        // the first look has nothing to compare with, unless there was no file before
        if changed && self.watched {
            self.desk.answer(Msg::List(ListAnswer::Changed));
        }
        (self.version, self.watched) = (version, true);
    }

    fn store(&mut self) -> anyhow::Result<&Store> {
        let interrupter = self.interrupter.clone();
        let store = self.desk.store()?;
        let mut slot = interrupter.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(store.interrupter());
        Ok(store)
    }

    fn facts(&mut self) -> anyhow::Result<Facts> {
        let store = self.store()?;
        let current = store.current_posterior_set()?;
        Ok(Facts {
            columns: store.galaxy_columns()?.into_iter().map(|(name, _)| name).collect(),
            shown: shown_columns(store)?,
            sets: store.posterior_sets()?.into_iter().map(|set| (set.id, set.name, set.complete)).collect(),
            current: current.map(|set| set.id),
            about: store.last_galaxy()?,
            notes: store.notes().to_vec(),
        })
    }

    fn open(&mut self, limit: usize) -> anyhow::Result<Page> {
        let spec = self.spec.clone();
        let (generation, newest) = (self.generation, self.newest.clone());
        let stale = move || newest.load(Ordering::SeqCst) > generation;
        let answers = self.desk.answers.clone();
        let say = move |text: String| {
            let _ = answers.send(Msg::List(ListAnswer::Progress { generation, text }));
        };
        let store = self.store()?;
        let selection =
            Selection { cone: spec.cone, set: spec.set, ids: spec.only.as_deref(), ..Selection::default() };
        let filter = Some(spec.filter.as_str()).filter(|filter| !filter.trim().is_empty());
        let of_draws = filter.is_some_and(asks_of_draws);
        let mut ids = None;
        if !spec.names.is_empty() {
            say(format!("looking for names like {}", spec.names));
            let mut named = by_name(store, &spec.names, &stale)?;
            if filter.is_some() || spec.cone.is_some() || spec.only.is_some() {
                let all = Selection { ids: Some(&named), ..selection };
                let mut those = match filter.filter(|_| of_draws) {
                    Some(filter) => by_draws(store, filter, &all, &stale, &mut |_| ())?,
                    None => store.select_galaxies(&Selection { condition: filter, ..all })?,
                };
                those.sort_unstable();
                named.retain(|id| those.binary_search(id).is_ok());
            }
            ids = Some(named);
        } else if let Some(filter) = filter.filter(|_| of_draws) {
            let mut last = std::time::Instant::now();
            let found = by_draws(store, filter, &selection, &stale, &mut |n| {
                if last.elapsed().as_millis() > 200 {
                    last = std::time::Instant::now();
                    say(format!("{n} found so far"));
                }
            })?;
            let sorted = Selection { condition: None, ids: Some(&found), ..selection };
            ids = Some(match &spec.order {
                Order::Number => found,
                order => store.sorted_galaxies(&sorted, order)?,
            });
        } else if !spec.order.is_indexed() {
            if let Order::Column { name, .. } = &spec.order {
                say(format!("sorting by {name}"));
            }
            ids = Some(store.sorted_galaxies(&Selection { condition: filter, ..selection }, &spec.order)?);
        }
        self.ids = ids;
        self.jump(Some(0), limit)
    }

    fn selection(spec: &ListSpec) -> Selection<'_> {
        let condition = Some(spec.filter.as_str()).filter(|filter| !filter.trim().is_empty());
        Selection {
            condition,
            cone: spec.cone,
            set: spec.set,
            ids: spec.only.as_deref(),
            ..Selection::default()
        }
    }

    /// Rows from a number on, or those before the end.
    fn jump(&mut self, rank: Option<u64>, limit: usize) -> anyhow::Result<Page> {
        let spec = self.spec.clone();
        if let Some(ids) = self.ids.take() {
            let n = ids.len();
            let first =
                rank.map_or(n.saturating_sub(limit), |rank| (rank as usize).min(n.saturating_sub(limit)));
            let rows = self
                .store()
                .map(|store| store.browse_these(spec.set, &spec.columns, &ids[first..n.min(first + limit)]));
            self.ids = Some(ids);
            return Ok(ranked(rows??, first, n));
        }
        let store = self.store()?;
        let selection = Self::selection(&spec);
        let page = |at, towards, skip| {
            store.browse(&selection, &spec.columns, &spec.order, (at, towards), (skip, limit))
        };
        match rank {
            Some(rank) => {
                let rows = page(None, Towards::End, rank)?;
                if rows.is_empty() && rank > 0 {
                    return Ok(before_end(page(None, Towards::Start, 0)?, limit));
                }
                let ends = rows.len() < limit;
                let total = ends.then_some(rank + rows.len() as u64);
                Ok(Page { rows, first: Some(rank), starts: rank == 0, ends, total })
            }
            None => Ok(before_end(page(None, Towards::Start, 0)?, limit)),
        }
    }

    fn more(&mut self, from: Anchor, towards: Towards, limit: usize) -> anyhow::Result<Page> {
        let spec = self.spec.clone();
        if let (Some(ids), Some(rank)) = (self.ids.take(), from.rank) {
            let (n, rank) = (ids.len(), rank as usize);
            let range = match towards {
                Towards::End => (rank + 1).min(n)..(rank + 1 + limit).min(n),
                Towards::Start => rank.saturating_sub(limit)..rank.min(n),
            };
            let rows =
                self.store().map(|store| store.browse_these(spec.set, &spec.columns, &ids[range.clone()]));
            self.ids = Some(ids);
            return Ok(ranked(rows??, range.start, n));
        }
        let store = self.store()?;
        let order = (Some(from.place), towards);
        let rows = store.browse(&Self::selection(&spec), &spec.columns, &spec.order, order, (0, limit))?;
        let done = rows.len() < limit;
        let n = rows.len() as u64;
        Ok(match towards {
            Towards::End => {
                let first = from.rank.map(|rank| rank + 1);
                Page {
                    rows,
                    first,
                    starts: false,
                    ends: done,
                    total: first.filter(|_| done).map(|first| first + n),
                }
            }
            Towards::Start => {
                let first = if done { Some(0) } else { from.rank.and_then(|rank| rank.checked_sub(n)) };
                Page { rows, first, starts: done, ends: false, total: None }
            }
        })
    }
}

impl Lister {
    /// Writes the whole list; returns the number of rows.
    fn export(&mut self, path: &std::path::Path) -> anyhow::Result<u64> {
        let file = std::fs::File::create_new(path)?;
        let mut out = std::io::BufWriter::new(file);
        let columns = self.spec.columns.clone();
        let mut page = self.jump(Some(0), EXPORTED)?;
        write_csv(&mut out, &columns, &page.rows)?;
        let mut n = page.rows.len() as u64;
        while let Some(last) = page.rows.last().filter(|_| !page.ends) {
            let rank = page.first.map(|first| first + page.rows.len() as u64 - 1);
            page = self.more(Anchor { place: last.place, rank }, Towards::End, EXPORTED)?;
            let mut part = Vec::new();
            write_csv(&mut part, &columns, &page.rows)?;
            // the heading was written once
            let body = part.iter().position(|byte| *byte == b'\n').map_or(&[][..], |end| &part[end + 1..]);
            std::io::Write::write_all(&mut out, body)?;
            n += page.rows.len() as u64;
        }
        std::io::Write::flush(&mut out)?;
        Ok(n)
    }
}

/// Rows as CSV with a heading, exactly as stored.
pub fn write_csv(
    out: &mut impl std::io::Write,
    columns: &[String],
    rows: &[BrowseRow],
) -> std::io::Result<()> {
    let mut writer = Writer::new(out, Format::Csv);
    writer.columns(columns)?;
    for row in rows {
        let cells: Vec<Cell<'_>> = row
            .cells
            .iter()
            .map(|cell| match cell {
                ColumnValue::Null => Cell::Null,
                ColumnValue::Integer(value) => Cell::Int(*value),
                ColumnValue::Number(value) => Cell::Real(*value),
                ColumnValue::Text(text) => Cell::text(text),
            })
            .collect();
        writer.row(&cells)?;
    }
    writer.finish().map(|_| ())
}

fn ranked(rows: Vec<BrowseRow>, first: usize, n: usize) -> Page {
    let ends = first + rows.len() >= n;
    Page { rows, first: Some(first as u64), starts: first == 0, ends, total: Some(n as u64) }
}

fn before_end(rows: Vec<BrowseRow>, limit: usize) -> Page {
    let all = rows.len() < limit;
    let n = rows.len() as u64;
    Page { rows, first: all.then_some(0), starts: all, ends: true, total: all.then_some(n) }
}

/// Columns that say who, how far, how bright and what was found, the most telling first.
fn shown_columns(store: &Store) -> Result<Vec<String>, StoreError> {
    let all: Vec<String> = store.galaxy_columns()?.into_iter().map(|(name, _)| name).collect();
    let mut shown: Vec<String> = vec!["object_id".to_owned(), "redshift".to_owned()];
    let reference =
        ["mag_r", "mag_R", "mag_i", "mag_g"].iter().find(|name| all.iter().any(|known| known == *name));
    let reference = reference.map(|name| (*name).to_owned());
    shown.extend(reference.or_else(|| all.iter().find(|name| name.starts_with("mag_")).cloned()));
    if store.current_posterior_set()?.is_some() || !store.posterior_sets()?.is_empty() {
        shown.extend(
            [
                "log_mstar_surviving_q50",
                "log_sfr_1gyr_q50",
                "t_age_mw_gyr_q50",
                "log_z_mw_q50",
                "tau_ism_q50",
                "method",
                "reason",
            ]
            .map(str::to_owned),
        );
    }
    shown.extend(["survey", "ra_deg", "dec_deg"].map(str::to_owned));
    let magnitudes: Vec<String> =
        all.into_iter().filter(|name| name.starts_with("mag_") && !shown.contains(name)).collect();
    shown.extend(magnitudes);
    shown.push("cuts_failed".to_owned());
    Ok(shown)
}

/// The galaxies that a question about draws selects, by their numbers.
fn by_draws(
    store: &Store,
    filter: &str,
    selection: &Selection<'_>,
    stale: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(usize),
) -> anyhow::Result<Vec<GalaxyId>> {
    let set = set_of(store, selection.set)?;
    let question = Question::parse(filter, store, &Vocabulary::new(store, Some(&set))?)?;
    let selection = Selection { condition: None, limit: None, set: Some(set.id), ..*selection };
    let remaker = crate::commands::draws::Remaker::of_set(store, &set)?;
    let remake = |store: &Store, galaxy: &crate::store::Candidate| match &remaker {
        Some(remaker) => remaker.samples(store, galaxy),
        None => Ok(None),
    };
    let mut ids = Vec::new();
    find(store, &question, &selection, Some(&remake), &mut |galaxy| {
        ids.push(galaxy);
        progress(ids.len());
        Ok(!stale())
    })?;
    Ok(ids)
}

fn set_of(store: &Store, id: Option<PosteriorSetId>) -> anyhow::Result<PosteriorSet> {
    match id {
        Some(id) => Ok(store.posterior_set(id)?),
        None => crate::commands::plot::posterior_set(store, None),
    }
}

/// How alike a name is: its score, then its length and number, less being more.
type Rank = std::cmp::Reverse<(u32, std::cmp::Reverse<(usize, i64)>)>;

/// Galaxies whose identifiers have the letters of `wanted` in this order, the most alike first.
fn by_name(store: &Store, wanted: &str, stale: &dyn Fn() -> bool) -> Result<Vec<GalaxyId>, StoreError> {
    let pattern = Pattern::parse(wanted, CaseMatching::Smart, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut n = 0_u64;
    // the worst of the best on top: higher scores, then shorter names, then lower numbers win
    let mut best: BinaryHeap<Rank> = BinaryHeap::new();
    store.each_name(&mut |id, name| {
        n += 1;
        if n.is_multiple_of(4096) && stale() {
            return false;
        }
        if let Some(score) = pattern.score(Utf32Str::new(name, &mut letters), &mut matcher) {
            best.push(std::cmp::Reverse((score, std::cmp::Reverse((name.len(), id.0)))));
            if best.len() > BEST {
                best.pop();
            }
        }
        true
    })?;
    // reversed keys, ascending: the best first
    Ok(best.into_sorted_vec().into_iter().map(|key| GalaxyId(key.0.1.0.1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_know_whether_they_reach_an_end() {
        let row = |tie| BrowseRow { galaxy: GalaxyId(tie), place: Place { value: None, tie }, cells: vec![] };
        let page = ranked(vec![row(3), row(4)], 2, 4);
        assert_eq!((page.first, page.starts, page.ends, page.total), (Some(2), false, true, Some(4)));
        let page = before_end(vec![row(1), row(2)], 5);
        assert_eq!((page.first, page.starts, page.ends, page.total), (Some(0), true, true, Some(2)));
        assert_eq!(before_end(vec![row(8), row(9)], 2).first, None);
    }
}
