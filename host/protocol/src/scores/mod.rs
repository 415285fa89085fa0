//! Sums over scored rows. All metrics of the host follow from them, and sums of several nodes can be
//! added: the result is about the rows of all. They hold no row.

mod classes;
mod histogram;
mod masks;
mod ranking;
mod reals;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Serialize};

use crate::{Metric, Metrics};

pub use classes::{
    CALIBRATION_BINS, CONFUSION_CLASSES_MAX, CalibrationBin, ClassCounts, ClassSums, Likelihood,
    Reading, SUMMED_CLASSES_MAX,
};
pub use histogram::{Histogram, SCORE_BINS};
pub use masks::MaskSums;
pub use ranking::{Area, Group, Ranking};
pub use reals::{RealSums, SUMMED_OUTPUTS_MAX};
pub use report::{Average, Calibrated, ClassScores, ScoreReport};

/// Sums over scored rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "Unchecked")]
pub enum ScoreSums {
    /// The target is a class.
    Classes(ClassSums),
    /// The targets are reals: sums of each.
    Reals(Vec<RealSums>),
    /// The target is a mask.
    Masks(MaskSums),
}

/// Sums as a file or a node has them.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unchecked {
    Classes(ClassSums),
    Reals(Vec<RealSums>),
    Masks(MaskSums),
}

impl TryFrom<Unchecked> for ScoreSums {
    type Error = &'static str;

    fn try_from(sums: Unchecked) -> Result<Self, Self::Error> {
        let sums = match sums {
            Unchecked::Classes(sums) => Self::Classes(sums),
            Unchecked::Reals(sums) => Self::Reals(sums),
            Unchecked::Masks(sums) => Self::Masks(sums),
        };
        sums.checked().ok_or("sums of scores contradict each other")
    }
}

impl ScoreSums {
    /// These sums, if they can be sums of rows, within the bounds that leave a node:
    /// [`SUMMED_CLASSES_MAX`] classes, [`SUMMED_OUTPUTS_MAX`] outputs.
    pub fn checked(self) -> Option<Self> {
        let is_sound = match &self {
            Self::Classes(sums) => sums.is_sound(),
            Self::Masks(sums) => sums.is_sound(),
            Self::Reals(outputs) => {
                let rows = outputs.first().map_or(0.0, |first| first.differences.n);
                (1.0..=(1u64 << 53) as f64).contains(&rows)
                    && rows.fract() == 0.0
                    && outputs.len() <= SUMMED_OUTPUTS_MAX
                    && outputs.iter().all(|output| output.is_sound(rows))
            }
        };
        is_sound.then_some(self)
    }

    /// Their rows.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Classes(sums) => sums.rows,
            Self::Masks(sums) => sums.rows,
            Self::Reals(outputs) => outputs.first().map_or(0, |first| first.differences.n as u64),
        }
    }

    /// Adds up sums, in the given order; none if they are of different things.
    pub fn joined<'a>(mut all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = all.next()?.clone();
        for other in all {
            match (&mut sum, other) {
                (Self::Classes(sum), Self::Classes(other)) if sum.columns == other.columns => {
                    sum.join(other);
                }
                (Self::Masks(sum), Self::Masks(other)) if sum.columns == other.columns => {
                    sum.join(other);
                }
                (Self::Reals(sum), Self::Reals(other)) if sum.len() == other.len() => {
                    sum.iter_mut().zip(other).for_each(|(sum, other)| sum.join(other));
                }
                _ => return None,
            }
        }
        Some(sum)
    }

    /// The metrics of all rows; areas under curves have the error of the bins of their scores, as
    /// `roc_auc_error` and `pr_auc_error`.
    pub fn metrics(&self) -> Metrics {
        let Self::Classes(sums) = self else { return self.metrics_but_areas() };
        let Ranking { roc_auc, pr_auc } = sums.ranking();
        let areas = [(Metric::RocAuc, roc_auc), (Metric::PrAuc, pr_auc)];
        let areas = areas.into_iter().filter_map(|(metric, area)| Some((metric, area?)));
        let named = areas.flat_map(|(metric, area)| {
            [(metric.key().to_owned(), area.value), (metric.error_key(), area.error)]
        });
        named.chain(self.metrics_but_areas()).collect()
    }

    /// The metrics of all rows that are exact.
    pub fn metrics_but_areas(&self) -> Metrics {
        match self {
            Self::Classes(sums) => sums.metrics(),
            Self::Masks(sums) => sums.metrics(),
            Self::Reals(outputs) => {
                let n = outputs.len();
                outputs.iter().enumerate().flat_map(|(at, sums)| sums.metrics(at, n)).collect()
            }
        }
    }

    /// Whether the key names a metric that has no meaning for all rows, since the scores of some nodes
    /// are probabilities and those of others are not.
    pub fn leaves_open(&self, key: &str) -> bool {
        let of_probabilities = [Metric::RocAuc, Metric::PrAuc, Metric::LogLoss, Metric::BrierScore];
        let is_mixed = matches!(self, Self::Classes(sums) if sums.reading.is_none());
        is_mixed && of_probabilities.iter().any(|metric| metric.key() == key)
    }
}
