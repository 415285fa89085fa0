//! The bytes of training plans: builds, admits and inspects them.
//! Never executes a plan.

mod admit;
mod build;
mod cargo;
mod contract;
mod inspect;
mod load;
mod provenance;
mod sizes;
mod source;
mod standard_library;
mod statement;
mod structure;
pub mod traced;
mod world;

use crate::standard_library::StandardLibrary;

pub use admit::{AdmissionError, COMPONENT_BYTES_MAX, Component, FEATURES};
pub use build::{BuildError, Built, Home, build};
pub use contract::{CONTRACT, Contract};
pub use inspect::Inspection;
pub use load::{LoadError, load_plan};
pub use provenance::Provenance;
pub use sizes::Sizes;
pub use source::{Package, Source, source};
pub use statement::{PREDICATE_TYPE, Predicate, Statement, StatementError};
pub use structure::{
    COMPONENTS_MAX, DEPTH_MAX, FUNCTIONS_MAX, INSTANCES_MAX, ITEMS_MAX, MODULES_MAX,
    NAME_BYTES_MAX, NESTED_TYPES_MAX, SECTIONS_MAX, TYPES_MAX,
};
pub use world::Misfit;

/// Returns the compiler that would build plans here, or the parts that are missing.
///
/// # Errors
/// [`BuildError`].
pub fn toolchain() -> Result<String, BuildError> {
    let here = std::env::current_dir().unwrap_or_else(|_| ".".into());
    let (version, ..) = cargo::rustc(&here)?;
    match StandardLibrary::find(&here)? {
        Some(found) => Ok(version + &found.version()),
        None if cargo::has_rustup(&here) => {
            let target = cargo::TARGET;
            Ok(format!("{version}; `fedwasm plan build` has rustup install the target {target}"))
        }
        None => Err(BuildError::MissingTarget { dir: here }),
    }
}
