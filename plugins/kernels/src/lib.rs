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
pub mod elementwise;
mod lanes;
#[cfg(not(target_arch = "wasm32"))]
pub mod limit;
mod lines;
pub mod math;
mod matrix;
mod panels;
pub mod pooling;
mod product;
pub mod reduction;
mod root;
#[cfg(test)]
mod tests;
mod transpose;

pub use matrix::Matrix;
pub use product::add_product;
