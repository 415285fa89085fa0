//! Training plans in OCI registries: push and pull, with their signatures beside them. Nothing
//! that comes is believed but that it is whole. Knows no federation, no message and no plan.

mod http;
mod oci;

pub use oci::{Artifact, Error, Login, Pulled, pull, push};
