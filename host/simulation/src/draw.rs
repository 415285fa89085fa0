//! Draws of real numbers, written down so that they are the same everywhere: logarithms and powers are
//! those of `libm`, and no library of distributions is asked. `tests/oracles/partition.py` is an
//! independent implementation.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;

/// A number in [0, 1): the upper 53 bits of the next word, as NumPy's `Generator.random`.
pub(crate) fn uniform(random: &mut ChaCha20Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A number in (0, 1].
fn positive(random: &mut ChaCha20Rng) -> f64 {
    1.0 - uniform(random)
}

/// A number of the standard normal distribution (Box and Muller 1958, the cosine alone).
pub(crate) fn normal(random: &mut ChaCha20Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(positive(random)));
    radius * libm::cos(2.0 * std::f64::consts::PI * uniform(random))
}

/// A number of the exponential distribution of mean 1.
pub(crate) fn exponential(random: &mut ChaCha20Rng) -> f64 {
    -libm::log(positive(random))
}

/// The logarithm of a number of the gamma distribution of this shape, above 0, and scale 1
/// (Marsaglia and Tsang 2000). Of a small shape the number itself would often be 0.
fn log_gamma(shape: f64, random: &mut ChaCha20Rng) -> f64 {
    if shape < 1.0 {
        // Their section 6: of shape + 1, times U^(1/shape).
        return log_gamma(shape + 1.0, random) + libm::log(positive(random)) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(random);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        let u = positive(random);
        if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d) + libm::log(v);
        }
    }
}

/// `n` shares of the symmetric Dirichlet distribution: above or equal to 0, with a sum of 1.
///
/// * `alpha` — above 0: near 0 one share has almost all, at infinity all are equal.
pub(crate) fn dirichlet(alpha: f64, n: usize, random: &mut ChaCha20Rng) -> Vec<f64> {
    let logs: Vec<f64> = (0..n).map(|_| log_gamma(alpha, random)).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| libm::exp(log - most)).collect();
    let sum: f64 = parts.iter().sum();
    parts.iter().map(|part| part / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng as _;

    fn random() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([7; 32])
    }

    fn mean_and_variance(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean) * (value - mean));
        (mean, squares.sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let random = &mut random();
        let of = |draw: &mut dyn FnMut() -> f64| {
            mean_and_variance(&(0..40_000).map(|_| draw()).collect::<Vec<_>>())
        };
        let near = |got: (f64, f64), expected: (f64, f64)| {
            assert!((got.0 - expected.0).abs() < 0.03 * expected.1.sqrt(), "{got:?} {expected:?}");
            assert!((got.1 / expected.1 - 1.0).abs() < 0.1, "{got:?} {expected:?}");
        };
        near(of(&mut || uniform(random)), (0.5, 1.0 / 12.0));
        near(of(&mut || normal(random)), (0.0, 1.0));
        near(of(&mut || exponential(random)), (1.0, 1.0));
        for shape in [0.3, 1.0, 4.5] {
            near(of(&mut || libm::exp(log_gamma(shape, random))), (shape, shape));
        }
        // Of 5 shares with alpha 0.5: mean 1/5, variance (1/5)(4/5)/(5 alpha + 1).
        let first = of(&mut || dirichlet(0.5, 5, random)[0]);
        near(first, (0.2, 0.16 / 3.5));
    }

    #[test]
    fn shares_are_finite_however_small_alpha_is() {
        for alpha in [1e-9, 1e-3, 0.1, 1.0, 1e6] {
            let shares = dirichlet(alpha, 100, &mut random());
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{alpha}");
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{alpha}");
        }
    }
}
