//! Noise of the discrete Gaussian distribution, drawn exactly: whole numbers x with probability
//! proportional to exp(-x^2 / (2 s^2)) (Canonne, Kamath, Steinke 2020, arXiv 2004.00010, Algorithms
//! 1 to 3). There is no floating point, whose low bits give noise away. How long drawing takes
//! depends on what is drawn: answers should leave at times that do not tell.

use rand_core::CryptoRng;

use crate::{Error, Lane};

/// A variance, a rational number above 0, in squared steps of the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variance {
    numerator: u64,
    denominator: u64,
}

/// Bounds of a variance under which no product leaves 128 bits ([`DiscreteGaussian::accept`]).
const NUMERATOR_MAX: u64 = 1 << 52;
const DENOMINATOR_MAX: u64 = 1 << 20;
/// A draw this many times the scale away has a probability below e^-1000, and is drawn again.
const SCALES_MAX: u128 = 1 << 10;

impl Variance {
    /// Returns the variance `numerator` / `denominator`.
    ///
    /// # Errors
    /// [`Error::Setting`] unless the numerator is 1 to 2^52 and the denominator 1 to 2^20.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self, Error> {
        let is_valid = (1..=NUMERATOR_MAX).contains(&numerator)
            && (1..=DENOMINATOR_MAX).contains(&denominator);
        match is_valid {
            true => Ok(Self { numerator, denominator }),
            false => {
                let got = format!("{numerator}/{denominator}");
                Err(Error::setting("variance", got, "1 to 2^52 over 1 to 2^20"))
            }
        }
    }

    /// Returns the least variance that is at least sigma^2, in 2^-20 or, for large ones, in whole
    /// numbers: rounding never takes noise away.
    ///
    /// * `sigma` — the standard deviation in steps, z times the sensitivity
    ///   ([`crate::Quantiser::norm_max`]); above 0.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is finite, at least 2^-10 and at most 2^26.
    pub fn at_least(sigma: f64) -> Result<Self, Error> {
        let rule = "between 2^-10 and 2^26 steps";
        if !((0.5f64).powi(10)..(1u64 << 26) as f64).contains(&sigma) {
            return Err(Error::setting("sigma", sigma, rule));
        }
        // The next number up: the product is rounded.
        let variance = (sigma * sigma).next_up();
        let denominator = if variance < (1u64 << 30) as f64 { DENOMINATOR_MAX } else { 1 };
        Self::new((variance * denominator as f64).ceil() as u64, denominator)
    }

    /// The variance of one of `nodes` nodes whose noises sum to this one, or a little more.
    ///
    /// * `nodes` — the honest minimum: with fewer than this the sum has too little noise.
    ///
    /// # Errors
    /// [`Error::Setting`] for no node.
    pub fn share(self, nodes: u32) -> Result<Self, Error> {
        if nodes == 0 {
            return Err(Error::setting("honest_min", nodes, "at least 1"));
        }
        let (numerator, denominator) = (u128::from(self.numerator), u128::from(self.denominator));
        let least = u128::from(DENOMINATOR_MAX) * numerator;
        let per_node = u128::from(nodes) * denominator;
        if least.div_ceil(per_node) <= u128::from(NUMERATOR_MAX) {
            return Self::new(least.div_ceil(per_node) as u64, DENOMINATOR_MAX);
        }
        Self::new(numerator.div_ceil(per_node) as u64, 1)
    }

    /// The variance, rounded to float64.
    pub fn value(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }

    /// The bound that the noise of `nodes` nodes of this variance each exceeds with a chance below
    /// 2^-100 a lane: 12 standard deviations of the sum, rounded up. For [`crate::Quantiser::new`].
    pub fn noise_max(self, nodes: u32) -> u64 {
        // Subgaussian as the continuous one (CKS20, Proposition 25): 2 exp(-72) < 2^-100.
        ((self.value() * f64::from(nodes)).sqrt() * 12.0).ceil() as u64
    }
}

/// How far the sum of `nodes` discrete Gaussians of this variance each can be from one discrete
/// Gaussian, in the logarithm of probabilities: 10 sum over k < n of exp(-2 pi^2 s^2 k / (k + 1))
/// (Kairouz, Liu, Steinke 2021, arXiv 2102.06387, Theorem 5). Below 1e-3 from a variance of 1 on.
pub fn gap_of_sum(share: Variance, nodes: u32) -> f64 {
    let exponent = -2.0 * std::f64::consts::PI.powi(2) * share.value();
    let term = |k: u32| (exponent * f64::from(k) / f64::from(k + 1)).exp();
    10.0 * (1..nodes).map(term).sum::<f64>()
}

/// Adds noise to each lane.
///
/// * `lanes` — values of a quantised update; not its check lanes.
pub fn add_noise<L: Lane>(lanes: &mut [L], variance: Variance, rng: &mut dyn CryptoRng) {
    let gaussian = DiscreteGaussian::new(variance);
    for lane in lanes {
        *lane = lane.plus(L::wrapped(gaussian.draw(rng) as u64));
    }
}

/// The discrete Gaussian distribution of mean 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteGaussian {
    variance: Variance,
    /// t = floor(s) + 1, of the discrete Laplace distribution that is drawn from.
    scale: u64,
}

impl DiscreteGaussian {
    /// The distribution of a variance (that of the continuous one; its own is a little smaller).
    pub fn new(variance: Variance) -> Self {
        Self { variance, scale: (variance.numerator / variance.denominator).isqrt() + 1 }
    }

    /// Draws a number (Algorithm 3).
    pub fn draw(&self, rng: &mut dyn CryptoRng) -> i64 {
        loop {
            let candidate = laplace(self.scale, rng);
            if self.accept(candidate.unsigned_abs(), rng) {
                return candidate;
            }
        }
    }

    /// True with probability exp(-(|y| - s^2 / t)^2 / (2 s^2)).
    fn accept(&self, magnitude: u64, rng: &mut dyn CryptoRng) -> bool {
        let (numerator, denominator) =
            (u128::from(self.variance.numerator), u128::from(self.variance.denominator));
        let scale = u128::from(self.scale);
        if u128::from(magnitude) >= SCALES_MAX * scale {
            return false;
        }
        // With s^2 = n / d: (|y| t d - n)^2 / (2 t^2 d n). t^2 d is at most 4 n, or d where s < 1,
        // so |y| t d is below 2^10 t^2 d <= 2^64, and all below stays within 128 bits.
        let difference = (u128::from(magnitude) * scale * denominator).abs_diff(numerator);
        bernoulli_exp(difference * difference, 2 * scale * scale * denominator * numerator, rng)
    }
}

/// Draws from the discrete Laplace distribution of scale t: probability proportional to exp(-|x| /
/// t) (Algorithm 2).
fn laplace(scale: u64, rng: &mut dyn CryptoRng) -> i64 {
    loop {
        let low = below(u128::from(scale), rng) as u64;
        if !bernoulli_exp(u128::from(low), u128::from(scale), rng) {
            continue;
        }
        let mut high = 0u64;
        while bernoulli_exp(1, 1, rng) {
            high += 1;
        }
        let magnitude = (low + scale * high) as i64;
        let is_negative = rng.next_u32() & 1 == 1;
        if is_negative && magnitude == 0 {
            continue;
        }
        return if is_negative { -magnitude } else { magnitude };
    }
}

/// True with probability exp(-numerator / denominator) (Algorithm 1).
fn bernoulli_exp(numerator: u128, denominator: u128, rng: &mut dyn CryptoRng) -> bool {
    for _ in 0..numerator / denominator {
        if !bernoulli_exp_to_one(1, 1, rng) {
            return false;
        }
    }
    bernoulli_exp_to_one(numerator % denominator, denominator, rng)
}

/// As [`bernoulli_exp`], for a quotient of at most 1.
fn bernoulli_exp_to_one(numerator: u128, denominator: u128, rng: &mut dyn CryptoRng) -> bool {
    let mut k = 1u128;
    // True with probability numerator / (denominator k).
    while below(denominator.saturating_mul(k), rng) < numerator {
        k += 1;
    }
    k % 2 == 1
}

/// Draws a number from 0 to `bound` - 1, each as likely as any other.
fn below(bound: u128, rng: &mut dyn CryptoRng) -> u128 {
    if bound <= 1 {
        return 0;
    }
    let mask = u128::MAX >> (bound - 1).leading_zeros();
    loop {
        let low = u128::from(rng.next_u64());
        let drawn = match mask >> 64 {
            0 => low,
            _ => low | u128::from(rng.next_u64()) << 64,
        } & mask;
        if drawn < bound {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    /// Pearson's statistic of counts, those expected less than ten times in one bin, and its
    /// degrees of freedom.
    fn chi_square(counts: &[(f64, u32)], n: u32) -> (f64, f64) {
        let (mut bins, mut rest) = (Vec::new(), (f64::from(n), n));
        for (probability, count) in counts {
            let expected = probability * f64::from(n);
            if expected >= 10.0 {
                bins.push((expected, f64::from(*count)));
                rest = (rest.0 - expected, rest.1 - count);
            }
        }
        if rest.0 >= 10.0 {
            bins.push((rest.0, f64::from(rest.1)));
        }
        let statistic = bins.iter().map(|(e, o)| (o - e).powi(2) / e).sum();
        (statistic, bins.len() as f64 - 1.0)
    }

    /// The value that a chi-square variable passes once in 10,000 times (Wilson, Hilferty 1931).
    fn critical(freedom: f64) -> f64 {
        let part = 2.0 / (9.0 * freedom);
        freedom * (1.0 - part + 3.719 * part.sqrt()).powi(3)
    }

    #[test]
    fn draws_have_the_probabilities_of_the_distribution() {
        for (seed, (numerator, denominator)) in
            [(1, 4), (1, 1), (5, 2), (9, 1), (1_000, 7), (10_000, 1)].into_iter().enumerate()
        {
            let n = 15_000;
            let gaussian = DiscreteGaussian::new(Variance::new(numerator, denominator).unwrap());
            let variance = numerator as f64 / denominator as f64;
            let far = (variance.sqrt() * 12.0) as i64 + 3;
            let weight = |x: i64| (-(x as f64).powi(2) / (2.0 * variance)).exp();
            let total: f64 = (-far..=far).map(weight).sum();
            let mut counts: Vec<(f64, u32)> =
                (-far..=far).map(|x| (weight(x) / total, 0)).collect();
            let mut rng = rng(seed as u64);
            for _ in 0..n {
                let drawn = gaussian.draw(&mut rng);
                counts[usize::try_from(drawn + far).unwrap()].1 += 1;
            }
            let (statistic, freedom) = chi_square(&counts, n);
            let bound = critical(freedom);
            assert!(statistic < bound, "{numerator}/{denominator}: {statistic} of {bound}");
        }
    }

    /// The same test sees a variance that is a fifth too large.
    #[test]
    fn a_wrong_distribution_is_seen() {
        let gaussian = DiscreteGaussian::new(Variance::new(12, 1).unwrap());
        let (mut rng, n) = (rng(7), 15_000);
        let total: f64 = (-60..=60).map(|x| (-f64::from(x).powi(2) / 20.0).exp()).sum();
        let mut counts: Vec<(f64, u32)> =
            (-60..=60).map(|x| ((-f64::from(x).powi(2) / 20.0).exp() / total, 0)).collect();
        (0..n).for_each(|_| counts[(gaussian.draw(&mut rng) + 60) as usize].1 += 1);
        let (statistic, freedom) = chi_square(&counts, n);
        assert!(statistic > critical(freedom));
    }

    #[test]
    fn bernoulli_draws_have_the_probability_exp_of_minus_x() {
        let n = 15_000;
        for (seed, (numerator, denominator)) in
            [(0, 1), (1, 1), (1, 2), (7, 3), (4, 1), (1 << 100, 3 << 101)].into_iter().enumerate()
        {
            let mut rng = rng(100 + seed as u64);
            let hits = (0..n).filter(|_| bernoulli_exp(numerator, denominator, &mut rng)).count();
            let p = (-(numerator as f64) / denominator as f64).exp();
            let deviations =
                (hits as f64 - p * n as f64) / (p * (1.0 - p) * n as f64).sqrt().max(1e-9);
            assert!(deviations.abs() < 4.0, "{numerator}/{denominator}: {deviations}");
        }
    }

    #[test]
    fn every_number_below_a_bound_is_as_likely() {
        let mut rng = rng(200);
        for bound in [2u32, 3, 7, 10] {
            let mut counts = vec![(1.0 / f64::from(bound), 0); bound as usize];
            (0..10_000).for_each(|_| counts[below(u128::from(bound), &mut rng) as usize].1 += 1);
            let (statistic, freedom) = chi_square(&counts, 10_000);
            assert!(statistic < critical(freedom));
        }
        assert_eq!((below(0, &mut rng), below(1, &mut rng)), (0, 0));
        let wide = (0..64).map(|_| below(u128::MAX, &mut rng) >> 120).max();
        assert!(wide > Some(200));
    }

    #[test]
    fn the_largest_variance_draws_without_overflow() {
        for variance in [
            Variance::new(NUMERATOR_MAX, 1).unwrap(),
            Variance::new(NUMERATOR_MAX, DENOMINATOR_MAX).unwrap(),
            Variance::new(1, DENOMINATOR_MAX).unwrap(),
            Variance::new((1 << 52) - 1, 3).unwrap(),
        ] {
            let gaussian = DiscreteGaussian::new(variance);
            let mut rng = rng(300);
            let draws: Vec<f64> = (0..300).map(|_| gaussian.draw(&mut rng) as f64).collect();
            let square = draws.iter().map(|x| x * x).sum::<f64>() / 300.0;
            let ratio = square / variance.value();
            assert!(variance.value() < 0.1 || (0.7..1.4).contains(&ratio), "{variance:?}: {ratio}");
            // The furthest that is drawn at all.
            assert!(!gaussian.accept(gaussian.scale * 1023, &mut rng));
            assert!(!gaussian.accept(u64::MAX, &mut rng));
        }
    }

    #[test]
    fn shares_are_rounded_up_and_sum_to_the_whole() {
        let whole = Variance::at_least(1234.567).unwrap();
        assert!(whole.value() >= 1234.567f64.powi(2));
        assert!(whole.value() < 1234.567f64.powi(2) * (1.0 + 1e-9));
        for nodes in [1, 3, 7, 64] {
            let share = whole.share(nodes).unwrap();
            let sum = share.value() * f64::from(nodes);
            assert!(sum >= whole.value() && sum < whole.value() * (1.0 + 1e-9), "{nodes}");
        }
        assert_eq!(
            Variance::new(1 << 52, 1).unwrap().share(4).unwrap().value(),
            (1u64 << 50) as f64
        );
        assert!(whole.share(0).is_err());
        assert!(gap_of_sum(Variance::new(1, 1).unwrap(), 64) < 1e-3);
        assert!(gap_of_sum(Variance::new(1, 4).unwrap(), 64) > 1e-2);
    }

    #[test]
    fn variances_out_of_range_are_refused() {
        for (numerator, denominator) in [(0, 1), (1, 0), (1 << 53, 1), (1, 1 << 21)] {
            assert!(Variance::new(numerator, denominator).is_err());
        }
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9, 1e-9] {
            assert!(Variance::at_least(sigma).is_err(), "{sigma}");
        }
    }

    #[test]
    fn noise_on_lanes_wraps_and_sums_with_them() {
        let variance = Variance::new(10_000, 1).unwrap();
        let (mut narrow, mut wide) = (vec![0u32; 2_000], vec![0u64; 2_000]);
        add_noise(&mut narrow, variance, &mut rng(400));
        add_noise(&mut wide, variance, &mut rng(400));
        assert!(narrow.iter().zip(&wide).all(|(a, b)| Lane::signed(*a) == Lane::signed(*b)));
        let mean = wide.iter().map(|lane| Lane::signed(*lane) as f64).sum::<f64>() / 2_000.0;
        assert!(mean.abs() < 4.0 * 100.0 / 2_000f64.sqrt(), "{mean}");
        let max = wide.iter().map(|lane| Lane::signed(*lane).unsigned_abs()).max();
        assert!(max <= Some(variance.noise_max(1)));
    }
}
