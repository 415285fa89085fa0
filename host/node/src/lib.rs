//! A node: the datasets that it offers, the rounds that it runs on them, and
//! its replies. What leaves it is parameters and metrics, never a row, a path
//! or a detail of a plan's fault.

mod config;
mod datasets;
mod demands;
mod error;
mod progress;
mod round;
mod serve;
mod state;
mod worker;

pub use config::NodeConfig;
pub use datasets::{Dataset, Datasets};
pub use error::Error;
pub use serve::serve;
