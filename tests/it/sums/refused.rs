//! A researcher that does not keep the protocol: each breach is refused by its own name.

use fedwasm_privacy::double_masking::Survivors;
use fedwasm_privacy::{Parties, SignedKeys, Sum};
use fedwasm_protocol::{BlobRef, Digest, Mode, NodeId, Reason, Refusal, SecaggScheme, SecaggStep};

use super::Stage;

fn named(refused: &Refusal, text: &str) {
    assert!(refused.message.contains(text), "{text}: {}", refused.message);
}

#[test]
fn keys_that_are_forged_swapped_replayed_or_missing_are_refused() {
    let stage = Stage::new(4);
    let agree = |change: &dyn Fn(&mut Vec<SignedKeys>)| {
        let context = stage.context(&stage.parties(&[0, 1, 2]));
        let mut keys = stage.keys(&context).unwrap();
        change(&mut keys);
        let step = (SecaggScheme::Masking, context.id, SecaggStep::Agree);
        stage.step::<_, ()>(&stage.nodes[0], step, &keys).unwrap_err()
    };
    let old = stage.keys(&stage.context(&stage.parties(&[0, 1, 2]))).unwrap();
    named(&agree(&|keys| keys[1].signature[10] ^= 1), "the signature of `n1`");
    named(&agree(&|keys| keys[1].keys[0] = [9; 32]), "the signature of `n1`");
    named(&agree(&|keys| keys[1] = old[1].clone()), "the signature of `n1`");
    named(&agree(&|keys| keys[1].keys = keys[2].keys.clone()), "the signature of `n1`");
    named(&agree(&|keys| _ = keys.swap_remove(2)), "keys of `n2` missing");
    named(&agree(&|keys| keys[2] = keys[1].clone()), "keys of node `n1` twice");
    named(&agree(&|keys| keys[2].node = "n3".parse().unwrap()), "`n3` is not one of this sum");
    named(&agree(&|keys| keys[0] = old[0].clone()), "the signature of `n0`");
    // What failed is over: the right keys come too late.
    let context = stage.context(&stage.parties(&[0, 1, 2]));
    let keys = stage.keys(&context).unwrap();
    let step = (SecaggScheme::Masking, context.id, SecaggStep::Agree);
    let node = &stage.nodes[0];
    stage.step::<_, ()>(node, step, &keys[..2].to_vec()).unwrap_err();
    let refused = stage.step::<_, ()>(node, step, &keys).unwrap_err();
    assert_eq!(refused.reason, Reason::State);
}

#[test]
fn contexts_of_another_roster_set_or_id_are_refused() {
    let stage = Stage::new(3);
    let node = &stage.nodes[0];
    let good = stage.context(&stage.parties(&[0, 1, 2]));
    let ask = |context: &fedwasm_privacy::masking::Context, id: Digest| {
        let step = (SecaggScheme::Masking, id, SecaggStep::Keys);
        stage.step::<_, SignedKeys>(node, step, context)
    };
    let mut other = good.clone();
    other.roster = Digest::of(b"another");
    named(&ask(&other, other.id).unwrap_err(), "has other keys");
    let ids = ["n0", "n1", "stranger"].map(|id| id.parse::<NodeId>().unwrap());
    let mut other = good.clone();
    other.parties = Parties::new(ids, 0).unwrap();
    named(&ask(&other, other.id).unwrap_err(), "`stranger` is not on this node's roster");
    named(&ask(&good, Digest::of(b"x")).unwrap_err(), "of another sum");
    let keys = ask(&good, good.id).unwrap();
    // Said again it is the same answer; with other content it is none.
    assert_eq!(ask(&good, good.id).unwrap(), keys);
    let mut other = good.clone();
    other.parties = stage.parties(&[0, 2, 1]);
    assert_eq!(ask(&other, good.id).unwrap(), keys);
    let step = (SecaggScheme::Masking, good.id, SecaggStep::Keys);
    let refused = stage.step::<_, SignedKeys>(node, step, &"nonsense").unwrap_err();
    assert_eq!(refused.reason, Reason::BadRequest);
    // Two nodes, in the bytes of the message.
    let two = (good.id, good.roster, vec!["n0", "n1"]);
    let fields = serde_json::json!({ "id": two.0, "roster": two.1, "parties": two.2 });
    let step = (SecaggScheme::Masking, Digest::of(b"two"), SecaggStep::Keys);
    named(&stage.step::<_, SignedKeys>(node, step, &fields).unwrap_err(), "2 nodes");
}

#[test]
fn a_round_that_nodes_were_told_differently_gives_no_mean() {
    let stage = Stage::new(3);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let coding = stage.coding(&args, 3, Mode::Train);
    let mut sum = Sum::new(context.parties.clone(), coding.layout().clone());
    for (at, node) in stage.nodes.iter().enumerate() {
        let mut request = stage.request(node, &args);
        if at == 0 {
            let lr = fedwasm_protocol::Value::Real(1e-9);
            request.training.optimizer_args.insert("optimizer.lr".into(), lr);
        }
        sum.add(node, &stage.vectors(&stage.ask(node, &request).unwrap(), &coding)).unwrap();
    }
    assert!(coding.decode(&sum.finish().unwrap(), 3).is_err());

    // With `double_masking` the node sees it.
    let parties = stage.parties(&[0, 1, 2]);
    let mut args = stage.args(SecaggScheme::DoubleMasking, Digest::of(b""));
    let setup = stage.setup(&parties, &mut args);
    let keys: Vec<SignedKeys> =
        parties.iter().map(|node| stage.double_keys(node, &setup).unwrap()).collect();
    let node = &stage.nodes[0];
    stage.shares(node, &setup, &keys).unwrap();
    let mut request = stage.request(node, &args);
    request
        .training
        .optimizer_args
        .insert("optimizer.lr".into(), fedwasm_protocol::Value::Real(1e-9));
    named(&stage.ask(node, &request).unwrap_err(), "signed for another round, plan, parameters");
    request = stage.request(node, &args);
    request.params = BlobRef::of(b"other parameters");
    assert!(stage.ask(node, &request).is_err());
}

/// Runs the steps to the masked vectors.
fn masked(
    stage: &Stage,
) -> (fedwasm_privacy::double_masking::Setup, fedwasm_privacy::double_masking::Survivors) {
    let parties = stage.parties(&[0, 1, 2, 3]);
    let mut args = stage.args(SecaggScheme::DoubleMasking, Digest::of(b""));
    let (setup, coding, mut takes, boxes) = stage.shared(&parties, &mut args);
    for (node, boxes) in &boxes {
        let reply = stage.masked_round(node, &args, boxes).unwrap();
        takes.take(node, &stage.vectors(&reply, &coding)).unwrap();
    }
    (setup, takes.close().unwrap().1)
}

#[test]
fn an_unmasking_that_would_open_one_node_is_refused() {
    let stage = Stage::new(4);
    let node = &stage.nodes[0];
    let consent = |change: &dyn Fn(&mut Survivors)| {
        let (setup, mut survivors) = masked(&stage);
        change(&mut survivors);
        stage.consent(node, &setup, &survivors).unwrap_err()
    };
    let n3: NodeId = "n3".parse().unwrap();
    named(&consent(&|s| s.dropped.push(n3.clone())), "`n3` is listed as alive and as dropped");
    named(&consent(&|s| _ = s.alive.pop()), "the fate of `n3` missing");
    let all_dropped = |s: &mut Survivors| {
        s.dropped = s.alive.split_off(1);
    };
    named(&consent(&all_dropped), "survivors of 1 nodes, 3 are needed");
    named(&consent(&|s| s.dropped = vec![s.alive.remove(0)]), "this node is listed as dropped");

    // Fewer signatures than the threshold, a forged one, and one of other survivors.
    let (setup, survivors) = masked(&stage);
    let mut consents: Vec<_> =
        stage.nodes.iter().map(|node| stage.consent(node, &setup, &survivors).unwrap()).collect();
    named(&stage.reveal(node, &setup, &consents[..2]).unwrap_err(), "consents of 2 nodes");
    consents[1].signature[10] ^= 1;
    let other = &stage.nodes[1];
    named(&stage.reveal(other, &setup, &consents).unwrap_err(), "the signature of `n1`");
    // An error ends the sum for a node, and nothing is revealed twice.
    let third = &stage.nodes[2];
    consents.remove(1);
    stage.reveal(third, &setup, &consents).unwrap();
    let again = stage.reveal(third, &setup, &consents[..3]).unwrap();
    assert_eq!(again, stage.reveal(third, &setup, &consents).unwrap());
    let mut reordered = consents.clone();
    reordered.reverse();
    assert_eq!(stage.reveal(third, &setup, &reordered).unwrap_err().reason, Reason::State);
    let late = Survivors { alive: survivors.alive[..3].to_vec(), dropped: vec![n3] };
    assert_eq!(stage.consent(third, &setup, &late).unwrap_err().reason, Reason::State);
}

#[test]
fn a_threshold_that_is_too_low_and_shares_of_others_are_refused() {
    let stage = Stage::new(4);
    let parties = stage.parties(&[0, 1, 2, 3]);
    let node = &stage.nodes[0];
    let mut args = stage.args(SecaggScheme::DoubleMasking, Digest::of(b""));
    let mut setup = stage.setup(&parties, &mut args);
    setup.threshold = 2;
    named(&stage.double_keys(node, &setup).unwrap_err(), "a threshold of 2 of 4 nodes");

    for breach in ["altered", "swapped", "to another"] {
        let (.., mut boxes) = stage.shared(&parties, &mut args);
        let [n1, n2]: [NodeId; 2] = ["n1", "n2"].map(|id| id.parse().unwrap());
        let own = match breach {
            "to another" => boxes.remove(&n1).unwrap(),
            _ => boxes.remove(node).unwrap(),
        };
        let mut own = own;
        match breach {
            "altered" => own.get_mut(&n1).unwrap()[20] ^= 1,
            "swapped" => {
                let (a, b) = (own[&n1].clone(), own[&n2].clone());
                own.insert(n1.clone(), b);
                own.insert(n2, a);
            }
            _ => {}
        }
        let refused = stage.masked_round(node, &args, &own).unwrap_err();
        let expected =
            if breach == "to another" { "`n0` is not one of" } else { "the shares of `n1`" };
        named(&refused, expected);
    }
}
