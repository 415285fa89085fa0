//! Nodes that are killed (-9) at each step of `double_masking`, with five of them.

use fedwasm_privacy::double_masking::{TakesKeys, TakesVectors};
use fedwasm_privacy::{Decoded, Error, Parties};
use fedwasm_protocol::{Digest, Mode, NodeId, SecaggScheme};

use super::Stage;

/// Runs a round in which the last nodes are killed before their answer to a step, 1 to 5; at step 3
/// they are killed with their vectors masked and not delivered.
fn run(stage: &mut Stage, killed: usize, step: usize) -> Result<(Decoded, Parties), Error> {
    let n = stage.nodes.len();
    let all: Vec<usize> = (0..n).collect();
    let parties = stage.parties(&all);
    let mut args = stage.args(SecaggScheme::DoubleMasking, Digest::of(b""));
    let setup = stage.setup(&parties, &mut args);
    let coding = stage.coding(&args, n, Mode::Train);
    let lost: Vec<NodeId> = stage.nodes[n - killed..].to_vec();
    let is_left = |node: &&NodeId, now: usize| now < step || !lost.contains(*node);
    let kill = |stage: &mut Stage, now: usize| {
        for at in (n - killed..n).rev().filter(|_| now == step) {
            stage.kill(at);
        }
    };
    kill(stage, 1);
    let verify = stage.verify();
    let mut takes = TakesKeys::new(setup.clone())?;
    for node in parties.iter().filter(|node| is_left(node, 1)) {
        takes.take(stage.double_keys(node, &setup).unwrap(), &verify)?;
    }
    let (mut takes, keys) = takes.close()?;
    kill(stage, 2);
    for node in parties.iter().filter(|node| is_left(node, 2)) {
        takes.take(stage.shares(node, &setup, &keys).unwrap())?;
    }
    let (mut takes, boxes): (TakesVectors<u64>, _) = takes.close(coding.layout().clone())?;
    for (node, boxes) in &boxes {
        let reply = stage.masked_round(node, &args, boxes).unwrap();
        if is_left(&node, 3) {
            takes.take(node, &stage.vectors(&reply, &coding))?;
        }
    }
    kill(stage, 3);
    let (mut takes, survivors) = takes.close()?;
    kill(stage, 4);
    for node in survivors.alive.iter().filter(|node| is_left(node, 4)) {
        takes.take(stage.consent(node, &setup, &survivors).unwrap(), &verify)?;
    }
    let (mut takes, consents) = takes.close()?;
    kill(stage, 5);
    for node in survivors.alive.iter().filter(|node| is_left(node, 5)) {
        takes.take(stage.reveal(node, &setup, &consents).unwrap())?;
    }
    let (sums, alive) = takes.close()?;
    Ok((coding.decode(&sums, alive.len())?, alive))
}

#[test]
fn a_node_that_is_killed_at_any_step_is_survived() {
    let mut stage = Stage::new(5);
    let (expected_of_4, _) = stage.clear_mean(&stage.parties(&[0, 1, 2, 3]));
    let (expected_of_5, _) = stage.clear_mean(&stage.parties(&[0, 1, 2, 3, 4]));
    for step in 1..=5 {
        // Each time another run: the same one is not masked for other nodes.
        stage.another_run(10 + step as u32);
        let (decoded, alive) = run(&mut stage, 1, step).unwrap();
        // From the fourth step on its vectors are in the sum.
        let (n, expected) = match step {
            1..=3 => (4, &expected_of_4),
            _ => (5, &expected_of_5),
        };
        assert_eq!(alive.len(), n, "step {step}");
        for (got, expected) in decoded.mean.iter().zip(expected) {
            assert!((got - expected).abs() <= 2e-7, "step {step}: {got} {expected}");
        }
        stage.start_node(4);
    }
}

#[test]
fn below_the_threshold_the_round_ends_by_name() {
    let mut stage = Stage::new(5);
    for step in 1..=5 {
        stage.another_run(10 + step as u32);
        let error = run(&mut stage, 2, step).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, Error::TooFewLeft { got: 3, needed: 4, .. }),
            "step {step}: {text}"
        );
        assert!(text.contains("lost: `n3`, `n4`"), "{text}");
        stage.start_node(3);
        stage.start_node(4);
    }
}

/// A node that was killed after its vectors were masked has no keys any more: it neither masks nor
/// reveals again, and what it may say late is not needed.
#[test]
fn a_node_that_starts_again_takes_no_step_of_an_old_sum() {
    let mut stage = Stage::new(5);
    let context = stage.agree(&[0, 1, 2, 3, 4]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let node = stage.nodes[4].clone();
    stage.ask(&node, &stage.request(&node, &args)).unwrap();
    stage.kill(4);
    stage.start_node(4);
    let refused = stage.ask(&node, &stage.request(&node, &args)).unwrap_err();
    assert!(refused.message.contains("perhaps since it started again"), "{}", refused.message);
}
