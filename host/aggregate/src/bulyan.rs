//! Bulyan over Krum.

use fedwasm_params::Params;
use fedwasm_protocol::NodeId;

use crate::fold::{All, not_begun};
use crate::krum::Distances;
use crate::numbers::{at_least, coordinatewise, median, plain_mean, rounded};
use crate::{AggregateError, Aggregator, Samples};

const NAME: &str = "bulyan";

/// Selects `θ = n - 2 f` updates, each by Krum among those not yet selected,
/// and averages of each element the `θ - 2 f` values nearest to the median of
/// the selected, regardless of sample counts (El Mhamdi et al. 2018). Resists
/// `f` nodes of `n ≥ 4 f + 3`.
///
/// * Krum wants `2 f + 3` updates, but at the end down to `2 f + 1` are left. Of
///   `l` left, each is scored over its `max(l - f - 2, 1)` nearest, as in flwr:
///   with no neighbour all would score 0 and the node id alone would choose.
///   With one, at the end if `f` is 1 or 2, the two nearest to each other tie,
///   and the smaller node id is taken.
/// * flwr selects all `θ` with the scores of one Krum unless it is given the
///   paper's rule, as our test vectors do.
/// * Of two values as far from the median the smaller is nearer.
#[derive(Clone, Debug)]
pub(crate) struct Bulyan {
    f: usize,
    round: Option<All>,
}

impl Bulyan {
    pub(crate) fn new(f: usize) -> Self {
        Self { f, round: None }
    }
}

impl Aggregator for Bulyan {
    fn name(&self) -> &str {
        NAME
    }

    fn needs_all(&self) -> bool {
        true
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        let f = self.f;
        let needed = f.saturating_mul(4).saturating_add(3);
        at_least(NAME, needed, &format!("4 f + 3 with f = {f}"), samples)?;
        self.round = Some(All::begin(NAME, global, samples));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.round.as_mut().ok_or_else(|| not_begun(NAME))?.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, updates) = round.finish()?;
        let f = self.f;
        let sets: Vec<&Params> = updates.iter().map(|(_, update)| update).collect();
        let theta = sets.len() - 2 * f;
        let distances = Distances::new(&global, &sets)?;
        let mut left: Vec<usize> = (0..sets.len()).collect();
        for _ in 0..theta {
            let best = distances.ranking(&left, f).first().copied();
            left.retain(|index| Some(*index) != best);
        }
        let selected = sets.into_iter().enumerate().filter(|(index, _)| !left.contains(index));
        let selected: Vec<&Params> = selected.map(|(_, set)| set).collect();
        let central = |ascending: &[f64]| mean_around_median(ascending, theta - 2 * f);
        rounded(NAME, &coordinatewise(&global, &selected, central)?, &global)
    }
}

/// Returns the mean of the `n` values nearest to the median.
fn mean_around_median(ascending: &[f64], n: usize) -> f64 {
    let median = median(ascending);
    let away = |value: &f64| (value - median).abs();
    let mut values = ascending.to_vec();
    // A stable sort: the smaller of two as far comes first.
    values.sort_by(|a, b| away(a).total_cmp(&away(b)));
    values.truncate(n);
    plain_mean(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr_with_the_papers_selection() {
        equals_flwr(&mut Bulyan::new(1), "bulyan_1");
        equals_flwr(&mut Bulyan::new(1), "bulyan_1_odd");
    }

    #[test]
    fn without_bad_nodes_it_is_the_plain_mean() {
        let updates = updates_of(&[("a", 9, &[1.0]), ("b", 1, &[2.0]), ("c", 1, &[6.0])]);
        let result = Bulyan::new(0).aggregate(&params(&[0.0]), &updates).unwrap();
        assert_eq!(result, params(&[3.0]));
    }

    #[test]
    fn values_nearest_to_the_median_are_averaged() {
        assert_eq!(mean_around_median(&[0.0, 2.0, 3.0, 3.5, 9.0], 3), (2.0 + 3.0 + 3.5) / 3.0);
        assert_eq!(mean_around_median(&[1.0, 3.0, 5.0], 2), 2.0);
        assert_eq!(mean_around_median(&[1.0, 3.0], 1), 1.0);
    }

    #[test]
    fn far_off_node_has_no_say() {
        let honest = ["a", "b", "c", "d", "e", "f"].map(|node| (node, 1, &[1.0f32, -2.0][..]));
        let far = [("_", 1000, &[1e30f32, 1e30][..])];
        let updates = updates_of(&[&far[..], &honest].concat());
        let result = Bulyan::new(1).aggregate(&params(&[0.0; 2]), &updates).unwrap();
        assert_eq!(result, params(&[1.0, -2.0]));
    }

    #[test]
    fn names_of_nodes_do_not_matter_without_ties() {
        let names = (0..).map(|k: usize| node(k + 10));
        let values = updates(0, 9).into_values().chain(updates(1, 9).into_values());
        ignores_names_of_nodes(|| Box::new(Bulyan::new(3)), &names.zip(values).collect());
    }

    #[test]
    fn one_node_fewer_is_refused() {
        let error = Bulyan::new(1).aggregate(&start(), &updates(0, 6)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bulyan needs at least 7 nodes (4 f + 3 with f = 1), 6 took part"
        );
        assert!(Bulyan::new(usize::MAX).aggregate(&start(), &updates(0, 9)).is_err());
    }
}
