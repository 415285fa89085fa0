//! Sums that are made again from their transcript, through the public API.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use fedwasm_params::{DType, Params};
use fedwasm_privacy::masking::{Advertised, Context};
use fedwasm_privacy::{
    Cause, Coding, Error, Results, SignedKeys, Steps, Stream, Summand, Transcript, Upload, Vectors,
    lanes_to_bytes, vectors_to_params,
};
use fedwasm_protocol::{Digest, NodeId, SecaggArgs, SecaggScheme};
use support::{binding, parties, rng, sign, verify};

fn args(sum_id: Digest) -> SecaggArgs {
    SecaggArgs {
        scheme: SecaggScheme::Masking,
        sum_id,
        min_parties: 3,
        clip: 3.0,
        bits: 24,
        rows_max: 100,
        equal_weights: false,
        metrics: Vec::new(),
        metrics_clip: 1_000.0,
        random: Some(0.5),
        servkey_id: None,
        biprime_id: None,
        shares: None,
    }
}

/// A sum of three nodes, and their masked vectors by digest.
fn made() -> (Transcript, BTreeMap<Digest, Params>) {
    let (mut rng, id) = (rng(7), Digest::of(b"sum"));
    let context = Context { id, roster: Digest::of(b"roster"), parties: parties(3) };
    let summand = Summand { name: "w".into(), dtype: DType::Float32, shape: vec![2] };
    let args = args(id);
    let coding = Coding::new(&args, 3, &[summand.spec()], &[]).unwrap();
    let drew: Vec<Advertised> = context
        .parties
        .iter()
        .map(|node| Advertised::new(context.clone(), node, &mut rng, &sign(node)).unwrap())
        .collect();
    let keys: Vec<SignedKeys> = drew.iter().map(|one| one.keys().clone()).collect();
    let (mut uploads, mut stored) = (BTreeMap::new(), BTreeMap::new());
    for (n, one) in (1u64..).zip(drew) {
        let node = one.keys().node.clone();
        let results = Results {
            update: &[n as f64 / 8.0, -1.0],
            aux: &[],
            n_samples: 10 * n,
            n_steps: n,
            train_loss: None,
            evaluation: None,
            numbers: &[],
        };
        let clear = coding.encode(&results).unwrap().vectors;
        let mut agreed = one.agree(&keys, &verify).unwrap();
        let pads = agreed.pads(&binding(1, coding.layout()), &mut |_| Ok(())).unwrap();
        let mut masked: Vectors<u64> = pads.mask(coding.layout(), clear).unwrap();
        let check = masked.remove(&Stream::Check).map(|lanes| lanes_to_bytes(&lanes));
        let sha256 = Digest::of(node.as_str().as_bytes());
        stored.insert(sha256, vectors_to_params(&masked).unwrap());
        uploads.insert(node, Upload { sha256, check });
    }
    let steps = Steps::Masking { context, keys };
    (
        Transcript { args, params: vec![summand], aux: Vec::new(), numbers: None, uploads, steps },
        stored,
    )
}

fn load(
    stored: &BTreeMap<Digest, Params>,
) -> impl Fn(&NodeId, &Digest) -> Result<Params, Cause> + '_ {
    |_, sha256| stored.get(sha256).cloned().ok_or_else(|| "it is not here".into())
}

#[test]
fn a_sum_is_made_again_after_a_file() {
    let (transcript, stored) = made();
    let json = serde_json::to_vec(&transcript).unwrap();
    let again: Transcript = serde_json::from_slice(&json).unwrap();
    assert_eq!(again, transcript);
    let replayed = again.replay(&verify, &mut load(&stored)).unwrap();
    assert_eq!(replayed.sum_of, parties(3));
    let decoded = replayed.decoded;
    assert_eq!((decoded.n_samples, decoded.n_steps), (60, 6));
    // (10 * 1 + 20 * 2 + 30 * 3) / 60 / 8
    assert!((decoded.mean[0] - 140.0 / 480.0).abs() < 1e-6);
    assert!((decoded.mean[1] + 1.0).abs() < 1e-6);
}

#[test]
fn what_was_changed_is_named() {
    let (transcript, stored) = made();
    let replay = |transcript: Transcript, stored: &BTreeMap<Digest, Params>| {
        transcript.replay(&verify, &mut load(stored)).map(drop).unwrap_err()
    };
    let with_keys = |change: &dyn Fn(&mut Vec<SignedKeys>)| {
        let mut changed = transcript.clone();
        let Steps::Masking { keys, .. } = &mut changed.steps else { unreachable!() };
        change(keys);
        replay(changed, &stored)
    };
    let forged = with_keys(&|keys| keys[1].keys[0][0] ^= 1);
    assert!(matches!(forged, Error::Signature { .. }), "{forged}");
    let fewer = with_keys(&|keys| drop(keys.pop()));
    assert!(matches!(fewer, Error::Missing { .. }), "{fewer}");
    let other = Transcript { args: args(Digest::of(b"other")), ..transcript.clone() };
    assert!(matches!(replay(other, &stored), Error::Context { .. }));
    let missing = replay(transcript.clone(), &BTreeMap::new());
    assert!(matches!(missing, Error::Upload { .. }), "{missing}");
    let mut without = transcript.clone();
    without.uploads.pop_first();
    assert!(matches!(replay(without, &stored), Error::Upload { .. }));
    // A node's vectors in place of another's: the masks do not cancel.
    let mut swapped = transcript;
    let first = swapped.uploads.values().next().unwrap().clone();
    swapped.uploads.values_mut().for_each(|upload| *upload = first.clone());
    let error = replay(swapped, &stored);
    assert!(
        matches!(
            error,
            Error::Sum { .. } | Error::Count { .. } | Error::Weight { .. } | Error::Check { .. }
        ),
        "{error}"
    );
}
