#![no_std]
//! Tensors for training plans, with the same bits in a plan (WebAssembly), in the worker and in a
//! Python process.
//!
//! # The arithmetic contract `compute@0.1`
//!
//! Each operation has one result, given by the rules below, for all lane widths (AVX-512, AVX2,
//! NEON, WebAssembly, plain code), all tiles and all numbers of threads. [`kernels::reference`]
//! writes the rules as loops; tests compare all kernels with it bit for bit. Types are float32 and
//! float64 of IEEE 754; "rounded" means to nearest, ties to even; subnormal numbers are kept.
//!
//! **Products.** `C = start + A B`. The inner axis k is cut into blocks of
//! [`kernels::BLOCK`] = 256. The first block starts from the start value (+0, a bias, or what is
//! there), each further one from +0. Within a block `sum = fma(a, b, sum)`, k ascending, one sum an
//! element, each fma rounded once (IEEE 754 fusedMultiplyAdd). The results of the blocks are added
//! in ascending order, each addition rounded. No product is left out, also not with 0. Over an
//! empty k the result is the start value.
//!
//! **Convolutions** (cross-correlations) are products with the matrix of windows of an image:
//! row (channel of the group, position in the kernel), column (position in the output), positions
//! in row-major order. Elements outside of the image are +0 and are multiplied as others.
//! - Forward: weights times windows, from the bias.
//! - Gradient of the weights: for each image, the gradient of the output times the transposed
//!   windows, from +0; the results of the images are added in ascending order to +0 or to what is
//!   there.
//! - Gradient of the input (and the transposed convolution): for each position in the kernel, the
//!   transposed weights times the gradient of the output, from +0; these products are added, kernel
//!   positions ascending, to +0, a bias, or what is there. Positions outside of the image are
//!   dropped.
//!
//! **Element by element.** Each operation is rounded by itself; nothing is fused. Formulas stand
//! with the operations ([`kernels::Unary`], [`kernels::Binary`]) and optimizers
//! ([`kernels::Sgd`], [`kernels::Adam`]). Exponential, logarithm and hyperbolic tangent are those
//! of this package, never a platform's.
//!
//! **Sums** of n elements: element i goes to sum i mod 8, ascending, from +0; then sum i + 4 is
//! added to sum i, i + 2 to i, and 1 to 0. The rule knows n alone, not how elements lie in memory.
//!
//! **Largest and smallest**: the first of equals; the first element stays until one that compares
//! larger (smaller) is found, so NaN is passed over unless it is the first.
//!
//! **Pooling**: the largest as above, over elements that exist; means add the elements that exist
//! ascending from +0 and divide. Gradients add windows in ascending order to +0.
//!
//! **Resizing**: shares of neighbours are quotients of whole numbers, rounded in float64 and then
//! to the type; products of share and element are rounded and added ascending from +0.
//!
//! **Open**: sign and payload of NaN. NaN is canonicalised where tensors become bytes.
//!
//! # Tensors
//!
//! An [`Op`] is an operation with its attributes. [`infer()`] says the kind of its output, [`run()`]
//! does it, [`derive()`] gives its derivative as operations again, and [`work()`] says what it costs.
//! A [`Session`] holds tensors by number, writes operations on a tape and goes back along it.
//! [`compose`] has operations by name and those made of several, for anything that [`Apply`]s
//! operations: a session, a graph that is traced, a host behind an interface. Mistakes are values;
//! no input makes anything but the functions of [`kernels`] panic.

extern crate alloc;
// Tests that others include name this crate as they do.
#[cfg(test)]
extern crate self as fedwasm_compute;

pub mod kernels;

mod apply;
mod backward;
mod buffers;
mod bytes;
pub mod compose;
mod derive;
mod encode;
mod error;
mod graph;
mod infer;
mod meter;
mod op;
mod optim;
mod outside;
mod run;
mod session;
mod shape;
mod table;
mod tensor;
#[cfg(test)]
mod tests;
mod work;

pub use apply::{Apply, Id};
pub use buffers::Buffers;
pub use derive::{Done, derive};
pub use error::{Mistake, Rule};
pub use graph::{Graph, NODES_MAX};
pub use infer::infer;
pub use op::{
    Binary, ClassLoss, Compare, INPUTS_MAX, Op, Pooling, Reduce, Reduction, Sampling, Side, Unary,
    Window, Windows,
};
pub use optim::{Optimizer, Schedule, Trained, Warmup};
pub use run::{Home, run};
pub use session::Session;
pub use shape::{Axes, Dtype, ELEMENTS_MAX, Kind, RANK_MAX, Shape};
pub use tensor::{Element, Tensor};
pub use work::{CALL, OPERATION_MAX, work};
