//! NumPy's `.npz`: named arrays in an uncompressed zip archive, for other programs.
//!
//! Format of one array: NEP 1 (`\x93NUMPY`, version 1.0). Archive: PKZIP APPNOTE 6.3.3, stored
//! members, which limits the whole to 4 GiB.

use std::io::{self, Write};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum NpzError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(
        "{bytes} bytes are more than an .npz file of this kind can hold (4 GiB): export fewer rows, or Parquet"
    )]
    TooLarge { bytes: u64 },
}

/// Writes arrays one after the other; [`NpzWriter::finish`] ends the archive.
pub struct NpzWriter<W: Write> {
    out: W,
    written: u64,
    directory: Vec<u8>,
    members: u16,
}

impl<W: Write> NpzWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out, written: 0, directory: Vec::new(), members: 0 }
    }

    /// Adds an f32 array, row-major.
    pub fn array(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<(), NpzError> {
        let mut data = npy_header("<f4", shape);
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.member(&format!("{name}.npy"), &data)
    }

    /// Adds a u64 array, row-major.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[u64]) -> Result<(), NpzError> {
        let mut data = npy_header("<u8", shape);
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.member(&format!("{name}.npy"), &data)
    }

    fn member(&mut self, name: &str, data: &[u8]) -> Result<(), NpzError> {
        let bytes = self.written + data.len() as u64 + 2 * name.len() as u64 + 200;
        let (Ok(size), Ok(offset), true) =
            (u32::try_from(data.len()), u32::try_from(self.written), bytes < u64::from(u32::MAX))
        else {
            return Err(NpzError::TooLarge { bytes });
        };
        // Fields that the local header and the directory share: version, flags, method (stored),
        // time and date (1980-01-01), checksum, sizes, lengths of name and extra field.
        let mut shared = Vec::new();
        for value in [20_u16, 0, 0, 0, 0x21] {
            shared.extend(value.to_le_bytes());
        }
        for value in [crc32(data), size, size] {
            shared.extend(value.to_le_bytes());
        }
        shared.extend((name.len() as u16).to_le_bytes());
        shared.extend(0_u16.to_le_bytes());

        let mut header = b"PK\x03\x04".to_vec();
        header.extend(&shared);
        header.extend(name.as_bytes());
        self.out.write_all(&header)?;
        self.out.write_all(data)?;
        self.written += (header.len() + data.len()) as u64;

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(&shared);
        // Comment length, disk, internal and external attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.members += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<W, NpzError> {
        self.out.write_all(&self.directory)?;
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend(self.members.to_le_bytes());
        end.extend(self.members.to_le_bytes());
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend((self.written as u32).to_le_bytes());
        end.extend([0; 2]);
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn npy_header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}{comma}), }}", shape.join(", "));
    // Magic, version and length take 10 bytes; data starts at a multiple of 64.
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// CRC-32 of zip and PNG (polynomial 0xEDB88320, reflected).
fn crc32(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_standard_test_text() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn an_archive_has_its_members_where_the_directory_says() {
        let mut npz = NpzWriter::new(Vec::new());
        npz.array("theta", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        npz.integers("seed", &[1], &[7]).unwrap();
        let bytes = npz.finish().unwrap();
        assert_eq!(bytes[..4], *b"PK\x03\x04");
        let end = bytes.len() - 22;
        assert_eq!(bytes[end..end + 4], *b"PK\x05\x06");
        let directory = u32::from_le_bytes(bytes[end + 16..end + 20].try_into().unwrap()) as usize;
        assert_eq!(bytes[directory..directory + 4], *b"PK\x01\x02");
        let name = 30;
        assert_eq!(&bytes[name..name + 9], b"theta.npy");
        let data = name + 9;
        assert_eq!(bytes[data..data + 6], *b"\x93NUMPY");
        let text = String::from_utf8_lossy(&bytes[data + 10..data + 128]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
        assert_eq!(bytes[data + 128..data + 132], 1.0_f32.to_le_bytes());
    }
}
