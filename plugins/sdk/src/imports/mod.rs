//! What the host offers, but for `compute`. A native build, such as that of the tests, has no host:
//! [`native`] takes its place.

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;

#[cfg(all(target_arch = "wasm32", feature = "in-guest"))]
pub(crate) use component::by_value::{emit, next, read, write};
#[cfg(target_arch = "wasm32")]
pub(crate) use component::{log, random, scalars};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{emit, log, next, random, read, scalars, write};

/// The most that the host takes or gives in one call, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 20;
