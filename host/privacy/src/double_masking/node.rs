//! The node's steps. Each takes the one before; an error ends the round for the node.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{Digest, NodeId, SecaggScheme};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::seal::{self, Label};
use super::{
    Boxes, Consent, Reveal, SealedShares, Secret, Setup, Survivors, commitment, own_key,
    parties_of, survivors_statement,
};
use crate::context::{Layout, Parties, Vectors};
use crate::keys::{
    FreshKey, SignStatement, SignedKeys, VerifyStatement, check_keys, verify_bounded,
};
use crate::mask::Key;
use crate::pad::{Journal, PadUse, Pads, STREAMS};
use crate::{Error, Lane, lane, secret, share};

/// The state of every step.
struct Base {
    setup: Setup,
    digest: Digest,
    node: NodeId,
}

/// A node that has drawn its keys.
pub struct Advertised {
    base: Base,
    mask_key: FreshKey,
    share_key: FreshKey,
    own: SignedKeys,
}

impl Advertised {
    /// Step 1: draws keys for masks and for shares, and signs them. [`Advertised::keys`] is the message.
    ///
    /// # Errors
    /// [`Error::Threshold`] if it is too low; [`Error::NotAParty`] unless `node` is asked;
    /// [`Error::CannotSign`].
    pub fn new(
        setup: Setup,
        node: &NodeId,
        rng: &mut dyn CryptoRng,
        sign: SignStatement<'_>,
    ) -> Result<Self, Error> {
        setup.check()?;
        if !setup.parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        let digest = setup.digest();
        let (mask_key, share_key) = (FreshKey::draw(rng), FreshKey::draw(rng));
        let keys = vec![mask_key.public(), share_key.public()];
        let own = SignedKeys::sign(SecaggScheme::DoubleMasking, digest, node, keys, sign)?;
        let base = Base { setup, digest, node: node.clone() };
        Ok(Self { base, mask_key, share_key, own })
    }

    /// The message: this node's keys.
    pub fn keys(&self) -> &SignedKeys {
        &self.own
    }

    /// Step 2: takes the keys of the nodes that are left, and gives each a share of this node's mask
    /// key and seed.
    ///
    /// # Errors
    /// [`Error::TooFewLeft`]; everything that is wrong with a key as for `masking`
    /// ([`crate::masking::Advertised::agree`]).
    pub fn share(
        self,
        all: &[SignedKeys],
        rng: &mut dyn CryptoRng,
        verify: VerifyStatement<'_>,
    ) -> Result<(Shared, SealedShares), Error> {
        let Self { base, mask_key, share_key, own } = self;
        let parties = &base.setup.parties;
        let keys =
            check_keys(all, &own, SecaggScheme::DoubleMasking, base.digest, parties, verify)?;
        base.setup.at_least("keys", keys.keys())?;
        let (drew, n) = (parties_of(&keys)?, keys.len());
        let mut seed: Key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let threshold = base.setup.threshold as usize;
        let of_key = share::split(&mask_key.secret(), threshold, n, rng)?;
        let of_seed = share::split(&seed, threshold, n, rng)?;

        let mut message = SealedShares {
            node: base.node.clone(),
            seed: commitment(base.digest, &base.node, &base.node, Secret::WholeSeed, &seed),
            commitments: BTreeMap::new(),
            boxes: BTreeMap::new(),
        };
        let mut held = BTreeMap::new();
        for ((peer, keys), (of_key, of_seed)) in keys.iter().zip(of_key.iter().zip(&of_seed)) {
            let shares = [of_key.values(), of_seed.values()];
            let commit = |of, share| commitment(base.digest, &base.node, peer, of, share);
            let both = [commit(Secret::MaskKey, shares[0]), commit(Secret::Seed, shares[1])];
            message.commitments.insert(peer.clone(), both);
            if *peer == base.node {
                held.insert(peer.clone(), shares.map(|share| Zeroizing::new(*share)));
                continue;
            }
            let pair = share_key.agree(peer, &keys[1], &base.setup.id)?;
            let label = Label::new(base.digest, drew.digest(), &base.node, peer);
            message.boxes.insert(peer.clone(), seal::seal(&pair, &label, shares)?);
        }
        Ok((Shared { base, drew, keys, mask_key, share_key, seed, held }, message))
    }
}

/// A node that has given out shares.
pub struct Shared {
    base: Base,
    /// U1.
    drew: Parties,
    keys: BTreeMap<NodeId, Vec<[u8; 32]>>,
    mask_key: FreshKey,
    share_key: FreshKey,
    seed: Key,
    held: BTreeMap<NodeId, [Key; 2]>,
}

impl Shared {
    /// Takes the shares that the others gave this node: U2 is their senders and this node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::TooFewLeft`]; [`Error::SharesOf`] for a box that does not open: it
    /// is altered, of another sender, for another node, or of another round.
    pub fn receive(self, boxes: &Boxes) -> Result<Received, Error> {
        let Self { base, drew, keys, mask_key, share_key, seed, mut held } = self;
        for (peer, sealed) in boxes {
            let Some(keys) = keys.get(peer).filter(|_| *peer != base.node) else {
                return Err(Error::NotAParty { node: peer.clone() });
            };
            let pair = share_key.agree(peer, &keys[1], &base.setup.id)?;
            let label = Label::new(base.digest, drew.digest(), peer, &base.node);
            held.insert(peer.clone(), seal::open(&pair, &label, peer, sealed)?);
        }
        base.setup.at_least("shares", held.keys())?;
        Ok(Received { base, shared: parties_of(&held)?, keys, mask_key, seed, held })
    }
}

/// A node that holds shares of all others.
pub struct Received {
    base: Base,
    /// U2.
    shared: Parties,
    keys: BTreeMap<NodeId, Vec<[u8; 32]>>,
    mask_key: FreshKey,
    seed: Key,
    held: BTreeMap<NodeId, [Key; 2]>,
}

impl Received {
    /// Step 3: masks the vectors of the round, after `journal` has written the use of the pads down.
    ///
    /// # Errors
    /// Those of [`Received::pads`]; [`Error::Layout`], [`Error::Stream`], [`Error::Length`].
    pub fn mask<L: Lane>(
        self,
        layout: &Layout,
        vectors: Vectors<L>,
        journal: Journal<'_>,
    ) -> Result<(Masked, Vectors<L>), Error> {
        let (masked, pads) = self.pads(journal)?;
        Ok((masked, pads.mask(layout, vectors)?))
    }

    /// The same as pads, after `journal` has written their use down.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::WeakKey`].
    pub fn pads(self, journal: Journal<'_>) -> Result<(Masked, Pads), Error> {
        let Self { base, shared, keys, mask_key, seed, held } = self;
        let (set, binding) = (shared.digest(), &base.setup.binding);
        PadUse::new(base.setup.id, set, binding).write(journal)?;
        let mut of_pads: BTreeMap<_, Vec<(Key, lane::Sign)>> = BTreeMap::new();
        for stream in STREAMS {
            let key = own_key(&seed, &base.setup, base.digest, &base.node, stream);
            of_pads.insert(stream, vec![(key, lane::Sign::Plus)]);
        }
        for peer in shared.iter().filter(|peer| **peer != base.node) {
            let pair = mask_key.agree(peer, &keys[peer][0], &base.setup.id)?;
            for (stream, keys) in &mut of_pads {
                let key = pair.key(&binding.info(&base.node, peer, *stream, set));
                keys.push((key, lane::Sign::between(&base.node, peer)));
            }
        }
        let pads = Pads::new(binding.layout, of_pads);
        Ok((Masked { base, shared, held }, pads))
    }
}

/// A node whose masked vectors may leave. Its mask key and seed are wiped: the others hold their shares.
pub struct Masked {
    base: Base,
    shared: Parties,
    held: BTreeMap<NodeId, [Key; 2]>,
}

impl Masked {
    /// Step 4: takes the list of survivors, and signs it.
    ///
    /// # Errors
    /// [`Error::Twice`]; [`Error::AliveAndDropped`] for a node on both lists, [`Error::NotAParty`] for
    /// one of neither step, [`Error::Missing`] for one on no list; [`Error::DroppedMyself`];
    /// [`Error::TooFewLeft`]; [`Error::CannotSign`].
    pub fn consent(
        self,
        survivors: &Survivors,
        sign: SignStatement<'_>,
    ) -> Result<(Consented, Consent), Error> {
        let Self { base, shared, held } = self;
        let alive = check_survivors(survivors, &base, &shared)?;
        let statement = survivors_statement(base.digest, &alive, &shared);
        let signature = sign(&statement).map_err(|cause| Error::CannotSign { cause })?;
        let consent = Consent { node: base.node.clone(), signature };
        Ok((Consented { base, shared, alive, held }, consent))
    }
}

/// Returns U3, if the lists say of each node of U2 one thing.
fn check_survivors(survivors: &Survivors, base: &Base, shared: &Parties) -> Result<Parties, Error> {
    let (mut alive, mut dropped) = (BTreeSet::new(), BTreeSet::new());
    for (list, set) in [(&survivors.alive, &mut alive), (&survivors.dropped, &mut dropped)] {
        for node in list {
            if !shared.contains(node) {
                return Err(Error::NotAParty { node: node.clone() });
            }
            if !set.insert(node) {
                return Err(Error::Twice { node: node.clone(), what: "fate" });
            }
        }
    }
    if let Some(node) = alive.intersection(&dropped).next() {
        return Err(Error::AliveAndDropped { node: (*node).clone() });
    }
    let unsaid = shared.iter().filter(|node| !alive.contains(node) && !dropped.contains(node));
    let unsaid: Vec<NodeId> = unsaid.cloned().collect();
    if !unsaid.is_empty() {
        return Err(Error::Missing { what: "the fate", nodes: unsaid });
    }
    if !alive.contains(&base.node) {
        return Err(Error::DroppedMyself);
    }
    base.setup.at_least("survivors", alive.iter().copied())?;
    Parties::new(alive.into_iter().cloned(), 0)
}

/// A node that has signed who survived.
pub struct Consented {
    base: Base,
    shared: Parties,
    alive: Parties,
    held: BTreeMap<NodeId, [Key; 2]>,
}

impl Consented {
    /// Step 5: takes the signatures of enough survivors, and gives the shares that unmask the sum: of
    /// survivors the seed's, of lost nodes the mask key's. There is no second time.
    ///
    /// # Errors
    /// [`Error::NotAParty`] and [`Error::Twice`]; [`Error::Signature`] for a signature of something
    /// else, such as other survivors; [`Error::TooFewLeft`].
    pub fn reveal(
        self,
        consents: &[Consent],
        verify: VerifyStatement<'_>,
    ) -> Result<Reveal, Error> {
        let Self { base, shared, alive, held } = self;
        let statement = survivors_statement(base.digest, &alive, &shared);
        let mut signed = BTreeSet::new();
        for consent in consents {
            if !alive.contains(&consent.node) {
                return Err(Error::NotAParty { node: consent.node.clone() });
            }
            if !signed.insert(&consent.node) {
                return Err(Error::Twice { node: consent.node.clone(), what: "consent" });
            }
            verify_bounded(verify, &consent.node, "survivors", &statement, &consent.signature)?;
        }
        base.setup.at_least("consents", signed.iter().copied())?;
        let mut reveal = Reveal { node: base.node, seeds: BTreeMap::new(), keys: BTreeMap::new() };
        for (owner, [of_key, of_seed]) in &held {
            match alive.contains(owner) {
                true => reveal.seeds.insert(owner.clone(), **of_seed),
                false => reveal.keys.insert(owner.clone(), **of_key),
            };
        }
        Ok(reveal)
    }
}

secret!(Advertised Shared Received Masked Consented);
