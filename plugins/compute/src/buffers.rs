//! Buffers that are used again from step to step, and the count of their bytes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Rule;
use crate::shape::{Dtype, Kind};
use crate::tensor::{Buffer, Tensor};

/// The least elements of a buffer, and the step of the smallest sizes.
const LEAST: usize = 16;

/// The class of buffers that `len` elements fit into, and their size: at most a quarter more.
fn class_of(len: usize) -> (usize, usize) {
    let len = len.max(LEAST);
    let octave = (len - 1).ilog2() as usize;
    // A quarter of the octave, as a power of 2.
    let step = octave - 2;
    let quarters = ((len - 1) >> step) + 1;
    (4 * octave + quarters - 4, quarters << step)
}

/// Buffers that nothing uses now, by dtype and size, and the bytes of all buffers.
#[derive(Debug)]
pub struct Buffers {
    free: [Vec<Vec<Arc<Buffer>>>; 4],
    /// Bytes of all buffers, and of what else was charged.
    meter: Arc<AtomicUsize>,
    /// Of the buffers that nothing uses.
    unused: usize,
    most: usize,
    peak: usize,
}

impl Buffers {
    /// Returns none yet; all together never have more bytes than `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let free = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        Self { free, meter: Arc::default(), unused: 0, most: bytes_max, peak: 0 }
    }

    /// Bytes in use.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.meter.load(Ordering::Relaxed).saturating_sub(self.unused)
    }

    /// The most bytes that there ever were, with buffers that waited for use.
    #[must_use]
    pub fn bytes_peak(&self) -> usize {
        self.peak
    }

    /// Makes room for bytes, by letting go of what is not in use.
    fn make_room(&mut self, bytes: usize) -> Result<(), Rule> {
        let needed = self.bytes().saturating_add(bytes);
        if needed > self.most {
            return Err(Rule::Memory { needed, most: self.most });
        }
        if needed + self.unused > self.most {
            self.free.iter_mut().for_each(Vec::clear);
            self.unused = 0;
        }
        self.peak = self.peak.max(needed + self.unused);
        Ok(())
    }

    /// Counts bytes of something else.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Rule> {
        self.make_room(bytes)?;
        self.meter.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Takes back a [`charge`](Self::charge).
    pub(crate) fn discharge(&mut self, bytes: usize) {
        self.meter.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A tensor with any elements, to be overwritten.
    ///
    /// # Errors
    /// [`Rule::Memory`] beyond the bound.
    pub(crate) fn tensor(&mut self, kind: Kind) -> Result<Tensor, Rule> {
        let (class, size) = class_of(kind.shape.len());
        let free = &mut self.free[row(kind.dtype)];
        if let Some(buffer) = free.get_mut(class).and_then(Vec::pop) {
            self.unused -= Buffer::bytes_of(kind.dtype, size);
            return Ok(Tensor::in_buffer(kind, buffer));
        }
        self.make_room(Buffer::bytes_of(kind.dtype, size))?;
        let buffer = Buffer::new(kind.dtype, size, Some(Arc::clone(&self.meter)));
        Ok(Tensor::in_buffer(kind, Arc::new(buffer)))
    }

    /// Takes a tensor back; its buffer is used again unless another tensor shares it.
    pub(crate) fn give_back(&mut self, tensor: Tensor) {
        let buffer = tensor.into_buffer();
        let (dtype, capacity) = (buffer.dtype(), buffer.capacity());
        let (class, size) = class_of(capacity);
        // Others' buffers are of any size, and just go. There are no weak users: one that is used by
        // this tensor alone stays so.
        if size != capacity || Arc::strong_count(&buffer) != 1 {
            return;
        }
        let free = &mut self.free[row(dtype)];
        if free.len() <= class {
            free.resize_with(class + 1, Vec::new);
        }
        self.unused += Buffer::bytes_of(dtype, size);
        free[class].push(buffer);
    }
}

fn row(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F64 => 1,
        Dtype::I64 => 2,
        Dtype::Bool => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn classes_hold_what_they_are_for_and_little_more() {
        let mut before = (0, 0);
        for len in (0..100_000usize).chain([1 << 28]) {
            let (class, size) = class_of(len);
            assert!(size >= len && (len < LEAST || size <= len + len / 4), "{len}: {size}");
            assert!(class_of(size) == (class, size), "{len}: {class}");
            assert!((class == before.0) == (size == before.1) && class >= before.0, "{len}");
            before = (class, size);
        }
    }

    #[test]
    fn a_shared_buffer_is_counted_until_the_last_tensor_goes() {
        let kind = Kind { dtype: Dtype::F32, shape: Shape::new(&[100]).unwrap() };
        let mut buffers = Buffers::new(1 << 20);
        let tensor = buffers.tensor(kind).unwrap();
        let bytes = buffers.bytes();
        buffers.give_back(tensor.clone());
        assert_eq!(buffers.bytes(), bytes);
        let at = tensor.get::<f32>().unwrap().as_ptr();
        buffers.give_back(tensor);
        assert_eq!(buffers.bytes(), 0);
        let again = buffers.tensor(kind).unwrap();
        assert_eq!((buffers.bytes(), again.get::<f32>().unwrap().as_ptr()), (bytes, at));
    }
}
