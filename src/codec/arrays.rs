//! Named arrays <-> one compressed blob, little-endian.
//!
//! Layout (version 1): `SDA1`, u8 number of arrays; for each u8 length and UTF-8 name, u8 element (4 = f32,
//! 8 = f64), u8 number of dimensions, u64 each dimension; then one zstd frame holding, for each array,
//! its bytes by significance (all lowest bytes first), which compresses better. In Python:
//! `numpy.frombuffer(part, 'u1').reshape(element, -1).T.copy().view('<f4').reshape(shape)`.

use thiserror::Error;

const MAGIC: &[u8; 4] = b"SDA1";
const MAX_DIMENSIONS: usize = 8;
const LEVEL: i32 = 3;

/// Nothing larger is ever allocated, whatever a blob claims.
pub const MAX_DECODED_BYTES: usize = 1 << 30;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum BlobError {
    #[error("the blob begins with {found:?}, not with SDA1")]
    Magic { found: Vec<u8> },
    #[error("the blob ends inside its header, at byte {at}")]
    Truncated { at: usize },
    #[error("the blob's header says {found} for {what}")]
    Header { what: &'static str, found: u64 },
    #[error("the blob claims {claimed} bytes, more than the {limit} allowed")]
    TooLarge { claimed: u128, limit: usize },
    #[error("the blob unpacks to another size than the {expected} bytes its header says")]
    Length { expected: usize },
    #[error("the blob does not unpack: {0}")]
    Zstd(String),
    #[error("an array named `{name}` of shape {shape:?} cannot hold {found} values")]
    Shape { name: String, shape: Vec<usize>, found: usize },
    #[error("{what}: at most {limit}, found {found}")]
    TooMany { what: &'static str, limit: usize, found: usize },
    #[error("the blob has no array `{name}`; it has {known}")]
    NoArray { name: String, known: String },
}

/// An array with its name and shape, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Array {
    pub fn f32(name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), values: Values::F32(values) }
    }

    pub fn f64(name: &str, shape: &[usize], values: Vec<f64>) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), values: Values::F64(values) }
    }

    /// The values as f64, whatever they are stored as.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Values::F64(values) => values.clone(),
        }
    }

    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// The array called `name` among those of one blob.
    pub fn find<'a>(arrays: &'a [Array], name: &str) -> Result<&'a Array, BlobError> {
        arrays.iter().find(|array| array.name == name).ok_or_else(|| BlobError::NoArray {
            name: name.to_owned(),
            known: arrays.iter().map(|array| array.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }

    fn element(&self) -> usize {
        match &self.values {
            Values::F32(_) => 4,
            Values::F64(_) => 8,
        }
    }
}

/// Packs arrays into a blob. The same arrays give the same bytes.
pub fn encode_arrays(arrays: &[Array]) -> Result<Vec<u8>, BlobError> {
    let at_most = |what, limit, found| {
        if found > limit { Err(BlobError::TooMany { what, limit, found }) } else { Ok(()) }
    };
    at_most("arrays", 255, arrays.len())?;
    let mut blob = MAGIC.to_vec();
    blob.push(arrays.len() as u8);
    let n_bytes: usize = arrays.iter().map(|array| array.len() * array.element()).sum();
    if n_bytes > MAX_DECODED_BYTES {
        return Err(BlobError::TooLarge { claimed: n_bytes as u128, limit: MAX_DECODED_BYTES });
    }
    let mut raw = Vec::with_capacity(n_bytes);
    for array in arrays {
        at_most("bytes in the name of an array", 255, array.name.len())?;
        at_most("dimensions", MAX_DIMENSIONS, array.shape.len())?;
        let expected = array.shape.iter().try_fold(1usize, |n, &dimension| n.checked_mul(dimension));
        if expected != Some(array.len()) {
            return Err(BlobError::Shape {
                name: array.name.clone(),
                shape: array.shape.clone(),
                found: array.len(),
            });
        }
        blob.push(array.name.len() as u8);
        blob.extend(array.name.as_bytes());
        blob.extend([array.element() as u8, array.shape.len() as u8]);
        array.shape.iter().for_each(|&dimension| blob.extend((dimension as u64).to_le_bytes()));
        match &array.values {
            Values::F32(values) => shuffle(values.iter().map(|value| value.to_le_bytes()), &mut raw),
            Values::F64(values) => shuffle(values.iter().map(|value| value.to_le_bytes()), &mut raw),
        }
    }
    blob.extend(zstd::bulk::compress(&raw, LEVEL).map_err(|error| BlobError::Zstd(error.to_string()))?);
    Ok(blob)
}

fn shuffle<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    let (start, n) = (out.len(), values.len());
    out.resize(start + N * n, 0);
    let planes = &mut out[start..];
    for (i, bytes) in values.enumerate() {
        for (plane, byte) in bytes.into_iter().enumerate() {
            planes[plane * n + i] = byte;
        }
    }
}

fn unshuffle<const N: usize>(planes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    let n = planes.len() / N;
    (0..n).map(move |i| std::array::from_fn(|plane| planes[plane * n + i]))
}

/// Unpacks a blob. Reads nothing beyond `blob` and allocates at most `limit` bytes for values.
pub fn decode_arrays(blob: &[u8], limit: usize) -> Result<Vec<Array>, BlobError> {
    let mut reader = Reader { blob, at: 0 };
    let magic = reader.take(4).map_err(|_| BlobError::Magic { found: blob.to_vec() })?;
    if magic != MAGIC {
        return Err(BlobError::Magic { found: magic.to_vec() });
    }
    let n_arrays = reader.byte()?;
    let limit = limit.min(MAX_DECODED_BYTES);
    let mut headers = Vec::with_capacity(usize::from(n_arrays));
    let mut total: u128 = 0;
    for _ in 0..n_arrays {
        let n_name = usize::from(reader.byte()?);
        let name = String::from_utf8_lossy(reader.take(n_name)?).into_owned();
        let element = reader.byte()?;
        if element != 4 && element != 8 {
            return Err(BlobError::Header { what: "bytes per element", found: element.into() });
        }
        let n_dimensions = usize::from(reader.byte()?);
        if n_dimensions > MAX_DIMENSIONS {
            return Err(BlobError::Header { what: "dimensions", found: n_dimensions as u64 });
        }
        let mut shape = Vec::with_capacity(n_dimensions);
        let mut n_values: usize = 1;
        for _ in 0..n_dimensions {
            let mut dimension = [0; 8];
            dimension.copy_from_slice(reader.take(8)?);
            let dimension = u64::from_le_bytes(dimension);
            let dimension = usize::try_from(dimension)
                .map_err(|_| BlobError::Header { what: "a dimension", found: dimension })?;
            // Even where a 0 comes after: whoever multiplies the dimensions again must not overflow.
            let claimed = n_values as u128 * dimension as u128;
            n_values = usize::try_from(claimed).map_err(|_| BlobError::TooLarge { claimed, limit })?;
            shape.push(dimension);
        }
        let n_bytes = u128::from(element) * n_values as u128;
        total = total.saturating_add(n_bytes);
        if total > limit as u128 {
            return Err(BlobError::TooLarge { claimed: total, limit });
        }
        headers.push((name, element, shape, n_bytes as usize));
    }
    let total = total as usize;
    let raw = zstd::bulk::decompress(&blob[reader.at..], total)
        .map_err(|error| BlobError::Zstd(error.to_string()))?;
    if raw.len() != total {
        return Err(BlobError::Length { expected: total });
    }
    let mut rest = raw.as_slice();
    let arrays = headers.into_iter().map(|(name, element, shape, n_bytes)| {
        let (planes, after) = rest.split_at(n_bytes);
        rest = after;
        let values = match element {
            4 => Values::F32(unshuffle(planes).map(f32::from_le_bytes).collect()),
            _ => Values::F64(unshuffle(planes).map(f64::from_le_bytes).collect()),
        };
        Array { name, shape, values }
    });
    Ok(arrays.collect())
}

struct Reader<'a> {
    blob: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], BlobError> {
        let part = self.blob.get(self.at..self.at + n).ok_or(BlobError::Truncated { at: self.blob.len() })?;
        self.at += n;
        Ok(part)
    }

    fn byte(&mut self) -> Result<u8, BlobError> {
        self.take(1).map(|bytes| bytes[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Vec<Array> {
        vec![
            Array::f32("theta", &[2, 3], vec![1.0, -0.0, f32::MAX, 4.5, 5.0, 6.0]),
            Array::f64("redshift", &[2], vec![0.1, 0.2]),
            Array::f64("none", &[0, 4], vec![]),
        ]
    }

    #[test]
    fn arrays_come_back_as_they_went_in() {
        let blob = encode_arrays(&example()).unwrap();
        assert_eq!(decode_arrays(&blob, 1 << 20).unwrap(), example());
        assert_eq!(Array::find(&example(), "redshift").unwrap().shape, [2]);
        assert!(Array::find(&example(), "flux").unwrap_err().to_string().contains("theta, redshift, none"));
    }

    #[test]
    fn a_blob_that_claims_too_much_is_refused_before_anything_is_allocated() {
        let blob = encode_arrays(&[Array::f32("zeros", &[1 << 20], vec![0.0; 1 << 20])]).unwrap();
        assert!(blob.len() < 1000);
        assert_eq!(
            decode_arrays(&blob, 1 << 20),
            Err(BlobError::TooLarge { claimed: 4 << 20, limit: 1 << 20 })
        );
        // dimensions whose product overflows
        let mut crafted = b"SDA1\x01\x01a\x08\x02".to_vec();
        crafted.extend([0xff; 16]);
        assert!(matches!(decode_arrays(&crafted, usize::MAX), Err(BlobError::TooLarge { .. })));
        // also where a dimension of 0 after them makes the array empty
        let mut crafted = b"SDA1\x01\x01a\x08\x03".to_vec();
        crafted.extend([0xff; 16]);
        crafted.extend([0; 8]);
        assert!(matches!(decode_arrays(&crafted, usize::MAX), Err(BlobError::TooLarge { .. })));
        // a frame that holds more than the header says
        let mut crafted = b"SDA1\x01\x01a\x04\x01".to_vec();
        crafted.extend(1u64.to_le_bytes());
        crafted.extend(zstd::bulk::compress(&[0; 1 << 20], 3).unwrap());
        assert!(matches!(decode_arrays(&crafted, 1 << 20), Err(BlobError::Zstd(_))));
    }

    #[test]
    fn a_shape_that_does_not_fit_is_an_error() {
        let wrong = Array::f32("x", &[2, 2], vec![0.0; 3]);
        assert!(matches!(encode_arrays(&[wrong]), Err(BlobError::Shape { found: 3, .. })));
    }

    proptest! {
        #[test]
        fn any_array_survives(values in prop::collection::vec(any::<f64>(), 0..200)) {
            let array = Array::f64("x", &[values.len()], values.clone());
            let back = decode_arrays(&encode_arrays(&[array]).unwrap(), 1 << 20).unwrap();
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back[0].to_f64()), bits(&values));
        }

        #[test]
        fn no_bytes_panic(mut blob in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
            if magic {
                blob.splice(0..0, *MAGIC);
            }
            let _ = decode_arrays(&blob, 1 << 16);
        }

        #[test]
        fn a_cut_or_flipped_blob_is_an_error_or_an_array_of_the_said_size(at in 0usize..80, flip in any::<u8>()) {
            let mut blob = encode_arrays(&example()).unwrap();
            let at = at % blob.len();
            prop_assert!(decode_arrays(&blob[..at], 1 << 16).is_err());
            blob[at] ^= flip;
            let _ = decode_arrays(&blob, 1 << 16);
        }
    }
}
