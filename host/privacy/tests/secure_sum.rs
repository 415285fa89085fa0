//! Bit for bit against a second implementation: tests/oracles/secure_sum.py writes the vectors.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;

use fedwasm_privacy::double_masking::{Setup, TakesKeys};
use fedwasm_privacy::masking::{self, Context};
use fedwasm_privacy::{
    Binding, Counts, Lane, Layout, Parties, Quantiser, Stream, Sum, Vectors, combine,
    double_masking, lanes_to_bytes, split,
};
use fedwasm_protocol::{Digest, NodeId};
use rand_chacha::rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;
use support::{sign, verify};

type At<T> = BTreeMap<NodeId, T>;

#[derive(Deserialize)]
struct Table {
    keys: At<Keys>,
    wide: Case,
    narrow: Case,
    shamir: Shamir,
}

#[derive(Deserialize)]
struct Keys {
    secret: String,
    public: String,
    seed: String,
}

#[derive(Deserialize)]
struct Case {
    values: At<Vec<f64>>,
    weights: At<u64>,
    counts: At<Vec<u64>>,
    layout: Digest,
    first_masked: Vectors<u64>,
    masked: At<BTreeMap<Stream, Digest>>,
    double_masked: At<BTreeMap<Stream, Digest>>,
    sums: Vectors<u64>,
    mean: Vec<f64>,
    sums_without_last: Vectors<u64>,
}

#[derive(Deserialize)]
struct Shamir {
    secret: String,
    coefficients: Vec<String>,
    shares: Vec<String>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../../tests/data/secure_sum.json")).unwrap()
}

fn bytes(hex: &str) -> [u8; 32] {
    *hex.parse::<Digest>().unwrap().as_bytes()
}

/// Gives the bytes that were written down, then zeros.
struct Script(std::collections::VecDeque<u8>);

impl Script {
    fn of(parts: &[[u8; 32]]) -> Self {
        Self(parts.as_flattened().iter().copied().collect())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.iter_mut().for_each(|byte| *byte = self.0.pop_front().unwrap_or(0));
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// A case with the coding of its lanes.
struct Run {
    case: Case,
    keys: At<Keys>,
    quantiser: Quantiser,
    counts: Counts,
    layout: Layout,
    parties: Parties,
    binding: Binding,
}

impl Run {
    fn new<L: Lane>(case: Case, keys: At<Keys>, weight_max: u64, parties_max: u32) -> Self {
        let quantiser = Quantiser::new::<L>(2.5, 24, weight_max, parties_max, 0).unwrap();
        let counts = Counts::new::<L>(1 << 20, parties_max).unwrap();
        let layout = Layout::default()
            .with(Stream::Params, 702, &[&quantiser.encoding(), b"dense [700]"])
            .with(Stream::Counts, 10, &[&counts.encoding(), b"dense [700]"]);
        let [plan, params, arguments] =
            ["plan", "params", "arguments"].map(|name| Digest::of(name.as_bytes()));
        let binding = Binding { round: 3, plan, params, arguments, layout: layout.digest::<L>() };
        assert_eq!(binding.layout, case.layout);
        let parties = Parties::new(keys.keys().cloned(), 3).unwrap();
        Self { case, keys, quantiser, counts, layout, parties, binding }
    }

    fn clear<L: Lane>(&self, node: &NodeId) -> Vectors<L> {
        let values = self.quantiser.encode(&self.case.values[node], self.case.weights[node]);
        let counts = self.counts.encode(&self.case.counts[node]);
        [(Stream::Params, values.unwrap()), (Stream::Counts, counts.unwrap())].into()
    }

    fn masked<L: Lane>(&self) -> At<Vectors<L>> {
        let id = Digest::of(format!("context/{}", L::BITS / 8).as_bytes());
        let context = Context { id, roster: Digest::of(b"roster"), parties: self.parties.clone() };
        let draw = |node: &NodeId| {
            let mut script = Script::of(&[bytes(&self.keys[node].secret)]);
            masking::Advertised::new(context.clone(), node, &mut script, &sign(node)).unwrap()
        };
        let advertised: Vec<_> = self.parties.iter().map(draw).collect();
        let keys: Vec<_> = advertised.iter().map(|one| one.keys().clone()).collect();
        for keys in &keys {
            assert_eq!(keys.keys[0], bytes(&self.keys[&keys.node].public));
        }
        let masked = |(node, one): (&NodeId, masking::Advertised)| {
            let mut agreed = one.agree(&keys, &verify).unwrap();
            let pads = agreed.pads(&self.binding, &mut |_| Ok(())).unwrap();
            (node.clone(), pads.mask(&self.layout, self.clear(node)).unwrap())
        };
        self.parties.iter().zip(advertised).map(masked).collect()
    }

    /// The masked vectors of a round of double masking whose last node is lost after it shared, and
    /// the sum of the others.
    fn double_masked<L: Lane>(&self) -> (At<Vectors<L>>, Vectors<L>) {
        let id = Digest::of(format!("context/{}", L::BITS / 8).as_bytes());
        let (roster, parties) = (Digest::of(b"roster"), self.parties.clone());
        let setup = Setup { id, roster, parties, threshold: 3, binding: self.binding };
        let mut step = TakesKeys::new(setup.clone()).unwrap();
        let mut nodes = Vec::new();
        for node in self.parties.iter() {
            let share_key = *Digest::of(node.as_str().as_bytes()).as_bytes();
            let mut script = Script::of(&[bytes(&self.keys[node].secret), share_key]);
            let sign = sign(node);
            let advertised =
                double_masking::Advertised::new(setup.clone(), node, &mut script, &sign);
            let advertised = advertised.unwrap();
            step.take(advertised.keys().clone(), &verify).unwrap();
            nodes.push((node.clone(), advertised));
        }
        let (mut step, keys) = step.close().unwrap();
        let mut shared = Vec::new();
        for (node, advertised) in nodes {
            let mut script = Script::of(&[bytes(&self.keys[&node].seed)]);
            let (one, message) = advertised.share(&keys, &mut script, &verify).unwrap();
            step.take(message).unwrap();
            shared.push((node, one));
        }
        let (mut step, boxes) = step.close::<L>(self.layout.clone()).unwrap();
        let (mut masked, mut all) = (Vec::new(), At::new());
        for (node, one) in shared {
            let received = one.receive(&boxes[&node]).unwrap();
            let (one, vectors) =
                received.mask(&self.layout, self.clear(&node), &mut |_| Ok(())).unwrap();
            if Some(&node) != self.parties.iter().last() {
                step.take(&node, &vectors).unwrap();
                masked.push((node.clone(), one));
            }
            all.insert(node, vectors);
        }
        let (mut step, survivors) = step.close().unwrap();
        let mut consented = Vec::new();
        for (node, one) in masked {
            let (one, consent) = one.consent(&survivors, &sign(&node)).unwrap();
            step.take(consent, &verify).unwrap();
            consented.push(one);
        }
        let (mut step, consents) = step.close().unwrap();
        for one in consented {
            step.take(one.reveal(&consents, &verify).unwrap()).unwrap();
        }
        (all, step.close().unwrap().0)
    }

    fn compare<L: Lane>(&self) {
        let values = |vectors: &Vectors<L>| -> Vectors<u64> {
            let vector = |lanes: &Vec<L>| lanes.iter().map(|lane| lane.value()).collect();
            vectors.iter().map(|(stream, lanes)| (*stream, vector(lanes))).collect()
        };
        let digests = |vectors: &Vectors<L>| -> BTreeMap<Stream, Digest> {
            let digest = |lanes: &Vec<L>| Digest::of(&lanes_to_bytes(lanes));
            vectors.iter().map(|(stream, lanes)| (*stream, digest(lanes))).collect()
        };
        let masked = self.masked::<L>();
        let mut sum = Sum::new(self.parties.clone(), self.layout.clone());
        for (node, vectors) in &masked {
            if Some(node) == self.parties.iter().next() {
                let first = values(vectors);
                assert_eq!(first[&Stream::Counts], self.case.first_masked[&Stream::Counts]);
                let params = &self.case.first_masked[&Stream::Params];
                assert_eq!(first[&Stream::Params][..params.len()], params[..]);
            }
            assert_eq!(digests(vectors), self.case.masked[node], "{node}");
            sum.add(node, vectors).unwrap();
        }
        let sums = sum.finish().unwrap();
        assert_eq!(values(&sums), self.case.sums);
        let (mean, weight) = self.quantiser.decode(&sums[&Stream::Params], 4).unwrap();
        assert_eq!(weight, self.case.weights.values().sum::<u64>());
        assert_eq!(mean, self.case.mean);
        let counts = self.counts.decode(&sums[&Stream::Counts], 4).unwrap();
        assert_eq!(counts[0], self.case.counts.values().map(|counts| counts[0]).sum::<u64>());

        let (double, sums) = self.double_masked::<L>();
        for (node, vectors) in &double {
            assert_eq!(digests(vectors), self.case.double_masked[node], "{node}");
        }
        assert_eq!(values(&sums), self.case.sums_without_last);
    }
}

#[test]
fn wide_lanes_are_those_of_the_twin() {
    let table = table();
    Run::new::<u64>(table.wide, table.keys, 100_000, 64).compare::<u64>();
}

#[test]
fn narrow_lanes_are_those_of_the_twin() {
    let table = table();
    Run::new::<u32>(table.narrow, table.keys, 8, 8).compare::<u32>();
}

#[test]
fn shares_are_those_of_the_twin() {
    let Shamir { secret, coefficients, shares } = table().shamir;
    let coefficients: Vec<[u8; 32]> = coefficients.iter().map(|hex| bytes(hex)).collect();
    let split = split(&bytes(&secret), 3, 5, &mut Script::of(&coefficients)).unwrap();
    for (share, expected) in split.iter().zip(&shares) {
        assert_eq!(share.values(), &bytes(expected), "at {}", share.point());
    }
    assert_eq!(*combine(&split[1..4], 3).unwrap(), bytes(&secret));
}
