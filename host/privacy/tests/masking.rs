//! All nodes or none, through the public API: sums, what leaks, and what is refused.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use fedwasm_privacy::masking::{Advertised, Agreed, Context};
use fedwasm_privacy::{
    Binding, Error, Layout, PadUse, Parties, Quantiser, SignedKeys, Stream, Sum, Vectors,
};
use fedwasm_protocol::{Digest, NodeId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use support::{Journal, binding, clear_sum, layout, nodes, parties, rng, sign, vectors, verify};

fn context(parties: Parties) -> Context {
    Context { id: Digest::of(b"context"), roster: Digest::of(b"roster"), parties }
}

fn advertise(context: &Context, rng: &mut ChaCha20Rng) -> Vec<Advertised> {
    let one = |node: &NodeId| Advertised::new(context.clone(), node, rng, &sign(node)).unwrap();
    context.parties.iter().map(one).collect()
}

fn keys(advertised: &[Advertised]) -> Vec<SignedKeys> {
    advertised.iter().map(|one| one.keys().clone()).collect()
}

fn agree(context: &Context, rng: &mut ChaCha20Rng) -> Vec<Agreed> {
    let advertised = advertise(context, rng);
    let keys = keys(&advertised);
    advertised.into_iter().map(|one| one.agree(&keys, &verify).unwrap()).collect()
}

fn mask(
    node: &mut Agreed,
    binding: &Binding,
    layout: &Layout,
    clear: &Vectors<u64>,
) -> Vectors<u64> {
    let mut journal = Journal::default();
    let pads = node.pads(binding, &mut |pad_use| journal.write(pad_use)).unwrap();
    assert_eq!(journal.len(), 1);
    pads.mask(layout, clear.clone()).unwrap()
}

const LENGTHS: [(Stream, usize); 3] =
    [(Stream::Params, 40), (Stream::AuxVars, 40), (Stream::Check, 1)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_sum_of_masked_vectors_is_the_sum_of_clear_ones(
        n in 3usize..9, params in 0usize..1200, metrics in 0usize..5, seed: u64,
    ) {
        let layout = layout(&[(Stream::Params, params), (Stream::Metrics, metrics)]);
        let mut rng = rng(seed);
        let context = context(parties(n));
        let mut agreed = agree(&context, &mut rng);
        for round in 1..3 {
            let clear: Vec<_> = (0..n).map(|_| vectors(&mut rng, &layout)).collect();
            let mut sum = Sum::new(context.parties.clone(), layout.clone());
            for (node, (agreed, clear)) in context.parties.iter().zip(agreed.iter_mut().zip(&clear)) {
                let masked = mask(agreed, &binding(round, &layout), &layout, clear);
                prop_assert!(params < 2 || masked != *clear);
                sum.add(node, &masked).unwrap();
            }
            prop_assert_eq!(sum.finish().unwrap(), clear_sum(&clear));
        }
    }

    #[test]
    fn whoever_was_told_something_else_makes_the_sum_invalid(seed: u64, which in 0usize..5) {
        let quantiser = Quantiser::new::<u64>(1.0, 24, 1000, 8, 0).unwrap();
        let layout = Layout::default().with(Stream::Params, 12, &[&quantiser.encoding()]);
        let context = context(parties(4));
        let mut sum = Sum::new(context.parties.clone(), layout.clone());
        let mut agreed = agree(&context, &mut rng(seed));
        for (k, (node, agreed)) in context.parties.iter().zip(&mut agreed).enumerate() {
            let mut binding = binding(1, &layout);
            let other = Digest::of(b"other");
            match (k, which) {
                (2, 0) => binding.round = 2,
                (2, 1) => binding.plan = other,
                (2, 2) => binding.params = other,
                (2, 3) => binding.arguments = other,
                _ => {}
            }
            let lanes = quantiser.encode(&[0.5; 10], 100).unwrap();
            let masked = mask(agreed, &binding, &layout, &[(Stream::Params, lanes)].into());
            sum.add(node, &masked).unwrap();
        }
        let decoded = quantiser.decode(&sum.finish().unwrap()[&Stream::Params], 4);
        prop_assert_eq!(decoded.is_ok(), which == 4);
    }
}

/// Fed-BioMed masks its check value as it masks the first parameter: their difference is in the clear.
#[test]
fn the_check_value_has_a_pad_of_its_own() {
    let layout = layout(&LENGTHS);
    let mut rng = rng(1);
    let clear = vectors(&mut rng, &layout);
    let agreed = &mut agree(&context(parties(3)), &mut rng)[0];
    let masked = mask(agreed, &binding(1, &layout), &layout, &clear);
    let check = |vectors: &Vectors<u64>| vectors[&Stream::Check][0];
    for stream in [Stream::Params, Stream::AuxVars] {
        for (clear_lane, masked_lane) in clear[&stream].iter().zip(&masked[&stream]) {
            let leaked = masked_lane.wrapping_sub(check(&masked));
            assert_ne!(leaked, clear_lane.wrapping_sub(check(&clear)));
        }
    }
}

/// Fed-BioMed masks auxiliary variables as it masks the parameters: their difference is in the clear.
#[test]
fn auxiliary_variables_have_pads_of_their_own() {
    let layout = layout(&LENGTHS);
    let mut rng = rng(2);
    let clear = vectors(&mut rng, &layout);
    let agreed = &mut agree(&context(parties(3)), &mut rng)[1];
    let masked = mask(agreed, &binding(1, &layout), &layout, &clear);
    let difference = |vectors: &Vectors<u64>, i: usize, j: usize| {
        vectors[&Stream::Params][i].wrapping_sub(vectors[&Stream::AuxVars][j])
    };
    for (i, j) in (0..40).flat_map(|i| (0..40).map(move |j| (i, j))) {
        assert_ne!(difference(&masked, i, j), difference(&clear, i, j));
    }
}

/// Fed-BioMed's nodes mask a round as often as they are asked: two uploads give the difference.
#[test]
fn a_round_is_masked_once() {
    let layout = layout(&LENGTHS);
    let agreed = &mut agree(&context(parties(3)), &mut rng(3))[0];
    let mut journal = Journal::default();
    let mut write = |pad_use: &PadUse| journal.write(pad_use);
    agreed.pads(&binding(1, &layout), &mut write).unwrap();
    let other = Binding { params: Digest::of(b"other"), ..binding(1, &layout) };
    for again in [binding(1, &layout), other] {
        let error = agreed.pads(&again, &mut write).unwrap_err();
        assert!(matches!(error, Error::PadUsed { round: 1 }), "{error}");
    }
    assert!(agreed.pads(&binding(2, &layout), &mut write).is_ok());
}

#[test]
fn a_pad_whose_use_is_not_on_disk_is_gone() {
    let layout = layout(&LENGTHS);
    let agreed = &mut agree(&context(parties(3)), &mut rng(4))[0];
    let error = agreed.pads(&binding(1, &layout), &mut |_| Err("disk full".into())).unwrap_err();
    assert!(matches!(error, Error::Journal { .. }));
    let error = agreed.pads(&binding(1, &layout), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::PadUsed { round: 1 }));
}

/// Two contexts with other nodes, the same run: withheld parts would tell a single node's.
#[test]
fn a_run_is_not_masked_for_two_sets_of_nodes() {
    let layout = layout(&LENGTHS);
    let (few, more) = (context(parties(3)), context(parties(4)));
    let mut journal = Journal::default();
    let first = &mut agree(&few, &mut rng(5))[0];
    first.pads(&binding(1, &layout), &mut |pad_use| journal.write(pad_use)).unwrap();
    let second = &mut agree(&more, &mut rng(6))[0];
    let error = second.pads(&binding(1, &layout), &mut |pad_use| journal.write(pad_use));
    assert!(matches!(error, Err(Error::Journal { .. })));
}

#[test]
fn keys_that_are_not_all_nodes_own_are_refused_by_name() {
    let all = context(parties(3));
    let advertised = || advertise(&all, &mut rng(7));
    let good = keys(&advertised());
    let refused = |keys: &[SignedKeys]| {
        advertised().swap_remove(0).agree(keys, &verify).map(|_| ()).unwrap_err()
    };
    let mut missing = good.clone();
    missing.pop();
    assert_eq!(refused(&missing).to_string(), "keys of `node-02` missing");
    let mut twice = good.clone();
    twice.push(good[1].clone());
    assert!(matches!(refused(&twice), Error::Twice { node, .. } if node == nodes(2)[1]));

    let mut altered = good.clone();
    altered[1].keys[0][3] ^= 1;
    assert!(matches!(refused(&altered), Error::Signature { node, .. } if node == nodes(2)[1]));
    let mut swapped = good.clone();
    (swapped[1].keys, swapped[2].keys) = (good[2].keys.clone(), good[1].keys.clone());
    assert!(matches!(refused(&swapped), Error::Signature { .. }));
    let mut long = good.clone();
    long[2].signature = vec![0; 5000];
    assert!(matches!(refused(&long), Error::Signature { .. }));

    // A node that signs this node's key as its own.
    let echoed = |keys: Vec<[u8; 32]>, node: &NodeId| {
        let statement = |signed: &SignedKeys| {
            let mut bytes = b"fedwasm/keys/v1\0masking\0".to_vec();
            let setup = [all.id, all.roster, all.parties.digest()].map(|d| *d.as_bytes());
            let setup = [b"fedwasm/context/v1".as_slice(), setup.as_flattened()].concat();
            bytes.extend(Digest::of(&setup).as_bytes());
            bytes.extend((node.as_str().len() as u16).to_be_bytes());
            bytes.extend(node.as_str().as_bytes());
            bytes.extend(signed.keys.as_flattened());
            bytes
        };
        let mut signed = SignedKeys { node: node.clone(), keys, signature: vec![] };
        signed.signature = sign(node)(&statement(&signed)).unwrap();
        signed
    };
    let mut same = good.clone();
    same[1] = echoed(good[0].keys.clone(), &nodes(2)[1]);
    assert!(matches!(refused(&same), Error::SameKey { node, .. } if node == nodes(2)[1]));
    let mut weak = good.clone();
    weak[1] = echoed(vec![[0; 32]], &nodes(2)[1]);
    assert!(matches!(refused(&weak), Error::WeakKey { node } if node == nodes(2)[1]));
    let mut own = good.clone();
    own[0] = echoed(vec![[9; 32]], &nodes(1)[0]);
    assert!(matches!(refused(&own), Error::OwnKeys));

    let mut stranger = good.clone();
    stranger[1].node = "stranger".parse().unwrap();
    assert!(matches!(refused(&stranger), Error::NotAParty { .. }));
}

#[test]
fn keys_of_another_context_roster_or_set_are_refused() {
    let all = context(parties(3));
    for other in [
        Context { id: Digest::of(b"2"), ..all.clone() },
        Context { roster: Digest::of(b"2"), ..all.clone() },
        context(parties(4)),
    ] {
        let replayed = keys(&advertise(&other, &mut rng(8)));
        let mut advertised = advertise(&all, &mut rng(9));
        let mut mixed = keys(&advertised);
        mixed[2] = replayed[2].clone();
        let error = advertised.swap_remove(0).agree(&mixed, &verify).unwrap_err();
        assert!(matches!(error, Error::Signature { node, .. } if node == nodes(3)[2]));
    }
}

#[test]
fn parts_that_do_not_belong_to_a_sum_are_refused_by_name() {
    let layout = layout(&[(Stream::Params, 2)]);
    let part = |n| Vectors::from([(Stream::Params, vec![1u64; n])]);
    let mut sum = Sum::new(parties(3), layout);
    let nodes = nodes(4);
    sum.add(&nodes[0], &part(2)).unwrap();
    assert!(matches!(sum.add(&nodes[0], &part(2)), Err(Error::Twice { .. })));
    assert!(matches!(sum.add(&nodes[3], &part(2)), Err(Error::NotAParty { .. })));
    assert!(matches!(sum.add(&nodes[1], &part(1)), Err(Error::Length { .. })));
    assert!(matches!(sum.add(&nodes[1], &Vectors::new()), Err(Error::Stream { .. })));
    let error = sum.finish().unwrap_err();
    assert_eq!(error.to_string(), "masked vectors of `node-01`, `node-02` missing");
}

#[test]
fn pads_serve_the_layout_they_are_bound_to() {
    let (agreed, other) = (layout(&[(Stream::Params, 3)]), layout(&[(Stream::Params, 2)]));
    let node = &mut agree(&context(parties(3)), &mut rng(10))[0];
    let pads = node.pads(&binding(1, &agreed), &mut |_| Ok(())).unwrap();
    let vectors = Vectors::from([(Stream::Params, vec![1u64; 2])]);
    assert!(matches!(pads.mask(&other, vectors), Err(Error::Layout)));
}

#[test]
fn secrets_are_not_printed() {
    let agreed = &mut agree(&context(parties(3)), &mut rng(11))[0];
    assert_eq!(format!("{agreed:?}"), "Agreed { .. }");
    let pads = agreed.pads(&binding(1, &layout(&LENGTHS)), &mut |_| Ok(())).unwrap();
    assert_eq!(format!("{pads:?}"), "Pads { .. }");
}
