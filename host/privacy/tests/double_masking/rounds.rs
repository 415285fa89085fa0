//! A round up to each of its steps.

use std::collections::BTreeMap;

use fedwasm_privacy::double_masking::{
    Advertised, Boxes, Consent, Consented, Masked, Received, Reveal, SealedShares, Setup, Shared,
    Survivors, TakesConsents, TakesKeys, TakesReveals, TakesShares, TakesVectors, threshold_min,
};
use fedwasm_privacy::{Error, Layout, Parties, SignedKeys, Stream, Vectors};
use fedwasm_protocol::{Digest, NodeId};
use rand_chacha::ChaCha20Rng;

use crate::support::{
    Journal, binding, clear_sum, layout, nodes, parties, rng, sign, vectors, verify,
};

pub(crate) type At<T> = BTreeMap<NodeId, T>;

pub(crate) fn setup(n: usize, layout: &Layout) -> Setup {
    Setup {
        id: Digest::of(b"setup"),
        roster: Digest::of(b"roster"),
        parties: parties(n),
        threshold: threshold_min(n) as u32,
        binding: binding(1, layout),
    }
}

/// A round up to each of its steps. Nodes are lost between them: `lost[k]` after message k.
pub(crate) struct Round {
    pub(crate) layout: Layout,
    pub(crate) setup: Setup,
    pub(crate) clear: At<Vectors<u64>>,
    pub(crate) rng: ChaCha20Rng,
}

impl Round {
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        let layout = layout(&[(Stream::Params, 30), (Stream::Counts, 3)]);
        let mut rng = rng(seed);
        let clear = nodes(n).into_iter().map(|node| (node, vectors(&mut rng, &layout))).collect();
        Self { setup: setup(n, &layout), layout, clear, rng }
    }

    pub(crate) fn advertised(&mut self) -> At<Advertised> {
        let mut one = |node: &NodeId| {
            Advertised::new(self.setup.clone(), node, &mut self.rng, &sign(node)).unwrap()
        };
        self.clear.keys().map(|node| (node.clone(), one(node))).collect()
    }

    pub(crate) fn keys(
        &mut self,
        nodes: &At<Advertised>,
    ) -> Result<(TakesShares, Vec<SignedKeys>), Error> {
        let mut step = TakesKeys::new(self.setup.clone())?;
        for node in nodes.values() {
            step.take(node.keys().clone(), &verify)?;
        }
        step.close()
    }

    pub(crate) fn shared(
        &mut self,
        nodes: At<Advertised>,
        keys: &[SignedKeys],
    ) -> (At<Shared>, Vec<SealedShares>) {
        let all = nodes.into_iter().map(|(name, node)| {
            let (node, message) = node.share(keys, &mut self.rng, &verify).unwrap();
            ((name, node), message)
        });
        all.unzip()
    }

    pub(crate) fn vectors_step(
        &self,
        mut step: TakesShares,
        messages: Vec<SealedShares>,
    ) -> Result<(TakesVectors<u64>, At<Boxes>), Error> {
        messages.into_iter().try_for_each(|message| step.take(message))?;
        step.close(self.layout.clone())
    }

    pub(crate) fn received(nodes: At<Shared>, boxes: &At<Boxes>) -> At<Received> {
        let one = |(name, node): (NodeId, Shared)| {
            let boxes = &boxes[&name];
            (name, node.receive(boxes).unwrap())
        };
        nodes.into_iter().map(one).collect()
    }

    pub(crate) fn masked(&self, nodes: At<Received>) -> At<(Masked, Vectors<u64>)> {
        let one = |(name, node): (NodeId, Received)| {
            let mut journal = Journal::default();
            let mut write = |pad_use: &_| journal.write(pad_use);
            let masked = node.mask(&self.layout, self.clear[&name].clone(), &mut write).unwrap();
            (name, masked)
        };
        nodes.into_iter().map(one).collect()
    }

    /// Up to the masked vectors of all nodes, none lost.
    pub(crate) fn until_masked(&mut self) -> (TakesVectors<u64>, At<(Masked, Vectors<u64>)>) {
        let nodes = self.advertised();
        let (step, keys) = self.keys(&nodes).unwrap();
        let (nodes, messages) = self.shared(nodes, &keys);
        let (step, boxes) = self.vectors_step(step, messages).unwrap();
        let nodes = self.masked(Self::received(nodes, &boxes));
        (step, nodes)
    }

    /// Up to the consents, with these nodes lost before their vectors came.
    pub(crate) fn until_consented(
        &mut self,
        lost: &[usize],
    ) -> (TakesConsents<u64>, At<Consented>, Vec<Consent>, Survivors) {
        let (mut step, mut masked) = self.until_masked();
        lose(&mut masked, lost);
        for (node, (_, vectors)) in &masked {
            step.take(node, vectors).unwrap();
        }
        let (step, survivors) = step.close().unwrap();
        let masked = masked.into_iter().map(|(node, (masked, _))| (node, masked)).collect();
        let (nodes, consents) = consented(masked, &survivors);
        (step, nodes, consents, survivors)
    }

    pub(crate) fn until_revealed(&mut self, lost: &[usize]) -> (TakesReveals<u64>, Vec<Reveal>) {
        let (mut step, nodes, consents, _) = self.until_consented(lost);
        for consent in consents {
            step.take(consent, &verify).unwrap();
        }
        let (step, consents) = step.close().unwrap();
        let reveals = nodes.into_values().map(|node| node.reveal(&consents, &verify).unwrap());
        (step, reveals.collect())
    }

    pub(crate) fn sum_of(&self, alive: &Parties) -> Vectors<u64> {
        clear_sum(alive.iter().map(|node| &self.clear[node]))
    }
}

pub(crate) fn lose<T>(all: &mut At<T>, lost: &[usize]) {
    let names = nodes(65);
    lost.iter().for_each(|k| drop(all.remove(&names[*k])));
}

pub(crate) fn consented(nodes: At<Masked>, survivors: &Survivors) -> (At<Consented>, Vec<Consent>) {
    let all = nodes.into_iter().map(|(name, node)| {
        let (node, consent) = node.consent(survivors, &sign(&name)).unwrap();
        ((name, node), consent)
    });
    all.unzip()
}

/// Runs a round in which nodes are lost after each message, and returns the sum or why there is none.
pub(crate) fn run(
    round: &mut Round,
    lost: [&[usize]; 5],
) -> Result<(Vectors<u64>, Parties), Error> {
    let mut nodes = round.advertised();
    lose(&mut nodes, lost[0]);
    let (step, keys) = round.keys(&nodes)?;
    let (mut nodes, mut messages) = round.shared(nodes, &keys);
    lose(&mut nodes, lost[1]);
    messages.retain(|message| nodes.contains_key(&message.node));
    let (mut step, boxes) = round.vectors_step(step, messages)?;
    let mut masked = round.masked(Round::received(nodes, &boxes));
    lose(&mut masked, lost[2]);
    for (node, (_, vectors)) in &masked {
        step.take(node, vectors)?;
    }
    let (mut step, survivors) = step.close()?;
    let masked = masked.into_iter().map(|(node, (masked, _))| (node, masked)).collect();
    let (mut nodes, consents) = consented(masked, &survivors);
    lose(&mut nodes, lost[3]);
    for consent in consents.into_iter().filter(|consent| nodes.contains_key(&consent.node)) {
        step.take(consent, &verify)?;
    }
    let (mut step, consents) = step.close()?;
    lose(&mut nodes, lost[4]);
    for node in nodes.into_values() {
        step.take(node.reveal(&consents, &verify).unwrap())?;
    }
    step.close()
}
