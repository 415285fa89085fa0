//! A bound on updates that follows a quantile of their norms (Andrew et al. 2021, arXiv 1905.03871),
//! the same on every machine.

use crate::{Clip, Error};

/// The bound stays within these: a rule of exponentials would reach 0 or infinity otherwise.
const NORM_MIN: f64 = 1e-12;
const NORM_MAX: f64 = 1e12;

/// A bound that moves to the `quantile` of the norms of updates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveClip {
    norm_max: f64,
    quantile: f64,
    rate: f64,
}

impl AdaptiveClip {
    /// Begins at `start`.
    ///
    /// * `start` — the first bound, 1e-12 to 1e12; the paper uses 0.1.
    /// * `quantile` — which share of updates is to be within the bound, in (0, 1); 0.5 in the paper.
    /// * `rate` — the learning rate, in (0, 10]; 0.2 in the paper.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(start: f64, quantile: f64, rate: f64) -> Result<Self, Error> {
        if !(NORM_MIN..=NORM_MAX).contains(&start) {
            return Err(Error::setting("clip", start, "between 1e-12 and 1e12"));
        }
        if !(quantile > 0.0 && quantile < 1.0) {
            return Err(Error::setting("quantile", quantile, "between 0 and 1"));
        }
        if !(rate > 0.0 && rate <= 10.0) {
            return Err(Error::setting("rate", rate, "above 0 and at most 10"));
        }
        Ok(Self { norm_max: start, quantile, rate })
    }

    /// The bound for the next round.
    ///
    /// # Errors
    /// None in practice: the bound stays finite and above 0.
    pub fn clip(&self) -> Result<Clip, Error> {
        Clip::new(self.norm_max)
    }

    /// Moves the bound: C <- C exp(-rate (b - quantile)), Algorithm 1. With more updates within the
    /// bound than wanted it becomes smaller.
    ///
    /// * `unclipped` — b, the share of updates that were *within* the bound, with its noise added (so
    ///   it may be below 0 or above 1).
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is finite; the bound is unchanged then.
    pub fn observe(&mut self, unclipped: f64) -> Result<(), Error> {
        if !unclipped.is_finite() {
            return Err(Error::setting("unclipped", unclipped, "a finite number"));
        }
        let moved = self.norm_max * libm::exp(-self.rate * (unclipped - self.quantile));
        self.norm_max = moved.clamp(NORM_MIN, NORM_MAX);
        Ok(())
    }
}

/// Returns the noise multiplier for the update if the count of unclipped updates takes its part of
/// the privacy: (z^-2 - (2 s)^-2)^(-1/2), Theorem 1 of the paper.
///
/// * `multiplier` — z, that of both together, above 0.
/// * `count_sigma` — s, the standard deviation of the noise on the count; n / 20 in the paper.
///
/// # Errors
/// [`Error::Setting`] unless 2 s > z: the count alone would use up everything.
pub fn multiplier_of_update(multiplier: f64, count_sigma: f64) -> Result<f64, Error> {
    if !(multiplier > 0.0 && multiplier.is_finite()) {
        return Err(Error::setting("noise_multiplier", multiplier, "a finite number above 0"));
    }
    if !(count_sigma.is_finite() && 2.0 * count_sigma > multiplier) {
        let rule = "finite and more than half of the noise multiplier";
        return Err(Error::setting("count_sigma", count_sigma, rule));
    }
    let inverse_square = |z: f64| 1.0 / (z * z);
    Ok(1.0 / (inverse_square(multiplier) - inverse_square(2.0 * count_sigma)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Norms 0.01, 0.02, ..., 2.00: the median is 1, the 0.9 quantile 1.8.
    fn settle(start: f64, quantile: f64) -> f64 {
        let mut clip = AdaptiveClip::new(start, quantile, 0.2).unwrap();
        for _ in 0..400 {
            let bound = clip.clip().unwrap().norm_max();
            let within = (1..=200).filter(|k| f64::from(*k) / 100.0 <= bound).count();
            clip.observe(within as f64 / 200.0).unwrap();
        }
        clip.clip().unwrap().norm_max()
    }

    #[test]
    fn the_bound_finds_the_quantile_from_both_sides() {
        for (quantile, norm) in [(0.5, 1.0), (0.9, 1.8)] {
            for start in [0.1, 5.0] {
                let bound = settle(start, quantile);
                assert!((bound - norm).abs() < 0.03, "{start}, {quantile}: {bound}");
            }
        }
    }

    #[test]
    fn the_bound_stays_in_range() {
        let mut clip = AdaptiveClip::new(1.0, 0.5, 10.0).unwrap();
        for share in [1e300, -1e300] {
            clip.observe(share).unwrap();
            assert!(clip.clip().is_ok());
        }
        assert!(clip.observe(f64::NAN).is_err() && clip.clip().is_ok());
    }

    #[test]
    fn the_count_takes_its_part_of_the_noise() {
        let multiplier = multiplier_of_update(1.0, 5.0).unwrap();
        // 1 / sqrt(1 - 1/100)
        assert!((multiplier - 1.005_037_815_259_212).abs() < 1e-12, "{multiplier}");
        assert!(multiplier_of_update(1.0, 0.5).is_err());
        assert!(multiplier_of_update(f64::NAN, 1.0).is_err());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (start, quantile, rate) in
            [(0.0, 0.5, 0.2), (f64::NAN, 0.5, 0.2), (1.0, 1.0, 0.2), (1.0, 0.5, 0.0)]
        {
            assert!(AdaptiveClip::new(start, quantile, rate).is_err());
        }
    }
}
