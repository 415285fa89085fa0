//! The runtime of traced plans: does what a graph says, by the SDK.
//!
//! Its component holds no graph. `artifact::traced::splice` puts one behind its memory and writes
//! address and length into [`held`]'s place; it does the same whatever graph that is.

mod announce;
mod held;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
mod plan;
mod program;
#[cfg(test)]
mod tests;

pub use plan::{Member, Plan};

// A native library cannot have the names of a component's exports.
#[cfg(target_arch = "wasm32")]
fedwasm_sdk::export!(Plan);

#[cfg(not(target_arch = "wasm32"))]
impl fedwasm_sdk::Package for Plan {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}
