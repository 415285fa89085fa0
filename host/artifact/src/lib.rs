//! The bytes of training plans: build them, admit them, say what is in them.
//! Never executes a plan.

mod admit;
mod build;
mod cargo;
mod inspect;
mod provenance;

pub use admit::{AdmissionError, COMPONENT_BYTES_MAX, Component, FEATURES};
pub use build::{BuildError, Built, build};
pub use inspect::Inspection;
pub use provenance::Provenance;

/// The package of the contract.
pub const CONTRACT: &str = "fedwasm:training-plan";
/// The version of the contract that this host speaks. A plan built for another
/// patch release of it is the same to this host.
pub const CONTRACT_VERSION: semver::Version = semver::Version::new(0, 1, 0);
