//! Which columns of a dataset a run uses, and how.

use serde::{Deserialize, Serialize};

/// Which columns of a dataset a run uses, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataArgs {
    /// Tags that the dataset must have; empty where the dataset is known.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The column to predict.
    pub target: String,
    /// The input columns in order; all columns but the target if none.
    #[serde(default)]
    pub inputs: Option<Vec<String>>,
    /// Whether inputs are scaled to mean 0 and standard deviation 1, fitted
    /// on the training part of each node's data. Default true.
    #[serde(default = "yes")]
    pub standardize: bool,
}

fn yes() -> bool {
    true
}
