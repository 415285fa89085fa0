//! Calls the functions and modules of [`fedwasm_graph`]'s tables on tensors of the SDK.
//!
//! A call is the SDK's method of that name, so its bits are those of a plan in Rust. What is wrong
//! with attributes is an error; what is wrong with tensors is noted by the SDK, as in such a plan.

mod attributes;
mod described;
mod functions;
mod modules;
mod number;
mod operands;
#[cfg(test)]
mod tests;
mod windows;

pub use functions::call;
pub use modules::{Callable, module};
pub use number::{Scope, attribute, number};
