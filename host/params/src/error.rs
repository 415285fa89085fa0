//! Errors of parameters.

use crate::DType;

/// An error of parameters or of a file of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data do not fill the shape.
    #[error("{got} bytes do not fill a {dtype} tensor of shape {shape:?}")]
    WrongLength {
        /// Element type.
        dtype: DType,
        /// Lengths of the axes.
        shape: Vec<u64>,
        /// Bytes that were given.
        got: usize,
    },
    /// The shape has more bytes than a tensor may have.
    #[error("a {dtype} tensor of shape {shape:?} is larger than {max} bytes")]
    TooLarge {
        /// Element type.
        dtype: DType,
        /// Lengths of the axes.
        shape: Vec<u64>,
        /// [`crate::TENSOR_BYTES_MAX`].
        max: usize,
    },
    /// Too many tensors.
    #[error("{got} tensors are given, at most {max} are allowed")]
    TooMany {
        /// Tensors that were given.
        got: usize,
        /// [`crate::TENSORS_MAX`].
        max: usize,
    },
    /// A name appears twice.
    #[error("the name `{name}` appears twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A tensor is absent.
    #[error("no tensor is called `{name}`")]
    Missing {
        /// The name.
        name: String,
    },
    /// A tensor is given that was not expected.
    #[error("the tensor `{name}` is unknown")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A tensor has another type or shape.
    #[error("tensor `{name}` is {got} {got_shape:?}, expected {expected} {expected_shape:?}")]
    Mismatch {
        /// The name.
        name: String,
        /// Element type found.
        got: DType,
        /// Shape found.
        got_shape: Vec<u64>,
        /// Element type wanted.
        expected: DType,
        /// Shape wanted.
        expected_shape: Vec<u64>,
    },
    /// A tensor holds a NaN or an infinity, or a number that float32 cannot hold.
    #[error("tensor `{name}` is not finite in {dtype}")]
    NotFinite {
        /// The name.
        name: String,
        /// Its element type.
        dtype: DType,
    },
    /// This arithmetic is not defined for the element type.
    #[error("tensor `{name}` is {dtype}, which cannot be averaged; float32 and float64 can")]
    NotSummable {
        /// The name.
        name: String,
        /// Its element type.
        dtype: DType,
    },
    /// A weight is negative or not finite, or all are zero.
    #[error("weights must be finite, not negative and not all zero")]
    BadWeights,
    /// Nothing to average.
    #[error("there are no parameters to average")]
    Nothing,
    /// Not MessagePack, or not the one value that was expected.
    #[error("not a parameter file in MessagePack: {reason}")]
    Mpk {
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not safetensors.
    #[error("not a safetensors file: {reason}")]
    SafeTensors {
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}
