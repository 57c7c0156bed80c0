//! A reader that fails rather than feed a token of endless length into memory.

use std::io::{self, BufRead, Read};

use crate::tables::MAX_TOKEN_BYTES;

pub(super) struct Budget<R> {
    inner: R,
    left: usize,
}

impl<R> Budget<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, left: MAX_TOKEN_BYTES }
    }

    /// A new token begins.
    pub fn reset(&mut self) {
        self.left = MAX_TOKEN_BYTES;
    }
}

impl<R: BufRead> Read for Budget<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Budget<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let what = format!("a tag or text longer than {} MiB", MAX_TOKEN_BYTES >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let left = self.left;
        let available = self.inner.fill_buf()?;
        Ok(&available[..available.len().min(left)])
    }

    fn consume(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n);
        self.inner.consume(n);
    }
}
