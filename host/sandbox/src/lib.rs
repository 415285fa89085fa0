//! Runs training plans within limits and grants them nothing but the
//! contract. Opens no socket and approves nothing: callers pass an admitted component, arguments,
//! tensors and a loader, and get events and one result back.
//!
//! A plan climbs by types: [`Component`](fedwasm_artifact::Component) is
//! admitted, [`Described`] was compiled and has described itself, [`Session`] knows its shapes and
//! runs. Every call gets a fresh store, which is thrown away afterwards: a plan keeps nothing, and
//! a trapped instance is never entered again.
//!
//! There are two walls. The inner one is WebAssembly: `guest`, `imports`.
//! The outer one is a process of its own for every plan: `worker`. Both see a
//! call as the same plain data: `request`. Results are checked in `session`, on this side of both.

mod allocator;
mod arguments;
mod batch;
mod bench;
mod cache;
mod contract;
mod declaration;
mod engine;
mod event;
mod fault;
mod gate;
mod guest;
mod host;
mod imports;
mod metadata;
mod meter;
mod native;
mod request;
mod sandbox;
mod session;
mod slot;
mod stream;
mod threads;
mod worker;

pub use allocator::return_large_buffers;
pub use arguments::{ArgumentError, BALANCED, CLASS_WEIGHTS, DataFacts, OF_HOST};
pub use batch::{Batch, Loader};
pub use contract::{AccessError, PlanError, SlotName};
pub use declaration::{DataSpec, Declaration, Scope, TensorSpec};
pub use engine::{Cancel, Profile};
pub use event::{Level, PlanEvent};
pub use fault::{Error, Fault, FaultKind, PlanName};
pub use fedwasm_protocol::{LimitArgs, Limits};
pub use metadata::{Argument, Default, Dependency, Metadata, Task};
pub use native::{Imports, NativePlan};
pub use request::Usage;
pub use sandbox::{Described, InProcessOptions, Sandbox, WorkerOptions};
pub use session::{Outcome, Report, Session, Start, n_bytes};
pub use worker::{Protection, WORKER_ARGUMENT, serve_worker};

/// The version of the engine that runs plans.
pub const ENGINE_VERSION: &str = "48.0.8";

#[cfg(test)]
mod tests {
    /// The version in receipts is the one that is linked.
    #[test]
    fn the_engine_s_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let wanted = format!("name = \"wasmtime\"\nversion = \"{}\"", super::ENGINE_VERSION);
        assert!(lock.contains(&wanted));
    }
}
