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
    /// Mean of the recalls of the classes that have rows.
    BalancedAccuracy,
    /// Area under the curve of true over false positives, of two classes.
    RocAuc,
    /// Average precision: the area under precision over recall, of two classes.
    PrAuc,
    /// Mean negative logarithm of the probability of a row's class.
    LogLoss,
    /// Mean squared distance of probabilities from the class.
    BrierScore,
    /// Share of the target's squared distances from its mean that is explained.
    R2,
    /// Twice the voxels that a mask and its prediction share, over the voxels of both.
    Dice,
    /// The voxels that a mask and its prediction share, over those of either.
    Iou,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 15] = [
        Self::Accuracy,
        Self::F1Score,
        Self::Precision,
        Self::Recall,
        Self::MeanSquareError,
        Self::MeanAbsoluteError,
        Self::ExplainedVariance,
        Self::BalancedAccuracy,
        Self::RocAuc,
        Self::PrAuc,
        Self::LogLoss,
        Self::BrierScore,
        Self::R2,
        Self::Dice,
        Self::Iou,
    ];

    /// Those of classes.
    pub const OF_CLASSES: [Self; 9] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::Precision,
        Self::Recall,
        Self::F1Score,
        Self::RocAuc,
        Self::PrAuc,
        Self::LogLoss,
        Self::BrierScore,
    ];

    /// Those of each real output.
    pub const OF_REALS: [Self; 4] =
        [Self::MeanSquareError, Self::MeanAbsoluteError, Self::ExplainedVariance, Self::R2];

    /// Those of masks.
    pub const OF_MASKS: [Self; 2] = [Self::Dice, Self::Iou];

    /// Their names in files, those of Fed-BioMed, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 15] = [
        "ACCURACY",
        "F1_SCORE",
        "PRECISION",
        "RECALL",
        "MEAN_SQUARE_ERROR",
        "MEAN_ABSOLUTE_ERROR",
        "EXPLAINED_VARIANCE",
        "BALANCED_ACCURACY",
        "ROC_AUC",
        "PR_AUC",
        "LOG_LOSS",
        "BRIER_SCORE",
        "R2",
        "DICE",
        "IOU",
    ];

    /// Whether a result without this key has no row of class 1, no other row, or no voxel but the
    /// background's, about which it would be: means over several results are of those that have it.
    pub fn may_be_absent(key: &str) -> bool {
        [Self::Precision, Self::Recall, Self::F1Score, Self::RocAuc, Self::PrAuc]
            .iter()
            .chain(&Self::OF_MASKS)
            .any(|metric| metric.key() == key)
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
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::RocAuc => "roc_auc",
            Self::PrAuc => "pr_auc",
            Self::LogLoss => "log_loss",
            Self::BrierScore => "brier_score",
            Self::R2 => "r2",
            Self::Dice => "dice",
            Self::Iou => "iou",
        }
    }

    /// The key of the output `at` of `n`: those of several end in `_1`, `_2` and so on.
    pub fn of_output(self, at: usize, n: usize) -> String {
        match n {
            1 => self.key().to_owned(),
            _ => format!("{}_{}", self.key(), at + 1),
        }
    }

    /// Whether a key is such a distance, and no metric.
    pub fn is_error(key: &str) -> bool {
        [Self::RocAuc, Self::PrAuc].iter().any(|metric| metric.error_key() == key)
    }

    /// The key of the largest distance from the exact value, where one follows from bins.
    pub fn error_key(self) -> String {
        format!("{}_error", self.key())
    }

    /// Whether a larger value is a better one.
    pub fn larger_is_better(self) -> bool {
        use Metric::{BrierScore, LogLoss, MeanAbsoluteError, MeanSquareError};
        !matches!(self, MeanSquareError | MeanAbsoluteError | LogLoss | BrierScore)
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
