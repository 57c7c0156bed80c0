//! Arrays of NumPy's `.npz` and `.npy` files: numbers of any size and order, and texts.

use std::io::Read;
use std::path::Path;

use super::ExchangeError;
use super::target::at;

/// Arrays larger than this, in all, are refused.
const MOST_BYTES: u64 = 8 << 30;

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum NumpyArray {
    Numbers { shape: Vec<usize>, values: Vec<f64> },
    Texts(Vec<String>),
}

/// All arrays of an `.npz` file by their names; those of other types are left out.
pub fn read(path: &Path) -> Result<Vec<(String, NumpyArray)>, ExchangeError> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    arrays(&bytes).map_err(|what| ExchangeError::Foreign { path: path.to_owned(), what })
}

fn arrays(bytes: &[u8]) -> Result<Vec<(String, NumpyArray)>, String> {
    let mut found = Vec::new();
    let mut total = 0;
    for (name, method, packed, size) in members(bytes)? {
        total += size;
        if total > MOST_BYTES {
            return Err(format!("its arrays take more than {} GiB", MOST_BYTES >> 30));
        }
        let mut data = Vec::new();
        match method {
            0 => data.extend_from_slice(packed),
            8 => {
                let mut limited = flate2::read::DeflateDecoder::new(packed).take(size + 1);
                limited.read_to_end(&mut data).map_err(|error| format!("{name}: {error}"))?;
            }
            other => return Err(format!("{name} is compressed in a way ({other}) that NumPy does not use")),
        }
        if let Some(array) = npy(&data).map_err(|what| format!("{name}: {what}"))? {
            found.push((name.trim_end_matches(".npy").to_owned(), array));
        }
    }
    Ok(found)
}

fn number(bytes: &[u8], at: usize, n: usize) -> Result<u64, String> {
    let slice = at.checked_add(n).and_then(|end| bytes.get(at..end)).ok_or("the archive is cut short")?;
    Ok(slice.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

type Member<'a> = (String, u64, &'a [u8], u64);

/// Name, method, packed bytes and unpacked size of the members, as the directory at the end lists them.
fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, String> {
    let end = (0..bytes.len().saturating_sub(21))
        .rev()
        .take(66_000)
        .find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))
        .ok_or("it is no .npz archive")?;
    let (mut n, mut at) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
    if end >= 20 && bytes[end - 20..].starts_with(b"PK\x06\x07") {
        let wide = number(bytes, end - 12, 8)? as usize;
        (n, at) = (number(bytes, wide.saturating_add(32), 8)?, number(bytes, wide.saturating_add(48), 8)?);
    }
    let mut members = Vec::new();
    let mut at = at as usize;
    for _ in 0..n.min(100_000) {
        if !bytes.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
            return Err("its directory is damaged".to_owned());
        }
        let field = |offset: usize, n: usize| number(bytes, at + offset, n);
        let method = field(10, 2)?;
        let (mut packed, mut size, mut header) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
        let (name_len, extra_len, comment_len) =
            (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
        let name = bytes.get(at + 46..at + 46 + name_len).ok_or("the archive is cut short")?;
        // The Zip64 field has, in this order, those that did not fit.
        let mut extra = at + 46 + name_len;
        let extra_end = extra + extra_len;
        while extra + 4 <= extra_end {
            let (id, len) = (number(bytes, extra, 2)?, number(bytes, extra + 2, 2)? as usize);
            let mut next = extra + 4;
            if id == 1 {
                for value in [&mut size, &mut packed, &mut header] {
                    if *value == u64::from(u32::MAX) && next + 8 <= extra + 4 + len {
                        *value = number(bytes, next, 8)?;
                        next += 8;
                    }
                }
            }
            extra += 4 + len;
        }
        let header = usize::try_from(header).map_err(|_| "its directory is damaged")?;
        let start = header
            .checked_add(30 + number(bytes, header.saturating_add(26), 2)? as usize)
            .and_then(|start| start.checked_add(number(bytes, header + 28, 2).ok()? as usize));
        let data = start.and_then(|start| bytes.get(start..start.checked_add(packed as usize)?));
        let data = data.ok_or("the archive is cut short")?;
        members.push((String::from_utf8_lossy(name).into_owned(), method, data, size));
        at += 46 + name_len + extra_len + comment_len;
    }
    Ok(members)
}

/// One array; `None` for types that are neither numbers nor texts.
fn npy(bytes: &[u8]) -> Result<Option<NumpyArray>, String> {
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("it is no NumPy array".to_owned());
    }
    let (start, length) = match bytes.get(6) {
        Some(1) => (10, number(bytes, 8, 2)? as usize),
        _ => (12, number(bytes, 8, 4)? as usize),
    };
    let header = bytes.get(start..start + length).ok_or("its header is cut short")?;
    let header = String::from_utf8_lossy(header).into_owned();
    let after = |key: &str| {
        header
            .split_once(&format!("'{key}':"))
            .map(|(_, rest)| rest.trim_start())
            .ok_or(format!("its header has no {key}"))
    };
    let descr = after("descr")?;
    let Some(descr) = descr.strip_prefix('\'').and_then(|rest| rest.split('\'').next()) else {
        return Ok(None);
    };
    let fortran = after("fortran_order")?.starts_with("True");
    let shape = after("shape")?.trim_start_matches('(').split(')').next().unwrap_or_default();
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| format!("its shape has `{part}`")))
        .collect::<Result<_, _>>()?;
    let count =
        shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)).ok_or("its shape is absurd")?;
    let data = &bytes[start + length..];
    let (order, kind) = descr.split_at(1);
    let big = order == ">";
    let width: usize = kind.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let item = if kind.starts_with('U') { 4 * width } else { width };
    if data.len() < count.checked_mul(item).ok_or("its shape is absurd")? {
        return Err(format!("{} bytes are too few for its shape", data.len()));
    }
    if item == 0 && count > 0 && !kind.starts_with(['U', 'S']) {
        return Ok(None);
    }
    let items = || data.chunks_exact(item.max(1)).take(count);
    let whole = |item: &[u8]| {
        let fold = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
        if big { item.iter().fold(0, fold) } else { item.iter().rev().fold(0, fold) }
    };
    let signed = |item: &[u8]| {
        let shift = 64 - 8 * item.len() as u32;
        ((whole(item) << shift) as i64 >> shift) as f64
    };
    let values: Vec<f64> = match (&kind[..1], width) {
        ("f", 8) => items().map(|item| f64::from_bits(whole(item))).collect(),
        ("f", 4) => items().map(|item| f64::from(f32::from_bits(whole(item) as u32))).collect(),
        ("i", 1..=8) => items().map(signed).collect(),
        ("u", 1..=8) => items().map(|item| whole(item) as f64).collect(),
        ("b", 1) => items().map(|item| f64::from(u8::from(item[0] != 0))).collect(),
        ("U", _) => {
            let text = |item: &[u8]| {
                let codes =
                    item.chunks_exact(4).map(|code| char::from_u32(whole(code) as u32).unwrap_or('?'));
                codes.take_while(|c| *c != '\0').collect::<String>()
            };
            return Ok(Some(NumpyArray::Texts(items().map(text).collect())));
        }
        ("S", _) => {
            let text = |item: &[u8]| String::from_utf8_lossy(item).trim_end_matches('\0').to_owned();
            return Ok(Some(NumpyArray::Texts(items().map(text).collect())));
        }
        _ => return Ok(None),
    };
    let values = if fortran && shape.len() > 1 { row_major(&shape, &values) } else { values };
    Ok(Some(NumpyArray::Numbers { shape, values }))
}

/// Values that run along the first axis first, put into row-major order.
fn row_major(shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..values.len() {
        let place = index.iter().zip(shape).rev().fold(0, |place, (i, n)| place * n + i);
        out.push(values[place]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::npz::{Member, NpzWriter};

    #[test]
    fn what_the_writer_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let members = [
            Member::new("chain", "<f4", 4, &[2, 3]),
            Member::new("names", "<U2", 8, &[2]),
            Member::new("id", "<i8", 8, &[1]),
        ];
        let mut writer = NpzWriter::create(&path, false, &members).unwrap();
        let floats: Vec<u8> = (0..6_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        // in two parts, as batches come
        writer.write(0, &floats[..8]).unwrap();
        writer.write(0, &floats[8..]).unwrap();
        writer.write(1, &[97, 0, 0, 0, 0, 0, 0, 0, 0xe9, 0, 0, 0, 98, 0, 0, 0]).unwrap();
        writer.write(2, &(-5_i64).to_le_bytes()).unwrap();
        writer.finish().unwrap();
        let found = read(&path).unwrap();
        let numbers = |shape: &[usize], values: &[f64]| NumpyArray::Numbers {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        assert_eq!(found[0], ("chain".into(), numbers(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])));
        assert_eq!(found[1], ("names".into(), NumpyArray::Texts(vec!["a".into(), "éb".into()])));
        assert_eq!(found[2], ("id".into(), numbers(&[1], &[-5.0])));
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 10, 100, bytes.len() - 30, bytes.len() - 1] {
            assert!(arrays(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn columns_first_arrays_are_turned() {
        assert_eq!(row_major(&[2, 3], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
