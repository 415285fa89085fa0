//! The three leaks of Fed-BioMed's scheme, each as its attack: a researcher that keeps the protocol
//! and computes. They succeed where parameters, auxiliary variables and the check value are under one
//! pad, or where a round can be asked for twice.

use fedwasm_privacy::Stream;
use fedwasm_protocol::{Mode, Reason, RoundReply, SecaggScheme};

use super::{Stage, short};

/// Whether a lane can be a weighted value and not a mask: below 2^24 levels times 569 rows.
fn is_value(lane: u64) -> bool {
    (lane as i64).unsigned_abs() < (1 << 24) * 570
}

/// The chance that one of `n` uniform lanes looks like a value is n 2^-30.
fn none_is_value(lanes: impl Iterator<Item = u64>) -> bool {
    !lanes.into_iter().any(is_value)
}

/// Leak 1 (Fed-BioMed issue 804): the check value is known to the researcher, so what it is masked
/// with is known; nothing else is under that mask.
#[test]
fn the_check_value_does_not_open_the_first_parameters() {
    let stage = Stage::new(3);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let coding = stage.coding(&args, 3, Mode::Train);
    for reply in stage.train(&context.parties, &args).values() {
        let vectors = stage.vectors(reply, &coding);
        let (check, params) = (&vectors[&Stream::Check], &vectors[&Stream::Params]);
        assert!(none_is_value(check.iter().chain(params).copied()));
        // The attack: y_0 - f_0 + x_f = x_0 under a common pad. At every pair of positions.
        for check in check {
            assert!(none_is_value(params.iter().map(|lane| lane.wrapping_sub(*check))));
        }
    }
}

/// Leak 2 (Fed-BioMed issue 1250): auxiliary variables and parameters under one pad give their
/// difference.
#[test]
fn auxiliary_variables_have_a_pad_of_their_own() {
    let stage = Stage::with(3, |text| text + "[aggregator]\nname = \"scaffold\"\n");
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let mut args = stage.args(SecaggScheme::Masking, context.id);
    args.equal_weights = true;
    for node in context.parties.iter() {
        let mut request = stage.request(node, &args);
        request.aux_own = None;
        let reply = stage.ask(node, &request).unwrap();
        let masked = stage.uploaded(&reply);
        let lanes = |name: &str| {
            let bytes = masked.tensor(name).unwrap().data().to_vec();
            fedwasm_privacy::lanes_from_bytes::<u64>(&bytes, bytes.len() / 8).unwrap()
        };
        let (params, aux) = (lanes("params"), lanes("aux_vars"));
        assert_eq!(params.len(), aux.len());
        assert!(none_is_value(params.iter().zip(&aux).map(|(a, b)| a.wrapping_sub(*b))));
        // The counts and metrics, too.
        for other in [lanes("counts"), lanes("metrics")] {
            assert!(none_is_value(other.iter().zip(&params).map(|(a, b)| a.wrapping_sub(*b))));
            assert!(none_is_value(other.iter().zip(&aux).map(|(a, b)| a.wrapping_sub(*b))));
        }
    }
}

/// Leak 3: the same round asked for twice, with another learning rate, under one pad: the difference
/// of two updates.
#[test]
fn a_round_that_is_asked_for_twice_is_masked_once() {
    let mut stage = Stage::new(3);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let node = stage.nodes[0].clone();
    let request = stage.request(&node, &args);
    let first = stage.ask(&node, &request).unwrap();
    // The very same request gets the very same bytes.
    let again = stage.ask(&node, &request).unwrap();
    assert_eq!((again.params, &again.encryption_factor), (first.params, &first.encryption_factor));

    let mut other = request.clone();
    other.training.optimizer_args.insert("optimizer.lr".into(), fedwasm_protocol::Value::Real(0.2));
    let refused = stage.ask(&node, &other).unwrap_err();
    assert!(refused.message.contains("pads of round"), "{}", refused.message);

    // Not after a restart either: its keys are gone, and new ones are other masks.
    stage.kill(0);
    stage.start_node(0);
    let refused = stage.ask(&node, &other).unwrap_err();
    assert_eq!(refused.reason, Reason::State, "{}", refused.message);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let new = stage.ask(&node, &stage.request(&node, &args)).unwrap();
    let lanes = |reply: &RoundReply| {
        let coding = stage.coding(&args, 3, Mode::Train);
        stage.vectors(reply, &coding).remove(&Stream::Params).unwrap()
    };
    let both = lanes(&first).into_iter().zip(lanes(&new));
    assert!(none_is_value(both.map(|(a, b)| a.wrapping_sub(b))));
}

/// The same update under two sets of nodes: the difference of two sums would be single updates.
#[test]
fn a_run_is_not_masked_for_a_second_set_of_nodes() {
    let mut stage = Stage::new(4);
    let all = stage.agree(&[0, 1, 2, 3]).unwrap();
    let node = stage.nodes[0].clone();
    stage.ask(&node, &stage.request(&node, &stage.args(SecaggScheme::Masking, all.id))).unwrap();
    for restart in [false, true] {
        if restart {
            stage.kill(0);
            stage.start_node(0);
        }
        let fewer = stage.agree(&[0, 1, 2]).unwrap();
        let args = stage.args(SecaggScheme::Masking, fewer.id);
        let refused = stage.ask(&node, &stage.request(&node, &args)).unwrap_err();
        assert_eq!(refused.reason, Reason::Privacy);
        assert!(refused.message.contains("masked for other nodes"), "{}", refused.message);
        // Nor in another experiment.
        let fewer = stage.agree(&[0, 1, 2]).unwrap();
        let mut request = stage.request(&node, &stage.args(SecaggScheme::Masking, fewer.id));
        request.experiment_id = "other".parse().unwrap();
        assert!(stage.ask(&node, &request).unwrap_err().message.contains("`random_seed`"));
    }
    // The next round may be of other nodes.
    let fewer = stage.agree(&[0, 1, 2]).unwrap();
    let mut next = stage.request(&node, &stage.args(SecaggScheme::Masking, fewer.id));
    next.round = 2;
    stage.ask(&node, &next).unwrap();
}

/// Sums of the same updates in several codings: weighted by rows and not, limited to one value after the
/// other, they tell the update of each node.
#[test]
fn a_run_is_not_masked_in_a_second_coding() {
    let stage = Stage::new(3);
    let node = stage.nodes[0].clone();
    let ask = |change: &dyn Fn(&mut fedwasm_protocol::SecaggArgs)| {
        let context = stage.agree(&[0, 1, 2]).unwrap();
        let mut args = stage.args(SecaggScheme::Masking, context.id);
        change(&mut args);
        stage.ask(&node, &stage.request(&node, &args))
    };
    ask(&|_| {}).unwrap();
    ask(&|_| {}).unwrap();
    let changes: [&dyn Fn(&mut fedwasm_protocol::SecaggArgs); 4] = [
        &|args| args.clip = 0.001,
        &|args| args.equal_weights = true,
        &|args| args.bits = 20,
        &|args| args.rows_max += 1,
    ];
    for change in changes {
        let refused = ask(change).unwrap_err();
        assert_eq!(refused.reason, Reason::Privacy);
        assert!(refused.message.contains("other settings of `[secagg]`"), "{}", refused.message);
    }
}

/// Neither values nor masks are in a log or in the registry, which holds what an auditor needs.
#[test]
fn secrets_are_in_no_log() {
    let stage = Stage::new(3);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let replies = stage.train(&context.parties, &args);
    let coding = stage.coding(&args, 3, Mode::Train);
    for (at, node) in stage.nodes.iter().enumerate() {
        let (update, _) = stage.clear_update(node);
        let masked = &stage.vectors(&replies[node], &coding)[&Stream::Params];
        let clear = coding.update().encode::<u64>(&update, 1).unwrap();
        let mut text: String = stage.federation.nodes[at].stderr.try_iter().collect();
        for file in ["registry.db", "registry.db-wal"] {
            let bytes = std::fs::read(stage.dir(at).join(file)).unwrap_or_default();
            text += &String::from_utf8_lossy(&bytes);
        }
        assert!(text.contains("masking"), "{}", short(node));
        for (value, (masked, clear)) in update.iter().zip(masked.iter().zip(&clear)) {
            let secrets = [value.to_string(), masked.to_string(), clear.to_string()];
            for secret in secrets.into_iter().filter(|secret| secret.len() > 6) {
                assert!(!text.contains(&secret), "{}: {secret}", short(node));
            }
        }
    }
}
