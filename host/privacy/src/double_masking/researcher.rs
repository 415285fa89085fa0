//! The researcher's steps. A mistake is refused with the name of the node, and the step goes on
//! without it; closing a step needs the threshold.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId, SecaggScheme};

use super::{
    Boxes, Consent, Reveal, SealedShares, Secret, Setup, Survivors, commitment, own_key,
    parties_of, point_of, survivors_statement,
};
use crate::context::{Layout, Parties, Vectors};
use crate::keys::{FreshKey, SignedKeys, VerifyStatement, verify_bounded};
use crate::mask::{Key, Mask};
use crate::share::{Share, combine};
use crate::{Error, Lane, Sum, lane};

/// Step 1: keys.
#[derive(Debug)]
pub struct TakesKeys {
    setup: Setup,
    digest: Digest,
    keys: BTreeMap<NodeId, SignedKeys>,
}

impl TakesKeys {
    /// Begins a round.
    ///
    /// # Errors
    /// [`Error::Threshold`].
    pub fn new(setup: Setup) -> Result<Self, Error> {
        setup.check()?;
        Ok(Self { digest: setup.digest(), setup, keys: BTreeMap::new() })
    }

    /// Takes the keys of a node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`], [`Error::Signature`], [`Error::Length`],
    /// [`Error::SameKey`].
    pub fn take(&mut self, keys: SignedKeys, verify: VerifyStatement<'_>) -> Result<(), Error> {
        let node = &keys.node;
        if !self.setup.parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if self.keys.contains_key(node) {
            return Err(Error::Twice { node: node.clone(), what: "keys" });
        }
        keys.check(SecaggScheme::DoubleMasking, self.digest, verify)?;
        let same = |other: &&SignedKeys| other.keys.iter().any(|key| keys.keys.contains(key));
        if let Some(other) = self.keys.values().find(same) {
            return Err(Error::SameKey { node: node.clone(), other: other.node.clone() });
        }
        self.keys.insert(node.clone(), keys);
        Ok(())
    }

    /// Goes on with the nodes whose keys are in, and returns the message to them.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`].
    pub fn close(self) -> Result<(TakesShares, Vec<SignedKeys>), Error> {
        let Self { setup, digest, keys } = self;
        setup.at_least("keys", keys.keys())?;
        let drew = parties_of(&keys)?;
        let message = keys.values().cloned().collect();
        Ok((TakesShares { setup, digest, drew, keys, shares: BTreeMap::new() }, message))
    }
}

/// Step 2: sealed shares.
#[derive(Debug)]
pub struct TakesShares {
    setup: Setup,
    digest: Digest,
    /// U1.
    drew: Parties,
    keys: BTreeMap<NodeId, SignedKeys>,
    shares: BTreeMap<NodeId, SealedShares>,
}

impl TakesShares {
    /// Takes the shares of a node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`]; [`Error::SharesOf`] unless there is one for each
    /// node.
    pub fn take(&mut self, shares: SealedShares) -> Result<(), Error> {
        let node = &shares.node;
        if !self.drew.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if self.shares.contains_key(node) {
            return Err(Error::Twice { node: node.clone(), what: "shares" });
        }
        let others = self.drew.iter().filter(|other| *other != node);
        if !shares.boxes.keys().eq(others) || !shares.commitments.keys().eq(self.drew.iter()) {
            return Err(Error::SharesOf { node: node.clone() });
        }
        self.shares.insert(node.clone(), shares);
        Ok(())
    }

    /// The same for shares whose boxes were passed on, when the sum is made again.
    pub(crate) fn take_commitments(&mut self, shares: SealedShares) -> Result<(), Error> {
        let others = self.drew.iter().filter(|other| **other != shares.node);
        let boxes = others.map(|other| (other.clone(), Vec::new())).collect();
        self.take(SealedShares { boxes, ..shares })
    }

    /// Goes on with the nodes whose shares are in, and returns what each of them gets.
    ///
    /// * `layout` — of the vectors: the one of the setup.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`], [`Error::Layout`].
    pub fn close<L: Lane>(
        self,
        layout: Layout,
    ) -> Result<(TakesVectors<L>, BTreeMap<NodeId, Boxes>), Error> {
        let Self { setup, digest, drew, keys, mut shares } = self;
        if layout.digest::<L>() != setup.binding.layout {
            return Err(Error::Layout);
        }
        setup.at_least("shares", shares.keys())?;
        let shared = parties_of(&shares)?;
        let mut messages: BTreeMap<NodeId, Boxes> = BTreeMap::new();
        for (from, shares) in &mut shares {
            for (to, sealed) in std::mem::take(&mut shares.boxes) {
                if shared.contains(&to) {
                    messages.entry(to).or_default().insert(from.clone(), sealed);
                }
            }
        }
        let sum = Sum::new(shared.clone(), layout);
        let base = Base { setup, digest, drew, shared, keys, shares };
        Ok((TakesVectors { base, sum }, messages))
    }
}

/// The state for the later steps.
#[derive(Debug)]
struct Base {
    setup: Setup,
    digest: Digest,
    /// U1.
    drew: Parties,
    /// U2.
    shared: Parties,
    keys: BTreeMap<NodeId, SignedKeys>,
    shares: BTreeMap<NodeId, SealedShares>,
}

/// Step 3: masked vectors.
#[derive(Debug)]
pub struct TakesVectors<L> {
    base: Base,
    sum: Sum<L>,
}

impl<L: Lane> TakesVectors<L> {
    /// Adds the masked vectors of a node.
    ///
    /// # Errors
    /// Those of [`Sum::add`].
    pub fn take(&mut self, node: &NodeId, vectors: &Vectors<L>) -> Result<(), Error> {
        self.sum.add(node, vectors)
    }

    /// Goes on with the nodes whose vectors are in, and returns the message to them.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`].
    pub fn close(self) -> Result<(TakesConsents<L>, Survivors), Error> {
        let Self { base, sum } = self;
        base.setup.at_least("masked vectors", sum.took().iter())?;
        let alive = Parties::new(sum.took().iter().cloned(), 0)?;
        let dropped = base.shared.iter().filter(|node| !alive.contains(node)).cloned().collect();
        let survivors = Survivors { alive: alive.clone().into(), dropped };
        let consents = BTreeMap::new();
        Ok((TakesConsents { base, alive, sums: sum.into_sums(), consents }, survivors))
    }
}

/// Step 4: signatures of who survived.
#[derive(Debug)]
pub struct TakesConsents<L> {
    base: Base,
    /// U3.
    alive: Parties,
    sums: Vectors<L>,
    consents: BTreeMap<NodeId, Consent>,
}

impl<L: Lane> TakesConsents<L> {
    /// Takes the signature of a node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`], [`Error::Signature`].
    pub fn take(&mut self, consent: Consent, verify: VerifyStatement<'_>) -> Result<(), Error> {
        let node = &consent.node;
        if !self.alive.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if self.consents.contains_key(node) {
            return Err(Error::Twice { node: node.clone(), what: "consent" });
        }
        let statement = survivors_statement(self.base.digest, &self.alive, &self.base.shared);
        verify_bounded(verify, node, "survivors", &statement, &consent.signature)?;
        self.consents.insert(node.clone(), consent);
        Ok(())
    }

    /// Goes on with the nodes that signed, and returns the message to them.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`].
    pub fn close(self) -> Result<(TakesReveals<L>, Vec<Consent>), Error> {
        let Self { base, alive, sums, consents } = self;
        base.setup.at_least("consents", consents.keys())?;
        let message = consents.into_values().collect();
        Ok((TakesReveals { base, alive, sums, reveals: BTreeMap::new() }, message))
    }
}

/// Step 5: shares that unmask the sum.
pub struct TakesReveals<L> {
    base: Base,
    alive: Parties,
    sums: Vectors<L>,
    reveals: BTreeMap<NodeId, Reveal>,
}

impl<L: Lane> TakesReveals<L> {
    /// Takes the shares that a node held.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`]; [`Error::Revealed`] unless there is one share of
    /// each node's, and of the right secret; [`Error::ShareAltered`] for one that is not what its
    /// owner committed to.
    pub fn take(&mut self, reveal: Reveal) -> Result<(), Error> {
        let holder = &reveal.node;
        if !self.alive.contains(holder) {
            return Err(Error::NotAParty { node: holder.clone() });
        }
        if self.reveals.contains_key(holder) {
            return Err(Error::Twice { node: holder.clone(), what: "revealed shares" });
        }
        let dropped = self.base.shared.iter().filter(|node| !self.alive.contains(node));
        if !reveal.seeds.keys().eq(self.alive.iter()) || !reveal.keys.keys().eq(dropped) {
            return Err(Error::Revealed { node: holder.clone() });
        }
        let seeds = reveal.seeds.iter().map(|share| (share, Secret::Seed));
        let keys = reveal.keys.iter().map(|share| (share, Secret::MaskKey));
        for ((owner, share), of) in seeds.chain(keys) {
            let [of_key, of_seed] = self.base.shares[owner].commitments[holder];
            let expected = if matches!(of, Secret::MaskKey) { of_key } else { of_seed };
            if commitment(self.base.digest, owner, holder, of, share) != expected {
                let (owner, holder) = (owner.clone(), holder.clone());
                return Err(Error::ShareAltered { owner, holder });
            }
        }
        self.reveals.insert(holder.clone(), reveal);
        Ok(())
    }

    /// Returns the sums of the survivors' clear vectors, and who they are.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`]; [`Error::SecretAltered`] for a node whose shares are not those of the
    /// secret that it committed to.
    pub fn close(self) -> Result<(Vectors<L>, Parties), Error> {
        let Self { base, alive, mut sums, reveals } = self;
        base.setup.at_least("revealed shares", reveals.keys())?;
        let mut masks = BTreeMap::new();
        let mut put = |stream, mask| masks.entry(stream).or_insert_with(Vec::new).push(mask);
        for node in base.shared.iter() {
            let secret = secret_of(&base, &reveals, node, alive.contains(node))?;
            if alive.contains(node) {
                for stream in sums.keys() {
                    let key = own_key(&secret, &base.setup, base.digest, node, *stream);
                    put(*stream, Mask::new(key, lane::Sign::Minus));
                }
                continue;
            }
            // The rest of a lost node: the other halves of its masks, in the survivors'
            // vectors.
            let (lost, binding) = (FreshKey::from_secret(&secret), &base.setup.binding);
            for peer in alive.iter() {
                let pair = lost.agree(peer, &base.keys[peer].keys[0], &base.setup.id)?;
                for stream in sums.keys() {
                    let key = pair.key(&binding.info(node, peer, *stream, base.shared.digest()));
                    // The lost node's own half, which was never added.
                    put(*stream, Mask::new(key, lane::Sign::between(node, peer)));
                }
            }
        }
        for (stream, lanes) in &mut sums {
            Mask::apply(masks.remove(stream).unwrap_or_default(), lanes)?;
        }
        Ok((sums, alive))
    }
}

/// Puts a node's secret together, and checks that it is the one that it committed to.
fn secret_of(
    base: &Base,
    reveals: &BTreeMap<NodeId, Reveal>,
    owner: &NodeId,
    is_alive: bool,
) -> Result<Key, Error> {
    let share = |(holder, reveal): (&NodeId, &Reveal)| {
        let shares = if is_alive { &reveal.seeds } else { &reveal.keys };
        Share::new(point_of(&base.drew, holder)?, shares[owner])
    };
    let shares = reveals.iter().map(share).collect::<Result<Vec<Share>, Error>>()?;
    let altered = || Error::SecretAltered { node: owner.clone() };
    let secret = combine(&shares, base.setup.threshold as usize).map_err(|_| altered())?;
    let is_right = match is_alive {
        true => {
            let seed = commitment(base.digest, owner, owner, Secret::WholeSeed, &secret);
            seed == base.shares[owner].seed
        }
        false => FreshKey::from_secret(&secret).public() == base.keys[owner].keys[0],
    };
    is_right.then_some(secret).ok_or_else(altered)
}

impl<L> std::fmt::Debug for TakesReveals<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakesReveals").finish_non_exhaustive()
    }
}
