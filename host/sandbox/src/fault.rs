//! Faults of plans, as data.

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::ArgumentError;

/// Which plan a fault belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanName {
    /// Its name; empty until it described itself.
    pub name: String,
    /// Its version; empty until it described itself.
    pub version: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

impl std::fmt::Display for PlanName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = self.digest.to_string();
        let short = digest.get(..12).unwrap_or_default();
        match self.name.as_str() {
            "" => write!(f, "plan {short}"),
            name => write!(f, "plan {name} {} ({short})", self.version),
        }
    }
}

/// The kind of a plan's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// It panicked.
    Panicked,
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It ran longer than it may.
    DeadlineExceeded,
    /// It recursed too deeply.
    StackExhausted,
    /// It trapped: a bug other than a panic, such as a division by zero.
    Crashed,
    /// Its result differs from its announcement.
    BadOutput,
    /// It cannot use an argument's value.
    InvalidArgument,
    /// A batch differs from its declaration.
    BadData,
    /// Training left the range of finite numbers.
    NotFinite,
    /// It gave up for another reason.
    GaveUp,
    /// It was told to stop.
    Cancelled,
    /// It used more of something than it may: calls of the host, bytes of one
    /// call, handles.
    LimitExceeded,
    /// It used its budget of fuel.
    OutOfFuel,
    /// It cannot run here: it does not fit the contract, or needs a feature that this host does not
    /// offer.
    Refused,
    /// Its process died.
    Killed,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Panicked => "panicked",
            Self::OutOfMemory => "ran out of memory",
            Self::DeadlineExceeded => "exceeded its deadline",
            Self::StackExhausted => "exhausted its stack",
            Self::Crashed => "crashed",
            Self::BadOutput => "gave bad output",
            Self::InvalidArgument => "refused its arguments",
            Self::BadData => "refused its data",
            Self::NotFinite => "left the range of finite numbers",
            Self::GaveUp => "gave up",
            Self::Cancelled => "was cancelled",
            Self::LimitExceeded => "exceeded a limit",
            Self::OutOfFuel => "ran out of fuel",
            Self::Refused => "is refused",
            Self::Killed => "was killed",
        })
    }
}

/// A plan's fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{plan} {kind}: {detail}")]
pub struct Fault {
    /// The plan.
    pub plan: PlanName,
    /// The kind of fault.
    pub kind: FaultKind,
    /// More about it, in parts the plan's own words without control characters.
    pub detail: String,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The arguments are.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The parameters do not fit the plan.
    #[error("the parameters do not fit {plan}: {source}")]
    Params {
        /// The plan.
        plan: PlanName,
        /// The mistake.
        source: fedwasm_params::Error,
    },
    /// The loader failed.
    #[error("data: {reason}")]
    Loader {
        /// Its message.
        reason: String,
    },
    /// No program to run workers was found.
    #[error(
        "plans run in a process of their own, which needs the program `fedwasm`: it is neither \
         beside this program nor on PATH; name one, or run plans in this process"
    )]
    NoProgram,
    /// A worker does not start.
    #[error("a worker of {} could not be started: {reason}", program.display())]
    Worker {
        /// The program.
        program: std::path::PathBuf,
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cache of compiled plans cannot be used.
    #[error("the cache of compiled plans: {0}")]
    Cache(std::io::Error),
    /// The engine cannot be set up.
    #[error("the WebAssembly engine cannot be set up: {reason}")]
    Engine {
        /// Its message.
        reason: String,
    },
}
