//! SCAFFOLD against declearn, against hostile replies, and across breakpoints.

use fedwasm_params::Tensor;

use super::*;
use crate::Update;
use crate::Updates;
use crate::numbers::testing::*;

/// Replies with these `c_i`, in float32.
fn received(variates: &[(NodeId, Params)]) -> ReceivedAuxVars {
    let reply = |(node, params): &(NodeId, Params)| {
        let like = zeros(DType::Float32, params).unwrap();
        let sent = from_f64(&to_f64(params, params).unwrap(), &like).unwrap();
        (node.clone(), Params::new(prefixed("local.", &sent)).unwrap())
    };
    ReceivedAuxVars::from([(NAME.into(), variates.iter().map(reply).collect())])
}

/// After a round of these nodes, each with its own update as `c_i`.
fn after_a_round(n_nodes: usize) -> Scaffold {
    let mut scaffold = Scaffold::new(1.0);
    let updates = updates(0, n_nodes);
    scaffold.aggregate(&start(), &updates).unwrap();
    let variates = updates.into_iter().map(|(node, update)| (node, update.params));
    scaffold.take_aux_vars(&received(&variates.collect::<Vec<_>>())).unwrap();
    scaffold
}

#[test]
fn rounds_equal_declearn() {
    let vectors = &vectors()["declearn"]["scaffold"];
    let mut scaffold = Scaffold::new(f64_of(&vectors["server_lr"]));
    let mut global = start();
    for round in vectors["rounds"].as_array().unwrap() {
        let sets = |key: &str| {
            let sets = round[key].as_object().unwrap().iter();
            sets.map(|(node, values)| (node.parse().unwrap(), params_of(values)))
                .collect::<Vec<(NodeId, Params)>>()
        };
        let update = |(node, params): &(NodeId, Params)| {
            (node.clone(), Update { n_samples: 1, params: params.clone() })
        };
        global =
            scaffold.aggregate(&global, &sets("updates").iter().map(update).collect()).unwrap();
        assert_close(&global, &elements(&round["expected"]));
        scaffold.take_aux_vars(&received(&sets("local"))).unwrap();

        let strangers = [sets("local").into_iter().map(|(node, _)| node).collect(), vec![node(9)]];
        let aux_vars = scaffold.aux_vars(&global, &strangers.concat()).unwrap();
        assert_close(&aux_vars.shared, &elements(&round["global"]));
        let names: Vec<&str> = aux_vars.shared.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["scaffold.global.linear.weight", "scaffold.global.linear.bias"]);
        assert!(aux_vars.shared.iter().all(|(_, tensor)| tensor.dtype() == DType::Float32));
        for (node, local) in round["local"].as_object().unwrap() {
            assert_close(&aux_vars.own(&node.parse().unwrap()), &elements(local));
        }
        assert_close(&aux_vars.own(&node(9)), &[0.0; 9]);
        assert!(aux_vars.own(&node(9)).tensor("scaffold.local.linear.bias").is_some());
    }
}

#[test]
fn vectors_of_fedbiomed_hold() {
    let fedbiomed = &vectors()["fedbiomed"]["scaffold"];
    let (lr, n_updates) = (f64_of(&fedbiomed["server_lr"]), f64_of(&fedbiomed["n_updates"]));
    // From zero the plain mean times the learning rate, regardless of sample counts.
    let updates = updates_of(&[("a", 1, &[1.0, 3.0]), ("b", 99, &[2.0, -5.0])]);
    let x = Scaffold::new(lr).aggregate(&params(&[0.0; 2]), &updates).unwrap();
    assert_close(&x, &[lr * 1.5, -lr]);
    // One node with learning rate 1: the mean gradient is x - y over the number of steps.
    let mut scaffold = Scaffold::new(lr);
    let x = scaffold.aggregate(&params(&[0.0]), &updates_of(&[("a", 1, &[-8.0])])).unwrap();
    let variate = params(&[(8.0 / n_updates) as f32]);
    scaffold.take_aux_vars(&received(&[("a".parse().unwrap(), variate)])).unwrap();
    let aux_vars = scaffold.aux_vars(&x, &["a".parse().unwrap()]).unwrap();
    assert_close(&aux_vars.shared, &[2.0]);
    assert_close(&aux_vars.own(&"a".parse().unwrap()), &[2.0]);
}

#[test]
fn first_round_starts_from_zeros_and_plans_are_told() {
    let aux_vars = Scaffold::new(1.0).aux_vars(&start(), &[node(0)]).unwrap();
    assert_close(&aux_vars.shared, &[0.0; 9]);
    assert_close(&aux_vars.own(&node(0)), &[0.0; 9]);
    let arguments = Scaffold::new(1.0).arguments();
    assert_eq!(arguments, Arguments::from([("aggregator.scaffold".into(), Value::Boolean(true))]));
}

#[test]
fn replies_that_do_not_fit_are_refused_and_change_nothing() {
    let mut scaffold = after_a_round(2);
    let before = scaffold.state().unwrap();
    let fine = |k| (node(k), start());
    let none_owed = scaffold.take_aux_vars(&received(&[fine(0)])).unwrap_err();
    assert_eq!(none_owed.to_string(), "scaffold: no control variates are expected");
    scaffold.aggregate(&start(), &updates(1, 2)).unwrap();
    let mut refused = |replies: &ReceivedAuxVars| {
        let error = scaffold.take_aux_vars(replies).unwrap_err();
        assert!(matches!(error, AggregateError::AuxVars { .. }), "{error}");
        assert_eq!(scaffold.state().unwrap(), before);
        error.to_string()
    };
    assert!(refused(&ReceivedAuxVars::new()).contains("node `node-0` sent no control variates"));
    assert!(refused(&received(&[fine(0)])).contains("node `node-1` sent no control variates"));
    let three = received(&[fine(0), fine(1), fine(2)]);
    assert!(refused(&three).contains("node `node-2` sent control variates but no update"));
    assert!(refused(&received(&[fine(0), (node(1), params(&[1.0]))])).contains("node `node-1`"));
    let mut nan = received(&[fine(0), fine(1)]);
    let tensors = nan[NAME][&node(1)].iter().map(|(name, tensor)| {
        let values = vec![f32::NAN; tensor.floats().unwrap().len()];
        (name.to_owned(), Tensor::from_f32(tensor.shape().to_vec(), &values).unwrap())
    });
    let tensors = Params::new(tensors.collect()).unwrap();
    nan.get_mut(NAME).unwrap().insert(node(1), tensors);
    assert!(refused(&nan).contains("`local.linear.weight` of node `node-1` is not finite"));
    scaffold.take_aux_vars(&received(&[fine(0), fine(1)])).unwrap();
}

#[test]
fn goes_on_after_a_restore() {
    goes_on(|| Scaffold::new(0.5));
    let whole = after_a_round(3);
    let mut resumed = Scaffold::new(1.0);
    resumed.restore(&reversed(&whole.state().unwrap())).unwrap();
    let nodes = [node(0), node(2), node(7)];
    let next = whole.aux_vars(&start(), &nodes).unwrap();
    assert_eq!(resumed.aux_vars(&start(), &nodes).unwrap(), next);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let tensor = |dtype| Tensor::zeros(dtype, vec![1]).unwrap();
    for (name, dtype) in [
        ("c.a.w", DType::Float32),
        ("c.a", DType::Float64),
        ("c.a!.w", DType::Float64),
        ("c..w", DType::Float64),
        ("m.w", DType::Float64),
    ] {
        let state = Params::new(vec![(name.into(), tensor(dtype))]).unwrap();
        let mut scaffold = after_a_round(2);
        let before = scaffold.state().unwrap();
        let error = scaffold.restore(&state).unwrap_err();
        assert!(matches!(error, AggregateError::State { .. }), "{name}: {error}");
        assert_eq!(scaffold.state().unwrap(), before);
    }
    let other = Params::new(vec![("c.a.w".into(), tensor(DType::Float64))]).unwrap();
    let mut scaffold = Scaffold::new(1.0);
    scaffold.restore(&other).unwrap();
    let error = scaffold.aux_vars(&start(), &[node(0)]).unwrap_err();
    assert!(matches!(error, AggregateError::State { .. }), "{error}");
}

#[test]
fn overflow_is_refused_and_changes_nothing() {
    overflow_changes_nothing(&mut Scaffold::new(1e300), NAME);
    let no_node = Scaffold::new(1.0).aggregate(&start(), &Updates::new()).unwrap_err();
    assert!(no_node.to_string().starts_with("scaffold needs at least 1 node"), "{no_node}");
}

#[test]
fn names_of_nodes_do_not_matter() {
    ignores_names_of_nodes(|| Box::new(Scaffold::new(0.5)), &updates(1, 7));
}
