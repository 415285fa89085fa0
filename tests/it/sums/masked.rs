//! Sums that hide their parts: `masking` and `double_masking` as they are meant.

use fedwasm_privacy::Sum;
use fedwasm_protocol::{Mode, RoundReply, SecaggScheme};

use super::Stage;
use crate::support::fedwasm;

/// Nothing of a single node is in a reply, beside masked lanes.
fn check_reply(reply: &RoundReply) {
    assert_eq!((reply.n_samples, reply.n_steps, reply.train_loss), (0, 0, None));
    assert_eq!((reply.evaluation.is_none(), reply.aux.is_none()), (true, true));
    assert!(reply.optimizer_args.is_empty());
    let terms = reply.secagg.as_ref().unwrap();
    assert_eq!((terms.min_parties, terms.clip, terms.noise_multiplier), (3, 3.0, None));
}

#[test]
fn a_sum_is_the_clear_mean_and_its_parts_are_hidden() {
    let stage = Stage::new(3);
    let (expected, rows) = stage.clear_mean(&stage.parties(&[0, 1, 2]));
    stage.forget_told();
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let replies = stage.train(&context.parties, &args);
    let coding = stage.coding(&args, 3, Mode::Train);
    let mut sum = Sum::new(context.parties.clone(), coding.layout().clone());
    for (node, reply) in &replies {
        check_reply(reply);
        let vectors = stage.vectors(reply, &coding);
        // Lanes of one node alone are no values.
        assert!(coding.decode(&vectors, 1).is_err());
        sum.add(node, &vectors).unwrap();
    }
    let decoded = coding.decode(&sum.finish().unwrap(), 3).unwrap();
    assert_eq!((decoded.n_samples, decoded.weight), (rows, rows));
    let bound = coding.update().error_max();
    for (got, expected) in decoded.mean.iter().zip(&expected) {
        assert!((got - expected).abs() <= bound, "{got} {expected}");
    }
    assert!(decoded.train_loss.unwrap() > 0.0);
    assert_eq!(stage.told().iter().filter(|told| told.loss.is_some()).count(), 0);

    // Scores of a model, under pads of their own.
    let mut score = stage.request(&stage.nodes[0], &args);
    score.mode = Mode::Validate;
    let coding = stage.coding(&args, 3, Mode::Validate);
    let mut sum = Sum::new(context.parties.clone(), coding.layout().clone());
    for node in context.parties.iter() {
        let reply = stage.ask(node, &score).unwrap();
        check_reply(&reply);
        sum.add(node, &stage.vectors(&reply, &coding)).unwrap();
    }
    let scores = coding.decode(&sum.finish().unwrap(), 3).unwrap().evaluation.unwrap();
    assert!(scores.metrics["accuracy"] > 0.3 && scores.n_rows > 100, "{scores:?}");

    // The site runs it again, up to the bytes that left.
    for (at, reply) in replies.values().enumerate() {
        check_receipt(&stage, at, reply);
    }
}

/// The site runs a round again from its receipt.
pub(super) fn check_receipt(stage: &Stage, at: usize, reply: &RoundReply) {
    let payload = reply.receipt.as_ref().unwrap();
    let inline = payload.bytes().unwrap().map(<[u8]>::to_vec);
    let signed = inline.unwrap_or_else(|| stage.bytes(&payload.blob));
    let file = stage.federation.dir.path().join("receipt.json");
    std::fs::write(&file, signed).unwrap();
    let command = fedwasm(&["--json", "verify"]).arg(&file).arg("--data").arg(stage.dir(at));
    command.ok();
}

/// Runs all five steps, and returns the sums with the survivors.
pub(super) fn unmask(
    stage: &Stage,
    at: &[usize],
) -> (fedwasm_privacy::Decoded, fedwasm_privacy::Parties) {
    let parties = stage.parties(at);
    let mut args = stage.args(SecaggScheme::DoubleMasking, fedwasm_protocol::Digest::of(b""));
    let (setup, coding, mut takes, boxes) = stage.shared(&parties, &mut args);
    let verify = stage.verify();
    for (node, boxes) in &boxes {
        let reply = stage.masked_round(node, &args, boxes).unwrap();
        check_reply(&reply);
        takes.take(node, &stage.vectors(&reply, &coding)).unwrap();
    }
    let (mut takes, survivors) = takes.close().unwrap();
    for node in parties.iter() {
        takes.take(stage.consent(node, &setup, &survivors).unwrap(), &verify).unwrap();
    }
    let (mut takes, consents) = takes.close().unwrap();
    for node in parties.iter() {
        takes.take(stage.reveal(node, &setup, &consents).unwrap()).unwrap();
    }
    let (sums, alive) = takes.close().unwrap();
    (coding.decode(&sums, alive.len()).unwrap(), alive)
}

#[test]
fn a_sum_under_double_masks_is_the_clear_mean() {
    let stage = Stage::new(3);
    let (expected, rows) = stage.clear_mean(&stage.parties(&[0, 1, 2]));
    let (decoded, alive) = unmask(&stage, &[0, 1, 2]);
    assert_eq!((decoded.n_samples, alive.len()), (rows, 3));
    for (got, expected) in decoded.mean.iter().zip(&expected) {
        assert!((got - expected).abs() <= 2e-7, "{got} {expected}");
    }
    // The log of a node says what it signed and revealed.
    let log = fedwasm(&["--json", "node", "log"]).arg(stage.dir(0)).ok();
    for kind in ["survivors", "revealed"] {
        assert!(log.stdout.contains(kind), "{}", log.stdout);
    }
}
