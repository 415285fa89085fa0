//! Nodes may drop out, through the public API.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod drop_outs;
mod refusals;
mod rounds;
#[path = "../support/mod.rs"]
mod support;
