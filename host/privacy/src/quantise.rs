//! Real vectors as integers whose sums give a weighted mean.
//!
//! A value x in [-c, c] becomes q = M + round(x M / c) in [0, 2 M], ties to even, with
//! M = 2^(bits - 1) - 1; so T = 2 M + 1 levels, and 0 is one of them: what training leaves alone
//! stays as it is, bit for bit. A node sends w q for its weight w, and the mean of all is
//! -c + (c / M) S / W with S the sum of lanes and W that of weights. Two lanes follow the values: the
//! weight, and 1 for the node itself, so that the sum says whose parts are in it.

use rand_core::CryptoRng;

use crate::{Error, Lane, Variance, add_noise};

/// The largest sum of a 64-bit lane, noise left out. A mask that is missing or wrong leaves a lane
/// anywhere in 2^64: it passes the range check with a chance of at most 2^-12 a lane.
const SUM_BITS_MAX: u32 = 51;
/// The lanes behind the values: weight and count.
pub const CHECK_LANES: usize = 2;

/// How values become lanes. Equal at all nodes and at the researcher: it is part of what masks are
/// bound to ([`Quantiser::encoding`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiser {
    range: f64,
    bits: u32,
    weight_max: u64,
    parties_max: u32,
    noise_max: u64,
}

impl Quantiser {
    /// Returns the quantiser for lanes of type `L`.
    ///
    /// * `range` — c: values are within ± c; finite and above 0.
    /// * `bits` — 2 to 32 bits a value; 24 is usual, Fed-BioMed uses 13.
    /// * `weight_max` — the largest weight of a node, at least 1.
    /// * `parties_max` — the most nodes that are summed, at least 1.
    /// * `noise_max` — what the noise of all nodes together may add to a lane, either way; 0 without.
    ///
    /// # Errors
    /// [`Error::Setting`], also if sums could be wrong: `bits` and the bits of weights and parties
    /// are at most 51 together in 64-bit lanes and, with the noise, within 31 in 32-bit ones.
    pub fn new<L: Lane>(
        range: f64,
        bits: u32,
        weight_max: u64,
        parties_max: u32,
        noise_max: u64,
    ) -> Result<Self, Error> {
        if !(range.is_finite() && range >= f64::MIN_POSITIVE) {
            return Err(Error::setting("clip", range, "a finite number above 0"));
        }
        if !(2..=32).contains(&bits) {
            return Err(Error::setting("bits", bits, "2 to 32"));
        }
        if weight_max == 0 {
            return Err(Error::setting("weight_max", weight_max, "at least 1"));
        }
        if parties_max == 0 {
            return Err(Error::setting("parties_max", parties_max, "at least 1"));
        }
        let quantiser = Self { range, bits, weight_max, parties_max, noise_max };
        // One bit is for the sign that noise brings.
        let bits_max = if L::BITS == 64 { SUM_BITS_MAX } else { L::BITS - 1 };
        let sum = u128::from(quantiser.top()) * u128::from(weight_max) * u128::from(parties_max);
        let (sum_max, all_max) = (1u128 << bits_max, 1u128 << (L::BITS - 1));
        if sum >= sum_max || sum + u128::from(noise_max) >= all_max {
            let got = format!(
                "{bits} with weights to {weight_max}, {parties_max} nodes, noise to {noise_max}"
            );
            let rule =
                "small enough that no sum wraps and a wrong one is seen: 51 bits of 64, 31 of 32";
            return Err(Error::setting("bits", got, rule));
        }
        Ok(quantiser)
    }

    /// M: how many levels there are on either side of 0.
    fn half(&self) -> u64 {
        (1 << (self.bits - 1)) - 1
    }

    /// 2 M, the highest level.
    fn top(&self) -> u64 {
        2 * self.half()
    }

    /// The distance between two levels, c / M.
    pub fn step(&self) -> f64 {
        self.range / self.half() as f64
    }

    /// The most by which a value of the mean differs from the same mean of unquantised values,
    /// without noise: half a step, and the rounding of float64.
    pub fn error_max(&self) -> f64 {
        self.step() / 2.0 + 8.0 * f64::EPSILON * self.range
    }

    /// The largest L2 norm, in steps, of the lanes of an update of weight 1, M left out: the
    /// sensitivity that noise is measured by when a node is added or removed (twice that when it is
    /// replaced). Rounding moves each of `n` values by half a step; the clip ends a little off.
    ///
    /// * `norm_max` — the clip of the update, in its own unit.
    pub fn norm_max(&self, norm_max: f64, n: usize) -> f64 {
        let clipped = norm_max * (1.0 + n as f64 * f64::EPSILON);
        clipped / self.step() + (n as f64).sqrt() / 2.0
    }

    /// The settings as bytes, for the digest that masks are bound to.
    pub fn encoding(&self) -> Vec<u8> {
        let mut bytes = b"fedwasm/quantise/v1".to_vec();
        bytes.extend(self.range.to_bits().to_be_bytes());
        bytes.extend(self.bits.to_be_bytes());
        bytes.extend(self.weight_max.to_be_bytes());
        bytes.extend(self.parties_max.to_be_bytes());
        bytes.extend(self.noise_max.to_be_bytes());
        bytes
    }

    /// Returns one lane a value, and the lanes of weight and count.
    ///
    /// * `values` — each within the range; a value that rounds to the outermost level counts.
    /// * `weight` — at most `weight_max`; 0 for a node that adds nothing but its presence.
    ///
    /// # Errors
    /// [`Error::NotFiniteAt`] and [`Error::BeyondRange`], never a clamped value; [`Error::Setting`]
    /// for a weight that is too large.
    pub fn encode<L: Lane>(&self, values: &[f64], weight: u64) -> Result<Vec<L>, Error> {
        if weight > self.weight_max {
            return Err(Error::setting("weight", weight, "at most the agreed largest weight"));
        }
        let half = self.half() as f64;
        let mut lanes = Vec::with_capacity(values.len() + CHECK_LANES);
        for (at, value) in values.iter().enumerate() {
            let scaled = value / self.range * half;
            // Half a step beyond the outermost level rounds to it or to the next even one. Written
            // so that a NaN is beyond.
            if !(scaled.abs() < half + 0.5 || rounded(scaled).abs() <= half) {
                return Err(match value.is_finite() {
                    true => Error::BeyondRange { at, range: self.range },
                    false => Error::NotFiniteAt { at },
                });
            }
            lanes.push(L::wrapped(weight.wrapping_mul((rounded(scaled) + half) as u64)));
        }
        lanes.push(L::wrapped(weight));
        lanes.push(L::wrapped(1));
        Ok(lanes)
    }

    /// Adds this node's noise to the values of an encoded vector, and leaves its check lanes as they are.
    ///
    /// * `lanes` — of an update with weight 1: another weight would scale the sensitivity, and tell how
    ///   many samples there are.
    /// * `share` — the variance of this node's part ([`Variance::share`]).
    /// * `nodes` — how many nodes add such a part at most.
    ///
    /// # Errors
    /// [`Error::Length`] without check lanes, [`Error::NoisyWeight`] for another weight, and
    /// [`Error::Setting`] if the noise of all nodes may pass what this quantiser was told; `lanes` are
    /// as before then.
    pub fn add_noise<L: Lane>(
        &self,
        lanes: &mut [L],
        share: Variance,
        nodes: u32,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), Error> {
        let n = lanes.len();
        let Some((values, [weight, _])) = lanes.split_last_chunk_mut::<CHECK_LANES>() else {
            return Err(Error::Length { what: "lanes", got: n, expected: CHECK_LANES });
        };
        if weight.value() != 1 {
            return Err(Error::NoisyWeight { got: weight.value() });
        }
        if share.noise_max(nodes) > self.noise_max {
            let rule = "at least 12 standard deviations of the noise of all nodes";
            return Err(Error::setting("noise_max", self.noise_max, rule));
        }
        add_noise(values, share, rng);
        Ok(())
    }

    /// Returns the weighted mean from the sums of lanes, and the sum of weights.
    ///
    /// * `sums` — one for each value, and those of weight and count.
    /// * `parties` — how many nodes are in the sum.
    ///
    /// # Errors
    /// [`Error::Length`] without check lanes; [`Error::Count`] and [`Error::Weight`] if these say
    /// something else, [`Error::Sum`] if a sum cannot come from that many nodes of that weight: a
    /// part is wrong, altered or missing. [`Error::NoWeight`] if all weights are 0.
    pub fn decode<L: Lane>(&self, sums: &[L], parties: u32) -> Result<(Vec<f64>, u64), Error> {
        let Some((values, [weight, count])) = sums.split_last_chunk::<CHECK_LANES>() else {
            return Err(Error::Length { what: "sums", got: sums.len(), expected: CHECK_LANES });
        };
        if count.value() != u64::from(parties) || parties > self.parties_max {
            return Err(Error::Count { got: count.value(), expected: parties });
        }
        // Fits: `new` has seen the product with 2 M.
        let (weight, max) = (weight.value(), self.weight_max * u64::from(parties));
        if weight > max {
            return Err(Error::Weight { got: weight, max });
        }
        if weight == 0 {
            return Err(Error::NoWeight);
        }
        let noise_max = i64::try_from(self.noise_max).unwrap_or(i64::MAX);
        let sum_max = i64::try_from(self.top() * weight).unwrap_or(i64::MAX);
        let sums_within = -noise_max..=sum_max.saturating_add(noise_max);
        let centre = (self.half() * weight) as i64;
        let scale = self.half() as f64 * weight as f64;
        let mut mean = Vec::with_capacity(values.len());
        for (at, sum) in values.iter().enumerate() {
            let sum = sum.signed();
            if !sums_within.contains(&sum) {
                return Err(Error::Sum { at });
            }
            mean.push((sum - centre) as f64 / scale * self.range);
        }
        Ok((mean, weight))
    }
}

/// Rounds to a whole number, ties to even, as `round_ties_even`, which is a call of a library where
/// the processor's instruction is not compiled in: numbers below 2^51 lose their fraction when
/// 1.5 2^52 is added.
fn rounded(value: f64) -> f64 {
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    match value.abs() < WHOLE / 4.0 {
        true => (value + WHOLE) - WHOLE,
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn usual() -> Quantiser {
        Quantiser::new::<u64>(3.0, 24, 1 << 17, 64, 0).unwrap()
    }

    fn sum<L: Lane>(all: &[Vec<L>]) -> Vec<L> {
        let mut sums = vec![L::default(); all[0].len()];
        for lanes in all {
            sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.plus(*lane));
        }
        sums
    }

    #[test]
    fn rounding_is_that_of_the_library() {
        let odd = [0.5, 1.5, 2.5, -0.5, -2.5, 0.499_999_999_999_999_94, 4_503_599_627_370_497.5];
        for value in odd.into_iter().chain([f64::NAN, f64::INFINITY, -1e300, 5e-324, -0.0]) {
            let (got, expected) = (rounded(value), value.round_ties_even());
            assert!(got == expected || got.is_nan() && expected.is_nan(), "{value}: {got}");
        }
        let mut value = 1e-9;
        while value < 1e12 {
            assert_eq!(rounded(value), value.round_ties_even());
            assert_eq!(rounded(-value), (-value).round_ties_even());
            value *= 1.000_37;
        }
    }

    #[test]
    fn zero_and_both_ends_are_exact() {
        let values = [-3.0, 0.0, -0.0, 3.0];
        let lanes: Vec<u64> = usual().encode(&values, 1).unwrap();
        assert_eq!(lanes, [0, (1 << 23) - 1, (1 << 23) - 1, (1 << 24) - 2, 1, 1]);
        assert_eq!(usual().decode(&lanes, 1).unwrap(), (values.to_vec(), 1));
    }

    #[test]
    fn what_would_be_clamped_is_refused() {
        for (bad, named) in [(f64::NAN, false), (f64::INFINITY, false), (3.1, true), (-1e300, true)]
        {
            let error = usual().encode::<u64>(&[0.0, bad], 1).unwrap_err();
            assert_eq!(matches!(error, Error::BeyondRange { at: 1, .. }), named, "{bad}");
            assert_eq!(matches!(error, Error::NotFiniteAt { at: 1 }), !named, "{bad}");
        }
        // A clip in float64 ends a few bits off.
        assert!(usual().encode::<u64>(&[3.0 * (1.0 + 4.0 * f64::EPSILON)], 1).is_ok());
        assert!(usual().encode::<u64>(&[], (1 << 17) + 1).is_err());
    }

    #[test]
    fn settings_whose_sums_could_wrap_are_refused() {
        // 24 bits, weights of 17 and 2^10 nodes are 51 bits; 2 M is two below 2^24.
        assert!(Quantiser::new::<u64>(1.0, 24, 1 << 17, 1 << 10, 0).is_ok());
        assert!(Quantiser::new::<u64>(1.0, 24, (1 << 17) + 1, 1 << 10, 0).is_err());
        assert!(Quantiser::new::<u64>(1.0, 24, 1 << 17, 64, u64::MAX).is_err());
        assert!(Quantiser::new::<u32>(1.0, 24, 1, 128, 0).is_ok());
        assert!(Quantiser::new::<u32>(1.0, 24, 1, 128, 1 << 31).is_err());
        assert!(Quantiser::new::<u32>(1.0, 24, 2, 128, 0).is_err());
        assert!(Quantiser::new::<u64>(1.0, 32, u64::MAX, u32::MAX, 0).is_err());
        for (range, bits, weight, parties) in [
            (0.0, 24, 1, 1),
            (f64::NAN, 24, 1, 1),
            (1.0, 1, 1, 1),
            (1.0, 33, 1, 1),
            (1.0, 24, 0, 1),
            (1.0, 24, 1, 0),
        ] {
            assert!(Quantiser::new::<u64>(range, bits, weight, parties, 0).is_err());
        }
    }

    #[test]
    fn a_sum_that_cannot_be_is_refused_by_its_name() {
        let lanes: Vec<u64> = usual().encode(&[1.0, 2.0], 10).unwrap();
        let sums = sum(&[lanes.clone(), lanes.clone(), lanes]);
        assert_eq!(usual().decode(&sums, 3).unwrap().1, 30);
        assert!(matches!(usual().decode(&sums, 2), Err(Error::Count { got: 3, expected: 2 })));
        let mut wrong = sums.clone();
        wrong[1] = 30 * ((1 << 24) - 2) + 1;
        assert!(matches!(usual().decode(&wrong, 3), Err(Error::Sum { at: 1 })));
        wrong[1] = u64::MAX;
        assert!(matches!(usual().decode(&wrong, 3), Err(Error::Sum { at: 1 })));
        let mut wrong = sums.clone();
        wrong[2] = 0;
        assert!(matches!(usual().decode(&wrong, 3), Err(Error::NoWeight)));
        wrong[2] = (1 << 17) * 3 + 1;
        assert!(matches!(usual().decode(&wrong, 3), Err(Error::Weight { .. })));
        assert!(matches!(usual().decode::<u64>(&[1], 1), Err(Error::Length { .. })));
    }

    #[test]
    fn noise_may_pass_the_ends_by_what_was_said() {
        let noisy = Quantiser::new::<u64>(3.0, 24, 1, 64, 100).unwrap();
        let mut lanes: Vec<u64> = noisy.encode(&[-3.0, 3.0], 1).unwrap();
        lanes[0] = lanes[0].wrapping_sub(100);
        lanes[1] += 100;
        let (mean, _) = noisy.decode(&lanes, 1).unwrap();
        assert!(mean[0] < -3.0 && mean[1] > 3.0);
        lanes[1] += 1;
        assert!(matches!(noisy.decode(&lanes, 1), Err(Error::Sum { at: 1 })));
    }

    /// Seven nodes, noise of the honest minimum of five: what is decoded is the mean and noise.
    #[test]
    fn noise_sums_to_the_noise_that_was_asked_for() {
        let sigma = 3_000.0;
        let share = Variance::at_least(sigma).unwrap().share(5).unwrap();
        let quantiser = Quantiser::new::<u64>(1.0, 16, 1, 7, share.noise_max(7)).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut noisy = || {
            let mut lanes = quantiser.encode::<u64>(&[0.25; 4_000], 1).unwrap();
            quantiser.add_noise(&mut lanes, share, 7, &mut rng).unwrap();
            lanes
        };
        let sums = sum(&(0..7).map(|_| noisy()).collect::<Vec<_>>());
        let (mean, _) = quantiser.decode(&sums, 7).unwrap();
        let noise = mean.iter().map(|value| (value - 0.25) * 7.0 / quantiser.step());
        let variance = noise.map(|x| x * x).sum::<f64>() / 4_000.0;
        let expected = sigma * sigma * 7.0 / 5.0;
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance}, {expected}");
    }

    #[test]
    fn noise_wants_weight_one_and_room() {
        let quantiser = Quantiser::new::<u64>(1.0, 16, 9, 7, 100).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut noisy = |weight, variance| {
            let mut lanes = quantiser.encode::<u64>(&[0.5], weight).unwrap();
            let share = Variance::new(variance, 1).unwrap();
            quantiser.add_noise(&mut lanes, share, 7, &mut rng)
        };
        assert!(noisy(1, 9).is_ok());
        assert!(matches!(noisy(9, 9), Err(Error::NoisyWeight { got: 9 })));
        assert!(matches!(noisy(1, 10), Err(Error::Setting { name: "noise_max", .. })));
    }

    #[test]
    fn rounding_is_part_of_the_sensitivity() {
        let quantiser = Quantiser::new::<u64>(1.0, 8, 1, 3, 0).unwrap();
        let values = [0.6, -0.8, 0.0, 0.001];
        let lanes: Vec<u64> = quantiser.encode(&values, 1).unwrap();
        let centred = lanes[..4].iter().map(|lane| (*lane as f64 - 127.0).powi(2));
        assert!(centred.sum::<f64>().sqrt() <= quantiser.norm_max(1.0 + 1e-6, 4));
        assert!((quantiser.norm_max(1.0, 4) - 128.0).abs() < 1e-9);
    }

    fn nodes() -> impl Strategy<Value = Vec<(u64, Vec<f64>)>> {
        (0usize..20).prop_flat_map(|n| {
            let node = (1u64..=1 << 17, prop::collection::vec(-3.0f64..=3.0, n));
            prop::collection::vec(node, 1..9)
        })
    }

    proptest! {
        #[test]
        fn the_mean_of_sums_is_the_mean_within_half_a_step(nodes in nodes(), bits in 4u32..28) {
            let quantiser = Quantiser::new::<u64>(3.0, bits, 1 << 17, 16, 0).unwrap();
            let lanes = nodes.iter().map(|(w, x)| quantiser.encode::<u64>(x, *w).unwrap());
            let sums = sum(&lanes.collect::<Vec<_>>());
            let (mean, total) = quantiser.decode(&sums, nodes.len() as u32).unwrap();
            prop_assert_eq!(total, nodes.iter().map(|(w, _)| w).sum::<u64>());
            for (at, value) in mean.iter().enumerate() {
                let clear: f64 = nodes.iter().map(|(w, x)| *w as f64 * x[at]).sum();
                prop_assert!((value - clear / total as f64).abs() <= quantiser.error_max());
            }
        }

        #[test]
        fn narrow_lanes_give_the_same_mean(values in prop::collection::vec(-1.0f64..=1.0, 0..20)) {
            let quantiser = Quantiser::new::<u32>(1.0, 20, 1, 8, 0).unwrap();
            let narrow = quantiser.encode::<u32>(&values, 1).unwrap();
            let wide = quantiser.encode::<u64>(&values, 1).unwrap();
            let narrow = quantiser.decode(&sum(&vec![narrow; 5]), 5).unwrap();
            prop_assert_eq!(narrow, quantiser.decode(&sum(&vec![wide; 5]), 5).unwrap());
        }
    }
}
