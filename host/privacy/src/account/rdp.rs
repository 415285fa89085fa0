//! Renyi divergence of the sampled Gaussian mechanism (Mironov, Talwar, Zhang 2019, arXiv
//! 1908.10530).

use super::special::{log_add, log_erfc};

/// Terms of the series of a fractional order; one that has not converged by then is left out.
const TERMS_MAX: u32 = 20_000;
/// The largest share of the rest of the series in the whole.
const TERM_MIN: f64 = 1e-14;

/// Returns the divergence of one step.
///
/// * `sampling_rate` — q in [0, 1], Poisson sampling.
/// * `noise_multiplier` — z, at least 0.
/// * `order` — above 1. Whole orders by the binomial sum (3.3, (9)), others by the two series of
///   3.3.
///
/// Infinite without noise, or where the series has not converged.
pub fn rdp(sampling_rate: f64, noise_multiplier: f64, order: f64) -> f64 {
    let (q, z) = (sampling_rate, noise_multiplier);
    if q == 0.0 {
        return 0.0;
    }
    if z == 0.0 {
        return f64::INFINITY;
    }
    if q == 1.0 {
        return order / (2.0 * z * z);
    }
    let log_moment = if order.fract() == 0.0 {
        log_moment_whole(q, z, order)
    } else {
        log_moment_series(q, z, order)
    };
    // A value that cannot be computed means no privacy. Rounding may leave a little below 0.
    match log_moment.is_nan() {
        true => f64::INFINITY,
        false => (log_moment / (order - 1.0)).max(0.0),
    }
}

/// ln of the sum over k of C(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 z^2)).
fn log_moment_whole(q: f64, z: f64, order: f64) -> f64 {
    let (log_q, log_rest) = (libm::log(q), libm::log1p(-q));
    let (mut log_coefficient, mut sum, mut k) = (0.0, f64::NEG_INFINITY, 0.0);
    while k <= order {
        let exponent = (k * k - k) / (2.0 * z * z);
        sum = log_add(sum, log_coefficient + (order - k) * log_rest + k * log_q + exponent);
        log_coefficient += libm::log((order - k) / (k + 1.0));
        k += 1.0;
    }
    sum
}

/// The same moment for a fractional order: two integrals that meet at z0, each as a series whose
/// binomial coefficients change sign from order + 1 on.
fn log_moment_series(q: f64, z: f64, order: f64) -> f64 {
    let (log_q, log_rest) = (libm::log(q), libm::log1p(-q));
    let (variance, width) = (2.0 * z * z, std::f64::consts::SQRT_2 * z);
    let z0 = z * z * (log_rest - log_q) + 0.5;
    let mut log_coefficient = 0.0;
    let mut log_term = |term: u32| {
        let i = f64::from(term);
        let j = order - i;
        let low = i * log_q + j * log_rest + (i * i - i) / variance + log_erfc((i - z0) / width);
        let high = j * log_q + i * log_rest + (j * j - j) / variance + log_erfc((z0 - j) / width);
        let log_term = log_coefficient - std::f64::consts::LN_2 + log_add(low, high);
        log_coefficient += libm::log((j / (i + 1.0)).abs());
        log_term
    };
    let first = order.ceil() as u32 + 1;
    let head = (0..first).map(&mut log_term).fold(f64::NEG_INFINITY, log_add);
    // From here on signs alternate, and terms shrink like a power of i alone: the partial sums
    // swing around the limit, and means of neighbours are far closer to it.
    let (mut sums, mut sign) = ([0.0; 3], -1.0);
    for term in first..TERMS_MAX {
        let size = libm::exp(log_term(term) - head);
        sums = [sums[1], sums[2], sums[2] + sign * size];
        sign = -sign;
        let i = f64::from(term);
        if size * ((order + 4.0) / i).powi(2) < TERM_MIN && term > first + 2 {
            let tail = (sums[0] + 2.0 * sums[1] + sums[2]) / 4.0;
            return head + libm::log1p(tail);
        }
    }
    f64::INFINITY
}
