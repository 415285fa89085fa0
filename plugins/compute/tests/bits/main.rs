//! All kernels have the bits of the plain loops, at each level of instructions that the machine has
//! and with several threads.

mod convolution;
mod others;
mod planes;
mod product;
mod support;
