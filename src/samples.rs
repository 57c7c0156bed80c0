//! The draws of one posterior as they are stored, and what expressions say of them.
//!
//! Columns are unpacked when they are asked for, so that a question about one parameter costs one.

use std::borrow::Borrow;

use crate::codec::{CodecError, Header, NamedDraws, decode};
use crate::draws::{Column, correlation};
use crate::expr::{AggregateKind, Expr, ExprError, Input, Program, Want};

/// Packed draws and the columns unpacked so far.
#[derive(Debug, Clone)]
pub struct Samples {
    packed: Packed,
    columns: Vec<Option<Vec<f32>>>,
}

#[derive(Debug, Clone)]
enum Packed {
    /// Its columns can be unpacked one by one.
    Apart { bytes: Vec<u8>, header: Header },
    /// It had to be unpacked as a whole.
    Whole(NamedDraws),
}

impl Samples {
    /// Reads the header of packed draws.
    pub fn new(bytes: Vec<u8>) -> Result<Self, CodecError> {
        if bytes.starts_with(b"SDA1") {
            return Ok(Self::whole(decode(&bytes)?));
        }
        let header = Header::parse(&bytes)?;
        Ok(Self::packed(bytes, header))
    }

    /// Packed draws with their header; columns that will not be asked for may be missing from the bytes.
    pub fn packed(bytes: Vec<u8>, header: Header) -> Self {
        Self { columns: vec![None; header.columns.len()], packed: Packed::Apart { bytes, header } }
    }

    /// Draws that are unpacked already.
    pub fn whole(draws: NamedDraws) -> Self {
        Self { columns: vec![None; draws.names.len()], packed: Packed::Whole(draws) }
    }

    /// Number of draws.
    pub fn n(&self) -> usize {
        match &self.packed {
            Packed::Apart { header, .. } => header.n,
            Packed::Whole(draws) => draws.n,
        }
    }

    pub fn names(&self) -> Vec<&str> {
        match &self.packed {
            Packed::Apart { header, .. } => {
                header.columns.iter().map(|column| column.name.as_str()).collect()
            }
            Packed::Whole(draws) => draws.names.iter().map(String::as_str).collect(),
        }
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().iter().position(|known| *known == name)
    }

    /// Unpacks the columns of these numbers, and the weights, unless they are unpacked already.
    pub fn load(&mut self, wanted: &[usize]) -> Result<(), CodecError> {
        let Packed::Apart { bytes, header } = &self.packed else { return Ok(()) };
        let missing = |&column: &usize| self.columns.get(column).is_some_and(Option::is_none);
        let mut wanted: Vec<usize> = wanted.iter().copied().chain(header.weight()).filter(missing).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let values = header.decode(&wanted, &mut |column| Ok(&bytes[header.columns[column].range()]))?;
        for (place, &column) in wanted.iter().enumerate() {
            self.columns[column] = Some(values[place * header.n..(place + 1) * header.n].to_vec());
        }
        Ok(())
    }

    /// A column that was [loaded](Self::load); empty otherwise.
    pub fn column(&self, column: usize) -> &[f32] {
        match (&self.packed, self.columns.get(column)) {
            (Packed::Whole(draws), Some(_)) => draws.column(column),
            (Packed::Apart { .. }, Some(Some(values))) => values,
            _ => &[],
        }
    }

    /// Importance weights, where the draws have them and any column was loaded.
    pub fn weights(&self) -> Option<&[f32]> {
        let weight = match &self.packed {
            Packed::Apart { header, .. } => header.weight(),
            Packed::Whole(draws) => draws.weight,
        };
        weight.map(|column| self.column(column))
    }
}

/// An expression over the columns of draws, ready for any posterior.
#[derive(Debug, Clone)]
pub struct DrawExpr {
    pub expr: Expr,
    program: Program,
}

/// What went wrong with an expression over one posterior's draws.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    #[error(transparent)]
    Expr(#[from] ExprError),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl DrawExpr {
    pub fn parse(text: &str, want: Want) -> Result<Self, ExprError> {
        Self::new(Expr::parse(text)?, want)
    }

    pub fn new(expr: Expr, want: Want) -> Result<Self, ExprError> {
        let program = expr.compile(want)?;
        Ok(Self { expr, program })
    }

    /// Where the values of its names come from, columns being loaded. `scalar` gives names that are the
    /// same for all draws their value.
    fn places(
        &self,
        samples: &mut Samples,
        scalar: &dyn Fn(usize) -> Option<f64>,
    ) -> Result<Vec<Place>, DrawError> {
        let mut places = Vec::with_capacity(self.expr.names().len());
        for (index, name) in self.expr.names().iter().enumerate() {
            places.push(match scalar(index) {
                Some(value) => Place::Same(value),
                None => Place::Column(samples.position(&name.name).ok_or_else(|| {
                    let known = samples.names().join(", ");
                    self.expr.wrong(name.at, format!("there is no parameter `{name}`; there are {known}"))
                })?),
            });
        }
        let columns = places.iter().filter_map(|place| match place {
            Place::Column(column) => Some(*column),
            Place::Same(_) => None,
        });
        let columns: Vec<usize> = columns.collect();
        samples.load(&columns)?;
        Ok(places)
    }

    /// The weight of the draws for which the condition is true.
    pub fn probability(
        &self,
        samples: &mut Samples,
        scalar: &dyn Fn(usize) -> Option<f64>,
    ) -> Result<f64, DrawError> {
        let places = self.places(samples, scalar)?;
        Ok(self.program.probability(&inputs(samples, &places), samples.n(), samples.weights()))
    }

    /// Its value for every draw, NaN where missing.
    pub fn values(
        &self,
        samples: &mut Samples,
        scalar: &dyn Fn(usize) -> Option<f64>,
    ) -> Result<Vec<f64>, DrawError> {
        let places = self.places(samples, scalar)?;
        let mut values = Vec::new();
        self.program.values(&inputs(samples, &places), samples.n(), &mut values);
        Ok(values)
    }

    /// Its values with the draws' weights, to be asked for statistics.
    pub fn column(
        &self,
        samples: &mut Samples,
        scalar: &dyn Fn(usize) -> Option<f64>,
    ) -> Result<Column, DrawError> {
        let values = self.values(samples, scalar)?;
        Ok(Column::new(values, samples.weights()))
    }
}

#[derive(Clone, Copy)]
enum Place {
    Column(usize),
    Same(f64),
}

fn inputs<'a>(samples: &'a Samples, places: &[Place]) -> Vec<Input<'a>> {
    let input = |place: &Place| match *place {
        Place::Column(column) => Input::Column(samples.column(column)),
        Place::Same(value) => Input::Scalar(value),
    };
    places.iter().map(input).collect()
}

/// One number from all draws; NaN where there is none.
///
/// `scalar` gives the value of a name (by argument and index) that is the same for all draws.
pub fn aggregate<E: Borrow<DrawExpr>>(
    kind: AggregateKind,
    arguments: &[E],
    samples: &mut Samples,
    scalar: &dyn Fn(usize, usize) -> Option<f64>,
) -> Result<f64, DrawError> {
    let first = &|name| scalar(0, name);
    Ok(match (kind, arguments) {
        (AggregateKind::Probability, [condition]) => condition.borrow().probability(samples, first)?,
        (AggregateKind::Correlation, [x, y]) => {
            let (x, y) =
                (x.borrow().values(samples, first)?, y.borrow().values(samples, &|name| scalar(1, name))?);
            correlation(&x, &y, samples.weights())
        }
        (AggregateKind::Mean, [x]) => x.borrow().column(samples, first)?.mean(),
        (AggregateKind::Sd, [x]) => x.borrow().column(samples, first)?.sd(),
        (AggregateKind::Quantile(p), [x]) => x.borrow().column(samples, first)?.quantile(p),
        (AggregateKind::HdiLow(mass), [x]) => x.borrow().column(samples, first)?.hdi(mass).0,
        (AggregateKind::HdiHigh(mass), [x]) => x.borrow().column(samples, first)?.hdi(mass).1,
        _ => f64::NAN,
    })
}
