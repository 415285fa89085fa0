//! The common parts of the methods: elements in float64, results in the types of the
//! parameters, and named states.

use std::collections::BTreeMap;

use fedwasm_params::{DType, Error, Params, SUMMABLE, Tensor, from_f64, to_f64};

use crate::{AggregateError, Samples};

/// Refuses a round with fewer nodes than `needed`, for the reason `rule`.
pub(crate) fn at_least(
    aggregator: &'static str,
    needed: usize,
    rule: &str,
    samples: &Samples,
) -> Result<(), AggregateError> {
    let (rule, got) = (rule.to_owned(), samples.len());
    match got >= needed {
        true => Ok(()),
        false => Err(AggregateError::TooFewNodes { aggregator, needed, rule, got }),
    }
}

/// The rule of the methods that need no more than one update.
pub(crate) const ONE: &str = "there is nothing to aggregate without one";

/// Rounds `values` to parameters such as `like`, all finite.
pub(crate) fn rounded(
    aggregator: &'static str,
    values: &[f64],
    like: &Params,
) -> Result<Params, AggregateError> {
    let params = from_f64(values, like)?;
    if let Some((name, _)) = params.iter().find(|(_, tensor)| !tensor.is_finite()) {
        return Err(AggregateError::NotFinite { aggregator, name: name.to_owned() });
    }
    Ok(params)
}

/// Returns zeros of type `dtype` with the names and shapes of those of `like`
/// that can be summed.
pub(crate) fn zeros(dtype: DType, like: &Params) -> Result<Params, Error> {
    let zeros = like.iter().filter(|(_, tensor)| SUMMABLE.contains(&tensor.dtype()));
    let zeros = zeros.map(|(name, tensor)| {
        Ok((name.to_owned(), Tensor::zeros(dtype, tensor.shape().to_vec())?))
    });
    Params::new(zeros.collect::<Result<_, Error>>()?)
}

/// One tensor of several sets of parameters.
pub(crate) type Column = Vec<Vec<f64>>;

/// Calls `each` with one tensor after the other of all sets, in the order of
/// `global`. Only that tensor is there in float64.
pub(crate) fn for_columns(
    global: &Params,
    sets: &[&Params],
    mut each: impl FnMut(Column),
) -> Result<(), Error> {
    for set in sets {
        let specs = global.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
        drop((*set).clone().arrange(specs)?);
    }
    let sets: Vec<BTreeMap<&str, &Tensor>> = sets.iter().map(|set| set.iter().collect()).collect();
    for (name, tensor) in global.iter() {
        let not_summable = || Error::NotSummable { name: name.to_owned(), dtype: tensor.dtype() };
        let tensors = sets.iter().filter_map(|set| set.get(name));
        let floats = tensors.map(|tensor| tensor.floats().ok_or_else(not_summable));
        each(floats.collect::<Result<_, Error>>()?);
    }
    Ok(())
}

/// Returns `combine` of each element's values in all sets, in the order of
/// `global`. The values come ascending.
pub(crate) fn coordinatewise(
    global: &Params,
    sets: &[&Params],
    combine: impl Fn(&[f64]) -> f64,
) -> Result<Vec<f64>, Error> {
    let mut combined = Vec::new();
    let mut values = Vec::with_capacity(sets.len());
    for_columns(global, sets, |column| {
        let n = column.first().map_or(0, Vec::len);
        let mut elements: Vec<_> = column.into_iter().map(Vec::into_iter).collect();
        combined.extend((0..n).map(|_| {
            values.clear();
            values.extend(elements.iter_mut().filter_map(Iterator::next));
            values.sort_unstable_by(f64::total_cmp);
            combine(&values)
        }));
    })?;
    Ok(combined)
}

/// Returns the middle one of ascending values, or the mean of the middle two.
pub(crate) fn median(ascending: &[f64]) -> f64 {
    let at = |index: usize| ascending.get(index).copied().unwrap_or(f64::NAN);
    at(ascending.len().saturating_sub(1) / 2).midpoint(at(ascending.len() / 2))
}

/// Returns the mean, summed in the given order.
pub(crate) fn plain_mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the tensors with `prefix` before their names.
pub(crate) fn prefixed(prefix: &str, params: &Params) -> Vec<(String, Tensor)> {
    let named = |(name, tensor): (&str, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
    params.iter().map(named).collect()
}

/// Takes the tensors of a state apart by the prefix that `split` finds before the
/// parameter's name. All are finite float64; every group has the names and
/// shapes of the first, in its order.
pub(crate) fn groups<'a>(
    state: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    split: impl Fn(&'a str) -> Option<(&'a str, &'a str)>,
) -> Result<BTreeMap<&'a str, Params>, AggregateError> {
    let mut groups: BTreeMap<&str, Vec<(String, Tensor)>> = BTreeMap::new();
    for (name, tensor) in state {
        let (group, rest) = split(name).ok_or_else(|| misfit(format!("`{name}` is unknown")))?;
        if tensor.dtype() != DType::Float64 || !tensor.is_finite() {
            return Err(misfit(format!("`{name}` is not finite {}", DType::Float64)));
        }
        groups.entry(group).or_default().push((rest.to_owned(), tensor.clone()));
    }
    let made = |(group, tensors)| Ok((group, Params::new(tensors)?));
    let mut groups = groups.into_iter().map(made).collect::<Result<BTreeMap<_, _>, Error>>()?;
    if let Some(first) = groups.values().next().cloned() {
        for group in groups.values_mut() {
            *group = from_f64(&in_order_of(group, &first)?, &first)?;
        }
    }
    Ok(groups)
}

/// Returns the elements of a part of a state in the order of `like`, whose
/// names and shapes it must have; zeros in the first round.
pub(crate) fn in_order_of(part: &Params, like: &Params) -> Result<Vec<f64>, AggregateError> {
    let like = zeros(DType::Float64, like)?;
    match part.is_empty() {
        true => Ok(to_f64(&like, &like)?),
        false => to_f64(part, &like).map_err(|error| misfit(error.to_string())),
    }
}

/// A state of something else.
pub(crate) fn misfit(reason: String) -> AggregateError {
    AggregateError::State { reason }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::{Aggregator, Update, Updates};
    use fedwasm_protocol::NodeId;
    use serde_json::Value;

    /// The output of tests/oracles/aggregators.py.
    pub(crate) fn vectors() -> Value {
        let text = include_str!("../../../tests/data/aggregators.json");
        serde_json::from_str(text).unwrap()
    }

    pub(crate) fn f64_of(value: &Value) -> f64 {
        value.as_f64().unwrap()
    }

    pub(crate) fn floats(values: &Value) -> Vec<f64> {
        values.as_array().unwrap().iter().map(f64_of).collect()
    }

    /// The elements of all tensors, one tensor after the other.
    pub(crate) fn elements(tensors: &Value) -> Vec<f64> {
        tensors.as_array().unwrap().iter().flat_map(floats).collect()
    }

    /// Parameters of the vectors: a float32 and a float64 tensor.
    pub(crate) fn params_of(tensors: &Value) -> Params {
        let vectors = vectors();
        let zeros = vectors["tensors"].as_array().unwrap().iter().map(|tensor| {
            let shape = floats(&tensor["shape"]).iter().map(|axis| *axis as u64).collect();
            let dtype = DType::from_name(tensor["dtype"].as_str().unwrap()).unwrap();
            (tensor["name"].as_str().unwrap().to_owned(), Tensor::zeros(dtype, shape).unwrap())
        });
        from_f64(&elements(tensors), &Params::new(zeros.collect()).unwrap()).unwrap()
    }

    /// The global parameters before the first round.
    pub(crate) fn start() -> Params {
        params_of(&vectors()["start"])
    }

    pub(crate) fn node(index: usize) -> NodeId {
        format!("node-{index}").parse().unwrap()
    }

    /// The first `n_nodes` updates of a round, from 0.
    pub(crate) fn updates(round: usize, n_nodes: usize) -> Updates {
        let vectors = vectors();
        let updates = vectors["updates"][round].as_array().unwrap().iter().take(n_nodes);
        let update = |(index, update): (usize, &Value)| {
            let n_samples = update["n_samples"].as_u64().unwrap();
            (node(index), Update { n_samples, params: params_of(&update["values"]) })
        };
        updates.enumerate().map(update).collect()
    }

    /// A float32 vector `w`.
    pub(crate) fn params(values: &[f32]) -> Params {
        let tensor = Tensor::from_f32(vec![values.len() as u64], values).unwrap();
        Params::new(vec![("w".into(), tensor)]).unwrap()
    }

    /// A float64 vector `w`.
    pub(crate) fn doubles(values: &[f64]) -> Params {
        let zeros = Tensor::zeros(DType::Float64, vec![values.len() as u64]).unwrap();
        from_f64(values, &Params::new(vec![("w".into(), zeros)]).unwrap()).unwrap()
    }

    pub(crate) fn update_of(node: &str, n_samples: u64, params: Params) -> Updates {
        Updates::from([(node.parse().unwrap(), Update { n_samples, params })])
    }

    pub(crate) fn updates_of(updates: &[(&str, u64, &[f32])]) -> Updates {
        let update = |(node, n_samples, values): &(&str, u64, &[f32])| {
            update_of(node, *n_samples, params(values))
        };
        updates.iter().flat_map(update).collect()
    }

    pub(crate) fn reversed(params: &Params) -> Params {
        let tensors = params.iter().rev().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        Params::new(tensors.collect()).unwrap()
    }

    /// Compares to 1e-6 of a float32 value and 1e-11 of a float64 value.
    pub(crate) fn assert_close(got: &Params, expected: &[f64]) {
        let mut expected = expected.iter();
        for (name, tensor) in got.iter() {
            let tolerance = if tensor.dtype() == DType::Float32 { 1e-6 } else { 1e-11 };
            for got in tensor.floats().unwrap() {
                let expected = expected.next().unwrap();
                let near = (got - expected).abs() <= tolerance * expected.abs().max(1e-3);
                assert!(near, "{name}: {got} instead of {expected}");
            }
        }
        assert!(expected.next().is_none());
    }

    /// Four rounds, each from the result of the one before.
    pub(crate) fn equals_flwr(aggregator: &mut dyn Aggregator, case: &str) {
        let (case, mut global) = (&vectors()["flwr"][case], start());
        let n_nodes = case["n_nodes"].as_u64().unwrap() as usize;
        for (round, expected) in case["expected"].as_array().unwrap().iter().enumerate() {
            global = aggregator.aggregate(&global, &updates(round, n_nodes)).unwrap();
            assert_close(&global, &elements(expected));
        }
    }

    /// Four rounds of one node, each from the start. What declearn calls
    /// gradient is the opposite of our step, and so is its momentum. Its Adam
    /// and Yogi scale steps otherwise; their moments are the same.
    pub(crate) fn equals_declearn(aggregator: &mut dyn Aggregator, module: &str) {
        for (round, row) in vectors()["declearn"][module].as_array().unwrap().iter().enumerate() {
            let result = aggregator.aggregate(&start(), &updates(round, 1)).unwrap();
            if row["m"].is_null() {
                assert_close(&result, &elements(&row["result"]));
                continue;
            }
            let state = aggregator.state().unwrap();
            let m: Vec<f64> = elements(&row["m"]).iter().map(|m| -m).collect();
            for (prefix, expected) in [("m.", m), ("v.", elements(&row["v"]))] {
                let own = state.iter().filter(|(name, _)| name.starts_with(prefix));
                let own = own.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
                assert_close(&Params::new(own.collect()).unwrap(), &expected);
            }
        }
    }

    /// A breakpoint after any round changes no bit of the following rounds.
    pub(crate) fn goes_on<A: Aggregator>(fresh: impl Fn() -> A) {
        for stop in 0..4 {
            let (mut whole, mut resumed) = (fresh(), fresh());
            let mut global = start();
            for round in 0..4 {
                if round == stop {
                    resumed = fresh();
                    resumed.restore(&reversed(&whole.state().unwrap())).unwrap();
                }
                let updates = updates(round, 5);
                let after = whole.aggregate(&global, &updates).unwrap();
                assert_eq!(resumed.aggregate(&global, &updates).unwrap(), after);
                assert_eq!(resumed.state().unwrap(), whole.state().unwrap());
                global = after;
            }
        }
    }

    /// The state of another method is refused, and nothing changes.
    pub(crate) fn refuses_state_of(aggregator: &mut dyn Aggregator, mut other: impl Aggregator) {
        aggregator.aggregate(&start(), &updates(0, 3)).unwrap();
        other.aggregate(&start(), &updates(0, 3)).unwrap();
        let before = aggregator.state().unwrap();
        let error = aggregator.restore(&other.state().unwrap()).unwrap_err();
        assert!(matches!(error, AggregateError::State { .. }), "{error}");
        assert_eq!(aggregator.state().unwrap(), before);
    }

    /// For aggregators whose first step overflows float32.
    pub(crate) fn overflow_changes_nothing(aggregator: &mut dyn Aggregator, name: &str) {
        let error = aggregator.aggregate(&start(), &updates(0, 3)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{name} makes parameter `linear.weight` not finite; try a smaller learning rate"
            )
        );
        assert!(aggregator.state().unwrap().is_empty());
        // A difference whose square or sum is beyond float64.
        let updates = update_of("a", 1, doubles(&[f64::MAX]));
        assert!(aggregator.aggregate(&doubles(&[-f64::MAX]), &updates).is_err());
        assert!(aggregator.state().unwrap().is_empty());
    }

    /// Other names, and so other orders, give the same result.
    pub(crate) fn ignores_names_of_nodes(
        fresh: impl Fn() -> Box<dyn Aggregator>,
        straight: &Updates,
    ) {
        let expected = fresh().aggregate(&start(), straight).unwrap();
        let expected = to_f64(&expected, &expected).unwrap();
        let n = straight.len();
        for shift in 0..n {
            for step in [1, n - 1] {
                let place = |k: usize| format!("node-{:02}", (k * step + shift) % n);
                let renamed = straight.values().cloned().enumerate();
                let renamed = renamed.map(|(k, update)| (place(k).parse().unwrap(), update));
                let result = fresh().aggregate(&start(), &renamed.collect()).unwrap();
                assert_close(&result, &expected);
            }
        }
    }

    #[test]
    fn median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&[1.0]), 1.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[f64::MAX, f64::MAX]), f64::MAX);
    }

    #[test]
    fn groups_have_the_same_tensors() {
        let zeros = |n| Tensor::zeros(DType::Float64, vec![n]).unwrap();
        let refused = |tensors: Vec<(&str, Tensor)>| {
            let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
            let state = Params::new(tensors.collect()).unwrap();
            groups(state.iter(), |name| name.split_once('.')).unwrap_err().to_string()
        };
        assert!(
            refused(vec![("m.a", zeros(1)), ("v.a", zeros(2))]).contains("expected float64 [1]")
        );
        assert!(refused(vec![("m.a", zeros(1)), ("v.b", zeros(1))]).contains("`a`"));
        assert!(
            refused(vec![("m.a", zeros(1)), ("m.b", zeros(1)), ("v.a", zeros(1))]).contains("`b`")
        );
        assert!(refused(vec![("m", zeros(1))]).contains("`m` is unknown"));
    }
}
