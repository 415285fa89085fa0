//! Named tensors and their operations: weighted arithmetic and two
//! file formats. Opens no file, knows no engine and no network.

mod arith;
mod buffer;
mod dtype;
mod error;
pub mod mpk;
mod named;
mod safetensors;
mod tensor;

pub use arith::{SUMMABLE, from_f64, to_f64, weighted_mean, weighted_mean_f64};
pub use dtype::DType;
pub use error::Error;
pub use named::Params;
pub use safetensors::{from_safetensors, from_shared_safetensors, to_safetensors};
pub use tensor::Tensor;

/// The most elements times bytes that one tensor may have: 4 GiB, the memory that a
/// 32-bit plan could address.
pub const TENSOR_BYTES_MAX: usize = 1 << 32;
/// The most tensors in one set of parameters. Large language models have a
/// few thousand.
pub const TENSORS_MAX: usize = 16_384;
