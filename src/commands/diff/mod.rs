//! `sedflow diff`: what changed between two posterior sets, by how much, and why.

mod report;

use std::collections::BTreeMap;
use std::io::{self, BufWriter};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use rayon::prelude::*;
use serde_json::Value;

use self::report::Report;
use super::{Context, Outcome};
use crate::diff::{Change, ParameterChange, worst};
use crate::draws::{Column, wasserstein_of_quantiles};
use crate::infer::QUANTILES;
use crate::output::Format;
use crate::samples::Samples;
use crate::store::{
    GalaxyId, Ingredient, Member, Mode, Outline, Readers, SUMMARY_PARAMETERS, SetFacts, Store,
};

/// Galaxies compared together.
const CHUNK: usize = 2048;
const N: usize = SUMMARY_PARAMETERS.len();

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier posterior set
    set_a: String,
    /// The later one
    set_b: String,
    /// Catalog that holds SET_B, where it is another
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// Take a galaxy of another survey for the same where it has the same identifier
    #[arg(long)]
    by_object: bool,
    /// Compare the draws themselves where both sets store them, not only the summaries
    #[arg(long)]
    draws: bool,
    /// A posterior has changed if a parameter's distribution moved by this, in sigma
    #[arg(long, value_name = "SIGMA", default_value_t = 0.1)]
    threshold: f64,
    /// How many of the most changed galaxies to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Figure of the shifts of every parameter, .png or .svg
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// table and json: a summary and the most changed galaxies; csv, tsv and jsonl: every galaxy that is not the same
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// A set in its catalog.
struct Side {
    store: Store,
    facts: SetFacts,
    surveys: Vec<String>,
    members: Vec<Member>,
}

impl Side {
    fn open(store: Store, name: &str) -> anyhow::Result<Self> {
        let facts = store.set_facts()?;
        let known = facts.iter().map(|set| set.name.clone()).collect::<Vec<_>>().join(", ");
        let facts = facts.into_iter().find(|set| set.name == name).with_context(|| {
            format!("there is no posterior set `{name}` in {}; there is {known}", store.path().display())
        })?;
        let surveys = store.surveys()?.into_iter().map(|survey| survey.name).collect();
        let members = store.set_members(facts.id)?;
        Ok(Self { store, facts, surveys, members })
    }

    /// What a galaxy is known by: survey and identifier, or the identifier alone.
    fn key<'a>(&'a self, member: &'a Member, by_object: bool) -> (&'a str, &'a str) {
        let survey = self.surveys.get(usize::from(member.survey)).map_or("", String::as_str);
        (if by_object { "" } else { survey }, &member.object_id)
    }

    fn sort(&mut self, by_object: bool) -> anyhow::Result<()> {
        let mut members = std::mem::take(&mut self.members);
        members.sort_by(|a, b| self.key(a, by_object).cmp(&self.key(b, by_object)));
        let twice =
            members.windows(2).find(|pair| self.key(&pair[0], by_object) == self.key(&pair[1], by_object));
        if let Some(pair) = twice {
            bail!(
                "set {} has several galaxies called {}, of different surveys: --by-object cannot tell them apart",
                self.facts.name,
                pair[0].object_id
            );
        }
        self.members = members;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Added,
    Removed,
    /// A posterior where there was only a reason.
    Gained,
    Lost,
    /// Another reason for no posterior.
    OtherReason,
    Changed,
    /// Moved by less than the threshold.
    Near,
    /// The very same draws and summaries.
    Same,
}

impl Status {
    const ALL: [Status; 8] = [
        Status::Added,
        Status::Removed,
        Status::Gained,
        Status::Lost,
        Status::OtherReason,
        Status::Changed,
        Status::Near,
        Status::Same,
    ];

    const fn word(self) -> &'static str {
        match self {
            Status::Added => "added",
            Status::Removed => "removed",
            Status::Gained => "gained a posterior",
            Status::Lost => "lost its posterior",
            Status::OtherReason => "other reason",
            Status::Changed => "changed",
            Status::Near => "within the threshold",
            Status::Same => "the same",
        }
    }
}

/// What differs about the galaxy itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OwnCauses {
    photometry: bool,
    redshift: bool,
    method: bool,
}

/// One galaxy of either set.
struct Row {
    /// Places in the members of a and b.
    places: (Option<usize>, Option<usize>),
    status: Status,
    own: OwnCauses,
    changes: Option<Box<[Change; N]>>,
    from_draws: bool,
}

pub fn run(args: DiffArgs, context: &Context) -> anyhow::Result<Outcome> {
    if !(args.threshold >= 0.0 && args.threshold.is_finite()) {
        bail!("--threshold is {}, expected a number of sigma, 0 or more", args.threshold);
    }
    let mut a = Side::open(context.open(Mode::Read)?, &args.set_a)?;
    let other = match &args.other {
        Some(path) => Store::open(path, Mode::Read)?,
        None => a.store.reader()?,
    };
    let mut b = Side::open(other, &args.set_b)?;
    a.sort(args.by_object)?;
    b.sort(args.by_object)?;
    let causes = causes(&a.facts, &b.facts);
    let rows = compare(&a, &b, &args)?;
    let parameters: Vec<ParameterChange> = (0..N)
        .map(|parameter| {
            let known = rows.iter().filter_map(move |row| Some(row.changes.as_ref()?[parameter]));
            ParameterChange::of(SUMMARY_PARAMETERS[parameter], known)
        })
        .collect();
    let report = Report { a: &a, b: &b, args: &args, causes, rows, parameters };
    if let Some(path) = &args.plot {
        report.plot()?.save(path)?;
        context.remark(&format!("wrote {}", path.display()));
    }
    match args.format {
        Format::Table => report.text(&mut BufWriter::new(io::stdout().lock()))?,
        Format::Json => println!("{}", serde_json::to_string_pretty(&report.json())?),
        format => report.lines(format)?,
    }
    Ok(Outcome::Done)
}

/// What the sets were made with differently: (what, a, b).
fn causes(a: &SetFacts, b: &SetFacts) -> Vec<(String, String, String)> {
    let mut causes = Vec::new();
    let mut differs = |what: &str, a: String, b: String| {
        if a != b {
            causes.push((what.to_owned(), a, b));
        }
    };
    let named = |thing: &Ingredient| format!("{} ({})", thing.name, thing.hash.short());
    let checkpoint = |set: &SetFacts| set.checkpoint.as_ref().map_or("none".to_owned(), named);
    differs("checkpoint", checkpoint(a), checkpoint(b));
    differs("SED model", named(&a.sed_model), named(&b.sed_model));
    differs("prior", named(&a.prior), named(&b.prior));
    differs("draws", a.n_draws.to_string(), b.n_draws.to_string());
    differs("seed", a.seed.to_string(), b.seed.to_string());
    differs("program", a.programs.join(", "), b.programs.join(", "));
    let mut keys: BTreeMap<&String, [Option<&Value>; 2]> = BTreeMap::new();
    for (side, config) in [&a.config, &b.config].into_iter().enumerate() {
        for (key, value) in config.as_object().into_iter().flatten() {
            keys.entry(key).or_default()[side] = Some(value);
        }
    }
    for (key, values) in keys {
        let [a, b] = values.map(|value| value.map_or("not set".to_owned(), Value::to_string));
        differs(key, a, b);
    }
    causes
}

fn compare(a: &Side, b: &Side, args: &DiffArgs) -> anyhow::Result<Vec<Row>> {
    let mut pairs = Vec::with_capacity(a.members.len().max(b.members.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.members.len() || j < b.members.len() {
        let order = match (a.members.get(i), b.members.get(j)) {
            (Some(x), Some(y)) => a.key(x, args.by_object).cmp(&b.key(y, args.by_object)),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        pairs.push((order.is_le().then_some(i), order.is_ge().then_some(j)));
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    let readers = [a.store.readers(), b.store.readers()];
    let members = [a.members.as_slice(), &b.members];
    let same_file = args.other.is_none();
    let mut rows = Vec::with_capacity(pairs.len());
    for chunk in pairs.chunks(CHUNK) {
        let compared: Vec<Row> = chunk
            .par_iter()
            .map(|&places| row(members, places, args, &readers, same_file))
            .collect::<anyhow::Result<_>>()?;
        rows.extend(compared);
    }
    Ok(rows)
}

fn row(
    [a, b]: [&[Member]; 2],
    places: (Option<usize>, Option<usize>),
    args: &DiffArgs,
    readers: &[Readers; 2],
    same_file: bool,
) -> anyhow::Result<Row> {
    let mut row =
        Row { places, status: Status::Same, own: OwnCauses::default(), changes: None, from_draws: false };
    let (x, y) = match places {
        (Some(i), Some(j)) => (&a[i], &b[j]),
        (Some(_), None) => return Ok(Row { status: Status::Removed, ..row }),
        _ => return Ok(Row { status: Status::Added, ..row }),
    };
    if !(same_file && x.galaxy == y.galaxy) {
        row.own = own_causes([(readers, 0, x.galaxy), (readers, 1, y.galaxy)])?;
    }
    row.own.method = x.method != y.method && x.method.is_some() && y.method.is_some();
    row.status = match (x.method, y.method) {
        (None, None) if x.reason == y.reason => Status::Same,
        (None, None) => Status::OtherReason,
        (None, Some(_)) => Status::Gained,
        (Some(_), None) => Status::Lost,
        (Some(_), Some(_)) => {
            let outlines =
                |side: usize, member: &Member| readers[side].with(|store| store.outlines(member.posterior));
            let (x_known, y_known) = (outlines(0, x)?, outlines(1, y)?);
            let mut changes = [Change::UNKNOWN; N];
            if let (Some(x), Some(y)) = (&x_known, &y_known) {
                for ((change, x), y) in changes.iter_mut().zip(x).zip(y) {
                    *change = from_outlines(x, y);
                }
            }
            let identical = x.draws.is_some() && x.draws == y.draws;
            if args.draws && !identical && x.stored && y.stored {
                let samples = |side: usize, member: &Member| {
                    readers[side].with(|store| store.samples(member.posterior, None))
                };
                if let (Some(mut x), Some(mut y)) = (samples(0, x)?, samples(1, y)?) {
                    from_draws(&mut x, &mut y, &mut changes).with_context(|| {
                        format!("the draws of galaxy {}", a[places.0.unwrap_or(0)].object_id)
                    })?;
                    row.from_draws = true;
                }
            }
            let status = if identical && x_known == y_known {
                Status::Same
            } else if worst(&changes)
                .is_some_and(|(_, change)| f64::from(change.distance_sigma) >= args.threshold)
            {
                Status::Changed
            } else if x_known == y_known && !row.from_draws {
                Status::Same
            } else {
                Status::Near
            };
            row.changes = Some(Box::new(changes));
            status
        }
    };
    Ok(row)
}

fn from_outlines(a: &Outline, b: &Outline) -> Change {
    let distance = wasserstein_of_quantiles(&QUANTILES, &a.quantiles, &b.quantiles);
    Change::new([a.quantiles[2], b.quantiles[2]], [a.sd, b.sd], distance)
}

fn from_draws(
    a: &mut Samples,
    b: &mut Samples,
    changes: &mut [Change; N],
) -> Result<(), crate::codec::CodecError> {
    let places: Vec<Option<(usize, usize)>> =
        SUMMARY_PARAMETERS.iter().map(|name| a.position(name).zip(b.position(name))).collect();
    a.load(&places.iter().flatten().map(|(i, _)| *i).collect::<Vec<_>>())?;
    b.load(&places.iter().flatten().map(|(_, j)| *j).collect::<Vec<_>>())?;
    for (change, place) in changes.iter_mut().zip(&places) {
        let Some((i, j)) = place else { continue };
        let mut x = Column::of(a.column(*i), a.weights());
        let mut y = Column::of(b.column(*j), b.weights());
        let sd = [x.sd(), y.sd()];
        let distance = x.wasserstein(&mut y);
        *change = Change::new([x.quantile(0.5), y.quantile(0.5)], sd, distance);
    }
    Ok(())
}

/// What differs between two rows of galaxies, band by band.
fn own_causes(galaxies: [(&[Readers; 2], usize, GalaxyId); 2]) -> anyhow::Result<OwnCauses> {
    let mut seen = Vec::new();
    for (readers, side, id) in galaxies {
        seen.push(readers[side].with(|store| -> anyhow::Result<_> {
            let galaxy = store.observed_galaxies(&[id])?.swap_remove(0);
            let bands = store.bands(galaxy.band_set)?;
            let by_band: BTreeMap<String, _> = bands
                .iter()
                .zip(&galaxy.photometry)
                .filter(|(_, phot)| phot.flux_nmgy.is_some())
                .map(|(band, phot)| (band.name.clone(), (phot.flux_nmgy, phot.ivar_nmgy, phot.flags)))
                .collect();
            Ok((by_band, galaxy.redshift))
        })?);
    }
    Ok(OwnCauses { photometry: seen[0].0 != seen[1].0, redshift: seen[0].1 != seen[1].1, method: false })
}
