//! Elements as bytes: little-endian, in row-major order, NaN in one form.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Rule;
use crate::shape::Dtype;
use crate::tensor::{Element, Tensor};

/// An element of N bytes.
trait Bytes<const N: usize>: Element {
    /// NaN as the one with sign 0 and only the highest bit of its payload set.
    fn canonical(self) -> Self;
    fn to_bytes(self) -> [u8; N];
    fn from_bytes(bytes: [u8; N]) -> Self;
}

macro_rules! numbers {
    ($($type:ident $n:literal $canonical:expr;)*) => {$(
        impl Bytes<$n> for $type {
            #[inline(always)]
            fn canonical(self) -> Self {
                $canonical(self)
            }

            #[inline(always)]
            fn to_bytes(self) -> [u8; $n] {
                self.to_le_bytes()
            }

            #[inline(always)]
            fn from_bytes(bytes: [u8; $n]) -> Self {
                Self::from_le_bytes(bytes)
            }
        }
    )*};
}

numbers! {
    f32 4 |x: f32| if x.is_nan() { f32::from_bits(0x7fc0_0000) } else { x };
    f64 8 |x: f64| if x.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { x };
    i64 8 |x| x;
}

impl Bytes<1> for bool {
    fn canonical(self) -> Self {
        self
    }

    fn to_bytes(self) -> [u8; 1] {
        [u8::from(self)]
    }

    fn from_bytes([byte]: [u8; 1]) -> Self {
        byte != 0
    }
}

fn read<T: Bytes<N>, const N: usize>(x: &[T], range: Range<usize>, to: &mut [u8]) {
    if range.start.is_multiple_of(N) && range.end.is_multiple_of(N) {
        let (chunks, _) = to.as_chunks_mut::<N>();
        for (chunk, x) in chunks.iter_mut().zip(&x[range.start / N..]) {
            *chunk = x.canonical().to_bytes();
        }
    } else {
        for (byte, at) in to.iter_mut().zip(range) {
            *byte = x[at / N].canonical().to_bytes()[at % N];
        }
    }
}

fn write<T: Bytes<N>, const N: usize>(x: &mut [T], range: Range<usize>, bytes: &[u8]) {
    if range.start.is_multiple_of(N) && range.end.is_multiple_of(N) {
        let (chunks, _) = bytes.as_chunks::<N>();
        for (x, chunk) in x[range.start / N..].iter_mut().zip(chunks) {
            *x = T::from_bytes(*chunk);
        }
    } else {
        for (byte, at) in bytes.iter().zip(range) {
            let mut all = x[at / N].to_bytes();
            all[at % N] = *byte;
            x[at / N] = T::from_bytes(all);
        }
    }
}

impl Tensor {
    /// The place of `len` bytes from `offset` on.
    fn range(&self, offset: usize, len: usize) -> Result<Range<usize>, Rule> {
        let end = offset.checked_add(len).filter(|end| *end <= self.kind().bytes());
        end.map(|end| offset..end).ok_or(Rule::Sizes("the bytes must be within the tensor"))
    }

    /// Copies bytes of the elements, from byte `offset` on: little-endian; NaN as the one with sign
    /// 0 and only the highest bit of its payload set.
    ///
    /// # Errors
    /// [`Rule::Sizes`] if they are not within the tensor.
    pub fn read_bytes(&self, offset: usize, to: &mut [u8]) -> Result<(), Rule> {
        let range = self.range(offset, to.len())?;
        match self.dtype() {
            Dtype::F32 => read(self.elements::<f32>()?, range, to),
            Dtype::F64 => read(self.elements::<f64>()?, range, to),
            Dtype::I64 => read(self.elements::<i64>()?, range, to),
            Dtype::Bool => read(self.elements::<bool>()?, range, to),
        }
        Ok(())
    }

    /// Overwrites bytes of the elements, from byte `offset` on; a bool is true unless its byte is 0.
    ///
    /// # Errors
    /// [`Rule::Sizes`] if they are not within the tensor.
    pub fn write_bytes(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Rule> {
        let range = self.range(offset, bytes.len())?;
        match self.dtype() {
            Dtype::F32 => write(self.elements_mut::<f32>()?, range, bytes),
            Dtype::F64 => write(self.elements_mut::<f64>()?, range, bytes),
            Dtype::I64 => write(self.elements_mut::<i64>()?, range, bytes),
            Dtype::Bool => write(self.elements_mut::<bool>()?, range, bytes),
        }
        Ok(())
    }

    /// All bytes of the elements, as [`read_bytes`](Self::read_bytes).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.kind().bytes()];
        // All bytes are within the tensor.
        self.read_bytes(0, &mut bytes).map_or_else(|_| Vec::new(), |()| bytes)
    }

    /// Overwrites all elements, as [`write_bytes`](Self::write_bytes).
    ///
    /// # Errors
    /// [`Rule::Sizes`] if there are more or fewer bytes than the tensor has.
    pub fn fill_from_bytes(&mut self, bytes: &[u8]) -> Result<(), Rule> {
        if bytes.len() != self.kind().bytes() {
            return Err(Rule::Sizes("there must be as many bytes as the tensor has"));
        }
        self.write_bytes(0, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any part, also of an element, is that part of the whole.
    #[test]
    fn parts_are_read_and_written_at_any_byte() {
        let x = Tensor::new(&[3], &[1.5f32, f32::from_bits(0xffc0_1234), -0.0]).unwrap();
        let bytes = x.to_bytes();
        assert_eq!(bytes, [0, 0, 0xc0, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0, 0x80]);
        for start in 0..=12 {
            for end in start..=12 {
                let mut part = vec![7; end - start];
                x.read_bytes(start, &mut part).unwrap();
                assert_eq!(part, bytes[start..end], "{start}..{end}");
                let mut y = Tensor::new(&[3], &[f32::NAN, -1.0, 3.0]).unwrap();
                let mut expected = y.to_bytes();
                expected[start..end].copy_from_slice(&part);
                y.write_bytes(start, &part).unwrap();
                let whole = Tensor::new(&[3], &[0.0f32; 3]).map(|mut whole| {
                    whole.fill_from_bytes(&expected).unwrap();
                    whole.to_bytes()
                });
                assert_eq!(y.to_bytes(), whole.unwrap(), "{start}..{end}");
            }
        }
        for (offset, len) in [(0, 13), (12, 1), (usize::MAX, 1), (13, 0)] {
            assert!(x.read_bytes(offset, &mut vec![0; len]).is_err(), "{offset} {len}");
            assert!(x.clone().write_bytes(offset, &vec![0; len]).is_err(), "{offset} {len}");
        }
    }

    #[test]
    fn a_bool_is_true_unless_its_byte_is_0() {
        let mut x = Tensor::new(&[3], &[false; 3]).unwrap();
        x.write_bytes(1, &[2, 0xff]).unwrap();
        assert_eq!(x.get::<bool>().unwrap(), [false, true, true]);
        assert_eq!(x.to_bytes(), [0, 1, 1]);
    }
}
