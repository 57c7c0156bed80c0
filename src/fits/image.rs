//! Image HDUs: arrays of one number type, scaled to f64.

use super::{FitsError, FitsFile, HduKind, Header};

/// Largest image read at once, values.
pub const MAX_IMAGE_VALUES: u64 = 1 << 27;

/// Type, axes and scale of an image; the first axis varies fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageShape {
    /// 8, 16, 32, 64 (integers), -32, -64 (floats).
    pub bitpix: i64,
    pub axes: Vec<u64>,
    scale: f64,
    zero: f64,
    blank: Option<i64>,
}

impl ImageShape {
    pub(super) fn from_header(header: &Header, bitpix: i64, axes: Vec<u64>) -> Result<Self, FitsError> {
        Ok(Self {
            bitpix,
            axes,
            scale: header.real("BSCALE")?.unwrap_or(1.0),
            zero: header.real("BZERO")?.unwrap_or(0.0),
            blank: header.integer("BLANK")?,
        })
    }

    /// Number of values.
    pub fn values(&self) -> u64 {
        if self.axes.is_empty() { 0 } else { self.axes.iter().product() }
    }

    fn scaled(&self, stored: f64) -> f64 {
        if self.scale == 1.0 && self.zero == 0.0 { stored } else { self.zero + self.scale * stored }
    }

    fn integer(&self, stored: i64) -> f64 {
        if self.blank == Some(stored) { f64::NAN } else { self.scaled(stored as f64) }
    }
}

impl FitsFile {
    /// An image as f64, first axis fastest; BLANK becomes NaN.
    ///
    /// Errors if the HDU is no image or holds more than [`MAX_IMAGE_VALUES`].
    pub fn read_image(&mut self, hdu: usize) -> Result<(ImageShape, Vec<f64>), FitsError> {
        let shape = match &self.hdu(hdu)?.kind {
            HduKind::Image(shape) => shape.clone(),
            other => {
                return Err(FitsError::WrongKind { hdu, expected: "an image", found: other.to_string() });
            }
        };
        let values = shape.values();
        let width = shape.bitpix.unsigned_abs() / 8;
        if values > MAX_IMAGE_VALUES {
            let (found, limit) = (values.saturating_mul(width), MAX_IMAGE_VALUES * width);
            return Err(FitsError::TooLarge { hdu, what: "an image", found, limit });
        }
        let mut out = Vec::with_capacity(values as usize);
        let mut buffer = vec![0; (width << 16) as usize];
        let mut offset = 0;
        while (out.len() as u64) < values {
            let bytes = (values - out.len() as u64).min(1 << 16) * width;
            let chunk = &mut buffer[..bytes as usize];
            self.read_data(hdu, offset, chunk)?;
            offset += bytes;
            match shape.bitpix {
                8 => out.extend(chunk.iter().map(|&b| shape.integer(i64::from(b)))),
                16 => out.extend(words(chunk).map(|b| shape.integer(i64::from(i16::from_be_bytes(b))))),
                32 => out.extend(words(chunk).map(|b| shape.integer(i64::from(i32::from_be_bytes(b))))),
                64 => out.extend(words(chunk).map(|b| shape.integer(i64::from_be_bytes(b)))),
                -32 => out.extend(words(chunk).map(|b| shape.scaled(f64::from(f32::from_be_bytes(b))))),
                _ => out.extend(words(chunk).map(|b| shape.scaled(f64::from_be_bytes(b)))),
            }
        }
        Ok((shape, out))
    }
}

/// Bytes in groups of N.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}
