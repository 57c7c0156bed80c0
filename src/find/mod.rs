//! Questions that reach into posteriors: `P(log_mstar > 11) > 0.9 and redshift < 0.05`.
//!
//! A [`Question`] is taken apart into what must all be true. Parts about columns alone become SQL, which can
//! go by an index. Parts that take draws are looked at with the limits that a galaxy's summary gives
//! ([`crate::expr::ProbabilityBounds`]); most galaxies are decided so, and only for the others are draws
//! unpacked, on all cores. The answer is always that of the stored draws.

mod evaluate;
mod run;

use thiserror::Error;

use crate::expr::{Bound, EvalError, Expr, ExprError, Name};
use crate::infer::QUANTILES;
use crate::samples::DrawError;
use crate::store::{GalaxyId, PosteriorSet, SUMMARY_PARAMETERS, Store, StoreError};

pub use evaluate::{Cells, Evaluator};
pub use run::{Measured, Remake, Tally, find, measure};

/// Levels of the quantiles in `posterior_summary`.
const LEVELS: [f64; 5] = QUANTILES;

#[derive(Debug, Error)]
pub enum FindError {
    #[error(transparent)]
    Expr(#[from] ExprError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("galaxy {galaxy}: {source}")]
    Draws { galaxy: GalaxyId, source: DrawError },
    #[error("galaxy {galaxy}: {source} in `{part}`")]
    Eval { galaxy: GalaxyId, part: String, source: EvalError },
    #[error("galaxy {galaxy}: its draws cannot be made again: {source}")]
    Remake { galaxy: GalaxyId, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

/// What names may stand for in one catalog and posterior set.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// Columns of galaxies, among them the summaries of the set.
    pub columns: Vec<String>,
    /// Columns of the set's draws.
    pub parameters: Vec<String>,
    /// How finely the set's draws are packed, where it says.
    pub steps_per_width: Option<f64>,
    /// Whether the set's draws have weights.
    pub weighted: bool,
}

impl Vocabulary {
    pub fn new(store: &Store, set: Option<&PosteriorSet>) -> Result<Self, StoreError> {
        let columns = store.galaxy_columns()?.into_iter().map(|(name, _)| name).collect();
        let summaries = || SUMMARY_PARAMETERS.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self {
            columns,
            parameters: set.map_or_else(summaries, |set| set.parameters.clone()),
            steps_per_width: set.and_then(|set| set.config["steps_per_width"].as_f64()).filter(|n| *n >= 1.0),
            weighted: set.is_some_and(|set| set.parameters.iter().any(|name| name.contains("weight"))),
        })
    }

    fn column(&self, name: &str) -> Option<&str> {
        self.columns.iter().find(|known| known.eq_ignore_ascii_case(name)).map(String::as_str)
    }

    /// The column that a name outside of aggregates stands for. Errors at its character.
    fn require_column(&self, expr: &Expr, name: &Name) -> Result<&str, ExprError> {
        if let Some(known) = self.column(&name.name).filter(|_| name.element.is_none()) {
            return Ok(known);
        }
        let hint = if self.parameters.contains(&name.name) {
            "; it is a parameter: ask P(...), mean(...) or quantile(...) of it"
        } else {
            "; `sedflow galaxies --list-columns` lists them"
        };
        Err(expr.wrong(name.at, format!("there is no column `{name}`{hint}")))
    }
}

/// A condition on galaxies and their posteriors, taken apart.
#[derive(Debug)]
pub struct Question {
    /// What is asked of columns alone, as SQL.
    pub in_sql: Vec<Bound>,
    /// What takes draws.
    pub of_draws: Evaluator,
}

impl Question {
    /// Errors point at the character.
    pub fn parse(text: &str, store: &Store, vocabulary: &Vocabulary) -> Result<Self, FindError> {
        let whole = Expr::parse_with_aggregates(text)?;
        whole.require_condition()?;
        let mut in_sql = Vec::new();
        let mut parts = Vec::new();
        for part in whole.conjuncts() {
            if part.uses().iter().any(|&index| index >= part.names().len()) {
                parts.push(part);
            } else {
                for index in part.uses() {
                    vocabulary.require_column(&part, &part.names()[index])?;
                }
                in_sql.push(store.column_condition(&part)??);
            }
        }
        Ok(Self { in_sql, of_draws: Evaluator::new(parts, vocabulary)? })
    }
}

/// Whether a text asks something of draws; what does not is left to SQL.
pub fn asks_of_draws(text: &str) -> bool {
    Expr::parse_with_aggregates(text).is_ok_and(|expr| !expr.aggregates().is_empty())
}
