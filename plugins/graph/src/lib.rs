#![no_std]
//! A training plan as a graph of calls of functions and modules.
//!
//! A [`Graph`] is data: it is written by a tracer, [`encode`]d, spliced into a component, and run
//! there call by call. It has no loops, no conditions and no state but its parameters, so what it
//! does can be read ([`Graph::text`]) and partly be proved ([`Graph::facts`]). [`FunctionKind`] and
//! [`ModuleKind`] are all that it can call.
//!
//! [`decode`] and [`Graph::check`] take anything: they return an [`Error`] for what is not a graph,
//! and take no more memory than bounds allow ([`bounds`]).

extern crate alloc;

pub mod bounds;
mod check;
mod decode;
mod encode;
mod error;
mod facts;
mod functions;
mod modules;
mod number;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod types;

pub use decode::{decode, decode_without_values};
pub use encode::encode;
pub use error::Error;
pub use facts::{Facts, FunctionFacts, Moves, OutputFacts};
pub use functions::FunctionKind;
pub use modules::ModuleKind;
pub use number::{Binary, Number, Unary};
pub use table::{Attr, AttrKind, Signature};
pub use text::Text;
pub use types::{
    Argument, ArgumentKind, Attribute, Call, Data, Default, Dtype, Function, Graph, Init, Member,
    MemberKind, Node, NodeId, Optimizer, OptimizerKind, Place, Role, Task, Value,
};
