//! A FITS file opened: its HDUs found and measured against the file before anything is read.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::header::Value;
use super::image::ImageShape;
use super::table::BinTable;
use super::{BLOCK, CARD, FitsError, Header};

/// Longest header read, cards.
pub const MAX_HEADER_CARDS: usize = 100_000;
/// Most HDUs read.
pub const MAX_HDUS: usize = 10_000;

/// One header and data unit.
#[derive(Debug, Clone)]
pub struct Hdu {
    pub header: Header,
    /// EXTNAME, or "PRIMARY", or nothing.
    pub name: String,
    pub kind: HduKind,
    pub(crate) data_at: u64,
    pub(crate) data_bytes: u64,
    /// Of `data_bytes`, those the file has: fewer only in the last HDU of a file cut short.
    pub(crate) present_bytes: u64,
}

#[derive(Debug, Clone)]
pub enum HduKind {
    Image(ImageShape),
    Table(Arc<BinTable>),
    /// An extension of another type, whose XTENSION this is: skipped.
    Other(String),
}

/// An open FITS file; gzip'd files (`.gz`) are read through, and rewound by starting over.
#[derive(Debug)]
pub struct FitsFile {
    source: Source,
    hdus: Vec<Hdu>,
}

#[derive(Debug)]
enum Source {
    Plain { file: BufReader<File>, length: u64 },
    Gzip { path: PathBuf, stream: Box<MultiGzDecoder<BufReader<File>>>, at: u64 },
}

impl Source {
    fn open(path: &Path) -> Result<Self, FitsError> {
        let mut file = File::open(path)?;
        let mut magic = [0; 2];
        let gzip = read_up_to(&mut file, &mut magic)? == 2 && magic == [0x1f, 0x8b];
        file.seek(SeekFrom::Start(0))?;
        let length = file.metadata()?.len();
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(if gzip {
            Source::Gzip { path: path.to_owned(), stream: Box::new(MultiGzDecoder::new(file)), at: 0 }
        } else {
            Source::Plain { file, length }
        })
    }

    /// Reads what there is at a position, as much as fits.
    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> Result<usize, FitsError> {
        self.go_to(position)?;
        let read = match self {
            Source::Plain { file, .. } => read_up_to(file, buffer)?,
            Source::Gzip { stream, at, .. } => {
                let read = read_up_to(stream, buffer)?;
                *at += read as u64;
                read
            }
        };
        Ok(read)
    }

    /// Moves to a position; a gzip'd source may end before it. Returns where it is.
    fn go_to(&mut self, position: u64) -> Result<u64, FitsError> {
        match self {
            Source::Plain { file, .. } => {
                let here = file.stream_position()?;
                // Within the buffer a relative seek keeps it.
                file.seek_relative(position as i64 - here as i64)?;
                Ok(position)
            }
            Source::Gzip { path, stream, at } => {
                if position < *at {
                    **stream = MultiGzDecoder::new(BufReader::with_capacity(1 << 18, File::open(path)?));
                    *at = 0;
                }
                *at += std::io::copy(&mut stream.by_ref().take(position - *at), &mut std::io::sink())?;
                Ok(*at)
            }
        }
    }

    /// Where the file ends, if that is before `end`.
    fn ends_before(&mut self, end: u64) -> Result<Option<u64>, FitsError> {
        let reach = match self {
            Source::Plain { length, .. } => *length,
            Source::Gzip { .. } => self.go_to(end)?,
        };
        Ok((reach < end).then_some(reach))
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl FitsFile {
    /// Opens a file, plain or gzip'd, and finds its HDUs.
    ///
    /// Errors where a header is wrong or cut short. Data cut short are an error once they are read, so
    /// that the whole rows before the end can be had.
    pub fn open(path: &Path) -> Result<Self, FitsError> {
        let mut source = Source::open(path)?;
        let mut hdus: Vec<Hdu> = Vec::new();
        let mut at = 0;
        while let Some((header, data_at)) = read_header(&mut source, at, hdus.len())? {
            let index = hdus.len();
            if index == MAX_HDUS {
                return Err(FitsError::TooManyHdus { limit: MAX_HDUS });
            }
            let mut hdu = measure(header, index, data_at)?;
            let end = data_at.checked_add(hdu.data_bytes).ok_or(FitsError::Absurd { hdu: index })?;
            // The last HDU's padding is often missing, and never needed.
            at = end.checked_next_multiple_of(BLOCK).ok_or(FitsError::Absurd { hdu: index })?;
            let cut = source.ends_before(end)?;
            if let Some(reach) = cut {
                hdu.present_bytes = reach.saturating_sub(data_at);
            }
            hdus.push(hdu);
            if cut.is_some() {
                break;
            }
        }
        Ok(Self { source, hdus })
    }

    pub fn hdus(&self) -> &[Hdu] {
        &self.hdus
    }

    pub fn hdu(&self, hdu: usize) -> Result<&Hdu, FitsError> {
        self.hdus.get(hdu).ok_or(FitsError::NoHdu { hdu, found: self.hdus.len() })
    }

    /// Index of the HDU of that EXTNAME, upper and lower case alike.
    pub fn find(&self, name: &str) -> Result<usize, FitsError> {
        self.hdus.iter().position(|hdu| hdu.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            FitsError::NoName {
                name: name.to_owned(),
                found: self.hdus.iter().map(|hdu| format!("`{}`", hdu.name)).collect(),
            }
        })
    }

    /// The binary tables in the file, with their HDU's index.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Arc<BinTable>)> {
        self.hdus.iter().enumerate().filter_map(|(index, hdu)| match &hdu.kind {
            HduKind::Table(table) => Some((index, table)),
            _ => None,
        })
    }

    /// The binary table in that HDU.
    pub fn table(&self, hdu: usize) -> Result<&Arc<BinTable>, FitsError> {
        match &self.hdu(hdu)?.kind {
            HduKind::Table(table) => Ok(table),
            other => Err(FitsError::WrongKind { hdu, expected: "a binary table", found: other.to_string() }),
        }
    }

    /// Fills `buffer` from `offset` bytes into an HDU's data.
    pub(crate) fn read_data(&mut self, hdu: usize, offset: u64, buffer: &mut [u8]) -> Result<(), FitsError> {
        let Hdu { data_at, present_bytes, .. } = *self.hdu(hdu)?;
        let needed = buffer.len() as u64;
        let at = data_at.saturating_add(offset);
        let end = at.saturating_add(needed);
        let found = data_at + present_bytes;
        if end > found {
            return Err(FitsError::Truncated { hdu, needed, end, found });
        }
        let read = self.source.read_at(at, buffer)?;
        if read < buffer.len() {
            // The file shrank since it was opened.
            return Err(FitsError::Truncated { hdu, needed, end, found: at + read as u64 });
        }
        Ok(())
    }
}

impl std::fmt::Display for HduKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HduKind::Image(shape) if shape.axes.is_empty() => f.write_str("empty"),
            HduKind::Image(_) => f.write_str("an image"),
            HduKind::Table(_) => f.write_str("a binary table"),
            HduKind::Other(extension) => write!(f, "an extension of type {extension}"),
        }
    }
}

/// The header at a position and where its data start; `None` at the end of the file.
fn read_header(source: &mut Source, at: u64, hdu: usize) -> Result<Option<(Header, u64)>, FitsError> {
    let mut bytes = Vec::new();
    let mut block = [0; BLOCK as usize];
    loop {
        let position = at + bytes.len() as u64;
        let read = source.read_at(position, &mut block)?;
        if bytes.is_empty() && !opens_an_hdu(&block[..read], at, hdu)? {
            return Ok(None);
        }
        let cards = block[..read].chunks_exact(CARD);
        let end =
            cards.clone().position(|card| card.starts_with(b"END") && card[3..].iter().all(|&b| b == b' '));
        let whole = end.unwrap_or(cards.len()) * CARD;
        bytes.extend_from_slice(&block[..whole]);
        if end.is_some() {
            return Ok(Some((Header::parse(&bytes, hdu)?, position + BLOCK)));
        }
        if read < block.len() {
            return Err(FitsError::NoEnd { hdu, cards: bytes.len() / CARD });
        }
        if bytes.len() / CARD > MAX_HEADER_CARDS {
            return Err(FitsError::HeaderTooLong { hdu, limit: MAX_HEADER_CARDS });
        }
    }
}

/// Whether an HDU starts here; nothing, or filling, is the end of the file.
fn opens_an_hdu(block: &[u8], at: u64, hdu: usize) -> Result<bool, FitsError> {
    let found = || String::from_utf8_lossy(&block[..block.len().min(10)]).escape_debug().to_string();
    if hdu == 0 {
        return if block.starts_with(b"SIMPLE  =") {
            Ok(true)
        } else {
            Err(FitsError::NotFits { found: found() })
        };
    }
    if block.starts_with(b"XTENSION=") {
        return Ok(true);
    }
    if block.iter().all(|&b| b == 0 || b == b' ') {
        return Ok(false);
    }
    Err(FitsError::NotExtension { hdu, at, found: found() })
}

fn measure(header: Header, hdu: usize, data_at: u64) -> Result<Hdu, FitsError> {
    let absurd = || FitsError::Absurd { hdu };
    let bitpix = header.integer("BITPIX")?.ok_or(FitsError::Missing { hdu, key: "BITPIX".into() })?;
    if ![8, 16, 32, 64, -32, -64].contains(&bitpix) {
        return Err(header.wrong("BITPIX", &Value::Integer(bitpix), "8, 16, 32, 64, -32 or -64"));
    }
    let naxis = header.count("NAXIS", 999)?;
    let axes: Vec<u64> =
        (1..=naxis).map(|n| header.count(&format!("NAXIS{n}"), i64::MAX as u64)).collect::<Result<_, _>>()?;
    let optional = |key: &str, default: u64| match header.get(key) {
        Some(_) => header.count(key, i64::MAX as u64),
        None => Ok(default),
    };
    let (heap, groups) = if hdu == 0 { (0, 1) } else { (optional("PCOUNT", 0)?, optional("GCOUNT", 1)?) };
    let values =
        if axes.is_empty() { Some(0) } else { axes.iter().try_fold(1u64, |n, axis| n.checked_mul(*axis)) };
    let values = values.and_then(|n| n.checked_add(heap)?.checked_mul(groups)).ok_or_else(absurd)?;
    let data_bytes = values.checked_mul(bitpix.unsigned_abs() / 8).ok_or_else(absurd)?;
    let extension = header.text("XTENSION")?.unwrap_or("IMAGE").trim().to_owned();
    let default_name = if hdu == 0 { "PRIMARY" } else { "" };
    let name = header.text("EXTNAME")?.unwrap_or(default_name).to_owned();
    let kind = match extension.as_str() {
        "IMAGE" | "IUEIMAGE" => HduKind::Image(ImageShape::from_header(&header, bitpix, axes)?),
        "BINTABLE" | "A3DTABLE" => {
            let [row_bytes, rows] = axes[..] else {
                return Err(header.wrong("NAXIS", &Value::Integer(naxis as i64), "2 for a binary table"));
            };
            if bitpix != 8 || groups != 1 {
                return Err(header.wrong(
                    "BITPIX",
                    &Value::Integer(bitpix),
                    "8 (and GCOUNT 1) for a binary table",
                ));
            }
            HduKind::Table(Arc::new(BinTable::from_header(&header, row_bytes, rows, heap)?))
        }
        _ => HduKind::Other(extension),
    };
    Ok(Hdu { header, name, kind, data_at, data_bytes, present_bytes: data_bytes })
}
