//! `double_masking`: pairwise masks and one of each node's own, so that nodes may drop out
//! (Bonawitz et al. 2017, CCS, Figure 4, with the consistency check against an active server). Four
//! messages a round:
//!
//! | step | from each node | to each node |
//! |---|---|---|
//! | 1 | [`SignedKeys`](crate::SignedKeys) | those of all (U1) |
//! | 2 | [`SealedShares`] of its mask key and of its seed | those that are for it (U2) |
//! | 3 | masked vectors | [`Survivors`] (U3) |
//! | 4 | [`Consent`], signed | the consents (U4) |
//! | 5 | [`Reveal`] | |
//!
//! A node that is lost at any step is survived while the threshold is left. Each step takes the one
//! before by value, so that none is done twice: of a node, at most one [`Reveal`] leaves a round,
//! and it holds a share of either the seed (survivors) or the mask key (lost ones) of each node,
//! never both. Keys are drawn for one round. A node that restarts has lost them, and with them the
//! round.

mod node;
mod researcher;
mod seal;

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId};
use serde::{Deserialize, Serialize};

use crate::context::{Binding, Parties, Stream, put_id};
use crate::mask::{Key, PairSecret};
use crate::{Error, secret};

pub use node::{Advertised, Consented, Masked, Received, Shared};
pub use researcher::{TakesConsents, TakesKeys, TakesReveals, TakesShares, TakesVectors};

/// The facts of one round, equal at all nodes. Keys are signed over its digest, so a node with
/// other facts is refused by name before anything is masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Names the round's setup; drawn anew for each, and never used again.
    pub id: Digest,
    /// The keys of these nodes by the roster that signatures are checked by.
    pub roster: Digest,
    /// The nodes that are asked.
    pub parties: Parties,
    /// How many nodes must be left at every step: [`threshold_min`] at least.
    pub threshold: u32,
    /// The round, what it starts from, and the layout of vectors.
    pub binding: Binding,
}

/// The least threshold for `n` nodes, floor(2n/3) + 1: with fewer, a researcher that tells two
/// groups different survivors gets both shares (Bonawitz et al. 2017, 6.2, for an active server).
pub fn threshold_min(n: usize) -> usize {
    2 * n / 3 + 1
}

impl Setup {
    /// Checks the threshold.
    ///
    /// # Errors
    /// [`Error::Threshold`].
    pub fn check(&self) -> Result<(), Error> {
        let (got, n) = (self.threshold as usize, self.parties.len());
        match (threshold_min(n)..=n).contains(&got) {
            true => Ok(()),
            false => Err(Error::Threshold { got, min: threshold_min(n), n }),
        }
    }

    /// The digest that keys are signed over.
    fn digest(&self) -> Digest {
        let mut bytes = b"fedwasm/double-masking/v1".to_vec();
        for digest in [self.id, self.roster, self.parties.digest()] {
            bytes.extend(digest.as_bytes());
        }
        bytes.extend(self.threshold.to_be_bytes());
        bytes.extend(self.binding.encoding());
        Digest::of(&bytes)
    }

    /// Refuses to go on with too few nodes.
    fn at_least<'a>(
        &self,
        step: &'static str,
        left: impl ExactSizeIterator<Item = &'a NodeId>,
    ) -> Result<(), Error> {
        let (got, needed) = (left.len(), self.threshold as usize);
        match got >= needed {
            true => Ok(()),
            false => {
                let left: Vec<&NodeId> = left.collect();
                let lost = self.parties.iter().filter(|node| !left.contains(node));
                Err(Error::TooFewLeft { step, got, needed, lost: lost.cloned().collect() })
            }
        }
    }
}

/// A node's shares for all others, sealed for each: a message to the researcher, which passes each
/// box on to its node and keeps the commitments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedShares {
    /// The owner of the secrets.
    pub node: NodeId,
    /// To the seed of the node's own mask.
    pub seed: Digest,
    /// To the shares of mask key and seed that each node (the sender too) gets.
    pub commitments: BTreeMap<NodeId, [Digest; 2]>,
    /// By recipient: ChaCha20-Poly1305 under a key of sender and recipient.
    pub boxes: BTreeMap<NodeId, Vec<u8>>,
}

/// The sealed shares for one node, by sender.
pub type Boxes = BTreeMap<NodeId, Vec<u8>>;

/// The nodes that sent masked vectors, and those that did not: a message to the former.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivors {
    /// The nodes whose vectors are in the sum.
    pub alive: Vec<NodeId>,
    /// The nodes whose masks are in the sum, but whose vectors are not.
    pub dropped: Vec<NodeId>,
}

/// A node's signature of the survivors that it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The node.
    pub node: NodeId,
    /// By its identity, of setup and survivors.
    pub signature: Vec<u8>,
}

/// The shares that unmask the sum: a message to the researcher.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// The node that held the shares.
    pub node: NodeId,
    /// Of the seeds of survivors.
    pub seeds: BTreeMap<NodeId, [u8; 32]>,
    /// Of the mask keys of nodes that were lost after they gave out shares.
    pub keys: BTreeMap<NodeId, [u8; 32]>,
}

secret!(Reveal);

/// The secret whose share is committed to.
#[derive(Clone, Copy)]
enum Secret {
    MaskKey,
    Seed,
    /// No share: the seed itself.
    WholeSeed,
}

/// Commits to a share, which is uniform and has 256 bits: its digest hides it.
fn commitment(
    setup: Digest,
    owner: &NodeId,
    holder: &NodeId,
    of: Secret,
    share: &[u8; 32],
) -> Digest {
    let mut bytes = zeroize::Zeroizing::new(b"fedwasm/share-commitment/v1".to_vec());
    // Reserved at once: what grows leaves copies behind.
    bytes.reserve_exact(512);
    bytes.extend(setup.as_bytes());
    put_id(&mut bytes, owner);
    put_id(&mut bytes, holder);
    bytes.push(of as u8);
    bytes.extend(share);
    Digest::of(&bytes)
}

/// The key of a node's own mask.
fn own_key(seed: &[u8; 32], setup: &Setup, digest: Digest, node: &NodeId, stream: Stream) -> Key {
    let mut info = b"fedwasm/own-mask/v1".to_vec();
    put_id(&mut info, node);
    info.push(stream.code());
    info.extend(digest.as_bytes());
    PairSecret::extract(setup.id.as_bytes(), seed).key(&info)
}

/// The signed statement of the survivors.
fn survivors_statement(setup: Digest, alive: &Parties, shared: &Parties) -> Vec<u8> {
    let mut bytes = b"fedwasm/survivors/v1\0".to_vec();
    for digest in [setup, shared.digest(), alive.digest()] {
        bytes.extend(digest.as_bytes());
    }
    bytes
}

/// The nodes of a map, at least three as every threshold is.
fn parties_of<V>(map: &BTreeMap<NodeId, V>) -> Result<Parties, Error> {
    Parties::new(map.keys().cloned(), 0)
}

/// The point of a node's shares: its position among those that drew keys, from 1.
fn point_of(parties: &Parties, node: &NodeId) -> Result<u8, Error> {
    let position = parties.position(node).ok_or_else(|| Error::NotAParty { node: node.clone() })?;
    // At most 64.
    Ok(position as u8 + 1)
}
