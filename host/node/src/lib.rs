//! A node: the datasets that it offers, the rounds that it runs on them, and
//! its replies. Only parameters and metrics leave it, never a row, a path
//! or a detail of a plan's fault.

mod approval;
mod ask;
mod asked;
mod blocking;
mod carried;
mod compiler;
mod config;
mod database;
mod datasets;
mod demands;
mod error;
mod executor;
mod experiments;
mod handler;
mod kept;
mod log;
mod perform;
mod privacy;
mod progress;
mod queue;
mod rate;
mod reach;
mod receipt;
mod refusal;
mod rerun;
mod round;
#[cfg(test)]
mod samples;
mod secagg;
mod serve;
mod simulated;
mod snapshots;
mod state;
mod statistics;
mod tell;
mod trace;
mod train;

pub use approval::{
    ApprovalConfig, Bound, BoundError, Decision, KnownPlan, Policy, Registration, Ruling,
};
pub use compiler::compile;
pub use config::{NodeConfig, OPERATOR_KEY};
pub use database::Database;
pub use datasets::{Dataset, Datasets, NewDataset};
pub use error::{Error, FormError, Tampering};
pub use fedwasm_dataset::{Format, Volumes};
pub use log::{Checkpoint, LogEntry, verify_checkpoint};
pub use privacy::{Floors, Privacy, Spent};
pub use rerun::{Mismatch, Rerun, keys_of, read_receipt, read_receipt_of, rerun};
pub use serve::{serve, serve_on};
pub use simulated::{Question, Ran, SimulatedNodes, SimulatedOptions};
pub use snapshots::{NewQuery, Query, Snapshots};
