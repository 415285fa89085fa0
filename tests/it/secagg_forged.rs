//! Keys, shares and signatures of secure sums that a node alters, repeats or takes from another.

use std::sync::Mutex;

use fedwasm_privacy::SignedKeys;
use fedwasm_privacy::double_masking::{Consent, Reveal, SealedShares};
use fedwasm_protocol::{Body, SecaggReply, SecaggStep, decode_content, encode_content};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::secagg_researcher::{DOUBLE, MASKING, experiment, nodes_with};
use crate::secure_node::Otherwise;
use crate::support::{Edit, Federation};

/// Changes what a node says at a step, read as `T`.
fn says<T: Serialize + DeserializeOwned>(
    step: SecaggStep,
    change: impl Fn(T) -> T + Send + 'static,
) -> Otherwise {
    Otherwise::answers(move |question, body| match (question, body) {
        (Body::Secagg(request), Body::SecaggReply(reply)) if request.step == step => {
            let content = encode_content(&change(decode_content(&reply.content).unwrap()));
            Some(Body::SecaggReply(SecaggReply { content: content.unwrap(), ..reply }))
        }
        (_, body) => Some(body),
    })
}

#[test]
fn keys_and_shares_that_are_altered_are_refused_by_name() {
    let first: Mutex<Option<SignedKeys>> = Mutex::default();
    let keys = SecaggStep::Keys;
    let cases: [(&str, Otherwise, &str); 6] = [
        (
            MASKING,
            says(keys, |mut keys: SignedKeys| {
                keys.keys[0][0] ^= 1;
                keys
            }),
            "the signature of `e` on its keys",
        ),
        (
            MASKING,
            says(keys, |keys: SignedKeys| SignedKeys { node: "a".parse().unwrap(), ..keys }),
            "it sent what should come from `a`",
        ),
        // Those of an earlier sum: each round has a setup of its own.
        (
            DOUBLE,
            says(keys, move |keys: SignedKeys| first.lock().unwrap().get_or_insert(keys).clone()),
            "the signature of `e` on its keys",
        ),
        (
            DOUBLE,
            says(SecaggStep::Agree, |mut shares: SealedShares| {
                shares.boxes.pop_first();
                shares
            }),
            "the shares of `e` are missing, altered",
        ),
        (
            DOUBLE,
            says(SecaggStep::Consent, |mut consent: Consent| {
                *consent.signature.last_mut().unwrap() ^= 1;
                consent
            }),
            "the signature of `e` on its survivors",
        ),
        (
            DOUBLE,
            says(SecaggStep::Reveal, |mut reveal: Reveal| {
                reveal.seeds.values_mut().for_each(|share| share[0] ^= 1);
                reveal
            }),
            "`e` reveals another share of `a`",
        ),
    ];
    for (scheme, otherwise, text) in cases {
        let federation = Federation::start();
        let _nodes = nodes_with(&federation, 5, "e", otherwise);
        let few = |text: String| text.edit("round_deadline_s", "min_nodes = 3\nround_deadline_s");
        let ended = federation.run(&experiment(&federation, scheme, few)).ok();
        let events = ended.events();
        let mut dropped = events.iter().filter(|event| event["event"] == "dropped");
        let reason = dropped.next().unwrap_or_else(|| panic!("{text}: {}", ended.stdout));
        assert_eq!(reason["node"], "e");
        assert!(reason["reason"].as_str().unwrap().contains(text), "{text}: {reason}");
    }
}
