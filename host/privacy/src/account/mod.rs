//! What noise is worth: epsilon for a delta, over all rounds. Only arithmetic, the same on every
//! machine; what is spent is kept by the caller as [`Mechanism`]s and added up again.

mod gaussian;
mod rdp;
mod special;

use serde::{Deserialize, Serialize};

use crate::Error;

pub use gaussian::{delta_of_gaussian, epsilon_of_gaussian, multiplier_of_gaussian};
pub use rdp::rdp;

/// The orders of Renyi divergence that are tried: 1.1 to 10.9 by tenths, then 12 to 63, as Opacus
/// has them.
fn orders() -> impl Iterator<Item = f64> {
    let tenths = (11..110u32).map(|tenth| f64::from(tenth) / 10.0);
    tenths.chain((12..64u32).map(f64::from))
}

/// Gaussian noise on sums over samples, some times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// z: the standard deviation of the noise over the sensitivity. 0 means no noise.
    pub noise_multiplier: f64,
    /// q: the chance of each record, or node, to be in a step (Poisson sampling), in [0, 1].
    pub sampling_rate: f64,
    /// How often.
    pub steps: u64,
}

impl Mechanism {
    /// # Errors
    /// [`Error::Setting`].
    fn check(&self) -> Result<(), Error> {
        if !(self.noise_multiplier.is_finite() && self.noise_multiplier >= 0.0) {
            let rule = "a finite number, at least 0";
            return Err(Error::setting("noise_multiplier", self.noise_multiplier, rule));
        }
        match (0.0..=1.0).contains(&self.sampling_rate) {
            true => Ok(()),
            false => Err(Error::setting("sampling_rate", self.sampling_rate, "0 to 1")),
        }
    }
}

/// Adds up what mechanisms spend (Mironov 2017, Proposition 1: divergences of one order add).
#[derive(Clone, Debug, PartialEq)]
pub struct Accountant {
    /// By order.
    rdp: Vec<f64>,
    /// The sum of steps / z^2 while all of them were of everybody: such Gaussians are one Gaussian.
    full: Option<f64>,
    /// The last rate and multiplier, and their divergences: a run has few of them.
    known: Option<((u64, u64), Vec<f64>)>,
}

impl Default for Accountant {
    fn default() -> Self {
        Self { rdp: orders().map(|_| 0.0).collect(), full: Some(0.0), known: None }
    }
}

impl Accountant {
    /// Adds a mechanism.
    ///
    /// # Errors
    /// [`Error::Setting`]; nothing is added then.
    pub fn add(&mut self, mechanism: &Mechanism) -> Result<(), Error> {
        mechanism.check()?;
        let Mechanism { noise_multiplier: z, sampling_rate: q, steps } = *mechanism;
        if steps == 0 {
            return Ok(());
        }
        let key = (z.to_bits(), q.to_bits());
        let each = match self.known.take() {
            Some((known, each)) if known == key => each,
            _ => orders().map(|order| rdp(q, z, order)).collect(),
        };
        let sums = self.rdp.iter_mut().zip(&each);
        sums.for_each(|(sum, each)| *sum += each * steps as f64);
        self.known = Some((key, each));
        self.full = match q {
            0.0 => self.full,
            1.0 => self.full.map(|full| full + steps as f64 / (z * z)),
            _ => None,
        };
        Ok(())
    }

    /// Returns the least epsilon that is proven for this delta; infinite without noise.
    ///
    /// # Errors
    /// [`Error::Setting`] unless 0 < delta < 1.
    pub fn epsilon(&self, delta: f64) -> Result<f64, Error> {
        let (by_rdp, _) = self.epsilon_by_rdp(delta)?;
        match self.full {
            Some(0.0) => Ok(0.0),
            Some(full) => Ok(by_rdp.min(epsilon_of_gaussian(1.0 / full.sqrt(), delta)?)),
            None => Ok(by_rdp),
        }
    }

    /// Returns epsilon by Renyi divergence alone, and the order that gives it (Canonne, Kamath,
    /// Steinke 2020, Proposition 12; Balle et al. 2020, Theorem 21).
    ///
    /// # Errors
    /// [`Error::Setting`] unless 0 < delta < 1.
    pub fn epsilon_by_rdp(&self, delta: f64) -> Result<(f64, f64), Error> {
        check_delta(delta)?;
        let converted = |(order, rdp): (f64, &f64)| {
            // A divergence so small that delta alone covers it.
            if delta * delta + libm::expm1(-rdp) > 0.0 {
                return (0.0, order);
            }
            let slack = libm::log1p(-1.0 / order) - libm::log(delta * order) / (order - 1.0);
            let epsilon = rdp + slack;
            (if epsilon.is_nan() { f64::INFINITY } else { epsilon }, order)
        };
        let all = orders().zip(&self.rdp).map(converted);
        let (epsilon, order) = all
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .unwrap_or((f64::INFINITY, f64::NAN));
        Ok((epsilon.max(0.0), order))
    }
}

/// Returns how many bits a round can tell at most about the data, whatever code computed the
/// update: the capacity of n Gaussian channels whose power is bounded together, n/2 log2(1 + 1 / (n
/// z^2)).
///
/// * `n_values` — values of the update.
/// * `noise_multiplier` — z; without noise the result is infinite.
pub fn bits_of_round(n_values: u64, noise_multiplier: f64) -> f64 {
    if n_values == 0 {
        return 0.0;
    }
    let n = n_values as f64;
    let signal = 1.0 / (n * noise_multiplier * noise_multiplier);
    n / 2.0 * libm::log1p(signal) / std::f64::consts::LN_2
}

/// # Errors
/// [`Error::Setting`] unless 0 < delta < 1.
fn check_delta(delta: f64) -> Result<(), Error> {
    match delta > 0.0 && delta < 1.0 {
        true => Ok(()),
        false => Err(Error::setting("delta", delta, "above 0 and below 1")),
    }
}

#[cfg(test)]
mod tests;
