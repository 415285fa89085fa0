//! What masks are bound to. Nodes that were told different things derive different masks, which do
//! not cancel: the sum is noise, and no update is told apart.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId};
use serde::{Deserialize, Serialize};

use crate::{Error, Lane};

/// The fewest nodes of a sum: of two, each learns the other's part.
pub const PARTIES_MIN: usize = 3;
/// The most nodes of a sum: every pair of them has a mask.
pub const PARTIES_MAX: usize = 64;

/// The nodes of a sum, in ascending order of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<NodeId>", into = "Vec<NodeId>")]
pub struct Parties(Vec<NodeId>);

impl Parties {
    /// Returns the set of these nodes.
    ///
    /// * `at_least` — the operator's floor; 3 is the least in any case.
    ///
    /// # Errors
    /// [`Error::Twice`] for a node that is named twice, [`Error::Parties`] for too few or more than
    /// [`PARTIES_MAX`].
    pub fn new(nodes: impl IntoIterator<Item = NodeId>, at_least: usize) -> Result<Self, Error> {
        let mut nodes: Vec<NodeId> = nodes.into_iter().take(PARTIES_MAX + 1).collect();
        nodes.sort_unstable();
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Twice { node: pair[0].clone(), what: "party" });
        }
        let (got, min) = (nodes.len(), at_least.max(PARTIES_MIN));
        match (min..=PARTIES_MAX).contains(&got) {
            true => Ok(Self(nodes)),
            false => Err(Error::Parties { got, min, max: PARTIES_MAX }),
        }
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there are at least three")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The nodes in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.0.iter()
    }

    /// The position of a node, from 0.
    pub fn position(&self, node: &NodeId) -> Option<usize> {
        self.0.binary_search(node).ok()
    }

    /// Whether a node is one of them.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.position(node).is_some()
    }

    /// SHA-256 of all ids, each with its length before it.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        self.0.iter().for_each(|node| put_id(&mut bytes, node));
        Digest::of(&bytes)
    }
}

impl TryFrom<Vec<NodeId>> for Parties {
    type Error = Error;

    fn try_from(nodes: Vec<NodeId>) -> Result<Self, Error> {
        Self::new(nodes, PARTIES_MIN)
    }
}

impl From<Parties> for Vec<NodeId> {
    fn from(parties: Parties) -> Self {
        parties.0
    }
}

/// Appends an id with its length (16 bits, big-endian) before it. Ids have at most 64 bytes.
pub(crate) fn put_id(bytes: &mut Vec<u8>, node: &NodeId) {
    let text = node.as_str().as_bytes();
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text);
}

/// The purpose of a vector. Each has keys of its own, so that no two are ever under one pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The update of the parameters.
    Params,
    /// Auxiliary variables.
    AuxVars,
    /// Sample counts.
    Counts,
    /// Sums that metrics are made of.
    Metrics,
    /// The seed's check value (`encryption_factor`).
    Check,
    /// Whole numbers that are summed by themselves: statistics of columns.
    Numbers,
}

impl Stream {
    /// Its name, as messages have it too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::AuxVars => "aux_vars",
            Self::Counts => "counts",
            Self::Metrics => "metrics",
            Self::Check => "check",
            Self::Numbers => "numbers",
        }
    }

    /// Its byte in what keys are derived from; never changes.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Params => 0,
            Self::AuxVars => 1,
            Self::Counts => 2,
            Self::Metrics => 3,
            Self::Check => 4,
            Self::Numbers => 5,
        }
    }
}

/// Vectors of a round, by what they are for.
pub type Vectors<L> = BTreeMap<Stream, Vec<L>>;

/// The lengths and meanings of the vectors of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    streams: BTreeMap<Stream, (u64, Digest)>,
}

impl Layout {
    /// Adds a vector.
    ///
    /// * `n_lanes` — its length, check lanes among them.
    /// * `meaning` — whatever sender and receiver must agree upon: the coding
    ///   ([`crate::Quantiser::encoding`]), names and shapes of tensors.
    #[must_use]
    pub fn with(mut self, stream: Stream, n_lanes: usize, meaning: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in meaning {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(*part);
        }
        self.streams.insert(stream, (n_lanes as u64, Digest::of(&bytes)));
        self
    }

    /// The layout of the vectors that lie in the repository together: `stream` travels by itself.
    #[must_use]
    pub fn without(mut self, stream: Stream) -> Self {
        self.streams.remove(&stream);
        self
    }

    /// The lengths, by stream.
    pub fn lengths(&self) -> impl Iterator<Item = (Stream, usize)> {
        let length = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        self.streams.iter().map(move |(stream, (n, _))| (*stream, length(*n)))
    }

    /// SHA-256 of the whole, with the width of lanes.
    pub fn digest<L: Lane>(&self) -> Digest {
        let mut bytes = b"fedwasm/layout/v1".to_vec();
        bytes.extend(L::BITS.to_be_bytes());
        for (stream, (n, meaning)) in &self.streams {
            bytes.push(stream.code());
            bytes.extend(n.to_be_bytes());
            bytes.extend(meaning.as_bytes());
        }
        Digest::of(&bytes)
    }

    /// Whether these vectors have this layout's streams and lengths.
    ///
    /// # Errors
    /// [`Error::Stream`], [`Error::Length`].
    pub fn check<L>(&self, vectors: &Vectors<L>) -> Result<(), Error> {
        if let Some(stream) = vectors.keys().find(|stream| !self.streams.contains_key(stream)) {
            return Err(Error::Stream { stream: *stream, fault: "was not agreed upon" });
        }
        for (stream, expected) in self.lengths() {
            let Some(vector) = vectors.get(&stream) else {
                return Err(Error::Stream { stream, fault: "is missing" });
            };
            if vector.len() != expected {
                return Err(Error::Length { what: "lanes", got: vector.len(), expected });
            }
        }
        Ok(())
    }
}

/// The facts of a round; the same at all nodes, or masks do not cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The round, from 1.
    pub round: u64,
    /// The component.
    pub plan: Digest,
    /// The parameters that the round starts from.
    pub params: Digest,
    /// All arguments: training, model, aggregator, data.
    pub arguments: Digest,
    /// [`Layout::digest`].
    pub layout: Digest,
}

impl Binding {
    /// SHA-256 of plan, parameters and arguments: the run whose update is masked. The same run must
    /// not be masked for a second set of nodes.
    pub fn run(&self) -> Digest {
        let run = [self.plan, self.params, self.arguments].map(|digest| *digest.as_bytes());
        Digest::of(run.as_flattened())
    }

    /// The input for the key of two nodes' mask, after the secret they share (HKDF's info).
    pub(crate) fn info(
        &self,
        one: &NodeId,
        other: &NodeId,
        stream: Stream,
        set: Digest,
    ) -> Vec<u8> {
        let mut info = self.info_without_arguments(one, other, stream, set);
        info.extend(self.arguments.as_bytes());
        info.extend(self.layout.as_bytes());
        info
    }

    fn info_without_arguments(
        &self,
        one: &NodeId,
        other: &NodeId,
        stream: Stream,
        set: Digest,
    ) -> Vec<u8> {
        let mut info = b"fedwasm/lom/v1".to_vec();
        put_id(&mut info, one.min(other));
        put_id(&mut info, one.max(other));
        info.extend(self.round.to_be_bytes());
        info.push(stream.code());
        for digest in [self.plan, self.params, set] {
            info.extend(digest.as_bytes());
        }
        info
    }

    /// The whole as bytes.
    pub(crate) fn encoding(&self) -> Vec<u8> {
        let mut bytes = self.round.to_be_bytes().to_vec();
        for digest in [self.plan, self.params, self.arguments, self.layout] {
            bytes.extend(digest.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Mask, PairSecret};
    use crate::{Sign, lanes_to_bytes};

    fn ids(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// Computed by an independent implementation in Python (tests/oracles/secure_sum.py).
    #[test]
    fn keys_and_masks_are_those_that_were_written_down() {
        let ids = ids(&["NODE_a", "NODE_b"]);
        let (zero, set) = (Digest::of(b""), Parties(ids.clone()).digest());
        let (plan, params) = (Digest::of(b"plan"), Digest::of(b"params"));
        let binding = Binding { round: 1, plan, params, arguments: zero, layout: zero };
        let info = binding.info_without_arguments(&ids[1], &ids[0], Stream::Params, set);
        let expected = "db58854f786c9febe62ff2f30918d30e617f064afcf8bd6e276762fb64b454a0";
        assert_eq!(Digest::of(&info).to_string(), expected);

        let secret: [u8; 32] = std::array::from_fn(|at| at as u8);
        let salt: [u8; 32] = std::array::from_fn(|at| 0x40 + at as u8);
        let secret = PairSecret::extract(&salt, &secret);
        let key = secret.key(&info);
        let expected = "f7299e99cbb496c2a4bf3f71e5454c0a51987c852481e43a95f53bdf6966a296";
        assert_eq!(Digest::from(*key).to_string(), expected);
        let mut lanes = [0u64; 4];
        Mask::apply(vec![Mask::new(key, Sign::Plus)], &mut lanes).unwrap();
        let expected =
            [0x495cbbc416d16a88, 0x91ac5576c930b1f0, 0x03bbb995ba2ecfa9, 0xfadcde3fe9cb30b2];
        assert_eq!(lanes, expected);
        assert_eq!(lanes_to_bytes(&lanes).len(), 32);
    }

    #[test]
    fn every_part_of_a_binding_changes_the_key() {
        let ids = ids(&["a", "b", "c"]);
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let base = Binding { round: 1, plan: one, params: one, arguments: one, layout: one };
        let info = |binding: &Binding| binding.info(&ids[0], &ids[1], Stream::Params, one);
        let others = [
            Binding { round: 2, ..base },
            Binding { plan: two, ..base },
            Binding { params: two, ..base },
            Binding { arguments: two, ..base },
            Binding { layout: two, ..base },
        ];
        assert!(others.iter().all(|other| info(other) != info(&base)));
        assert_ne!(base.info(&ids[0], &ids[1], Stream::AuxVars, one), info(&base));
        assert_ne!(base.info(&ids[0], &ids[1], Stream::Params, two), info(&base));
        assert_ne!(base.info(&ids[0], &ids[2], Stream::Params, one), info(&base));
        assert_eq!(base.info(&ids[1], &ids[0], Stream::Params, one), info(&base));
    }

    #[test]
    fn two_nodes_are_too_few_and_sixty_five_too_many() {
        assert!(matches!(Parties::new(ids(&["a", "b"]), 0), Err(Error::Parties { got: 2, .. })));
        assert!(matches!(Parties::new(ids(&["a", "b", "c"]), 4), Err(Error::Parties { .. })));
        assert!(matches!(Parties::new(ids(&["a", "b", "a", "c"]), 3), Err(Error::Twice { .. })));
        let many = |n: usize| (0..n).map(|k| format!("n{k:02}").parse().unwrap());
        assert_eq!(Parties::new(many(64), 3).unwrap().len(), 64);
        assert!(matches!(Parties::new(many(65), 3), Err(Error::Parties { .. })));
    }

    #[test]
    fn vectors_of_another_layout_are_refused() {
        let layout = Layout::default().with(Stream::Params, 2, &[b"a", b"b"]);
        let two = |stream| Vectors::from([(stream, vec![1u64, 2])]);
        assert!(layout.check(&two(Stream::Params)).is_ok());
        assert!(matches!(layout.check(&two(Stream::Check)), Err(Error::Stream { .. })));
        assert!(matches!(layout.check(&Vectors::<u64>::new()), Err(Error::Stream { .. })));
        let one = Vectors::from([(Stream::Params, vec![1u64])]);
        assert!(matches!(layout.check(&one), Err(Error::Length { .. })));
        let other = Layout::default().with(Stream::Params, 2, &[b"ab"]);
        assert_ne!(layout.digest::<u64>(), other.digest::<u64>());
        assert_ne!(layout.digest::<u64>(), layout.digest::<u32>());
    }
}
