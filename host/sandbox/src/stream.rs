//! The random bytes of a call: ChaCha20 (RFC 8439, with a 64-bit nonce of 0 and a 64-bit
//! block counter from 0) with the call's seed as key. Every byte of the key stream is
//! used once, in order, for any number of bytes at a time.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Bytes of a word of the generator.
const WORD: usize = 4;

/// A stream of random bytes.
pub(crate) struct Stream {
    random: ChaCha20Rng,
    /// The word that was begun, and how many of its last bytes are to come.
    word: [u8; WORD],
    left: usize,
    /// Bytes before the next one.
    position: u64,
}

impl Stream {
    /// The stream of a seed from byte `position` on.
    pub(crate) fn new(seed: [u8; 32], position: u64) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        random.set_word_pos(u128::from(position / WORD as u64));
        let mut stream = Self { random, word: [0; WORD], left: 0, position };
        let begun = (position % WORD as u64) as usize;
        if begun > 0 {
            stream.begin();
            stream.left -= begun;
        }
        stream
    }

    /// Fills `bytes` with the next ones.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.position = self.position.saturating_add(bytes.len() as u64);
        let (first, rest) = bytes.split_at_mut(self.left.min(bytes.len()));
        self.take(first);
        let (words, last) = rest.split_at_mut(rest.len() / WORD * WORD);
        // The library drops the rest of a word at the end of a call.
        self.random.fill_bytes(words);
        if !last.is_empty() {
            self.begin();
            self.take(last);
        }
    }

    /// How many bytes come before the next one.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    fn begin(&mut self) {
        self.random.fill_bytes(&mut self.word);
        self.left = WORD;
    }

    /// Fills bytes from the word that was begun; no more than are left of it.
    fn take(&mut self, bytes: &mut [u8]) {
        let start = WORD - self.left;
        bytes.copy_from_slice(&self.word[start..start + bytes.len()]);
        self.left -= bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of the key stream of a key of zeros: RFC 8439, A.1, test vector 1.
    const KEY_STREAM: [u8; 32] = [
        0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd,
        0x28, 0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc, 0x8b, 0x77,
        0x0d, 0xc7,
    ];

    #[test]
    fn nothing_is_dropped_however_many_bytes_are_asked_for() {
        let mut stream = Stream::new([0; 32], 0);
        let mut got = Vec::new();
        for len in [1, 3, 5, 4, 0, 7, 8, 2, 1, 1] {
            let mut bytes = vec![0; len];
            stream.fill(&mut bytes);
            got.extend(bytes);
            assert_eq!(stream.position(), got.len() as u64);
        }
        assert_eq!(got, KEY_STREAM);
    }

    #[test]
    fn a_stream_goes_on_from_any_byte() {
        let mut all = [0; 700];
        Stream::new([7; 32], 0).fill(&mut all);
        for position in [0, 1, 2, 3, 4, 255, 256, 257, 258, 511, 690] {
            let mut rest = vec![0; all.len() - position];
            Stream::new([7; 32], position as u64).fill(&mut rest);
            assert_eq!(rest, all[position..], "{position}");
        }
    }

    /// Draws in multiples of four bytes give the same values as in earlier versions.
    #[test]
    fn whole_words_are_those_of_the_library() {
        let (mut stream, mut random) = (Stream::new([9; 32], 0), ChaCha20Rng::from_seed([9; 32]));
        for len in [4, 64, 1_000, 4, 4_096] {
            let (mut own, mut theirs) = (vec![0; len], vec![0; len]);
            stream.fill(&mut own);
            random.fill_bytes(&mut theirs);
            assert_eq!(own, theirs);
        }
    }
}
