//! Mean and spread of values that come in pieces.

use serde::{Deserialize, Serialize};

/// How many values there are, their mean, and the sum of their squared distances from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningVariance {
    /// How many.
    pub n: f64,
    /// Their mean.
    pub mean: f64,
    /// The sum of squared distances from it.
    pub squares: f64,
}

impl Default for RunningVariance {
    fn default() -> Self {
        // Minus zero, as the sum of no floats: it leaves the sign of zeros alone.
        Self { n: 0.0, mean: -0.0, squares: -0.0 }
    }
}

impl RunningVariance {
    /// Adds other values by the rule of Chan, Golub and LeVeque 1979.
    pub fn join(&mut self, other: Self) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = other;
            return;
        }
        let (n, distance) = (self.n + other.n, other.mean - self.mean);
        self.squares += other.squares + distance * distance * (self.n * other.n / n);
        self.mean += distance * (other.n / n);
        self.n = n;
    }

    /// The mean square of the distances from the mean (divisor n).
    pub fn variance(&self) -> f64 {
        self.squares / self.n
    }
}
