//! Tests of the whole system through the binary: real components in the real
//! engine, a real broker, real files.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod cli;
mod demo;
mod federation;
mod local;
mod plan;
mod sandbox;
mod support;
