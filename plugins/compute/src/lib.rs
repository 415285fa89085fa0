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
//! **Open**: sign and payload of NaN. NaN is canonicalised where tensors become bytes.

extern crate alloc;

pub mod kernels;
