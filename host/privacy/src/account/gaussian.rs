//! The Gaussian mechanism alone, exactly (Balle, Wang 2018, arXiv 1805.06530, Theorem 8).

use super::check_delta;
use super::special::log_erfc;
use crate::Error;

/// Steps of bisection: an interval of float64 is narrowed down to its rounding.
const STEPS: u32 = 200;

/// Returns the least delta for an epsilon: F(1/2z - e z) - exp(e) F(-1/2z - e z) with F the normal
/// distribution.
///
/// * `noise_multiplier` — z: standard deviation over sensitivity, above 0. Of `k` rounds with z it is
///   z / sqrt(k).
/// * `epsilon` — at least 0.
pub fn delta_of_gaussian(noise_multiplier: f64, epsilon: f64) -> f64 {
    let (half, shift) = (0.5 / noise_multiplier, epsilon * noise_multiplier);
    let log_normal = |x: f64| log_erfc(-x / std::f64::consts::SQRT_2) - std::f64::consts::LN_2;
    let delta =
        libm::exp(log_normal(half - shift)) - libm::exp(epsilon + log_normal(-half - shift));
    delta.clamp(0.0, 1.0)
}

/// Returns the least epsilon for a delta.
///
/// * `noise_multiplier` — as in [`delta_of_gaussian`]; infinite for 0.
///
/// # Errors
/// [`Error::Setting`] unless 0 < delta < 1 and the multiplier is a number, at least 0.
pub fn epsilon_of_gaussian(noise_multiplier: f64, delta: f64) -> Result<f64, Error> {
    check_delta(delta)?;
    if noise_multiplier.is_nan() || noise_multiplier < 0.0 {
        let rule = "a number, at least 0";
        return Err(Error::setting("noise_multiplier", noise_multiplier, rule));
    }
    // An epsilon that is surely enough: delta is below F(1/2z - e z).
    let enough = (0.5 / noise_multiplier + 40.0) / noise_multiplier;
    if !enough.is_finite() {
        return Ok(f64::INFINITY);
    }
    Ok(bisect(0.0, enough, |epsilon| delta_of_gaussian(noise_multiplier, epsilon) <= delta))
}

/// Returns the least noise multiplier that gives (epsilon, delta).
///
/// # Errors
/// [`Error::Setting`] unless 0 < delta < 1 and epsilon is a finite number above 0.
pub fn multiplier_of_gaussian(epsilon: f64, delta: f64) -> Result<f64, Error> {
    check_delta(delta)?;
    if !(epsilon.is_finite() && epsilon > 0.0) {
        return Err(Error::setting("epsilon", epsilon, "a finite number above 0"));
    }
    let is_enough = |multiplier: f64| delta_of_gaussian(multiplier, epsilon) <= delta;
    let mut enough = 1.0;
    while !is_enough(enough) && enough < f64::MAX / 4.0 {
        enough *= 2.0;
    }
    Ok(bisect(0.0, enough, is_enough))
}

/// Returns the least number between the two for which a rule holds that holds from some number on.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if holds(low) {
        return low;
    }
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        match holds(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    high
}
