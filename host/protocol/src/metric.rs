//! The metrics that the host computes.

use serde::{Deserialize, Serialize};

/// A metric that the host computes (Fed-BioMed `MetricTypes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Metric {
    /// Share of rows whose class is right.
    Accuracy,
    /// Harmonic mean of precision and recall.
    #[serde(rename = "F1_SCORE")]
    F1Score,
    /// Share of the rows said to be of a class that are.
    Precision,
    /// Share of the rows of a class that were found.
    Recall,
    /// Mean of squared differences.
    MeanSquareError,
    /// Mean of absolute differences.
    MeanAbsoluteError,
    /// Share of the target's variance that is explained.
    ExplainedVariance,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 7] = [
        Self::Accuracy,
        Self::F1Score,
        Self::Precision,
        Self::Recall,
        Self::MeanSquareError,
        Self::MeanAbsoluteError,
        Self::ExplainedVariance,
    ];

    /// Their names in files, those of Fed-BioMed, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 7] = [
        "ACCURACY",
        "F1_SCORE",
        "PRECISION",
        "RECALL",
        "MEAN_SQUARE_ERROR",
        "MEAN_ABSOLUTE_ERROR",
        "EXPLAINED_VARIANCE",
    ];

    /// Whether a result without this key has no row of class 1, about which it would be: means over
    /// several results are of those that have it.
    pub fn may_be_absent(key: &str) -> bool {
        [Self::Precision, Self::Recall, Self::F1Score].iter().any(|metric| metric.key() == key)
    }

    /// The metric's key in results.
    pub fn key(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1Score => "f1_score",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::MeanSquareError => "mean_square_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::ExplainedVariance => "explained_variance",
        }
    }

    /// Whether a larger value is a better one.
    pub fn larger_is_better(self) -> bool {
        !matches!(self, Self::MeanSquareError | Self::MeanAbsoluteError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_go_together() {
        for (metric, name) in Metric::ALL.into_iter().zip(Metric::NAMES) {
            assert_eq!(metric.key().to_uppercase(), name);
            assert_eq!(serde_json::to_value(metric).unwrap(), name);
        }
    }
}
