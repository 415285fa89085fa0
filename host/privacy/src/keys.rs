//! Fresh keys, signed by their node over all that they are for. A peer's key counts by its node's
//! signature, never by the word of the researcher that passes it on.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId, SecaggScheme};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::context::{Parties, put_id};
use crate::mask::{Key, PairSecret};
use crate::{Cause, Error};

/// Signs a statement with the node's identity.
pub type SignStatement<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, Cause>;

/// Checks a node's signature of a statement by the roster: node, statement, signature.
pub type VerifyStatement<'a> = &'a dyn Fn(&NodeId, &[u8], &[u8]) -> Result<(), Cause>;

/// The longest signature that is looked at, in bytes; ECDSA over P-256 has 72.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// An X25519 key pair (RFC 7748) of one context.
pub(crate) struct FreshKey(StaticSecret);

impl FreshKey {
    pub(crate) fn draw(rng: &mut dyn CryptoRng) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// The pair of a secret that was put together from shares.
    pub(crate) fn from_secret(secret: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*secret))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    pub(crate) fn secret(&self) -> Key {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The secret that this pair and the peer's key share.
    ///
    /// # Errors
    /// [`Error::WeakKey`] for a key of small order, which gives the same secret to all.
    pub(crate) fn agree(
        &self,
        peer: &NodeId,
        public: &[u8; 32],
        salt: &Digest,
    ) -> Result<PairSecret, Error> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*public));
        match shared.was_contributory() {
            true => Ok(PairSecret::extract(salt.as_bytes(), shared.as_bytes())),
            false => Err(Error::WeakKey { node: peer.clone() }),
        }
    }
}

/// How many keys a node draws.
fn n_keys(scheme: SecaggScheme) -> usize {
    match scheme {
        SecaggScheme::Masking => 1,
        SecaggScheme::DoubleMasking => 2,
    }
}

/// A node's fresh public keys with its signature: a message to all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedKeys {
    /// The owner of the keys.
    pub node: NodeId,
    /// X25519 keys: one for masks; with double masking also one for shares.
    pub keys: Vec<[u8; 32]>,
    /// By the node's identity, of scheme, setup, node and keys.
    pub signature: Vec<u8>,
}

impl SignedKeys {
    /// Signs keys.
    ///
    /// * `setup` — the digest of all that the keys are for.
    pub(crate) fn sign(
        scheme: SecaggScheme,
        setup: Digest,
        node: &NodeId,
        keys: Vec<[u8; 32]>,
        sign: SignStatement<'_>,
    ) -> Result<Self, Error> {
        let signed = statement(scheme, setup, node, &keys);
        let signature = sign(&signed).map_err(|cause| Error::CannotSign { cause })?;
        Ok(Self { node: node.clone(), keys, signature })
    }

    /// Checks the signature, and that the keys are for this setup.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Length`].
    pub(crate) fn check(
        &self,
        scheme: SecaggScheme,
        setup: Digest,
        verify: VerifyStatement<'_>,
    ) -> Result<(), Error> {
        let (got, expected) = (self.keys.len(), n_keys(scheme));
        if got != expected {
            return Err(Error::Length { what: "keys", got, expected });
        }
        let signed = statement(scheme, setup, &self.node, &self.keys);
        verify_bounded(verify, &self.node, "keys", &signed, &self.signature)
    }
}

/// The signed statement of a node about its keys.
fn statement(scheme: SecaggScheme, setup: Digest, node: &NodeId, keys: &[[u8; 32]]) -> Vec<u8> {
    let mut bytes = b"fedwasm/keys/v1\0".to_vec();
    bytes.extend(scheme.name().as_bytes());
    bytes.push(0);
    bytes.extend(setup.as_bytes());
    put_id(&mut bytes, node);
    bytes.extend(keys.as_flattened());
    bytes
}

/// Checks a signature that is not absurdly long.
pub(crate) fn verify_bounded(
    verify: VerifyStatement<'_>,
    node: &NodeId,
    what: &'static str,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let refused = |cause| Error::Signature { node: node.clone(), what, cause };
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(refused(format!("it has {} bytes", signature.len()).into()));
    }
    verify(node, signed, signature).map_err(refused)
}

/// Checks what is passed on as the keys of all nodes, and returns them by node.
///
/// # Errors
/// [`Error::NotAParty`], [`Error::Twice`], [`Error::Signature`]; [`Error::SameKey`] for a key that
/// two nodes claim, or one's own under another name; [`Error::OwnKeys`] if one's own are missing or
/// others.
pub(crate) fn check_keys(
    all: &[SignedKeys],
    own: &SignedKeys,
    scheme: SecaggScheme,
    setup: Digest,
    parties: &Parties,
    verify: VerifyStatement<'_>,
) -> Result<BTreeMap<NodeId, Vec<[u8; 32]>>, Error> {
    let mut keys: BTreeMap<NodeId, Vec<[u8; 32]>> = BTreeMap::new();
    let mut seen: BTreeMap<[u8; 32], &NodeId> = BTreeMap::new();
    for signed in all {
        let node = &signed.node;
        if !parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if keys.contains_key(node) {
            return Err(Error::Twice { node: node.clone(), what: "keys" });
        }
        signed.check(scheme, setup, verify)?;
        for key in &signed.keys {
            if let Some(other) = seen.insert(*key, node) {
                return Err(Error::SameKey { node: node.clone(), other: other.clone() });
            }
        }
        keys.insert(node.clone(), signed.keys.clone());
    }
    match keys.get(&own.node) == Some(&own.keys) {
        true => Ok(keys),
        false => Err(Error::OwnKeys),
    }
}
