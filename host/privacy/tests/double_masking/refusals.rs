//! What is refused, by name.

use std::collections::BTreeSet;

use fedwasm_privacy::double_masking::{
    Advertised, Boxes, SealedShares, Setup, Survivors, TakesKeys, threshold_min,
};
use fedwasm_privacy::{Binding, Error, Parties, SignedKeys, Stream};
use fedwasm_protocol::{Digest, NodeId};

use crate::rounds::{At, Round, consented, setup};
use crate::support::{layout, nodes, parties, rng, sign, verify};

#[test]
fn the_threshold_cannot_be_lowered() {
    let layout = layout(&[(Stream::Params, 1)]);
    assert_eq!([3, 4, 5, 6, 10, 64].map(threshold_min), [3, 3, 4, 5, 7, 43]);
    for threshold in [0, 1, 3, 6] {
        let low = Setup { threshold, ..setup(5, &layout) };
        let node = &nodes(1)[0];
        let error = Advertised::new(low.clone(), node, &mut rng(1), &sign(node)).unwrap_err();
        assert!(matches!(error, Error::Threshold { min: 4, n: 5, .. }), "{error}");
        assert!(TakesKeys::new(low).is_err());
    }
}

/// Another plan, other parameters, another threshold, other nodes for one node: its keys do not fit.
#[test]
fn a_node_that_was_told_something_else_is_refused_by_name() {
    let layout = layout(&[(Stream::Params, 30), (Stream::Counts, 3)]);
    let (all, other) = (setup(5, &layout), Digest::of(b"other"));
    let binding = all.binding;
    let others = [
        Setup { id: other, ..all.clone() },
        Setup { roster: other, ..all.clone() },
        Setup { threshold: 5, ..all.clone() },
        Setup { parties: parties(6), threshold: 5, ..all.clone() },
        Setup { binding: Binding { plan: other, ..binding }, ..all.clone() },
        Setup { binding: Binding { params: other, ..binding }, ..all.clone() },
        Setup { binding: Binding { arguments: other, ..binding }, ..all.clone() },
        Setup { binding: Binding { layout: other, ..binding }, ..all.clone() },
        Setup { binding: Binding { round: 2, ..binding }, ..all.clone() },
    ];
    for other in others {
        let mut round = Round::new(5, 3);
        let mut advertised = round.advertised();
        let node = nodes(3)[2].clone();
        let odd = Advertised::new(other, &node, &mut rng(4), &sign(&node)).unwrap();
        let mut keys: Vec<SignedKeys> =
            advertised.values().map(|node| node.keys().clone()).collect();
        keys[2] = odd.keys().clone();
        let mut step = TakesKeys::new(all.clone()).unwrap();
        let refused = step.take(keys[2].clone(), &verify).unwrap_err();
        let first = advertised.pop_first().unwrap().1;
        let refused_too = first.share(&keys, &mut rng(5), &verify).unwrap_err();
        for error in [refused, refused_too] {
            assert!(matches!(&error, Error::Signature { node: n, .. } if *n == node), "{error}");
        }
    }
}

#[test]
fn keys_that_are_forged_doubled_or_strange_are_refused_by_name() {
    let mut round = Round::new(5, 6);
    let advertised = round.advertised();
    let keys: Vec<SignedKeys> = advertised.values().map(|node| node.keys().clone()).collect();
    let mut step = TakesKeys::new(round.setup.clone()).unwrap();
    let mut forged = keys[1].clone();
    forged.keys[0][0] ^= 1;
    assert!(matches!(step.take(forged, &verify), Err(Error::Signature { .. })));
    let mut short = keys[1].clone();
    short.keys.pop();
    assert!(matches!(step.take(short, &verify), Err(Error::Length { .. })));
    step.take(keys[0].clone(), &verify).unwrap();
    assert!(matches!(step.take(keys[0].clone(), &verify), Err(Error::Twice { .. })));
    let mut stranger = keys[1].clone();
    stranger.node = "stranger".parse().unwrap();
    assert!(matches!(step.take(stranger, &verify), Err(Error::NotAParty { .. })));
}

#[test]
fn shares_that_are_missing_swapped_or_altered_are_refused_by_name() {
    let names = nodes(5);
    let fresh = || {
        let mut round = Round::new(5, 7);
        let nodes = round.advertised();
        let (step, keys) = round.keys(&nodes).unwrap();
        let (nodes, messages) = round.shared(nodes, &keys);
        (round, step, nodes, messages)
    };
    // At the researcher.
    let (_, mut step, _, messages) = fresh();
    let mut missing = messages[1].clone();
    missing.boxes.pop_first();
    assert!(matches!(step.take(missing), Err(Error::SharesOf { node }) if node == names[1]));
    let mut missing = messages[1].clone();
    missing.commitments.pop_last();
    assert!(matches!(step.take(missing), Err(Error::SharesOf { .. })));
    step.take(messages[1].clone()).unwrap();
    assert!(matches!(step.take(messages[1].clone()), Err(Error::Twice { .. })));

    // At the node.
    let refused = |change: &dyn Fn(&mut Boxes, &At<Boxes>)| {
        let (round, step, mut nodes, messages) = fresh();
        let (_, boxes) = round.vectors_step(step, messages).unwrap();
        let mut own = boxes[&names[0]].clone();
        change(&mut own, &boxes);
        nodes.pop_first().unwrap().1.receive(&own).map(|_| ()).unwrap_err()
    };
    let altered = refused(&|own, _| own.get_mut(&names[3]).unwrap()[5] ^= 1);
    let swapped = refused(&|own, _| {
        let other = own[&names[2]].clone();
        own.insert(names[3].clone(), other);
    });
    let for_another = refused(&|own, all| {
        own.insert(names[3].clone(), all[&names[1]][&names[3]].clone());
    });
    let short = refused(&|own, _| own.get_mut(&names[3]).unwrap().truncate(79));
    for error in [altered, swapped, for_another, short] {
        assert!(matches!(&error, Error::SharesOf { node } if *node == names[3]), "{error}");
    }
    let own =
        refused(&|own, all| drop(own.insert(names[0].clone(), all[&names[1]][&names[0]].clone())));
    assert!(matches!(own, Error::NotAParty { .. }));
    let few = refused(&|own, _| own.retain(|node, _| *node < names[3]));
    assert!(matches!(few, Error::TooFewLeft { step: "shares", got: 3, needed: 4, .. }));
}

/// Replayed from a round with other keys: everything is bound to the setup.
#[test]
fn shares_of_another_round_do_not_open() {
    let (mut one, mut other) = (Round::new(5, 8), Round::new(5, 9));
    let boxes = [&mut one, &mut other].map(|round| {
        let nodes = round.advertised();
        let (step, keys) = round.keys(&nodes).unwrap();
        let (nodes, messages) = round.shared(nodes, &keys);
        (nodes, round.vectors_step(step, messages).unwrap().1)
    });
    let [(mut nodes, mut own), (_, others)] = boxes;
    let (name, node) = nodes.pop_first().unwrap();
    let replayed = others[&name].last_key_value().unwrap();
    own.get_mut(&name).unwrap().insert(replayed.0.clone(), replayed.1.clone());
    assert!(
        matches!(node.receive(&own[&name]), Err(Error::SharesOf { node }) if node == *replayed.0)
    );
}

#[test]
fn a_list_of_survivors_that_could_tell_a_node_is_refused() {
    let names = nodes(6);
    let refused = |alive: &[usize], dropped: &[usize]| {
        let (_, mut masked) = Round::new(5, 10).until_masked();
        let named = |list: &[usize]| list.iter().map(|k| names[*k].clone()).collect();
        let survivors = Survivors { alive: named(alive), dropped: named(dropped) };
        let (name, (node, _)) = masked.pop_first().unwrap();
        node.consent(&survivors, &sign(&name)).map(|_| ()).unwrap_err()
    };
    let both = refused(&[0, 1, 2, 3, 4], &[4]);
    assert!(matches!(both, Error::AliveAndDropped { node } if node == names[4]));
    assert!(matches!(refused(&[0, 1, 2, 3, 3], &[4]), Error::Twice { .. }));
    assert!(
        matches!(refused(&[0, 1, 2, 3], &[]), Error::Missing { nodes, .. } if nodes == [names[4].clone()])
    );
    assert!(matches!(refused(&[1, 2, 3, 4], &[0]), Error::DroppedMyself));
    assert!(
        matches!(refused(&[0, 1, 2, 3, 5], &[4]), Error::NotAParty { node } if node == names[5])
    );
    let few = refused(&[0, 1, 2], &[3, 4]);
    assert!(matches!(few, Error::TooFewLeft { step: "survivors", got: 3, needed: 4, .. }));
}

#[test]
fn consents_to_other_survivors_are_refused() {
    let (_, mut nodes_of_one, consents, _) = Round::new(5, 11).until_consented(&[]);
    // The same nodes were told that node 4 is lost.
    let (_, _, others, _) = Round::new(5, 11).until_consented(&[4]);
    let mut next = || nodes_of_one.pop_first().unwrap().1;
    let mut mixed = consents.clone();
    mixed[2] = others[2].clone();
    let error = next().reveal(&mixed, &verify).unwrap_err();
    assert!(matches!(error, Error::Signature { what: "survivors", .. }));
    let error = next().reveal(&consents[..3], &verify).unwrap_err();
    assert!(matches!(error, Error::TooFewLeft { step: "consents", got: 3, .. }));
    let twice = [&consents[..3], &consents[..1]].concat();
    assert!(matches!(next().reveal(&twice, &verify), Err(Error::Twice { .. })));
    let mut stranger = consents.clone();
    stranger[0].node = "stranger".parse().unwrap();
    assert!(matches!(next().reveal(&stranger, &verify), Err(Error::NotAParty { .. })));
}

#[test]
fn a_reveal_holds_one_share_of_each_node_never_both() {
    let (_, reveals) = Round::new(5, 12).until_revealed(&[2]);
    let all: BTreeSet<NodeId> = nodes(5).into_iter().collect();
    for reveal in &reveals {
        let (seeds, keys): (BTreeSet<_>, BTreeSet<_>) =
            (reveal.seeds.keys().cloned().collect(), reveal.keys.keys().cloned().collect());
        assert!(seeds.is_disjoint(&keys));
        assert_eq!(seeds.union(&keys).cloned().collect::<BTreeSet<_>>(), all);
        assert_eq!(keys, BTreeSet::from([nodes(3)[2].clone()]));
    }
}

#[test]
fn revealed_shares_that_are_wrong_are_refused_by_name() {
    let names = nodes(5);
    let (mut step, reveals) = Round::new(5, 13).until_revealed(&[2]);
    let mut altered = reveals[0].clone();
    altered.seeds.get_mut(&names[3]).unwrap()[0] ^= 1;
    let error = step.take(altered).unwrap_err();
    assert_eq!(error.to_string(), "`node-00` reveals another share of `node-03` than it was given");
    let mut swapped = reveals[0].clone();
    let (one, other) = (swapped.seeds[&names[0]], swapped.seeds[&names[1]]);
    swapped.seeds.insert(names[0].clone(), other);
    swapped.seeds.insert(names[1].clone(), one);
    assert!(matches!(step.take(swapped), Err(Error::ShareAltered { .. })));
    let mut less = reveals[0].clone();
    less.keys.clear();
    assert!(matches!(step.take(less), Err(Error::Revealed { node }) if node == names[0]));
    let mut more = reveals[0].clone();
    more.keys.insert(names[3].clone(), [0; 32]);
    assert!(matches!(step.take(more), Err(Error::Revealed { .. })));
    let mut other = reveals[0].clone();
    other.node = names[1].clone();
    assert!(matches!(step.take(other), Err(Error::ShareAltered { .. })));
    step.take(reveals[0].clone()).unwrap();
    assert!(matches!(step.take(reveals[0].clone()), Err(Error::Twice { .. })));
    let mut lost = reveals[1].clone();
    lost.node = names[2].clone();
    assert!(matches!(step.take(lost), Err(Error::NotAParty { .. })));
}

/// A node that gives out shares of something else is found out when it matters.
#[test]
fn shares_of_another_secret_are_told_by_name() {
    let mut round = Round::new(5, 14);
    let nodes_of = round.advertised();
    let (step, keys) = round.keys(&nodes_of).unwrap();
    let (nodes_of, mut messages) = round.shared(nodes_of, &keys);
    messages[3].seed = Digest::of(b"another");
    let (mut step, boxes) = round.vectors_step(step, messages).unwrap();
    let masked = round.masked(Round::received(nodes_of, &boxes));
    for (node, (_, vectors)) in &masked {
        step.take(node, vectors).unwrap();
    }
    let (mut step, survivors) = step.close().unwrap();
    let masked = masked.into_iter().map(|(node, (masked, _))| (node, masked)).collect();
    let (nodes_of, consents) = consented(masked, &survivors);
    consents.into_iter().for_each(|consent| step.take(consent, &verify).unwrap());
    let (mut step, consents) = step.close().unwrap();
    for node in nodes_of.into_values() {
        step.take(node.reveal(&consents, &verify).unwrap()).unwrap();
    }
    let error = step.close().unwrap_err();
    assert!(matches!(error, Error::SecretAltered { node } if node == nodes(4)[3]));
}

#[test]
fn nothing_is_masked_before_its_use_is_on_disk() {
    let mut round = Round::new(5, 15);
    let nodes = round.advertised();
    let (step, keys) = round.keys(&nodes).unwrap();
    let (nodes, messages) = round.shared(nodes, &keys);
    let (_, boxes) = round.vectors_step(step, messages).unwrap();
    let (name, node) = Round::received(nodes, &boxes).pop_first().unwrap();
    let clear = round.clear[&name].clone();
    let error = node.mask(&round.layout, clear, &mut |_| Err("disk full".into())).unwrap_err();
    assert!(matches!(error, Error::Journal { .. }));
}

/// 64 nodes with the longest names: each message rides in one envelope.
#[test]
fn messages_of_the_most_nodes_fit_into_an_envelope() {
    let layout = layout(&[(Stream::Params, 1)]);
    let names = (0..64).map(|k| format!("{k:064}").parse::<NodeId>().unwrap());
    let parties = Parties::new(names, 3).unwrap();
    let setup = Setup { parties, threshold: 43, ..setup(3, &layout) };
    let mut rng = rng(17);
    // Signatures of P-256 have up to 72 bytes.
    let long =
        |statement: &[u8]| Ok([Digest::of(statement).as_bytes().as_slice(), &[0xff; 40]].concat());
    let mut advertise = |node| Advertised::new(setup.clone(), node, &mut rng, &long).unwrap();
    let mut all: Vec<Advertised> = setup.parties.iter().map(&mut advertise).collect();
    let keys: Vec<SignedKeys> = all.iter().map(|node| node.keys().clone()).collect();
    let (_, shares) = all.swap_remove(0).share(&keys, &mut rng, &|_, _, _| Ok(())).unwrap();
    let half = 32 << 10;
    assert!(rmp_serde::to_vec_named(&keys).unwrap().len() < half);
    assert!(rmp_serde::to_vec_named(&shares).unwrap().len() < half);
    assert!(rmp_serde::to_vec_named(&shares.boxes).unwrap().len() < half);
    let bytes = rmp_serde::to_vec_named(&shares).unwrap();
    assert_eq!(rmp_serde::from_slice::<SealedShares>(&bytes).unwrap(), shares);
}

#[test]
fn secrets_are_not_printed() {
    let mut round = Round::new(3, 16);
    let nodes = round.advertised();
    assert_eq!(format!("{:?}", nodes.values().next().unwrap()), "Advertised { .. }");
    let (_, reveals) = Round::new(3, 16).until_revealed(&[]);
    assert_eq!(format!("{:?}", reveals[0]), "Reveal { .. }");
}
