//! Sums under every drop-out.

use fedwasm_privacy::double_masking::threshold_min;
use proptest::prelude::*;

use crate::rounds::{Round, run};

#[test]
fn of_five_nodes_one_may_be_lost_at_any_step() {
    for step in 0..5 {
        for node in 0..5 {
            let mut round = Round::new(5, 1);
            let mut lost: [&[usize]; 5] = [&[]; 5];
            let one = [node];
            lost[step] = &one;
            let (sums, alive) = run(&mut round, lost).unwrap();
            assert_eq!(alive.len(), if step < 3 { 4 } else { 5 });
            assert_eq!(sums, round.sum_of(&alive), "node {node} after message {step}");
        }
    }
}

#[test]
fn below_the_threshold_the_round_ends_with_the_names() {
    let steps = ["keys", "shares", "masked vectors", "consents", "revealed shares"];
    for (step, name) in steps.into_iter().enumerate() {
        let mut lost: [&[usize]; 5] = [&[]; 5];
        lost[step] = &[1, 3];
        let error = run(&mut Round::new(5, 2), lost).unwrap_err();
        let expected = format!("{name} of 3 nodes, 4 are needed; lost: `node-01`, `node-03`");
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_sum_is_that_of_the_survivors(
        n in 3usize..10, seed: u64, fates in prop::collection::vec(0usize..12, 10),
    ) {
        let mut round = Round::new(n, seed);
        let mut lost = [const { Vec::new() }; 5];
        let may_be_lost = n - threshold_min(n);
        for (node, step) in fates.iter().take(n).enumerate().filter(|(_, step)| **step < 5).take(may_be_lost) {
            lost[*step].push(node);
        }
        let lost = [0, 1, 2, 3, 4].map(|step| lost[step].as_slice());
        let (sums, alive) = run(&mut round, lost).unwrap();
        prop_assert_eq!(sums, round.sum_of(&alive));
    }
}
