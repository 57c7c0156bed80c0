//! NumPy's `.npz` of any size, laid out beforehand and filled in batches (NEP 1 arrays, stored in a Zip64 archive).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::Crc;

use super::ExchangeError;
use super::target::{Target, at};

/// An array to be written.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    /// NumPy's word for the type: `<f4`.
    pub descr: String,
    /// Bytes of a value.
    pub item: u64,
    pub shape: Vec<u64>,
}

impl Member {
    pub fn new(name: &str, descr: &str, item: u64, shape: &[u64]) -> Self {
        Self { name: name.to_owned(), descr: descr.to_owned(), item, shape: shape.to_vec() }
    }

    fn header(&self) -> Vec<u8> {
        let shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            self.descr,
            shape.join(", ")
        );
        while (10 + text.len() + 1) % 64 != 0 {
            text.push(' ');
        }
        text.push('\n');
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((text.len() as u16).to_le_bytes());
        header.extend(text.as_bytes());
        header
    }

    fn data_bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.item
    }
}

struct Place {
    name: String,
    /// Of the local header, and of the next value.
    header: u64,
    next: u64,
    size: u64,
    crc: Crc,
}

pub struct NpzWriter {
    target: Target,
    file: File,
    places: Vec<Place>,
    end: u64,
}

/// Length of a local header without the name: fixed part and the Zip64 field.
const LOCAL: u64 = 30 + 20;

impl NpzWriter {
    pub fn create(path: &Path, overwrite: bool, members: &[Member]) -> Result<Self, ExchangeError> {
        let (target, out) = Target::create(path, overwrite)?;
        let file = out.into_inner().map_err(|error| at(path)(error.into_error()))?;
        let mut places = Vec::with_capacity(members.len());
        let mut end = 0;
        for member in members {
            let name = format!("{}.npy", member.name);
            let npy = member.header();
            let start = end + LOCAL + name.len() as u64;
            file.write_all_at(&npy, start).map_err(at(path))?;
            let mut crc = Crc::new();
            crc.update(&npy);
            let size = npy.len() as u64 + member.data_bytes();
            places.push(Place { name, header: end, next: start + npy.len() as u64, size, crc });
            end = start + size;
        }
        Ok(Self { target, file, places, end })
    }

    /// Appends values to an array.
    pub fn write(&mut self, member: usize, bytes: &[u8]) -> Result<(), ExchangeError> {
        let place = &mut self.places[member];
        self.file.write_all_at(bytes, place.next).map_err(at(self.target.path()))?;
        place.crc.update(bytes);
        place.next += bytes.len() as u64;
        Ok(())
    }

    /// Writes headers and directory, and puts the file in its place.
    pub fn finish(self) -> Result<(), ExchangeError> {
        let path = self.target.path().to_owned();
        let mut directory = Vec::new();
        for place in &self.places {
            // Version 4.5, flags (names are UTF-8), stored, 1980-01-01; sizes are in the Zip64 field.
            let mut shared = Vec::new();
            for value in [45_u16, 0x800, 0, 0, 0x21] {
                shared.extend(value.to_le_bytes());
            }
            shared.extend(place.crc.sum().to_le_bytes());
            shared.extend([0xff; 8]);
            shared.extend((place.name.len() as u16).to_le_bytes());
            let field = |values: &[u64]| {
                let mut bytes = 1_u16.to_le_bytes().to_vec();
                bytes.extend((8 * values.len() as u16).to_le_bytes());
                values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
                bytes
            };
            let mut local = b"PK\x03\x04".to_vec();
            local.extend(&shared);
            local.extend(20_u16.to_le_bytes());
            local.extend(place.name.as_bytes());
            local.extend(field(&[place.size, place.size]));
            self.file.write_all_at(&local, place.header).map_err(at(&path))?;
            directory.extend(b"PK\x01\x02");
            directory.extend(45_u16.to_le_bytes());
            directory.extend(&shared);
            directory.extend(28_u16.to_le_bytes());
            directory.extend([0; 10]);
            directory.extend(u32::MAX.to_le_bytes());
            directory.extend(place.name.as_bytes());
            directory.extend(field(&[place.size, place.size, place.header]));
        }
        let (n, size) = (self.places.len() as u64, directory.len() as u64);
        let mut end = directory;
        end.extend(b"PK\x06\x06");
        end.extend(44_u64.to_le_bytes());
        end.extend([45, 0, 45, 0]);
        end.extend([0; 8]);
        for value in [n, n, size, self.end] {
            end.extend(value.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend((self.end + size).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([0xff; 12]);
        end.extend([0; 2]);
        self.file.write_all_at(&end, self.end).map_err(at(&path))?;
        self.target.commit(std::io::BufWriter::new(self.file))
    }
}
