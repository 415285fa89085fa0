//! Arithmetic on slices, with the same bits everywhere; the contract stands at the top of the
//! crate.
//!
//! Outputs come first. Slices whose lengths do not fit the shapes are mistakes of the caller and
//! panic; a caller that passes on foreign shapes checks them before. No kernel keeps anything, and
//! all but those that say so allocate nothing.

pub mod convolution;
pub mod elementwise;
pub mod float;
pub mod fused;
pub mod math;
pub mod math64;
mod matrix;
pub mod optimizer;
mod parallel;
pub mod pooling;
pub mod product;
pub mod reduction;
pub mod reference;
pub mod resize;
#[expect(unsafe_code, reason = "the square root of the processor, without the standard library")]
mod root;
pub mod strided;
mod window;

pub use convolution::Convolution;
pub use elementwise::{Binary, Unary};
pub use float::Float;
pub use matrix::Matrix;
pub use optimizer::{Adam, Decay, Sgd};
pub use parallel::{OneThread, Parallel};
pub use pooling::Divisor;
pub use product::{Start, product};
pub use reduction::Extreme;
pub use resize::Sampling;
pub use window::{Axes, Windows, axes};

/// How many products of a sum are one chain.
pub const BLOCK: usize = 256;
