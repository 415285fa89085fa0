//! Sums against the updates that they are made of, for every method.

use std::collections::BTreeMap;

use fedwasm_params::{DType, from_f64, to_f64, weighted_mean_f64};
use fedwasm_protocol::Fields;

use super::*;
use crate::numbers::testing::*;
use crate::numbers::{prefixed, zeros};
use crate::scaffold::Scaffold;
use crate::settings::NAMES;
use crate::{AggregatorArgs, Updates, transpose};

fn args(name: &str) -> AggregatorArgs {
    let settings = match name {
        "fedprox" => "mu = 0.1",
        "scaffold" => "server_lr = 0.5",
        "fedavgm" => "lr = 0.7",
        "krum" | "bulyan" => "f = 1",
        "multi_krum" => "f = 1\nm = 2",
        "norm_bound" => "bound = 2",
        _ => "",
    };
    let table = toml::from_str(&format!("name = \"{name}\"\n{settings}")).unwrap();
    AggregatorArgs::take(&mut Fields::new("aggregator", table))
}

fn in_doubles(params: &Params) -> Params {
    from_f64(&to_f64(params, params).unwrap(), &zeros(DType::Float64, params).unwrap()).unwrap()
}

/// The sum of a round: the exact mean, rounded once.
fn sum_of(updates: &Updates, like: &Params, weights: Weights, aux: Params) -> RoundSum {
    let weight = |n_samples: u64| match weights {
        Weights::Rows => n_samples as f64,
        Weights::Equal => 1.0,
    };
    let sets: Vec<_> = updates.values().map(|one| (weight(one.n_samples), &one.params)).collect();
    let mean = weighted_mean_f64(&sets, like).unwrap();
    RoundSum {
        nodes: updates.keys().cloned().collect(),
        n_samples: updates.values().map(|update| update.n_samples).sum(),
        params: from_f64(&mean, like).unwrap(),
        aux,
    }
}

#[test]
fn the_mean_of_a_round_gives_what_its_updates_give() {
    for name in METHODS.into_iter().filter(|name| *name != "scaffold") {
        let (mut clear, mut of_sums) = (args(name).build(), args(name).build());
        of_sums.expect_sums().unwrap();
        let (mut global, weights) = (start(), of_sums.of_sums().unwrap());
        for round in 0..4 {
            let updates = updates(round, 5);
            let sum = sum_of(&updates, &global, weights, Params::default());
            let expected = clear.aggregate(&global, &updates).unwrap();
            let got = of_sums.take_sum(&global, &sum).unwrap();
            assert_near(&got, &expected);
            global = expected;
        }
    }
}

/// Compares to a few roundings of float32.
fn assert_near(got: &Params, expected: &Params) {
    let (got, expected) = (to_f64(got, expected).unwrap(), to_f64(expected, expected).unwrap());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(0.1), "{got} {expected}");
    }
}

#[test]
fn methods_that_must_see_updates_are_refused_by_name() {
    for name in NAMES {
        let mut aggregator = args(name).build();
        assert_eq!(aggregator.of_sums().is_some(), METHODS.contains(&name), "{name}");
        assert_eq!(args(name).of_sums().ok(), aggregator.of_sums(), "{name}");
        if let Some(weights) = aggregator.of_sums() {
            assert_eq!(args(name).weighs_rows(), weights == Weights::Rows, "{name}");
            continue;
        }
        let expected = format!(
            "{name} needs the updates of single nodes, and only their sum is known; a sum is \
             enough for fedavg, fedprox, scaffold, fedavgm, fedadagrad, fedadam, fedyogi"
        );
        let sum = sum_of(&updates(0, 5), &start(), Weights::Equal, Params::default());
        let errors = [
            args(name).of_sums().unwrap_err(),
            aggregator.expect_sums().unwrap_err(),
            aggregator.take_sum(&start(), &sum).unwrap_err(),
        ];
        errors.iter().for_each(|error| assert_eq!(error.to_string(), expected));
    }
}

#[test]
fn a_sum_of_no_node_or_of_other_tensors_is_refused() {
    for name in METHODS {
        let mut aggregator = args(name).build();
        aggregator.expect_sums().unwrap();
        let sum = sum_of(&updates(0, 2), &start(), Weights::Rows, changes(&updates(0, 2), None));
        let before = aggregator.state().unwrap();
        let mut refused = |sum: RoundSum| {
            let error = aggregator.take_sum(&start(), &sum).unwrap_err();
            assert_eq!(aggregator.state().unwrap(), before);
            error
        };
        let no_node = RoundSum { nodes: BTreeSet::new(), ..sum.clone() };
        assert!(matches!(refused(no_node), AggregateError::TooFewNodes { needed: 1, got: 0, .. }));
        let other = RoundSum { params: params(&[1.0]), ..sum.clone() };
        assert!(matches!(refused(other), AggregateError::Params(_)), "{name}");
        let huge = doubles(&[f64::INFINITY]);
        let error = aggregator.take_sum(&doubles(&[1.0]), &RoundSum { params: huge, ..sum });
        assert!(error.is_err() && aggregator.state().unwrap() == before, "{name}");
    }
}

/// Control variates of a round, here the updates themselves, minus those of before.
fn changes(updates: &Updates, before: Option<&BTreeMap<NodeId, Params>>) -> Params {
    let like = zeros(DType::Float64, &start()).unwrap();
    let mut sum = vec![0.0; to_f64(&like, &like).unwrap().len()];
    for (node, update) in updates {
        let old = before.and_then(|before| before.get(node)).cloned();
        let old = to_f64(&old.unwrap_or_else(|| like.clone()), &like).unwrap();
        let new = to_f64(&in_doubles(&update.params), &like).unwrap();
        sum.iter_mut().zip(new.iter().zip(old)).for_each(|(sum, (new, old))| *sum += new - old);
    }
    Params::new(prefixed("scaffold.local.", &from_f64(&sum, &like).unwrap())).unwrap()
}

/// Runs the clear form and that of sums beside each other in float64; in round `r` the nodes are
/// those of `nodes(r)`.
fn scaffold_both_ways(nodes: impl Fn(usize) -> Vec<usize>) -> (Scaffold, Scaffold) {
    let (mut clear, mut of_sums) = (Scaffold::new(0.5), Scaffold::new(0.5));
    of_sums.expect_sums().unwrap();
    let (mut global, mut kept) = (in_doubles(&start()), BTreeMap::new());
    for round in 0..4 {
        let mut all = updates(round, 5);
        let asked: Vec<NodeId> = nodes(round).into_iter().map(node).collect();
        all.retain(|node, _| asked.contains(node));
        all.values_mut().for_each(|update| update.params = in_doubles(&update.params));
        let aux_vars = clear.aux_vars(&global, &asked).unwrap();
        let of_sum = of_sums.aux_vars(&global, &asked).unwrap();
        assert_near(&of_sum.shared, &aux_vars.shared);
        assert!(of_sum.by_node.is_empty() && aux_vars.by_node.len() == asked.len());

        // A node sends float32.
        let singles = |params: &Params| {
            let like = zeros(DType::Float32, params).unwrap();
            from_f64(&to_f64(params, params).unwrap(), &like).unwrap()
        };
        let sent: Updates = all
            .iter()
            .map(|(node, one)| {
                (node.clone(), crate::Update { params: singles(&one.params), ..one.clone() })
            })
            .collect();
        let sum = sum_of(&all, &global, Weights::Equal, changes(&sent, Some(&kept)));
        let replies = sent.iter().map(|(node, one)| {
            let named = prefixed("scaffold.local.", &one.params);
            (node.clone(), Params::new(named).unwrap())
        });
        let after = clear.aggregate(&global, &all).unwrap();
        clear.take_aux_vars(&transpose(&replies.collect()).unwrap()).unwrap();
        let of_sum = of_sums.take_sum(&global, &sum).unwrap();
        let (got, expected) = (to_f64(&of_sum, &after).unwrap(), to_f64(&after, &after).unwrap());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-14 * expected.abs().max(0.1), "{got} {expected}");
        }
        kept.extend(sent.into_iter().map(|(node, one)| (node, in_doubles(&one.params))));
        global = after;
    }
    (clear, of_sums)
}

#[test]
fn scaffold_of_sums_is_the_clear_one() {
    scaffold_both_ways(|_| (0..5).collect());
    // With others in every round too: the total is of all that ever sent one.
    scaffold_both_ways(|round| vec![round, (round + 1) % 5]);
}

#[test]
fn scaffold_goes_on_from_a_breakpoint_of_sums_and_of_nothing_else() {
    let (mut clear, mut of_sums) = scaffold_both_ways(|round| vec![0, round + 1]);
    let state = of_sums.state().unwrap();
    let mut resumed = Scaffold::new(0.5);
    resumed.expect_sums().unwrap();
    resumed.restore(&reversed(&state)).unwrap();
    let global = in_doubles(&start());
    let sum = sum_of(&updates(0, 3), &start(), Weights::Equal, changes(&updates(0, 3), None));
    let sum = RoundSum { params: in_doubles(&sum.params), ..sum };
    assert_eq!(resumed.take_sum(&global, &sum).unwrap(), of_sums.take_sum(&global, &sum).unwrap());
    let resumed = resumed.state().unwrap();
    let tensors = of_sums.state().unwrap();
    assert!(tensors.iter().all(|(name, tensor)| resumed.tensor(name) == Some(tensor)));

    let error = of_sums.restore(&clear.state().unwrap()).unwrap_err().to_string();
    assert!(error.ends_with("it is of rounds whose updates were known one by one"), "{error}");
    let error = clear.restore(&state).unwrap_err().to_string();
    assert!(error.ends_with("it is of rounds of which only sums were known"), "{error}");
    // A state of a run without a round is that of both.
    of_sums.restore(&Params::default()).unwrap();
    assert!(of_sums.state().unwrap().is_empty());

    let without = |prefix: &str| {
        let kept = state.iter().filter(|(name, _)| !name.starts_with(prefix));
        Params::new(kept.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()).unwrap()
    };
    for prefix in ["total.", "sent."] {
        let error = of_sums.restore(&without(prefix)).unwrap_err().to_string();
        assert!(error.ends_with("`total.*` or `sent.*` is absent"), "{error}");
    }
}

#[test]
fn scaffold_takes_only_the_form_that_it_expects() {
    let sum = sum_of(&updates(0, 2), &start(), Weights::Equal, changes(&updates(0, 2), None));
    let error = Scaffold::new(1.0).take_sum(&start(), &sum).unwrap_err().to_string();
    assert_eq!(error, "scaffold: a sum came, and single updates are expected");
    let mut of_sums = Scaffold::new(1.0);
    of_sums.expect_sums().unwrap();
    let error = of_sums.aggregate(&start(), &updates(0, 2)).unwrap_err().to_string();
    assert_eq!(error, "scaffold: a single update came, and only sums are expected");
    let without = RoundSum { aux: Params::default(), ..sum };
    let error = of_sums.take_sum(&start(), &without).unwrap_err().to_string();
    assert!(error.starts_with("scaffold: the sum of changes of control variates"), "{error}");
    assert!(of_sums.state().unwrap().is_empty());
}
