//! One tensor.

use crate::buffer::Buffer;
use crate::{DType, Error, TENSOR_BYTES_MAX};

/// A contiguous, row-major, little-endian tensor. Cheap to clone: clones share
/// their elements until one is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<u64>,
    data: Buffer,
}

impl Tensor {
    /// Returns a tensor over `data`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::WrongLength`].
    pub fn new(dtype: DType, shape: Vec<u64>, data: Vec<u8>) -> Result<Self, Error> {
        Self::of(dtype, shape, Buffer::new(data))
    }

    /// As [`Tensor::new`], over bytes that are shared.
    pub(crate) fn of(dtype: DType, shape: Vec<u64>, data: Buffer) -> Result<Self, Error> {
        let got = data.as_slice().len();
        if byte_len(dtype, &shape)? != got {
            return Err(Error::WrongLength { dtype, shape, got });
        }
        Ok(Self { dtype, shape, data })
    }

    /// Returns a tensor of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn zeros(dtype: DType, shape: Vec<u64>) -> Result<Self, Error> {
        let data = vec![0; byte_len(dtype, &shape)?];
        Ok(Self { dtype, shape, data: Buffer::new(data) })
    }

    /// Returns a float32 tensor.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_f32(shape: Vec<u64>, values: &[f32]) -> Result<Self, Error> {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(DType::Float32, shape, data)
    }

    /// Returns an int64 tensor.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_i64(shape: Vec<u64>, values: &[i64]) -> Result<Self, Error> {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(DType::Int64, shape, data)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Lengths of the axes; empty for a scalar.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// The elements, of fixed length.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.data.as_mut_slice()
    }

    /// Takes the tensor apart into element type, shape and elements.
    pub fn into_parts(self) -> (DType, Vec<u64>, Vec<u8>) {
        (self.dtype, self.shape, self.data.into_vec())
    }

    /// Returns the elements of a float32 or float64 tensor in float64, or none.
    pub fn floats(&self) -> Option<Vec<f64>> {
        let mut values = Vec::with_capacity(self.data().len() / self.dtype.size());
        self.extend_floats(&mut values).then_some(values)
    }

    /// Appends the elements of a float32 or float64 tensor in float64; false for others.
    pub(crate) fn extend_floats(&self, values: &mut Vec<f64>) -> bool {
        match self.dtype {
            DType::Float32 => {
                let (chunks, _) = self.data().as_chunks();
                values.extend(chunks.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))));
            }
            DType::Float64 => {
                let (chunks, _) = self.data().as_chunks();
                values.extend(chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            _ => return false,
        }
        true
    }

    /// Returns a float64 tensor with its elements rounded to float32, others as they are.
    pub fn into_float32(self) -> Self {
        if self.dtype != DType::Float64 {
            return self;
        }
        let (chunks, _) = self.data().as_chunks();
        let rounded =
            chunks.iter().flat_map(|bytes| (f64::from_le_bytes(*bytes) as f32).to_le_bytes());
        let data = Buffer::new(rounded.collect());
        Self { dtype: DType::Float32, shape: self.shape, data }
    }

    /// Whether every element is finite. Integers always are.
    pub fn is_finite(&self) -> bool {
        let halves = |exponent: u16| {
            let (chunks, _) = self.data().as_chunks();
            chunks.iter().all(|bytes| u16::from_le_bytes(*bytes) & exponent != exponent)
        };
        match self.dtype {
            // All bits of the exponent set means infinity or NaN (IEEE 754, 3.4).
            DType::Float16 => halves(0x7c00),
            DType::BFloat16 => halves(0x7f80),
            DType::Float32 => {
                let (chunks, _) = self.data().as_chunks();
                chunks.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
            }
            DType::Float64 => {
                let (chunks, _) = self.data().as_chunks();
                chunks.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite())
            }
            _ => true,
        }
    }
}

/// Bytes of a tensor, checked.
pub(crate) fn byte_len(dtype: DType, shape: &[u64]) -> Result<usize, Error> {
    let bytes =
        shape.iter().try_fold(dtype.size(), |n, axis| n.checked_mul(usize::try_from(*axis).ok()?));
    match bytes {
        Some(bytes) if bytes <= TENSOR_BYTES_MAX => Ok(bytes),
        _ => Err(Error::TooLarge { dtype, shape: shape.to_vec(), max: TENSOR_BYTES_MAX }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_must_fill_the_shape() {
        let error = Tensor::new(DType::Float32, vec![2], vec![0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "7 bytes do not fill a float32 tensor of shape [2]");
    }

    #[test]
    fn overflowing_shape_is_refused() {
        for shape in [vec![u64::MAX, 2], vec![1 << 31, 1 << 31], vec![1 << 30, 2]] {
            assert!(matches!(Tensor::zeros(DType::Float32, shape), Err(Error::TooLarge { .. })));
        }
    }

    #[test]
    fn non_finite_is_seen_in_every_float_type() {
        for (dtype, infinity, one) in [
            (DType::Float16, vec![0x00, 0x7c], vec![0x00, 0x3c]),
            (DType::BFloat16, vec![0x80, 0xff], vec![0x80, 0x3f]),
            (DType::Float32, f32::NAN.to_le_bytes().to_vec(), 1f32.to_le_bytes().to_vec()),
            (DType::Float64, f64::INFINITY.to_le_bytes().to_vec(), 1f64.to_le_bytes().to_vec()),
        ] {
            assert!(!Tensor::new(dtype, vec![1], infinity).unwrap().is_finite(), "{dtype}");
            assert!(Tensor::new(dtype, vec![1], one).unwrap().is_finite(), "{dtype}");
        }
    }
}
