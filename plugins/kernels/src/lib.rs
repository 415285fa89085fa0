#![no_std]
//! Arithmetic on float32 whose results have the same bits everywhere: in WebAssembly with four
//! lanes, on AVX2 with eight, on NEON, and without any.
//!
//! This is the arithmetic contract of fedwasm; plans compute with it in the sandbox, and the host
//! may compute with it outside.
//!
//! - Every operation is one of IEEE 754, rounded by itself: a product is rounded before it is
//!   added, nothing is fused, nothing is reordered.
//! - A sum over k runs in ascending k into one accumulator for each output; lanes run along
//!   outputs that have nothing to do with each other. Blocks of k go on from the sum so far.
//! - Other reductions use eight interleaved sums, written down in [`reduction`].
//! - Exponential, logarithm and hyperbolic tangent are those of [`math`], never a platform's.
//! - What is not said is the sign and payload of a NaN.
//!
//! Slices whose lengths do not fit the shapes are mistakes of the caller and panic.

pub mod convolution;
#[expect(unsafe_code, reason = "reads and writes whole vectors")]
pub mod elementwise;
#[expect(unsafe_code, reason = "vectors of the processor, and what it says of having them")]
mod lanes;
#[cfg(not(target_arch = "wasm32"))]
#[expect(unsafe_code, reason = "runs the lanes that the processor has")]
pub mod limit;
#[expect(unsafe_code, reason = "reads and writes whole vectors")]
mod lines;
pub mod math;
mod matrix;
mod panels;
#[expect(unsafe_code, reason = "reads and writes whole vectors")]
pub mod pooling;
#[expect(unsafe_code, reason = "reads and writes whole vectors of checked panels")]
mod product;
pub mod reduction;
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the square root of the processor, without the standard library")
)]
mod root;
#[cfg(test)]
mod tests;
#[expect(unsafe_code, reason = "reads and writes whole vectors")]
mod transpose;

pub use matrix::Matrix;
pub use product::add_product;
