//! `masking`: pairwise masks, all nodes or none (Kursawe et al. 2011; Taiello et al. 2024, arXiv
//! 2409.00974). Keys are agreed upon once a context; a round costs no further message. If one part is
//! missing the round has no sum, and its update must not be sent to a smaller set of nodes: a part
//! that was only late would then tell a single node's. A node that lost its keys needs a new context.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{Digest, NodeId, SecaggScheme};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::context::{Binding, Parties};
use crate::keys::{FreshKey, SignStatement, SignedKeys, VerifyStatement, check_keys};
use crate::mask::PairSecret;
use crate::pad::{Journal, PadUse, Pads, STREAMS};
use crate::{Error, lane, secret};

/// The purpose of agreed keys: the same at all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Names the context; drawn anew for each, and never used again.
    pub id: Digest,
    /// The keys of these nodes by the roster that signatures are checked by.
    pub roster: Digest,
    /// The nodes.
    pub parties: Parties,
}

impl Context {
    fn digest(&self) -> Digest {
        let mut bytes = b"fedwasm/context/v1".to_vec();
        for digest in [self.id, self.roster, self.parties.digest()] {
            bytes.extend(digest.as_bytes());
        }
        Digest::of(&bytes)
    }
}

/// A node that has drawn its key.
pub struct Advertised {
    context: Context,
    key: FreshKey,
    own: SignedKeys,
}

impl Advertised {
    /// Draws a key and signs it. [`Advertised::keys`] is the message to all.
    ///
    /// # Errors
    /// [`Error::NotAParty`] unless `node` is one of the context's; [`Error::CannotSign`].
    pub fn new(
        context: Context,
        node: &NodeId,
        rng: &mut dyn CryptoRng,
        sign: SignStatement<'_>,
    ) -> Result<Self, Error> {
        if !context.parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        let key = FreshKey::draw(rng);
        let keys = vec![key.public()];
        let own = SignedKeys::sign(SecaggScheme::Masking, context.digest(), node, keys, sign)?;
        Ok(Self { context, key, own })
    }

    /// The message: this node's key.
    pub fn keys(&self) -> &SignedKeys {
        &self.own
    }

    /// Takes the keys of all nodes, one's own among them.
    ///
    /// # Errors
    /// [`Error::Missing`], and each thing that can be wrong with a key by its name:
    /// [`Error::NotAParty`], [`Error::Twice`], [`Error::Signature`] (also for a key of another context,
    /// roster or set of nodes), [`Error::SameKey`], [`Error::OwnKeys`], [`Error::WeakKey`].
    pub fn agree(self, all: &[SignedKeys], verify: VerifyStatement<'_>) -> Result<Agreed, Error> {
        let Self { context, key, own } = self;
        let setup = context.digest();
        let keys = check_keys(all, &own, SecaggScheme::Masking, setup, &context.parties, verify)?;
        let missing = context.parties.iter().filter(|node| !keys.contains_key(node));
        let missing: Vec<NodeId> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(Error::Missing { what: "keys", nodes: missing });
        }
        let mut secrets = BTreeMap::new();
        for (peer, keys) in keys.iter().filter(|(peer, _)| **peer != own.node) {
            secrets.insert(peer.clone(), key.agree(peer, &keys[0], &context.id)?);
        }
        Ok(Agreed { context, node: own.node, secrets, used: BTreeSet::new() })
    }
}

/// A node that shares a secret with every other one.
pub struct Agreed {
    context: Context,
    node: NodeId,
    secrets: BTreeMap<NodeId, PairSecret>,
    used: BTreeSet<u64>,
}

impl Agreed {
    /// Takes the pads of a round, which can be taken once: `journal` writes that down first.
    ///
    /// # Errors
    /// [`Error::PadUsed`] for a round whose pads were taken, and [`Error::Journal`] if the use could
    /// not be written, or is known to the journal. The pads are gone in either case.
    pub fn pads(&mut self, binding: &Binding, journal: Journal<'_>) -> Result<Pads, Error> {
        let round = binding.round;
        if !self.used.insert(round) {
            return Err(Error::PadUsed { round });
        }
        let parties = self.context.parties.digest();
        PadUse::new(self.context.id, parties, binding).write(journal)?;
        let pair = |(peer, secret): (&NodeId, &PairSecret)| {
            let sign = lane::Sign::between(&self.node, peer);
            let key = |stream| secret.key(&binding.info(&self.node, peer, stream, parties));
            Vec::from_iter(STREAMS.map(|stream| (stream, key(stream), sign)))
        };
        let mut keys = BTreeMap::new();
        for (stream, key, sign) in self.secrets.iter().flat_map(pair) {
            keys.entry(stream).or_insert_with(Vec::new).push((key, sign));
        }
        Ok(Pads::new(binding.layout, keys))
    }
}

/// The researcher's side: takes the keys of all nodes, which nodes check again.
#[derive(Debug)]
pub struct TakesKeys {
    context: Context,
    digest: Digest,
    keys: BTreeMap<NodeId, SignedKeys>,
}

impl TakesKeys {
    /// Begins to agree upon a context.
    pub fn new(context: Context) -> Self {
        Self { digest: context.digest(), context, keys: BTreeMap::new() }
    }

    /// Takes the keys of a node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`], [`Error::Signature`], [`Error::Length`],
    /// [`Error::SameKey`].
    pub fn take(&mut self, keys: SignedKeys, verify: VerifyStatement<'_>) -> Result<(), Error> {
        let node = &keys.node;
        if !self.context.parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if self.keys.contains_key(node) {
            return Err(Error::Twice { node: node.clone(), what: "keys" });
        }
        keys.check(SecaggScheme::Masking, self.digest, verify)?;
        if let Some(other) = self.keys.values().find(|other| other.keys == keys.keys) {
            return Err(Error::SameKey { node: node.clone(), other: other.node.clone() });
        }
        self.keys.insert(node.clone(), keys);
        Ok(())
    }

    /// Returns the message to all nodes.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn close(self) -> Result<Vec<SignedKeys>, Error> {
        let missing = self.context.parties.iter().filter(|node| !self.keys.contains_key(*node));
        let nodes: Vec<NodeId> = missing.cloned().collect();
        match nodes.is_empty() {
            true => Ok(self.keys.into_values().collect()),
            false => Err(Error::Missing { what: "keys", nodes }),
        }
    }
}

secret!(Advertised Agreed);
