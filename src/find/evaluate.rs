//! Expressions with aggregates, made ready for one vocabulary: what a summary says of them, and their values.

use super::{FindError, LEVELS, Vocabulary};
use crate::codec;
use crate::expr::{
    Aggregate, AggregateKind, Expr, ExprError, Known, MarginalBounds, ProbabilityBounds, Range, Value, Want,
};
use crate::samples::{DrawExpr, Samples, aggregate};
use crate::store::{Candidate, CandidatePosterior, ColumnValue, Outline, SUMMARY_PARAMETERS};

/// Several expressions, and what must be read of a galaxy to evaluate them.
#[derive(Debug)]
pub struct Evaluator {
    parts: Vec<Part>,
    /// Columns of galaxies to be read, in the order of [`Candidate::values`].
    pub columns: Vec<String>,
    /// Parameters whose summaries are to be read, in the order of [`Candidate::outlines`].
    pub parameters: Vec<&'static str>,
    /// Of the packing of the draws, where the set says.
    steps_per_width: Option<f64>,
    /// Whether draws have weights, so that a summary's quantiles do not count draws.
    weighted: bool,
}

#[derive(Debug)]
struct Part {
    expr: Expr,
    /// Names and aggregates of the whole that this part has.
    used: Vec<usize>,
    /// Where each name's value stands in [`Candidate::values`].
    columns: Vec<usize>,
    aggregates: Vec<Taken>,
}

/// An aggregate made ready.
#[derive(Debug)]
struct Taken {
    kind: AggregateKind,
    arguments: Vec<DrawExpr>,
    /// For each argument and name.
    sources: Vec<Vec<Source>>,
    written: String,
}

/// Where the values of a name inside an aggregate come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    /// Draws; where there is a summary of them, its place in [`Candidate::outlines`].
    Draws(Option<usize>),
    /// A column of the galaxy: its place in [`Candidate::values`].
    Column(usize),
}

/// The values of all parts for one galaxy.
pub type Cells = Vec<ColumnValue>;

/// How often bounds are made anew: they depend on the number of draws and how the codec moved them.
#[derive(Debug, Default)]
pub(super) struct BoundsCache(Vec<(u64, u64, ProbabilityBounds)>);

/// `sda1` rounds to steps of at most 1/128 of the standard deviation.
const OLD_CODEC_MOVES: f64 = 1.0 / 128.0;
/// Distances are rounded up to this, so that few bounds are made.
const KS_GRID: f64 = 0.0005;

impl BoundsCache {
    fn of(&mut self, n_draws: u64, ks: f64) -> &ProbabilityBounds {
        let steps = (ks / KS_GRID).ceil() as u64;
        let place = self.0.iter().position(|(n, k, _)| (*n, *k) == (n_draws, steps));
        let place = place.unwrap_or_else(|| {
            let bounds = ProbabilityBounds::new(n_draws, &LEVELS, steps as f64 * KS_GRID);
            self.0.push((n_draws, steps, bounds));
            self.0.len() - 1
        });
        &self.0[place].2
    }
}

impl Evaluator {
    /// Errors, at the character, for names that are neither parameter nor column.
    pub fn new(expressions: Vec<Expr>, vocabulary: &Vocabulary) -> Result<Self, ExprError> {
        let steps_per_width = vocabulary.steps_per_width;
        let mut evaluator = Self {
            parts: vec![],
            columns: vec![],
            parameters: vec![],
            steps_per_width,
            weighted: vocabulary.weighted,
        };
        for expr in expressions {
            let part = evaluator.part(expr, vocabulary)?;
            evaluator.parts.push(part);
        }
        Ok(evaluator)
    }

    /// The columns themselves.
    pub fn of_columns(columns: Vec<String>) -> Self {
        let part = |(place, name): (usize, &String)| Part {
            expr: Expr::of_name(name),
            used: vec![0],
            columns: vec![place],
            aggregates: vec![],
        };
        let parts = columns.iter().enumerate().map(part).collect();
        Self { parts, columns, parameters: vec![], steps_per_width: None, weighted: false }
    }

    /// Whether it takes draws to evaluate.
    pub fn takes_draws(&self) -> bool {
        self.parts.iter().any(|part| part.used().next().is_some())
    }

    /// The parameters whose draws it takes for the parts that are not decided.
    pub(super) fn draws_of(&self, decided: &[Option<bool>]) -> Vec<&str> {
        let open = self.parts.iter().enumerate().filter(|(i, _)| decided.get(*i).is_none_or(Option::is_none));
        let mut names: Vec<&str> = open.flat_map(|(_, part)| part.used()).flat_map(Taken::draws).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is taken over draws, as it was written.
    pub fn aggregates(&self) -> Vec<&str> {
        self.parts.iter().flat_map(|part| part.used()).map(|taken| taken.written.as_str()).collect()
    }

    fn part(&mut self, expr: Expr, vocabulary: &Vocabulary) -> Result<Part, ExprError> {
        let used = expr.uses();
        let mut columns = Vec::new();
        for (index, name) in expr.names().iter().enumerate() {
            if !used.contains(&index) {
                columns.push(usize::MAX);
                continue;
            }
            let known = vocabulary.require_column(&expr, name)?;
            columns.push(self.column(known));
        }
        let mut aggregates = Vec::new();
        for aggregate in expr.aggregates() {
            aggregates.push(self.taken(aggregate, vocabulary)?);
        }
        Ok(Part { expr, used, columns, aggregates })
    }

    fn column(&mut self, name: &str) -> usize {
        place_in(&mut self.columns, |known| known == name, || name.to_owned())
    }

    fn taken(&mut self, aggregate: &Aggregate, vocabulary: &Vocabulary) -> Result<Taken, ExprError> {
        let condition = aggregate.kind == AggregateKind::Probability;
        let want = if condition { Want::Condition } else { Want::Number };
        let mut sources = Vec::new();
        let mut arguments = Vec::new();
        for argument in &aggregate.arguments {
            let mut of_names = Vec::new();
            for name in argument.names() {
                if vocabulary.parameters.contains(&name.name) {
                    let summary = SUMMARY_PARAMETERS.iter().find(|known| **known == name.name);
                    let place =
                        summary.map(|known| place_in(&mut self.parameters, |k| k == known, || *known));
                    of_names.push(Source::Draws(place));
                } else if let Some(column) = vocabulary.column(&name.name) {
                    of_names.push(Source::Column(self.column(column)));
                } else {
                    let known = vocabulary.parameters.join(", ");
                    let text =
                        format!("there is no parameter or column `{name}`; the parameters are {known}");
                    return Err(argument.wrong(name.at, text));
                }
            }
            sources.push(of_names);
            arguments.push(DrawExpr::new(argument.clone(), want)?);
        }
        Ok(Taken { kind: aggregate.kind, arguments, sources, written: aggregate.written.clone() })
    }

    /// Which parts the summaries decide: true, false, or `None` where it takes draws.
    pub(super) fn decide(&self, galaxy: &Candidate, cache: &mut BoundsCache) -> Vec<Option<bool>> {
        let decide = |part: &Part| part.range(galaxy, self, cache).decided();
        self.parts.iter().map(decide).collect()
    }

    /// Whether all parts are true by the draws; those in `decided` are taken as such.
    pub(super) fn holds(
        &self,
        galaxy: &Candidate,
        decided: &[Option<bool>],
        mut samples: Option<&mut Samples>,
    ) -> Result<bool, FindError> {
        for (part, decided) in self.parts.iter().zip(decided) {
            let holds = match decided {
                Some(decided) => *decided,
                None => part.value(galaxy, samples.as_deref_mut())? == ColumnValue::Number(1.0),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value of every part; what takes draws is missing without them.
    pub(super) fn values(
        &self,
        galaxy: &Candidate,
        mut samples: Option<&mut Samples>,
    ) -> Result<Cells, FindError> {
        self.parts.iter().map(|part| part.value(galaxy, samples.as_deref_mut())).collect()
    }
}

fn place_in<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    list.iter().position(is).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}

fn as_value(value: &ColumnValue) -> Value<'_> {
    match value {
        ColumnValue::Null => Value::Null,
        ColumnValue::Integer(number) => Value::Number(*number as f64),
        ColumnValue::Number(number) => Value::Number(*number),
        ColumnValue::Text(text) => Value::Text(text),
    }
}

impl Part {
    /// Its own among the aggregates of the whole.
    fn used(&self) -> impl Iterator<Item = &Taken> {
        let n_names = self.expr.names().len();
        self.used.iter().filter_map(move |index| self.aggregates.get(index.checked_sub(n_names)?))
    }

    fn range<'a>(&'a self, galaxy: &'a Candidate, of: &Evaluator, cache: &mut BoundsCache) -> Range<'a> {
        let n_names = self.expr.names().len();
        let mut aggregates = vec![Range::Open; self.aggregates.len()];
        for index in self.used.iter().filter_map(|index| index.checked_sub(n_names)) {
            aggregates[index] = self.aggregates[index].range(galaxy, of, cache);
        }
        self.expr.range(&|index| match self.columns.get(index) {
            Some(&column) => Range::Is(galaxy.values.get(column).map_or(Value::Null, as_value)),
            None => aggregates[index - n_names],
        })
    }

    fn value(&self, galaxy: &Candidate, samples: Option<&mut Samples>) -> Result<ColumnValue, FindError> {
        if self.expr.as_name().is_some() {
            // as it is, a whole number staying one
            return Ok(self
                .columns
                .first()
                .and_then(|&column| galaxy.values.get(column))
                .map_or(ColumnValue::Null, Clone::clone));
        }
        let n_names = self.expr.names().len();
        let mut numbers = vec![f64::NAN; self.aggregates.len()];
        if let Some(samples) = samples {
            for index in self.used.iter().filter_map(|index| index.checked_sub(n_names)) {
                let value = self.aggregates[index].value(galaxy, samples);
                numbers[index] =
                    value.map_err(|source| FindError::Draws { galaxy: galaxy.galaxy, source })?;
            }
        }
        let value = self.expr.eval(&|index| match self.columns.get(index) {
            Some(&column) => galaxy.values.get(column).map_or(Value::Null, as_value),
            None => Value::Number(numbers[index - n_names]),
        });
        let wrong =
            |source| FindError::Eval { galaxy: galaxy.galaxy, part: self.expr.text().to_owned(), source };
        Ok(match value.map_err(wrong)? {
            Value::Null => ColumnValue::Null,
            Value::Bool(value) => ColumnValue::Number(f64::from(u8::from(value))),
            Value::Number(value) => ColumnValue::Number(value),
            Value::Text(text) => ColumnValue::Text(text.to_owned()),
        })
    }
}

impl Taken {
    /// Names of the parameters in it.
    fn draws(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().zip(&self.sources).flat_map(|(argument, sources)| {
            let names = argument.expr.names().iter().zip(sources);
            names.filter(|(_, source)| matches!(source, Source::Draws(_))).map(|(name, _)| name.name.as_str())
        })
    }

    fn value(&self, galaxy: &Candidate, samples: &mut Samples) -> Result<f64, crate::samples::DrawError> {
        let scalar = |argument: usize, name: usize| match self.sources[argument][name] {
            Source::Draws(_) => None,
            Source::Column(column) => Some(match galaxy.values.get(column).map(as_value) {
                Some(Value::Number(value)) => value,
                _ => f64::NAN,
            }),
        };
        aggregate(self.kind, &self.arguments, samples, &scalar)
    }

    /// What the summary says of it.
    fn range<'a>(&'a self, galaxy: &'a Candidate, of: &Evaluator, cache: &mut BoundsCache) -> Range<'a> {
        let Some(posterior) = &galaxy.posterior else { return Range::Is(Value::Null) };
        let limits = match self.kind {
            AggregateKind::Probability => (0.0, 1.0),
            AggregateKind::Correlation => (-1.0, 1.0),
            AggregateKind::Sd => (0.0, f64::INFINITY),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        let open = Range::Within { low: limits.0, high: limits.1, missing: true };
        // Weighted draws have quantiles of another making.
        if of.weighted || posterior.n_draws == 0 {
            return open;
        }
        let Some(moves) = Moves::of(posterior, of.steps_per_width) else { return open };
        let bounds = cache.of(posterior.n_draws, moves.ks);
        let marginal = |source: &Source| match source {
            Source::Draws(Some(place)) => moves.marginal(of.parameters[*place], galaxy.outlines.get(*place)?),
            _ => None,
        };
        match (self.kind, self.arguments.as_slice()) {
            (AggregateKind::Probability, [condition]) => {
                let known: Vec<Known<'_>> = self.sources[0]
                    .iter()
                    .map(|source| match (source, marginal(source)) {
                        (_, Some(marginal)) => Known::Draws(marginal),
                        (Source::Column(column), _) => {
                            Known::Fixed(Range::Is(galaxy.values.get(*column).map_or(Value::Null, as_value)))
                        }
                        _ => Known::Fixed(Range::ANY_NUMBER),
                    })
                    .collect();
                let (low, high) = bounds.of(&condition.expr, &known);
                Range::Within { low, high, missing: false }
            }
            (kind, [argument]) if argument.expr.as_name().is_some() => {
                let Source::Draws(Some(place)) = self.sources[0][0] else { return open };
                let (Some(outline), Some(marginal)) =
                    (galaxy.outlines.get(place), marginal(&self.sources[0][0]))
                else {
                    return open;
                };
                let around = |value: f64, by: Option<f64>| match by {
                    Some(by) => Range::Within { low: value - by, high: value + by, missing: false },
                    None => open,
                };
                match kind {
                    AggregateKind::Quantile(p) => bounds.quantile(&marginal, p),
                    AggregateKind::Mean => around(outline.mean, marginal.moved),
                    // by the triangle inequality, up to sqrt(n / (n - 1))
                    AggregateKind::Sd => around(outline.sd, marginal.moved.map(|moved| 1.5 * moved)),
                    _ => open,
                }
            }
            _ => open,
        }
    }
}

/// How far the stored draws of a posterior may be from those that were summarised.
struct Moves {
    /// In distribution.
    ks: f64,
    /// Each draw, in standard deviations of the parameter; `None` where the distance tells it all.
    in_sd: Option<f64>,
    /// Each draw, in widths (half of the central 68 %).
    in_widths: Option<f64>,
}

impl Moves {
    fn of(posterior: &CandidatePosterior, steps_per_width: Option<f64>) -> Option<Self> {
        match (posterior.codec.as_deref(), posterior.codec_ks) {
            // a bin's width, with room for the edges of the central 68 %
            (Some(codec::CODEC), Some(ks)) if ks.is_finite() => {
                Some(Self { ks, in_sd: None, in_widths: steps_per_width.map(|steps| 1.1 / steps) })
            }
            (Some(codec::OLD_CODEC), None) => {
                Some(Self { ks: 0.0, in_sd: Some(OLD_CODEC_MOVES), in_widths: None })
            }
            // no draws are stored: the summaries are of the draws themselves
            (None, _) => Some(Self { ks: 0.0, in_sd: Some(0.0), in_widths: None }),
            (Some(_), _) => None,
        }
    }

    /// The marginal of a parameter none of whose draws is missing or infinite.
    fn marginal(&self, parameter: &str, outline: &Outline) -> Option<MarginalBounds> {
        let sound = outline.mean.is_finite() && outline.sd.is_finite();
        let quantiles = outline.quantiles;
        if !sound || !quantiles.windows(2).all(|pair| pair[0] <= pair[1]) {
            return None;
        }
        // the four weights are packed as fractions of each other
        let by_bins = self.in_widths.filter(|_| !parameter.starts_with("beta"));
        let moved = match self.in_sd {
            Some(in_sd) => Some(in_sd * outline.sd),
            None => by_bins.map(|in_widths| in_widths * 0.5 * (quantiles[3] - quantiles[1])),
        };
        Some(MarginalBounds { quantiles, margin: self.in_sd.map_or(0.0, |in_sd| in_sd * outline.sd), moved })
    }
}
