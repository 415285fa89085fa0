//! Nodes with names, stand-ins for their identities, and a seed for everything that is drawn.
#![allow(dead_code, unreachable_pub, reason = "not every test binary uses all of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;

use fedwasm_privacy::{Binding, Cause, Layout, PadUse, Parties, Stream, Vectors};
use fedwasm_protocol::{Digest, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn nodes(n: usize) -> Vec<NodeId> {
    (0..n).map(|k| format!("node-{k:02}").parse().unwrap()).collect()
}

pub fn parties(n: usize) -> Parties {
    Parties::new(nodes(n), 3).unwrap()
}

/// What stands for an identity: whoever knows the name can sign, which only tests may.
pub fn sign(node: &NodeId) -> impl Fn(&[u8]) -> Result<Vec<u8>, Cause> {
    let node = node.clone();
    move |statement| Ok(signature(&node, statement))
}

fn signature(node: &NodeId, statement: &[u8]) -> Vec<u8> {
    Digest::of(&[node.as_str().as_bytes(), b"|", statement].concat()).as_bytes().to_vec()
}

pub fn verify(node: &NodeId, statement: &[u8], signed: &[u8]) -> Result<(), Cause> {
    match signed == signature(node, statement) {
        true => Ok(()),
        false => Err("another signature".into()),
    }
}

/// A journal in memory: refuses a use that it has, and a run under a second set of nodes.
#[derive(Default)]
pub struct Journal(BTreeSet<PadUse>);

impl Journal {
    pub fn write(&mut self, pad_use: &PadUse) -> Result<(), Cause> {
        let same = |had: &PadUse| {
            (had.context, had.round) == (pad_use.context, pad_use.round) || had.run == pad_use.run
        };
        match self.0.iter().any(same) {
            true => Err("it was used before".into()),
            false => {
                self.0.insert(*pad_use);
                Ok(())
            }
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

pub fn layout(lengths: &[(Stream, usize)]) -> Layout {
    lengths.iter().fold(Layout::default(), |layout, (stream, n)| layout.with(*stream, *n, &[b"t"]))
}

pub fn binding(round: u64, layout: &Layout) -> Binding {
    let [plan, params, arguments] =
        [&b"plan"[..], &round.to_be_bytes(), b"arguments"].map(Digest::of);
    Binding { round, plan, params, arguments, layout: layout.digest::<u64>() }
}

/// Vectors of any lanes.
pub fn vectors(rng: &mut ChaCha20Rng, layout: &Layout) -> Vectors<u64> {
    let mut vector = |n| (0..n).map(|_| rng.next_u64()).collect();
    layout.lengths().map(|(stream, n)| (stream, vector(n))).collect()
}

pub fn clear_sum<'a>(all: impl IntoIterator<Item = &'a Vectors<u64>>) -> Vectors<u64> {
    let mut sums = Vectors::new();
    for vectors in all {
        for (stream, lanes) in vectors {
            let sum = sums.entry(*stream).or_insert_with(|| vec![0u64; lanes.len()]);
            sum.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.wrapping_add(*lane));
        }
    }
    sums
}
