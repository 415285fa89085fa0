//! Bytes that several tensors share.

use std::ops::Range;
use std::sync::Arc;

/// Bytes that are copied only when they are written while another owner also holds them: a model of
/// a gigabyte exists once for any number of readers.
#[derive(Clone)]
pub(crate) struct Buffer {
    bytes: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Buffer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { bytes: Arc::new(bytes), range }
    }

    /// A part of another buffer; none if the range lies outside of it.
    pub(crate) fn part(bytes: &Arc<Vec<u8>>, range: Range<usize>) -> Option<Self> {
        bytes.get(range.clone())?;
        Some(Self { bytes: Arc::clone(bytes), range })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // In bounds since it was made.
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.range != (0..self.bytes.len()) {
            *self = Self::new(self.as_slice().to_vec());
        }
        let bytes: &mut Vec<u8> = Arc::make_mut(&mut self.bytes);
        bytes
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        if self.range == (0..self.bytes.len()) {
            Arc::unwrap_or_clone(self.bytes)
        } else {
            self.as_slice().to_vec()
        }
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_copied_before_it_is_written() {
        let file = Arc::new(vec![1, 2, 3, 4]);
        let mut part = Buffer::part(&file, 1..3).unwrap();
        let other = part.clone();
        assert_eq!(other.as_slice().as_ptr(), file[1..].as_ptr());
        part.as_mut_slice()[0] = 9;
        assert_eq!((part.as_slice(), other.as_slice()), (&[9, 3][..], &[2, 3][..]));
        assert_eq!((other.into_vec(), &**file), (vec![2, 3], &[1, 2, 3, 4][..]));
        assert!(Buffer::part(&file, 3..5).is_none());

        // A single owner copies nothing.
        let mut own = Buffer::new(vec![5, 6]);
        let at = own.as_slice().as_ptr();
        own.as_mut_slice()[1] = 7;
        assert_eq!(own.as_slice().as_ptr(), at);
        let vec = own.into_vec();
        assert_eq!(vec.as_ptr(), at);
    }
}
