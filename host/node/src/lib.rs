//! A node: the datasets that it offers, the rounds that it runs on them, and
//! its replies. What leaves it is parameters and metrics, never a row, a path
//! or a detail of a plan's fault.

mod approval;
mod ask;
mod bounds;
mod compiler;
mod config;
mod database;
mod datasets;
mod demands;
mod error;
mod experiments;
mod kept;
mod log;
mod privacy;
mod progress;
mod queue;
mod rate;
mod reach;
mod receipt;
mod rerun;
mod round;
mod serve;
mod state;
mod trace;
mod worker;

pub use approval::{ApprovalConfig, Decision, KnownPlan, Policy, Ruling};
pub use bounds::{Bound, BoundError};
pub use compiler::compile;
pub use config::{NodeConfig, OPERATOR_KEY};
pub use database::Database;
pub use datasets::{Dataset, Datasets};
pub use error::Error;
pub use fedwasm_dataset::Format;
pub use log::{Checkpoint, LogEntry, verify_checkpoint};
pub use privacy::Privacy;
pub use rerun::{Mismatch, Rerun, keys_of, read_receipt, read_receipt_of, rerun};
pub use serve::{serve, serve_on};
