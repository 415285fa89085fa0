//! Arithmetic on slices, with the same bits everywhere; the contract stands at the top of the
//! crate.
//!
//! Outputs come first. Slices whose lengths do not fit the shapes are mistakes of the caller and
//! panic; a caller that passes on foreign shapes checks them before. No kernel keeps anything.
//! Convolutions and pools allocate for the time of a call (their modules say how much), all
//! others nothing beyond 64 KiB of stack.

#[expect(unsafe_code, reason = "tiles on checked shapes")]
pub mod convolution;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub mod elementwise;
pub mod float;
pub mod fused;
pub mod math;
pub mod math64;
mod matrix;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub mod optimizer;
#[expect(unsafe_code, reason = "reads and writes whole vectors of checked panels")]
mod panel;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub(crate) mod parallel;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub mod pooling;
#[expect(unsafe_code, reason = "tiles on checked shapes")]
pub mod product;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub mod reduction;
pub mod reference;
pub mod resize;
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "the square root of the processor, without the standard library")
)]
mod root;
#[expect(unsafe_code, reason = "vectors of the processor, and what it says of having them")]
pub mod simd;
#[expect(unsafe_code, reason = "parts of one slice on several threads")]
pub mod strided;
#[expect(unsafe_code, reason = "reads and writes whole vectors of checked tiles")]
mod tile;
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
