//! HDF5 files laid out before the first value is written, so that arrays of any size are filled in batches.
//!
//! The oldest layout of the format (superblock 0, symbol tables, version 1 object headers; "HDF5 File Format
//! Specification Version 3.0", sections II.A, III, IV), which every reader knows. Arrays are contiguous.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::ExchangeError;
use super::target::{Target, at};

const UNDEFINED: u64 = u64::MAX;
/// Entries of a symbol table node, halved, as the superblock says.
const LEAF_K: usize = 512;
const INTERNAL_K: usize = 16;

/// Type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F64,
    I64,
    /// As h5py writes them: one byte.
    Bool,
    /// UTF-8 of so many bytes, filled up with zeros.
    Text(usize),
}

impl Dtype {
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::Bool => 1,
            Dtype::Text(n) => n.max(1),
        }
    }

    /// The datatype message.
    fn message(self) -> Vec<u8> {
        let float = |sign: u8, precision: u16, exponent: [u8; 2], mantissa: u8, bias: u32| {
            let mut bytes = vec![0x11, 0x20, sign, 0];
            bytes.extend((u32::from(precision) / 8).to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(precision.to_le_bytes());
            bytes.extend([exponent[0], exponent[1], 0, mantissa]);
            bytes.extend(bias.to_le_bytes());
            bytes
        };
        let int = |size: u32| {
            let mut bytes = vec![0x10, 0x08, 0, 0];
            bytes.extend(size.to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend((8 * size as u16).to_le_bytes());
            bytes
        };
        match self {
            Dtype::F32 => float(31, 32, [23, 8], 23, 127),
            Dtype::F64 => float(63, 64, [52, 11], 52, 1023),
            Dtype::I64 => int(8),
            Dtype::Bool => {
                let mut bytes = vec![0x18, 2, 0, 0, 1, 0, 0, 0];
                bytes.extend(int(1));
                bytes.extend(b"FALSE\0\0\0TRUE\0\0\0\0");
                bytes.extend([0, 1]);
                bytes
            }
            Dtype::Text(_) => {
                let mut bytes = vec![0x13, 0x11, 0, 0];
                bytes.extend((self.size() as u32).to_le_bytes());
                bytes
            }
        }
    }
}

/// An array to be written.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    /// Texts that describe it.
    pub attributes: Vec<(&'static str, String)>,
}

impl Dataset {
    pub fn new(name: &str, dtype: Dtype, shape: &[u64]) -> Self {
        Self { name: name.to_owned(), dtype, shape: shape.to_vec(), attributes: Vec::new() }
    }

    pub fn attribute(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.attributes.push((name, value.to_owned()));
        }
        self
    }

    fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.size() as u64
    }
}

/// Arrays under a name, and groups of such.
#[derive(Debug, Clone, Default)]
pub struct Group {
    pub datasets: Vec<Dataset>,
    pub groups: Vec<(String, Group)>,
}

/// A file whose layout is fixed, to be filled.
pub struct H5Writer {
    target: Target,
    file: File,
    /// Where each dataset's values begin, in the order of the groups and their datasets.
    places: Vec<u64>,
    sizes: Vec<u64>,
}

impl H5Writer {
    /// Lays out the file. Errors where there is one already.
    pub fn create(path: &Path, overwrite: bool, root: &Group) -> Result<Self, ExchangeError> {
        let (bytes, places, sizes, end) = layout(root)?;
        let (target, out) = Target::create(path, overwrite)?;
        let file = out.into_inner().map_err(|error| at(path)(error.into_error()))?;
        file.write_all_at(&bytes, 0).and_then(|()| file.set_len(end)).map_err(at(path))?;
        Ok(Self { target, file, places, sizes })
    }

    /// Fills a dataset from byte `offset` of its values on.
    pub fn write(&self, dataset: usize, offset: u64, bytes: &[u8]) -> Result<(), ExchangeError> {
        if offset + bytes.len() as u64 > self.sizes[dataset] {
            let what = format!("more values than dataset {dataset} was laid out for");
            return Err(ExchangeError::CannotHold { format: "HDF5", what });
        }
        self.file.write_all_at(bytes, self.places[dataset] + offset).map_err(at(self.target.path()))
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<(), ExchangeError> {
        self.target.commit(std::io::BufWriter::new(self.file))
    }
}

type Layout = (Vec<u8>, Vec<u64>, Vec<u64>, u64);

/// Everything but the values, and where these go.
fn layout(root: &Group) -> Result<Layout, ExchangeError> {
    let mut file = Draft { bytes: vec![0; 96], holes: Vec::new(), sizes: Vec::new() };
    let (header, [tree, heap]) = file.group(root)?;
    let mut places = Vec::with_capacity(file.holes.len());
    let mut end = (file.bytes.len() as u64).next_multiple_of(4096);
    for (&hole, &size) in file.holes.iter().zip(&file.sizes) {
        places.push(end);
        // An array of no values has no place.
        let address = if size == 0 { UNDEFINED } else { end };
        file.bytes[hole..hole + 8].copy_from_slice(&address.to_le_bytes());
        end = (end + size).next_multiple_of(8);
    }
    let mut head = b"\x89HDF\r\n\x1a\n".to_vec();
    head.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    head.extend((LEAF_K as u16).to_le_bytes());
    head.extend((INTERNAL_K as u16).to_le_bytes());
    head.extend(0_u32.to_le_bytes());
    for address in [0, UNDEFINED, end, UNDEFINED] {
        head.extend(address.to_le_bytes());
    }
    head.extend(symbol(0, header, Some([tree, heap])));
    file.bytes[..96].copy_from_slice(&head);
    Ok((file.bytes, places, file.sizes, end))
}

/// A symbol table entry.
fn symbol(name: u64, header: u64, group: Option<[u64; 2]>) -> Vec<u8> {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.extend(header.to_le_bytes());
    bytes.extend(u32::from(group.is_some()).to_le_bytes());
    bytes.extend([0; 4]);
    for address in group.unwrap_or([0, 0]) {
        bytes.extend(address.to_le_bytes());
    }
    bytes
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn dataspace(shape: &[u64]) -> Vec<u8> {
    let mut bytes = vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0];
    shape.iter().for_each(|length| bytes.extend(length.to_le_bytes()));
    bytes
}

fn attribute(name: &str, value: &str) -> Vec<u8> {
    let (name, datatype) = ([name.as_bytes(), &[0]].concat(), Dtype::Text(value.len()).message());
    let space = dataspace(&[]);
    let mut bytes = vec![1, 0];
    for size in [name.len(), datatype.len(), space.len()] {
        bytes.extend((size as u16).to_le_bytes());
    }
    for part in [name, datatype, space] {
        bytes.extend(padded(part));
    }
    bytes.extend(value.as_bytes());
    bytes
}

struct Draft {
    bytes: Vec<u8>,
    /// Where the address of a dataset's values is to be written, and how many bytes they take.
    holes: Vec<usize>,
    sizes: Vec<u64>,
}

impl Draft {
    fn put(&mut self, bytes: &[u8]) -> u64 {
        let place = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(place, 0);
        self.bytes.extend_from_slice(bytes);
        place as u64
    }

    /// An object header of messages; returns its address.
    fn header(&mut self, messages: Vec<(u16, Vec<u8>)>) -> u64 {
        let mut body = Vec::new();
        let n = messages.len() as u16;
        for (kind, message) in messages {
            let message = padded(message);
            body.extend(kind.to_le_bytes());
            body.extend((message.len() as u16).to_le_bytes());
            body.extend([0; 4]);
            body.extend(message);
        }
        let mut bytes = vec![1, 0];
        bytes.extend(n.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        self.put(&bytes)
    }

    fn dataset(&mut self, dataset: &Dataset) -> u64 {
        let mut layout = vec![3, 1];
        layout.extend(UNDEFINED.to_le_bytes());
        layout.extend(dataset.bytes().to_le_bytes());
        let mut messages = vec![
            (0x1, dataspace(&dataset.shape)),
            (0x3, dataset.dtype.message()),
            // space is allocated early, no fill value
            (0x5, vec![2, 1, 1, 0]),
            (0x8, layout),
        ];
        let before: usize =
            16 + messages[..3].iter().map(|(_, m)| 8 + m.len().next_multiple_of(8)).sum::<usize>();
        let texts = dataset.attributes.iter();
        messages.extend(texts.map(|(name, value)| (0xc, attribute(name, value))));
        let header = self.header(messages);
        self.holes.push(header as usize + before + 8 + 2);
        self.sizes.push(dataset.bytes());
        header
    }

    /// Returns the addresses of the group's header, and of its tree and heap.
    fn group(&mut self, group: &Group) -> Result<(u64, [u64; 2]), ExchangeError> {
        // Datasets first, in their order, as their numbers go.
        let mut members: Vec<(&str, u64, Option<[u64; 2]>)> = Vec::new();
        for dataset in &group.datasets {
            members.push((&dataset.name, self.dataset(dataset), None));
        }
        for (name, inner) in &group.groups {
            let (header, parts) = self.group(inner)?;
            members.push((name, header, Some(parts)));
        }
        members.sort_by_key(|(name, ..)| *name);
        if members.len() > 2 * LEAF_K {
            let found = members.len();
            return Err(ExchangeError::TooManyColumns { format: "HDF5", limit: 2 * LEAF_K, found });
        }
        let mut names = vec![0; 8];
        let mut node = b"SNOD\x01\0".to_vec();
        node.extend((members.len() as u16).to_le_bytes());
        let mut last = 0;
        for (name, header, parts) in &members {
            last = names.len() as u64;
            node.extend(symbol(last, *header, *parts));
            names.extend(padded([name.as_bytes(), &[0]].concat()));
        }
        node.resize(8 + 2 * LEAF_K * 40, 0);
        let node = self.put(&node);
        let data = self.put(&names);
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        // 1: no free block
        for number in [names.len() as u64, 1, data] {
            heap.extend(number.to_le_bytes());
        }
        let heap = self.put(&heap);
        let mut tree = b"TREE\0\0".to_vec();
        tree.extend(1_u16.to_le_bytes());
        for number in [UNDEFINED, UNDEFINED, 0, node, last] {
            tree.extend(number.to_le_bytes());
        }
        tree.resize(24 + 8 * (4 * INTERNAL_K + 1), 0);
        let tree = self.put(&tree);
        let parts = [tree, heap];
        let message = parts.iter().flat_map(|address| address.to_le_bytes()).collect();
        Ok((self.header(vec![(0x11, message)]), parts))
    }
}
