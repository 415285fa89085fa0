//! Krum and Multi-Krum.

use fedwasm_params::{Error, Params, weighted_mean_f64};
use fedwasm_protocol::NodeId;

use crate::fold::{All, not_begun};
use crate::numbers::{at_least, for_columns, rounded};
use crate::{AggregateError, Aggregator, Samples};

const NAME: &str = "krum";

/// Scores each update with the sum of its squared distances to its `n - f - 2`
/// nearest others and takes the mean of the `m` lowest scores; `m` = 1 is Krum
/// (Blanchard et al. 2017). Of equal scores that of the smaller node id is
/// lower. Resists `f` nodes of `n ≥ 2 f + 3`; `m` is at most `n - f - 2`.
///
/// The paper's Multi-Krum takes the plain mean. We weigh by sample counts as
/// flwr does: a selected node that lies about its count pulls the mean.
#[derive(Clone, Debug)]
pub(crate) struct Krum {
    f: usize,
    m: usize,
    round: Option<All>,
}

impl Krum {
    pub(crate) fn new(f: usize, m: usize) -> Self {
        Self { f, m, round: None }
    }
}

impl Aggregator for Krum {
    fn name(&self) -> &str {
        if self.m == 1 { NAME } else { "multi_krum" }
    }

    fn needs_all(&self) -> bool {
        true
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        let Self { f, m, .. } = *self;
        let resisting = f.saturating_mul(2).saturating_add(3);
        at_least(NAME, resisting, &format!("2 f + 3 with f = {f}"), samples)?;
        let scored = f.saturating_add(m).saturating_add(2);
        at_least(NAME, scored, &format!("f + m + 2 with f = {f} and m = {m}"), samples)?;
        self.round = Some(All::begin(NAME, global, samples));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.round.as_mut().ok_or_else(|| not_begun(NAME))?.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, updates) = round.finish()?;
        let sets: Vec<&Params> = updates.iter().map(|(_, update)| update).collect();
        let all: Vec<usize> = (0..sets.len()).collect();
        let mut best = Distances::new(&global, &sets)?.ranking(&all, self.f);
        best.truncate(self.m);
        let chosen = updates.iter().enumerate().filter(|(index, _)| best.contains(index));
        let chosen: Vec<(f64, &Params)> =
            chosen.map(|(_, (n_samples, update))| (*n_samples as f64, update)).collect();
        rounded(NAME, &weighted_mean_f64(&chosen, &global)?, &global)
    }
}

/// Squared L2 distances between updates; row `i` holds those to `0..i`.
pub(crate) struct Distances(Vec<Vec<f64>>);

impl Distances {
    /// Measures over all tensors, from the differences: flwr's expansion
    /// `‖a‖² + ‖b‖² - 2 a·b` loses all digits of updates that are close.
    pub(crate) fn new(global: &Params, sets: &[&Params]) -> Result<Self, Error> {
        let mut rows: Vec<Vec<f64>> = (0..sets.len()).map(|i| vec![0.0; i]).collect();
        for_columns(global, sets, |column| {
            for (row, a) in rows.iter_mut().zip(&column) {
                for (distance, b) in row.iter_mut().zip(&column) {
                    *distance += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
                }
            }
        })?;
        Ok(Self(rows))
    }

    /// Returns `left`, ascending indices, by ascending score among themselves.
    /// A score is over the `l - f - 2` nearest of `l` left, at least one.
    pub(crate) fn ranking(&self, left: &[usize], f: usize) -> Vec<usize> {
        let n_nearest = left.len().saturating_sub(f.saturating_add(2)).max(1);
        // A row ends before its own index, so none is its own neighbour.
        let between = |i: usize, j: usize| self.0.get(i.max(j))?.get(i.min(j)).copied();
        let score = |i: usize| {
            let mut distances: Vec<f64> = left.iter().filter_map(|j| between(i, *j)).collect();
            distances.sort_unstable_by(f64::total_cmp);
            distances.iter().take(n_nearest).sum::<f64>()
        };
        let mut scores: Vec<(f64, usize)> = left.iter().map(|i| (score(*i), *i)).collect();
        scores.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        scores.into_iter().map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut Krum::new(2, 1), "krum");
        equals_flwr(&mut Krum::new(2, 4), "multi_krum");
    }

    #[test]
    fn equal_scores_go_to_the_smaller_id() {
        let pair = [("a", 1, &[1.0f32][..]), ("b", 1, &[2.0]), ("c", 1, &[3.0]), ("d", 1, &[4.0])];
        let result = Krum::new(0, 1).aggregate(&params(&[0.0]), &updates_of(&pair)).unwrap();
        assert_eq!(result, params(&[2.0]));
        let swapped =
            [("a", 1, &[1.0f32][..]), ("b", 1, &[3.0]), ("c", 1, &[2.0]), ("d", 1, &[4.0])];
        let result = Krum::new(0, 1).aggregate(&params(&[0.0]), &updates_of(&swapped)).unwrap();
        assert_eq!(result, params(&[3.0]));
    }

    #[test]
    fn chosen_updates_are_weighted_by_samples() {
        let updates = updates_of(&[
            ("a", 1, &[0.0]),
            ("b", 3, &[0.5]),
            ("c", 1, &[90.0]),
            ("d", 9, &[99.0]),
            ("e", 9, &[0.25]),
        ]);
        let result = Krum::new(1, 2).aggregate(&params(&[0.0]), &updates).unwrap();
        assert_eq!(result, params(&[0.225]));
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(Krum::new(2, 3)), &updates(1, 8));
    }

    #[test]
    fn infinite_distances_are_far() {
        let values = [1.0, 2.0, f64::MAX, -f64::MAX, 1.5];
        let updates = ["a", "b", "c", "d", "e"].into_iter().zip(values);
        let updates = updates.flat_map(|(node, value)| update_of(node, 1, doubles(&[value])));
        let result = Krum::new(1, 1).aggregate(&doubles(&[0.0]), &updates.collect()).unwrap();
        assert_eq!(result, doubles(&[1.5]));
    }

    #[test]
    fn one_node_fewer_is_refused() {
        assert!(Krum::new(2, 3).aggregate(&start(), &updates(0, 7)).is_ok());
        let error = |krum: &mut Krum, n| krum.aggregate(&start(), &updates(0, n)).unwrap_err();
        assert_eq!(
            error(&mut Krum::new(2, 3), 6).to_string(),
            "krum needs at least 7 nodes (2 f + 3 with f = 2), 6 took part"
        );
        assert_eq!(
            error(&mut Krum::new(2, 4), 7).to_string(),
            "krum needs at least 8 nodes (f + m + 2 with f = 2 and m = 4), 7 took part"
        );
        assert!(error(&mut Krum::new(usize::MAX, 1), 9).to_string().contains("9 took part"));
    }
}
