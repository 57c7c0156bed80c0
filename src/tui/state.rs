//! All that the program knows and shows, as plain data.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::config::Config;
use super::form::Form;
use super::jobs::galaxy::{Curves, Data, Portrait, Seen};
use super::jobs::list::{Facts, ListSpec};
use super::jobs::products::{Findings, HistoryCurves, Lists, ProductsAsk, RunFiles};
use super::keys::{Keymap, Scope};
use super::line::Line;
use super::theme::{Role, Theme};
use crate::store::{BrowseRow, GalaxyId, PosteriorSetId, Towards};

/// The main views, in the order of Tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Galaxies,
    Models,
    Validation,
    Runs,
}

impl View {
    pub const ALL: [View; 4] = [View::Galaxies, View::Models, View::Validation, View::Runs];

    pub const fn title(self) -> &'static str {
        match self {
            View::Galaxies => "Galaxies",
            View::Models => "Models",
            View::Validation => "Validation",
            View::Runs => "Runs",
        }
    }
}

/// What lies over the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    Help {
        scroll: usize,
    },
    Prompt(Prompt),
    /// Columns to choose from.
    Columns {
        line: Line,
        cursor: usize,
    },
    Form(Form),
    /// A text to read.
    Text {
        title: String,
        lines: Vec<String>,
        scroll: usize,
        /// The job whose log it is, which may be growing.
        of: Option<u64>,
    },
}

/// What is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Names,
    Filter,
    Cone,
    Palette,
    Export,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub asked: Asked,
    pub line: Line,
    /// Which of the suggestions is chosen.
    pub chosen: usize,
    /// How far back in what was typed before.
    pub back: usize,
}

/// What is known of how many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    #[default]
    Unknown,
    About(u64),
    Exactly(u64),
}

/// The list of galaxies: a window on it, which moves with the cursor.
#[derive(Debug, Clone, Default)]
pub struct Galaxies {
    pub spec: ListSpec,
    /// Counts the lists opened; answers to others are dropped.
    pub generation: u64,
    pub rows: VecDeque<BrowseRow>,
    /// Number of the first row of the window, where known.
    pub first: Option<u64>,
    pub starts: bool,
    pub ends: bool,
    pub total: Total,
    /// Row under the cursor and first row in sight, within the window.
    pub cursor: usize,
    pub top: usize,
    /// Column under the cursor, first one in sight beyond the frozen, and how many are frozen.
    pub column: usize,
    pub left: usize,
    pub frozen: usize,
    /// Columns wider or narrower than they would be.
    pub widths: BTreeMap<String, usize>,
    pub marks: BTreeSet<GalaxyId>,
    /// A page asked for and not yet here.
    pub pending: Option<Towards>,
    /// Work that takes a while, in words.
    pub busy: Option<String>,
    pub problem: Option<String>,
}

impl Galaxies {
    pub fn current(&self) -> Option<&BrowseRow> {
        self.rows.get(self.cursor)
    }

    pub fn column_name(&self) -> Option<&str> {
        self.spec.columns.get(self.column).map(String::as_str)
    }
}

/// Pages of one galaxy, in the order of the arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    #[default]
    Overview,
    Marginals,
    Corner,
    History,
    Source,
}

impl Page {
    pub const ALL: [Page; 5] = [Page::Overview, Page::Marginals, Page::Corner, Page::History, Page::Source];

    pub const fn title(self) -> &'static str {
        match self {
            Page::Overview => "Overview",
            Page::Marginals => "Marginals",
            Page::Corner => "Corner",
            Page::History => "History",
            Page::Source => "Source",
        }
    }
}

/// One galaxy, opened from the list.
#[derive(Debug, Clone, Default)]
pub struct GalaxyView {
    /// Counts the galaxies opened; answers about others are dropped.
    pub generation: u64,
    pub id: GalaxyId,
    pub set: Option<PosteriorSetId>,
    pub page: Page,
    pub seen: Option<Arc<Seen>>,
    pub portrait: Option<Arc<Portrait>>,
    pub curves: Option<Arc<Curves>>,
    /// Posteriors of other sets, and whether they are laid over.
    pub others: Vec<Arc<Portrait>>,
    pub overlay: bool,
    pub zoom: bool,
    /// The pair shown large: row and column of the corner plot.
    pub pair: (usize, usize),
    pub scroll: usize,
    pub problem: Option<String>,
    pub whatif: Option<WhatIf>,
}

/// Changed data and the posterior they would have.
#[derive(Debug, Clone, Default)]
pub struct WhatIf {
    pub original: Data,
    pub data: Data,
    /// What the keys change: fluxes, then errors, then the redshift.
    pub field: usize,
    /// Counts the changes; `asked` while an answer is on its way.
    pub change: u64,
    pub asked: bool,
    pub portrait: Option<Arc<Portrait>>,
    pub curves: Option<Arc<Curves>>,
    pub problem: Option<String>,
    /// Milliseconds that the last answer took.
    pub millis: f64,
}

/// Pages of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationPage {
    #[default]
    Pp,
    Ranks,
    Coverage,
    Subsets,
    Numbers,
}

impl ValidationPage {
    pub const ALL: [ValidationPage; 5] = [
        ValidationPage::Pp,
        ValidationPage::Ranks,
        ValidationPage::Coverage,
        ValidationPage::Subsets,
        ValidationPage::Numbers,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            ValidationPage::Pp => "p-p",
            ValidationPage::Ranks => "SBC ranks",
            ValidationPage::Coverage => "Coverage, TARP",
            ValidationPage::Subsets => "Bins",
            ValidationPage::Numbers => "Numbers",
        }
    }

    pub fn turned(self, forward: bool) -> Self {
        let n = Self::ALL.len();
        let here = Self::ALL.iter().position(|page| *page == self).unwrap_or(0);
        Self::ALL[(here + if forward { 1 } else { n - 1 }) % n]
    }
}

/// A command that was started here.
#[derive(Debug, Clone, Default)]
pub struct Job {
    pub id: u64,
    pub arguments: Vec<String>,
    pub process: Option<u32>,
    pub log: Option<PathBuf>,
    pub lines: VecDeque<String>,
    pub ended: Option<Result<(), String>>,
}

impl Job {
    pub fn runs(&self) -> bool {
        self.process.is_some() && self.ended.is_none()
    }
}

/// Models, validations and runs.
#[derive(Debug, Clone, Default)]
pub struct Products {
    pub lists: Option<Arc<Lists>>,
    pub problem: Option<String>,
    /// Rows under the cursor of each view.
    pub model: usize,
    pub validation: usize,
    pub run: usize,
    pub curves: Option<(ProductsAsk, Arc<HistoryCurves>)>,
    /// Whether histories are drawn against time.
    pub by_time: bool,
    pub page: ValidationPage,
    pub scroll: usize,
    pub findings: Option<Arc<Findings>>,
    /// A validation that stays in sight while others are opened beside it.
    pub kept: Option<Arc<Findings>>,
    pub files: Option<Arc<RunFiles>>,
    /// Newest first.
    pub jobs: Vec<Job>,
}

pub struct State {
    pub catalog: PathBuf,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    pub theme: Theme,
    pub keymap: Keymap,
    pub view: View,
    pub overlay: Option<Overlay>,
    pub facts: Option<Facts>,
    /// Why there is no catalog.
    pub no_catalog: Option<String>,
    pub galaxies: Galaxies,
    /// The galaxy opened, over the list.
    pub galaxy: Option<GalaxyView>,
    pub galaxy_generation: u64,
    pub products: Products,
    /// Said at the bottom until the next key.
    pub said: Option<(Role, String)>,
    /// Digits typed before a key that takes a number.
    pub count: Option<u64>,
    /// What was typed into each kind of prompt, newest last.
    pub typed: Vec<(Asked, String)>,
}

impl State {
    pub fn new(catalog: PathBuf, size: (u16, u16), config: Config) -> Self {
        let said = config.complaints.first().map(|complaint| (Role::Warning, complaint.clone()));
        Self {
            catalog,
            size,
            theme: config.theme,
            keymap: config.keymap,
            view: View::Galaxies,
            overlay: None,
            facts: None,
            no_catalog: None,
            galaxies: Galaxies::default(),
            galaxy: None,
            galaxy_generation: 0,
            products: Products::default(),
            said,
            count: None,
            typed: vec![],
        }
    }

    /// Whose keys count.
    pub fn scope(&self) -> Scope {
        match self.view {
            View::Galaxies => match &self.galaxy {
                Some(view) if view.whatif.is_some() => Scope::WhatIf,
                Some(_) => Scope::Galaxy,
                None => Scope::List,
            },
            View::Models => Scope::Models,
            View::Validation => Scope::Validation,
            View::Runs => Scope::Runs,
        }
    }

    /// Rows of the list in sight.
    pub fn list_height(&self) -> usize {
        usize::from(self.size.1)
            .saturating_sub(super::view::CHROME_ROWS + 1 + super::view::galaxies::detail_rows(self.size))
            .max(1)
    }

    /// The name of the posterior set whose summaries are shown.
    pub fn set_name(&self) -> Option<&str> {
        let facts = self.facts.as_ref()?;
        let set = self.galaxies.spec.set.or(facts.current)?;
        facts.sets.iter().find(|known| known.0 == set).map(|known| known.1.as_str())
    }
}
