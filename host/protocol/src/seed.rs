//! From one random seed to the seeds of each purpose.
//!
//! A seed is `SHA-256("fedwasm/v1" 00 purpose 00 random_seed [round] [node])`
//! with `random_seed` as 8 bytes and `round` as 4 bytes, both little-endian,
//! and `node` as the bytes of the node's id. Rounds count from 1.
//! The split has neither round nor node: the same rows are held out in every
//! round, wherever the data lie, unless the researcher wants other rows in
//! every round (`shuffle_testing_dataset`). Only `plan` and `compression` know the node, and what is drawn for
//! simulated ones; training that resumes after a break continues its stream, after the bytes that were drawn.
//! `fate` has the attempt after the round, as 4 bytes, and `speed` no round.

use crate::{Digest, NodeId};

/// Initial model parameters.
pub fn init(random_seed: u64) -> [u8; 32] {
    derive("init", random_seed, &[])
}

/// Which rows are held out.
pub fn split(random_seed: u64) -> [u8; 32] {
    derive("split", random_seed, &[])
}

/// Which rows are held out in one round, where they change from round to round.
pub fn split_of_round(random_seed: u64, round: u32) -> [u8; 32] {
    derive("split", random_seed, &round.to_le_bytes())
}

/// Which nodes take part in one round, where a fraction of them does.
pub fn sample(random_seed: u64, round: u32) -> [u8; 32] {
    derive("sample", random_seed, &round.to_le_bytes())
}

/// The order of the training rows in one round.
pub fn shuffle(random_seed: u64, round: u32) -> [u8; 32] {
    derive("shuffle", random_seed, &round.to_le_bytes())
}

/// The changes of training rows in one round ([`crate::Augment`]).
pub fn augment(random_seed: u64, round: u32) -> [u8; 32] {
    derive("augment", random_seed, &round.to_le_bytes())
}

/// The seed of the plan's own draws in one round at one node.
pub fn plan(random_seed: u64, round: u32, node: &NodeId) -> [u8; 32] {
    of_node("plan", random_seed, round, node)
}

fn of_node(purpose: &str, random_seed: u64, round: u32, node: &NodeId) -> [u8; 32] {
    let mut rest = round.to_le_bytes().to_vec();
    rest.extend_from_slice(node.as_str().as_bytes());
    derive(purpose, random_seed, &rest)
}

/// The noise that a simulated node adds in one round; that of a real one comes from its system.
pub fn noise(random_seed: u64, round: u32, node: &NodeId) -> [u8; 32] {
    of_node("noise", random_seed, round, node)
}

/// Which rows of a file each node of a simulation has.
pub fn partition(random_seed: u64) -> [u8; 32] {
    derive("partition", random_seed, &[])
}

/// How fast a simulated node is, in all rounds.
pub fn speed(random_seed: u64, node: &NodeId) -> [u8; 32] {
    derive("speed", random_seed, node.as_str().as_bytes())
}

/// What becomes of a simulated node when it is asked to train, from `attempt` 0 on.
pub fn fate(random_seed: u64, round: u32, attempt: u32, node: &NodeId) -> [u8; 32] {
    let mut rest = round.to_le_bytes().to_vec();
    rest.extend(attempt.to_le_bytes());
    rest.extend_from_slice(node.as_str().as_bytes());
    derive("fate", random_seed, &rest)
}

/// The draws that round the update of a node in one round ([`crate::Compression::Int8`]).
pub fn compression(random_seed: u64, round: u32, node: &NodeId) -> [u8; 32] {
    of_node("compression", random_seed, round, node)
}

/// Which rows each fold of a cross-validation holds out.
pub fn folds(random_seed: u64) -> [u8; 32] {
    derive("folds", random_seed, &[])
}

/// The number that nodes encrypt as a check of secure aggregation in one round
/// (Fed-BioMed `secagg_random`): thousandths in [0, 1).
pub fn secagg_random(random_seed: u64, round: u32) -> f64 {
    let [a, b, ..] = derive("secagg", random_seed, &round.to_le_bytes());
    f64::from(u16::from_le_bytes([a, b]) % 1_000) / 1e3
}

fn derive(purpose: &str, random_seed: u64, rest: &[u8]) -> [u8; 32] {
    let mut text = b"fedwasm/v1\0".to_vec();
    text.extend_from_slice(purpose.as_bytes());
    text.push(0);
    text.extend_from_slice(&random_seed.to_le_bytes());
    text.extend_from_slice(rest);
    *Digest::of(&text).as_bytes()
}

/// Draws a random seed, short enough to be typed again.
///
/// # Errors
/// If the operating system did not provide random bytes.
pub fn random_seed() -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn seeds_equal_the_python_twin() {
        let hex = |seed: [u8; 32]| -> String {
            seed[..8].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let node: NodeId = "site-1".parse().unwrap();
        assert_eq!(hex(init(42)), "182c4138a6a19909");
        assert_eq!(hex(split(42)), "a22e0ee35f65cb57");
        assert_eq!(hex(shuffle(42, 1)), "bcfb9a23c67bc218");
        assert_eq!(hex(plan(42, 3, &node)), "d745ab5696270949");
        assert_eq!(hex(folds(42)), "8c58795a2a921874");
    }
}
