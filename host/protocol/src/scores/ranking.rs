//! How well scores put rows of class 1 above the others: from groups of rows in the order of their
//! scores, one a distinct score or one a bin.

/// The area under a curve, and how far it may be from that of the single scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The area; rows of a group count as equal.
    pub value: f64,
    /// The largest distance from the area of the scores that the groups hold.
    pub error: f64,
}

/// The areas that follow from ranked rows; none where they are undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranking {
    /// Under the curve of true over false positives; needs rows of both classes.
    pub roc_auc: Option<Area>,
    /// Average precision, the area under precision over recall as steps; needs rows of class 1.
    pub pr_auc: Option<Area>,
}

/// Rows of class 1 and others with one score, or in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Rows of other classes.
    pub others: u64,
    /// Rows of class 1.
    pub positives: u64,
}

impl Ranking {
    /// Ranks `groups` in descending order of their scores.
    ///
    /// `roc_auc` is Mann and Whitney's U over all pairs, a pair within a group counting a half: single
    /// scores change each such pair by a half at most. `pr_auc` is scikit-learn's
    /// `average_precision_score`; with single scores the n-th of `p` rows of class 1 in a group has
    /// a precision between that after all others of the group and that before them.
    pub fn of(groups: impl Iterator<Item = Group> + Clone) -> Self {
        let sum =
            |of: fn(&Group) -> u64| groups.clone().map(|group| of(&group) as f64).sum::<f64>();
        let (all, n_others) = (sum(|group| group.positives), sum(|group| group.others));
        if all == 0.0 {
            return Self::default();
        }
        // Twice the pairs: whole numbers, exact below 2^53.
        let (mut pairs, mut unsure) = (0.0, 0.0);
        let (mut steps, mut least, mut most) = (0.0, 0.0, 0.0);
        let (mut found, mut passed) = (0.0, 0.0);
        for group in groups {
            let (p, n) = (group.positives as f64, group.others as f64);
            pairs += n * (2.0 * found + p);
            unsure += n * p;
            if p > 0.0 {
                steps += p * ((found + p) / (found + p + passed + n));
                most += p * ((found + p) / (found + p + passed));
                least += least_of(p, found, passed + n);
            }
            found += p;
            passed += n;
        }
        let area = |value: f64, error: f64| Area { value, error };
        let steps = steps / all;
        let apart = f64::max(most / all - steps, steps - least / all).max(0.0);
        let of_pairs = 2.0 * all * n_others;
        Self {
            roc_auc: (n_others > 0.0).then(|| area(pairs / of_pairs, unsure / of_pairs)),
            pr_auc: Some(area(steps, apart)),
        }
    }
}

/// The least sum of precisions of `p` rows of class 1 that come one by one after `found` of them and
/// `passed` others: of (found + i) / (found + passed + i) for i = 1 to p. The terms grow, so their sum is
/// at least the integral from 0 to p.
fn least_of(p: f64, found: f64, passed: f64) -> f64 {
    let before = found + passed;
    match before > 0.0 {
        true => (p - passed * libm::log1p(p / before)).max(0.0),
        false => p,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group((others, positives): (u64, u64)) -> Group {
        Group { others, positives }
    }

    fn of(groups: &[(u64, u64)]) -> Ranking {
        Ranking::of(groups.iter().copied().map(group))
    }

    #[test]
    fn areas_without_a_class_are_undefined() {
        assert_eq!(of(&[]), Ranking::default());
        assert_eq!(of(&[(3, 0), (1, 0)]), Ranking::default());
        let only = of(&[(0, 3)]);
        assert_eq!((only.roc_auc, only.pr_auc.unwrap().value), (None, 1.0));
    }

    /// Every order of the rows of a bin has areas within the error, those with ties too.
    #[test]
    fn every_order_within_a_bin_is_within_the_error() {
        let bins = [(1, 2), (0, 1), (3, 2), (2, 1)];
        let coarse = of(&bins);
        let mut orders = vec![Vec::new()];
        for (others, positives) in bins {
            let mut next = Vec::new();
            for order in &orders {
                for way in ways(others, positives) {
                    next.push([&order[..], &way].concat());
                }
            }
            orders = next;
        }
        assert!(orders.len() > 1_000);
        for order in orders {
            let fine = of(&order);
            for (fine, coarse) in [(fine.roc_auc, coarse.roc_auc), (fine.pr_auc, coarse.pr_auc)] {
                let (fine, coarse) = (fine.unwrap(), coarse.unwrap());
                let apart = (fine.value - coarse.value).abs();
                assert!(apart <= coarse.error + 1e-12, "{order:?} {fine:?} {coarse:?}");
            }
        }
    }

    /// All ways to split rows into groups in some order.
    fn ways(others: u64, positives: u64) -> Vec<Vec<(u64, u64)>> {
        if others + positives == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for n in 0..=others {
            for p in 0..=positives {
                if n + p > 0 {
                    for rest in ways(others - n, positives - p) {
                        all.push([&[(n, p)][..], &rest].concat());
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let most = of(&[(u64::MAX, u64::MAX), (u64::MAX, u64::MAX)]);
        let (roc, pr) = (most.roc_auc.unwrap(), most.pr_auc.unwrap());
        assert!((roc.value - 0.5).abs() < 1e-9 && (pr.value - 0.5).abs() < 1e-9, "{most:?}");
        assert!(roc.error.is_finite() && pr.error.is_finite());
    }
}
