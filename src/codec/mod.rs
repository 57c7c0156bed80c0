//! Posterior draws <-> one compressed blob (`sdp1`), and named arrays <-> one blob (`sda1`).
//!
//! Draws carry no information in their order, so rows are sorted; each column is cut into bins of a
//! stated fraction of its own posterior's width, and a draw is put back at a place within its bin that a
//! fixed sequence gives, which keeps marginals far closer than the bins are wide. `schema/posterior-codec.md`
//! describes the bytes. Everything here is arrays in, bytes out: no files, no catalog.

mod achieved;
mod arrays;
mod floats;
mod header;
mod pack;
mod quantise;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use achieved::{Achieved, KS_LIMIT, ks_distance};
pub use arrays::{Array, BlobError, MAX_DECODED_BYTES, Values, decode_arrays, encode_arrays};
pub use header::{ColumnInfo, HEADER_PREFIX, Header, MAX_COLUMNS, Role, header_len};
pub use quantise::{EncodeOptions, Quantised, quantise};

/// Name of this codec in the catalog.
pub const CODEC: &str = "sdp1";
/// Name of the packing that came before it.
pub const OLD_CODEC: &str = "sda1";
/// The step of a parameter is at most its posterior's width (half of the central 68 %) over this.
pub const STEPS_PER_WIDTH: u32 = 32;
/// Most values (rows times columns) that [`decode`] unpacks.
pub const MAX_VALUES: usize = 1 << 28;

/// Columns of every `sda1` blob of draws, which has no names inside.
const OLD_COLUMNS: [&str; 17] = [
    "log_mstar",
    "beta1",
    "beta2",
    "beta3",
    "beta4",
    "fburst",
    "tburst",
    "log_gamma1",
    "log_gamma2",
    "tau_bc",
    "tau_ism",
    "n_dust",
    "log_sfr_1gyr",
    "log_sfr_100myr",
    "log_z_mw",
    "t_age_mw_gyr",
    "log_mstar_surviving",
];

#[derive(Debug, Error, PartialEq)]
pub enum CodecError {
    #[error("the draws begin with {found:?}, not with SDP1 or SDA1")]
    Magic { found: Vec<u8> },
    #[error("the draws have {found} bytes, their header speaks of {expected}")]
    Length { expected: u64, found: u64 },
    #[error("the header of the draws does not have its checksum: a bit of it has changed")]
    HeaderChecksum,
    #[error("column {column} of the draws does not have its checksum: a bit of it has changed")]
    Checksum { column: String },
    #[error("the header of the draws says {found} for {what}")]
    Header { what: &'static str, found: u64 },
    #[error("the draws claim {claimed} values, more than the {limit} allowed")]
    TooLarge { claimed: u64, limit: usize },
    #[error("column {column} of the draws does not unpack: {reason}")]
    Unpack { column: String, reason: String },
    #[error("there is no column `{name}` among the draws; there are {known}")]
    NoColumn { name: String, known: String },
    #[error("column `{column}` of the draws to pack has {found} values, expected {expected}")]
    Ragged { column: String, expected: usize, found: usize },
    #[error("cannot pack draws with {what} {found}, expected {expected}")]
    Input { what: &'static str, found: String, expected: String },
    #[error(transparent)]
    Arrays(#[from] BlobError),
}

/// Draws with the names of their columns.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedDraws {
    pub n: usize,
    /// Chains, one after the other, of `n / n_chains` steps each; 0 for draws without order.
    pub n_chains: usize,
    pub names: Vec<String>,
    /// `[names][n]`, column after column.
    pub values: Vec<f32>,
    /// Which column is the importance weight.
    pub weight: Option<usize>,
}

impl NamedDraws {
    pub fn column(&self, i: usize) -> &[f32] {
        &self.values[i * self.n..(i + 1) * self.n]
    }

    /// The column called `name`.
    pub fn find(&self, name: &str) -> Result<&[f32], CodecError> {
        Ok(self.column(position(&self.names, name)?))
    }
}

impl Quantised {
    /// What unpacking the packed bytes would give.
    pub fn named_draws(&self) -> NamedDraws {
        NamedDraws {
            n: self.n,
            n_chains: self.n_chains,
            names: self.columns.iter().map(|column| column.name.clone()).collect(),
            values: self.values(),
            weight: self.columns.iter().position(|column| column.role == Role::Weight),
        }
    }
}

/// Packs columns `(name, values)` of draws: quantised, sorted, compressed.
///
/// Errors if columns differ in length, have no or the same name, or are too many.
pub fn encode(columns: &[(&str, &[f32])], options: &EncodeOptions) -> Result<Encoded, CodecError> {
    let (quantised, achieved) = quantise(columns, options)?;
    Ok(Encoded { bytes: quantised.pack(&achieved)?, achieved, hash: quantised.hash() })
}

/// What [`encode`] made.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub achieved: Achieved,
    /// Hash of the quantised draws, whatever they are compressed with.
    pub hash: crate::hash::ContentHash,
}

/// Unpacks all columns of `sdp1` or `sda1` bytes.
pub fn decode(bytes: &[u8]) -> Result<NamedDraws, CodecError> {
    if bytes.starts_with(b"SDA1") {
        return decode_old(bytes);
    }
    let header = Header::parse(bytes)?;
    let wanted: Vec<usize> = (0..header.columns.len()).collect();
    let values = header.decode(&wanted, &mut |column| Ok(&bytes[header.columns[column].range()]))?;
    Ok(NamedDraws {
        n: header.n,
        n_chains: header.n_chains,
        weight: header.weight(),
        names: header.columns.into_iter().map(|column| column.name).collect(),
        values,
    })
}

/// Unpacks the named columns alone, `[names][n]`; the other columns are not touched.
pub fn decode_columns(bytes: &[u8], names: &[&str]) -> Result<Vec<Vec<f32>>, CodecError> {
    if bytes.starts_with(b"SDA1") {
        let draws = decode_old(bytes)?;
        return names.iter().map(|name| Ok(draws.find(name)?.to_vec())).collect();
    }
    let header = Header::parse(bytes)?;
    let wanted = names.iter().map(|name| header.position(name)).collect::<Result<Vec<_>, _>>()?;
    let values = header.decode(&wanted, &mut |column| Ok(&bytes[header.columns[column].range()]))?;
    Ok(values.chunks(header.n.max(1)).map(<[f32]>::to_vec).chain(empty_columns(&header, &wanted)).collect())
}

/// Without rows there is nothing to cut into columns.
fn empty_columns(header: &Header, wanted: &[usize]) -> impl Iterator<Item = Vec<f32>> {
    std::iter::repeat_n(vec![], if header.n == 0 { wanted.len() } else { 0 })
}

/// Unpacks one column.
pub fn decode_column(bytes: &[u8], name: &str) -> Result<Vec<f32>, CodecError> {
    Ok(decode_columns(bytes, &[name])?.swap_remove(0))
}

/// Names of the columns, without unpacking any.
pub fn column_names(bytes: &[u8]) -> Result<Vec<String>, CodecError> {
    if bytes.starts_with(b"SDA1") {
        return Ok(decode_old(bytes)?.names);
    }
    Ok(Header::parse(bytes)?.columns.into_iter().map(|column| column.name).collect())
}

/// Hash of quantised draws, from their packed bytes: what [`Encoded::hash`] said.
pub fn hash_of(bytes: &[u8]) -> Result<crate::hash::ContentHash, CodecError> {
    Ok(Quantised::unpack(bytes)?.hash())
}

fn decode_old(bytes: &[u8]) -> Result<NamedDraws, CodecError> {
    let arrays = decode_arrays(bytes, MAX_VALUES * 4)?;
    let draws = Array::find(&arrays, "draws")?;
    let (columns, n) = match draws.shape[..] {
        [columns, n] if columns == OLD_COLUMNS.len() => (columns, n),
        _ => {
            return Err(CodecError::Header {
                what: "the columns of draws, which are 17",
                found: draws.shape.first().copied().unwrap_or(0) as u64,
            });
        }
    };
    Ok(NamedDraws {
        n,
        n_chains: 0,
        names: OLD_COLUMNS[..columns].iter().map(|name| (*name).to_owned()).collect(),
        values: draws.to_f32(),
        weight: None,
    })
}

fn position(names: &[String], name: &str) -> Result<usize, CodecError> {
    names
        .iter()
        .position(|known| known == name)
        .ok_or_else(|| CodecError::NoColumn { name: name.to_owned(), known: names.join(", ") })
}
