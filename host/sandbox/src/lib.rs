//! Runs training plans within limits and grants them nothing but the
//! contract. Opens no socket and no file, and approves nothing: callers hand
//! in an admitted component, arguments, tensors and a loader, and get events
//! and one result back.
//!
//! A plan climbs by types: [`Component`](fedwasm_artifact::Component) is
//! admitted, [`Described`] was compiled and asked what it is, [`Session`] knows
//! its shapes and runs. Every call gets a fresh store, which is thrown away
//! afterwards: a plan keeps nothing, and what trapped is never entered again.

mod arguments;
mod bindings;
mod describe;
mod engine;
mod fault;
mod host;
mod limits;
mod session;
mod store;

pub use arguments::{ArgumentError, DataFacts};
pub use describe::{
    Argument, DataSpec, Declaration, Default, Dependency, Described, Metadata, Scope, Task,
    TensorSpec,
};
pub use engine::{Cancel, Sandbox};
pub use fault::{Error, Fault, FaultKind, PlanName};
pub use host::{Batch, Event, Level, Loader};
pub use limits::Limits;
pub use session::{Outcome, Report, Session, Start, n_bytes};
