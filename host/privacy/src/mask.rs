//! The masks themselves: a secret that two nodes share becomes a key for each use (HKDF-SHA256), and a
//! key becomes lanes (ChaCha20, RFC 8439, nonce 0, counter from 0, little-endian).

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Error, Lane, Sign};

/// Bytes of key stream at a time: whole blocks, and all masks of as many lanes stay in the cache.
const CHUNK_BYTES: usize = 4096;

/// A key that is wiped when it goes.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// What two nodes share, extracted (RFC 5869, 2.2).
pub(crate) struct PairSecret(Key);

impl PairSecret {
    /// * `salt` — the context's id.
    /// * `shared` — the result of X25519.
    pub(crate) fn extract(salt: &[u8; 32], shared: &[u8; 32]) -> Self {
        let (mut extracted, _) = Hkdf::<Sha256>::extract(Some(salt), shared);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&extracted);
        extracted.as_mut_slice().zeroize();
        Self(key)
    }

    /// The key for one use (RFC 5869, 2.3).
    pub(crate) fn key(&self, info: &[u8]) -> Key {
        let mut key = Zeroizing::new([0; 32]);
        let hkdf =
            Hkdf::<Sha256>::from_prk(&*self.0).expect("32 bytes are the least that it takes");
        hkdf.expand(info, &mut *key).expect("32 bytes are below the most that it gives");
        key
    }
}

/// A key stream to add to a vector or to subtract from it, once.
pub(crate) struct Mask {
    cipher: ChaCha20,
    sign: Sign,
}

impl Mask {
    /// The mask of a key, which serves nothing else.
    pub(crate) fn new(key: Key, sign: Sign) -> Self {
        Self { cipher: ChaCha20::new((&*key).into(), &[0; 12].into()), sign }
    }

    /// Puts all masks on `lanes`.
    ///
    /// # Errors
    /// [`Error::Length`] beyond 256 GiB, where the counter of ChaCha20 ends.
    pub(crate) fn apply<L: Lane>(mut masks: Vec<Self>, lanes: &mut [L]) -> Result<(), Error> {
        let (width, n) = (L::BITS as usize / 8, lanes.len());
        let mut stream = Zeroizing::new([0; CHUNK_BYTES]);
        for chunk in lanes.chunks_mut(CHUNK_BYTES / width) {
            let bytes = &mut stream[..chunk.len() * width];
            for Self { cipher, sign } in &mut masks {
                let too_long =
                    |_| Error::Length { what: "lanes", got: n, expected: n.min(1 << 35) };
                cipher.try_write_keystream(bytes).map_err(too_long)?;
                L::accumulate(chunk, bytes, *sign);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(byte: u8, sign: Sign) -> Mask {
        Mask::new(Zeroizing::new([byte; 32]), sign)
    }

    #[test]
    fn a_mask_and_its_opposite_cancel_at_any_length() {
        for n in [0usize, 1, 7, 8, 9, 511, 512, 513, 1024, 5000] {
            let mut lanes: Vec<u64> = (0..n as u64).collect();
            Mask::apply(vec![mask(1, Sign::Plus), mask(2, Sign::Minus)], &mut lanes).unwrap();
            assert!(n < 2 || lanes.iter().zip(0..).any(|(lane, at)| *lane != at));
            Mask::apply(vec![mask(2, Sign::Plus), mask(1, Sign::Minus)], &mut lanes).unwrap();
            assert!(lanes.iter().zip(0..).all(|(lane, at)| *lane == at), "{n}");
        }
    }

    #[test]
    fn a_lane_does_not_depend_on_how_many_follow() {
        let (mut long, mut short) = (vec![0u64; 3000], vec![0u64; 700]);
        Mask::apply(vec![mask(3, Sign::Plus)], &mut long).unwrap();
        Mask::apply(vec![mask(3, Sign::Plus)], &mut short).unwrap();
        assert_eq!(long[..700], short);
        let mut narrow = vec![0u32; 1400];
        Mask::apply(vec![mask(3, Sign::Plus)], &mut narrow).unwrap();
        assert_eq!(crate::lanes_to_bytes(&narrow), crate::lanes_to_bytes(&short));
    }

    /// RFC 8439, A.1, test vector 1: key, nonce and counter 0.
    #[test]
    fn lanes_are_the_key_stream_of_rfc_8439() {
        let mut lanes = [0u64; 8];
        Mask::apply(vec![mask(0, Sign::Plus)], &mut lanes).unwrap();
        let expected = [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5];
        assert_eq!(crate::lanes_to_bytes(&lanes)[..12], expected);
    }
}
