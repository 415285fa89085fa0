//! The seed of an experiment's noise, and its file: a secret.

use std::path::Path;

use fedwasm_folder::{Folder, write_private_file};
use fedwasm_protocol::{Digest, Hasher};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::Error;

/// The file of the seed in the directory of an experiment, for its owner alone (0600).
pub const NOISE_SEED: &str = "noise.seed";
const FIRST_LINE: &str =
    "# A reader of this file can take the noise of this experiment away. Keep it secret.";
/// The largest such file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 10;

/// Where the noise of an experiment comes from: 32 bytes of the operating system's randomness. Not
/// derived from `random_seed`, which the history tells.
#[derive(Clone, PartialEq, Eq)]
pub struct NoiseSeed([u8; 32]);

impl std::fmt::Debug for NoiseSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NoiseSeed")
    }
}

impl NoiseSeed {
    /// Takes random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A commitment to it, which a history has: it does not tell the seed.
    pub fn commitment(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The generator for noise on these numbers. Other numbers have other noise, whatever the round:
    /// one that is done again with other updates would otherwise tell their difference. The same
    /// numbers have the same noise, so one that is done again with the same updates tells nothing
    /// new.
    pub(super) fn rng(&self, numbers: impl IntoIterator<Item = u64>) -> ChaCha20Rng {
        let mut hasher = Hasher::default();
        hasher.update(b"fedwasm/central-noise/v1");
        hasher.update(&self.0);
        numbers.into_iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        ChaCha20Rng::from_seed(*hasher.finish().as_bytes())
    }

    /// Writes the file, in place of an earlier one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let folder = Folder::create(dir)?;
        if folder.has(NOISE_SEED) {
            folder.remove(NOISE_SEED)?;
        }
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{FIRST_LINE}\n{digits}\n");
        Ok(write_private_file(&dir.join(NOISE_SEED), text.as_bytes())?)
    }

    /// Reads the file; none if there is none.
    ///
    /// # Errors
    /// [`Error::File`] if it is damaged; [`Error::Io`].
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let folder = Folder::open(dir)?;
        if !folder.has(NOISE_SEED) {
            return Ok(None);
        }
        let bytes = folder.read(NOISE_SEED, FILE_BYTES_MAX)?;
        let seed = parsed(&bytes).map(|seed| Some(Self(seed)));
        let reason = " has no seed of 64 hexadecimal digits in its second line".to_owned();
        seed.ok_or_else(|| Error::File { path: dir.join(NOISE_SEED), reason })
    }
}

fn parsed(bytes: &[u8]) -> Option<[u8; 32]> {
    let digits = std::str::from_utf8(bytes).ok()?.lines().nth(1)?.trim_end();
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut seed = [0; 32];
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng as _;

    use super::*;

    #[test]
    fn other_numbers_have_other_noise() {
        let draw = |seed: u8, numbers: &[u64]| {
            NoiseSeed::new([seed; 32]).rng(numbers.iter().copied()).next_u64()
        };
        assert_eq!(draw(1, &[1, 2, 3]), draw(1, &[1, 2, 3]));
        for (seed, numbers) in [(2, &[1, 2, 3][..]), (1, &[1, 2, 4]), (1, &[1, 2]), (1, &[2, 1, 3])]
        {
            assert_ne!(draw(1, &[1, 2, 3]), draw(seed, numbers), "{numbers:?}");
        }
    }
}
