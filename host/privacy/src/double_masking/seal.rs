//! Boxes that one node seals and one other opens: ChaCha20-Poly1305 (RFC 8439, 2.8) under a key that
//! serves one sender, one recipient and one round, so that the nonce is 0.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use fedwasm_protocol::{Digest, NodeId};
use zeroize::Zeroizing;

use crate::Error;
use crate::context::put_id;
use crate::mask::PairSecret;

/// The shares of two secrets, and a tag of 16 bytes.
const BOX_BYTES: usize = 64 + 16;

/// From whom to whom, and what for.
pub(super) struct Label(Vec<u8>);

impl Label {
    /// * `setup` — the round.
    /// * `drew` — the nodes that drew keys: points of shares are positions among them.
    pub(super) fn new(setup: Digest, drew: Digest, from: &NodeId, to: &NodeId) -> Self {
        let mut bytes = b"fedwasm/share/v1".to_vec();
        put_id(&mut bytes, from);
        put_id(&mut bytes, to);
        bytes.extend(setup.as_bytes());
        bytes.extend(drew.as_bytes());
        Self(bytes)
    }
}

/// Seals the shares of mask key and seed.
pub(super) fn seal(
    pair: &PairSecret,
    label: &Label,
    shares: [&[u8; 32]; 2],
) -> Result<Vec<u8>, Error> {
    let clear = Zeroizing::new(shares.map(|share| share.as_slice()).concat());
    let payload = Payload { msg: &clear, aad: &label.0 };
    let sealed = cipher(pair, label).encrypt(&Nonce::default(), payload);
    sealed.map_err(|_| Error::Length { what: "bytes", got: clear.len(), expected: BOX_BYTES - 16 })
}

/// Opens a box.
///
/// # Errors
/// [`Error::SharesOf`] if it is altered, of another sender or round, or for another node.
pub(super) fn open(
    pair: &PairSecret,
    label: &Label,
    from: &NodeId,
    sealed: &[u8],
) -> Result<[Zeroizing<[u8; 32]>; 2], Error> {
    let refused = || Error::SharesOf { node: from.clone() };
    if sealed.len() != BOX_BYTES {
        return Err(refused());
    }
    let payload = Payload { msg: sealed, aad: &label.0 };
    let clear = cipher(pair, label).decrypt(&Nonce::default(), payload).map_err(|_| refused())?;
    let clear = Zeroizing::new(clear);
    let (shares, _) = clear.as_chunks::<32>();
    match shares {
        [key, seed] => Ok([*key, *seed].map(Zeroizing::new)),
        _ => Err(refused()),
    }
}

fn cipher(pair: &PairSecret, label: &Label) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new((&*pair.key(&label.0)).into())
}
