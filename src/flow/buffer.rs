//! Numbers that start on a cache line: a vector that straddles two lines costs twice as much.

use std::ops::{Deref, DerefMut};

const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A vector of numbers whose first lies on a 64-byte boundary.
#[derive(Clone, Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Changes the length; numbers that are new are zero or left over.
    pub fn resize(&mut self, len: usize) {
        if self.lines.len() < len.div_ceil(LINE) {
            self.lines.resize(len.div_ceil(LINE), Line([0.0; LINE]));
        }
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines are arrays of f32 without padding, one after the other, and hold at least
        // `len` of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_a_line_and_keep_their_numbers() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty());
        for len in [1, 15, 16, 17, 1000, 3] {
            buffer.resize(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            assert_eq!(buffer[len - 1], (len - 1) as f32);
        }
        assert_eq!(Buffer::zeros(33)[..], [0.0; 33]);
    }
}
