//! Tests of paired differences, such as those of two methods over folds. A few lines here instead
//! of a crate of statistics: with whole degrees of freedom Student's distribution is a finite sum,
//! and signed ranks are counted.

use serde::Serialize;

/// The most pairs whose signed ranks are counted.
const RANKED_MAX: usize = 100;

/// How far differences of pairs are from 0. Values of p are two-sided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Pairs.
    pub n: usize,
    /// The mean difference.
    pub mean: f64,
    /// Student's t of the differences; none of fewer than two, or if all are equal.
    pub t: Option<f64>,
    /// Its p, as if pairs were independent.
    pub p: Option<f64>,
    /// The p for runs whose training rows overlap, as those of folds do: the variance of the mean
    /// is `(1/n + n_test/n_train) s^2` instead of `s^2/n` (Nadeau and Bengio, Inference for the
    /// generalization error, Machine Learning 52, 2003, equation 8).
    pub p_corrected: Option<f64>,
    /// The exact p of Wilcoxon's signed ranks, equal sizes with their mean rank and differences of
    /// 0 left out; none if no pair differs, or of more than 100 pairs.
    pub wilcoxon_p: Option<f64>,
}

impl Paired {
    /// Tests differences of finite values; `test_over_train` are the held-out rows of a run over
    /// those that it trained on.
    pub fn of(differences: &[f64], test_over_train: f64) -> Self {
        let n = differences.len();
        let mean = differences.iter().sum::<f64>() / n.max(1) as f64;
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let variance = squares / n.saturating_sub(1) as f64;
        // Rounding alone makes no spread.
        let largest = differences.iter().fold(0.0f64, |most, d| most.max(d.abs()));
        let has_spread = n > 1 && variance.sqrt() > largest * 1e-12;
        let t = |of_variance: f64| has_spread.then(|| mean / (of_variance * variance).sqrt());
        let p = |t: Option<f64>| t.map(|t| two_sided(t, n - 1));
        let share = 1.0 / n.max(1) as f64;
        Self {
            n,
            mean,
            t: t(share),
            p: p(t(share)),
            p_corrected: p(t(share + test_over_train)),
            wilcoxon_p: signed_ranks(differences),
        }
    }
}

/// The probability of a larger |t| with so many degrees of freedom: Abramowitz and Stegun, Handbook
/// of Mathematical Functions, 26.7.3 and 26.7.4.
fn two_sided(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let is_odd = freedom % 2 == 1;
    // Each term is the one before, times cos^2 and the next factor.
    let (mut term, mut sum) = (if is_odd { cosine } else { 1.0 }, 0.0);
    let mut k = if is_odd { 1 } else { 0 };
    while k + 2 <= freedom {
        sum += term;
        k += 2;
        term *= cosine * cosine * (k - 1) as f64 / k as f64;
    }
    let inside = match is_odd {
        true => (angle + sine * sum) * std::f64::consts::FRAC_2_PI,
        false => sine * sum,
    };
    (1.0 - inside).clamp(0.0, 1.0)
}

/// Counts the sums of ranks that all signs could give.
fn signed_ranks(differences: &[f64]) -> Option<f64> {
    let mut sizes: Vec<(f64, bool)> =
        differences.iter().filter(|d| **d != 0.0).map(|d| (d.abs(), *d > 0.0)).collect();
    if sizes.is_empty() || sizes.len() > RANKED_MAX {
        return None;
    }
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the ranks, so that those of equal sizes are whole.
    let (mut ranks, mut first, mut plus) = (Vec::new(), 1, 0);
    for equal in sizes.chunk_by(|a, b| a.0 == b.0) {
        let rank = 2 * first + equal.len() - 1;
        ranks.extend(equal.iter().map(|_| rank));
        plus += rank * equal.iter().filter(|(_, is_plus)| *is_plus).count();
        first += equal.len();
    }
    let all: usize = ranks.iter().sum();
    let mut chances = vec![0.0; all + 1];
    chances[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        reached += rank;
        for sum in (0..=reached).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |rest| chances[rest]);
            chances[sum] = (chances[sum] + with) / 2.0;
        }
    }
    let below: f64 = chances[..=plus].iter().sum();
    let above: f64 = chances[plus..].iter().sum();
    Some((2.0 * below.min(above)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        differences: Vec<f64>,
        test_over_train: f64,
        t: Option<f64>,
        p: Option<f64>,
        p_corrected: Option<f64>,
        wilcoxon_p: Option<f64>,
    }

    // tests/oracles/paired_scipy.py made them.
    #[test]
    fn tests_equal_scipy() {
        let cases = include_str!("../../../tests/data/paired_scipy.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 27);
        for (at, case) in cases.into_iter().enumerate() {
            let got = Paired::of(&case.differences, case.test_over_train);
            let near = |got: Option<f64>, expected: Option<f64>, what: &str| match (got, expected) {
                (Some(got), Some(expected)) => {
                    let far = (got - expected).abs() / expected.abs().max(1e-3);
                    assert!(far < 1e-11, "{at} {what}: {got} {expected}");
                }
                (got, expected) => assert_eq!(got, expected, "{at} {what}"),
            };
            near(got.t, case.t, "t");
            near(got.p, case.p, "p");
            near(got.p_corrected, case.p_corrected, "corrected");
            near(got.wilcoxon_p, case.wilcoxon_p, "wilcoxon");
        }
    }

    #[test]
    fn too_few_pairs_or_too_many_have_no_test() {
        let none = Paired::of(&[], 0.5);
        assert_eq!((none.n, none.t, none.wilcoxon_p), (0, None, None));
        let one = Paired::of(&[0.5], 0.5);
        assert_eq!((one.mean, one.t, one.wilcoxon_p), (0.5, None, Some(1.0)));
        let many: Vec<f64> = (0..=RANKED_MAX).map(|n| n as f64 - 20.5).collect();
        let ranked = Paired::of(&many[1..], 0.0).wilcoxon_p;
        let many = Paired::of(&many, 0.0);
        assert!(many.p.is_some_and(|p| p < 1e-10) && many.wilcoxon_p.is_none());
        assert!(ranked.is_some_and(|p| p < 1e-8));
    }
}
