//! The contract between plans and this host, in the newest version's words. Each version
//! has a module here: its bindings, and one conversion to these types. Nothing else in the
//! crate knows versions.

mod v0_1;
mod v0_2;
mod version;

use fedwasm_artifact::Contract;
use fedwasm_protocol::Arguments;
use wasmtime::component::{Component, Linker};
use wasmtime::{Result, Store};

use crate::host::Host;
use crate::request::{Export, Said};

/// Which list of `declare` an index refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotName {
    /// Model parameters.
    Model,
    /// Auxiliary variables from the researcher.
    AuxIn,
    /// Auxiliary variables for the researcher.
    AuxOut,
    /// Node state.
    State,
}

/// The reason why the host refused a plan's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// The function does not belong to the export that is running.
    Closed,
    /// The run was cancelled.
    Cancelled,
    /// No tensor has this index.
    UnknownTensor,
    /// Offset and length are not within the tensor.
    OutOfBounds,
    /// The tensor may not be written by this export.
    ReadOnly,
    /// More bytes than one call may carry.
    TooLarge,
    /// A bound on what one run may send is reached.
    Exhausted,
    /// The tensor does not match what the host expects here.
    Mismatch,
    /// The host could not read the data.
    Unavailable,
}

/// Why an export gave up, in the plan's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// It was asked to stop.
    Cancelled,
    /// An argument is missing or out of range.
    InvalidArgument(String),
    /// The data do not fit.
    BadData(String),
    /// Parameters or the loss are not finite.
    NonFinite(String),
    /// The plan does not do this.
    Unsupported(String),
    /// A mistake of the plan itself.
    Internal(String),
}

/// Offers plans the imports of every version.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    v0_1::add_to_linker(linker)?;
    v0_2::add_to_linker(linker)
}

/// A compiled plan whose imports are found. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Linked {
    V0_1(v0_1::Linked),
    V0_2(v0_2::Linked),
}

impl Linked {
    /// Finds the imports of a component that was built for this version.
    ///
    /// # Errors
    /// A component that does not fit the contract.
    pub(crate) fn new(
        contract: Contract,
        linker: &Linker<Host>,
        component: &Component,
    ) -> Result<Self> {
        match contract {
            Contract::V0_1 => v0_1::Linked::new(linker, component).map(Self::V0_1),
            Contract::V0_2 => v0_2::Linked::new(linker, component).map(Self::V0_2),
        }
    }

    /// Instantiates the plan in `store` and calls one export.
    ///
    /// # Errors
    /// Those of the engine. The plan's own are inside.
    pub(crate) fn call(
        &self,
        store: &mut Store<Host>,
        export: Export,
        arguments: Arguments,
    ) -> Result<Result<Said, PlanError>> {
        match self {
            Self::V0_1(linked) => linked.call(store, export, arguments),
            Self::V0_2(linked) => linked.call(store, export, arguments),
        }
    }
}
