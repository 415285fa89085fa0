//! Which columns of a dataset a run uses, and how.

use serde::{Deserialize, Serialize};

use crate::Fields;

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

impl DataArgs {
    /// Reads the table of an experiment's file; mistakes go to `fields`. None
    /// without a target.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("target") {
            fields.mistake("target", "is missing; name the column to predict");
        }
        let target = fields.text("target");
        let tags = fields.texts("tags").unwrap_or_default();
        let inputs = fields.texts("inputs");
        let standardize = fields.boolean("standardize").unwrap_or(true);
        Some(Self { tags, target: target?, inputs, standardize })
    }
}
