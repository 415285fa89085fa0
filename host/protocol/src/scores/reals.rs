//! Sums over rows with real targets.

use serde::{Deserialize, Serialize};

use crate::{Metric, Metrics, RunningVariance};

/// The most outputs whose sums leave a node.
pub const SUMMED_OUTPUTS_MAX: usize = 64;

/// Sums over the rows of one output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealSums {
    /// Of squared differences between target and prediction.
    pub squares: f64,
    /// Of absolute differences.
    pub absolutes: f64,
    /// Mean and spread of the differences.
    pub differences: RunningVariance,
    /// Mean and spread of the targets.
    pub targets: RunningVariance,
}

impl RealSums {
    /// Adds rows.
    pub fn add(
        &mut self,
        targets: impl Iterator<Item = f64> + Clone,
        said: impl Iterator<Item = f64> + Clone,
    ) {
        let differences = targets.clone().zip(said).map(|(target, said)| target - said);
        self.squares += differences.clone().map(|value| value * value).sum::<f64>();
        self.absolutes += differences.clone().map(f64::abs).sum::<f64>();
        self.differences.join(spread(differences));
        self.targets.join(spread(targets));
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.squares += other.squares;
        self.absolutes += other.absolutes;
        self.differences.join(other.differences);
        self.targets.join(other.targets);
    }

    /// The metrics, none of which is named that is not finite.
    ///
    /// * `at` — the output, of `n`.
    pub(super) fn metrics(&self, at: usize, n: usize) -> Metrics {
        let rows = self.differences.n;
        let (left, total) = (self.differences.variance(), self.targets.variance());
        let of_one_row = || if rows < 2.0 { f64::NAN } else { 0.0 };
        let named = [
            (Metric::MeanSquareError, self.squares / rows),
            (Metric::MeanAbsoluteError, self.absolutes / rows),
            (Metric::ExplainedVariance, explained(left, total)),
            (Metric::R2, explained(self.squares / rows, total) + of_one_row()),
        ];
        let finite = named.into_iter().filter(|(_, value)| value.is_finite());
        finite.map(|(metric, value)| (metric.of_output(at, n), value)).collect()
    }

    /// Whether they can be sums over so many rows.
    pub(super) fn is_sound(&self, rows: f64) -> bool {
        let Self { squares, absolutes, differences, targets } = *self;
        let spread = |of: RunningVariance| {
            of.n == rows && of.mean.is_finite() && of.squares.is_finite() && of.squares >= 0.0
        };
        let sum = |sum: f64| sum.is_finite() && sum >= 0.0;
        sum(squares) && sum(absolutes) && spread(differences) && spread(targets)
    }
}

/// Returns the explained share of a variance that is `total`, of which `left`
/// is not explained (`force_finite=True`); NaN if either overflowed.
fn explained(left: f64, total: f64) -> f64 {
    if !left.is_finite() || !total.is_finite() {
        return f64::NAN;
    }
    match (left == 0.0, total == 0.0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => 1.0 - left / total,
    }
}

/// Sums up some values.
fn spread(values: impl Iterator<Item = f64> + Clone) -> RunningVariance {
    // Counted from the first value, so that equal values have variance zero,
    // however their sum is rounded.
    let first = values.clone().next().unwrap_or_default();
    let from_first = values.map(|value| value - first);
    let (sum, n) = from_first.clone().fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    let middle = sum / n as f64;
    let squares = from_first.map(|value| (value - middle) * (value - middle)).sum();
    RunningVariance { n: n as f64, mean: first + middle, squares }
}
