//! Lanes: the integers modulo 2^32 or 2^64 in which vectors are masked and summed.

use fedwasm_protocol::NodeId;
use zeroize::Zeroize;

use crate::Error;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// An unsigned integer whose sums wrap: u32 or u64. Bytes are little-endian.
pub trait Lane: sealed::Sealed + Copy + Default + Eq + std::fmt::Debug + Zeroize + Send {
    /// Bits of a lane.
    const BITS: u32;

    /// Sum modulo 2^BITS.
    #[must_use]
    fn plus(self, other: Self) -> Self;

    /// Difference modulo 2^BITS.
    #[must_use]
    fn minus(self, other: Self) -> Self;

    /// The value as a signed number, two's complement.
    fn signed(self) -> i64;

    /// The value.
    fn value(self) -> u64;

    /// The number modulo 2^BITS.
    fn wrapped(number: u64) -> Self;

    /// Adds to `lanes`, or subtracts from them, those that the bytes hold; as many as both have.
    fn accumulate(lanes: &mut [Self], bytes: &[u8], sign: Sign);
}

/// Whether a mask is added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Subtracted.
    Minus,
}

impl Sign {
    /// How `node` uses the mask that it has with `peer`: the one of the smaller id subtracts it.
    pub(crate) fn between(node: &NodeId, peer: &NodeId) -> Self {
        if peer < node { Self::Plus } else { Self::Minus }
    }
}

macro_rules! lane {
    ($unsigned:ty, $signed:ty) => {
        impl Lane for $unsigned {
            const BITS: u32 = <$unsigned>::BITS;

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn signed(self) -> i64 {
                i64::from(self as $signed)
            }

            fn value(self) -> u64 {
                u64::from(self)
            }

            fn wrapped(number: u64) -> Self {
                number as $unsigned
            }

            fn accumulate(lanes: &mut [Self], bytes: &[u8], sign: Sign) {
                let (chunks, _) = bytes.as_chunks();
                let pairs = lanes.iter_mut().zip(chunks);
                match sign {
                    Sign::Plus => pairs.for_each(|(lane, chunk)| {
                        *lane = lane.wrapping_add(<$unsigned>::from_le_bytes(*chunk));
                    }),
                    Sign::Minus => pairs.for_each(|(lane, chunk)| {
                        *lane = lane.wrapping_sub(<$unsigned>::from_le_bytes(*chunk));
                    }),
                }
            }
        }
    };
}

lane!(u32, i32);
lane!(u64, i64);

/// Returns the lanes as little-endian bytes, one after the other.
pub fn lanes_to_bytes<L: Lane>(lanes: &[L]) -> Vec<u8> {
    let width = L::BITS as usize / 8;
    // Not collected from an iterator of bytes, which takes twenty times as long.
    let mut bytes = vec![0; lanes.len() * width];
    for (bytes, lane) in bytes.chunks_exact_mut(width).zip(lanes) {
        bytes.copy_from_slice(&lane.value().to_le_bytes()[..width]);
    }
    bytes
}

/// Reads lanes from little-endian bytes.
///
/// # Errors
/// [`Error::Length`] unless the bytes are those of exactly `expected` lanes.
pub fn lanes_from_bytes<L: Lane>(bytes: &[u8], expected: usize) -> Result<Vec<L>, Error> {
    let width = L::BITS as usize / 8;
    if expected.checked_mul(width) != Some(bytes.len()) {
        return Err(Error::Length { what: "lanes", got: bytes.len() / width, expected });
    }
    let mut lanes = vec![L::default(); expected];
    L::accumulate(&mut lanes, bytes, Sign::Plus);
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_wrap_and_signs_are_two_s_complement() {
        assert_eq!(u32::MAX.plus(2), 1);
        assert_eq!(Lane::signed(0u32.minus(1)), -1);
        assert_eq!(Lane::signed(0u64.minus(5)), -5);
        assert_eq!(<u32 as Lane>::wrapped(u64::MAX), u32::MAX);
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        let bytes = lanes_to_bytes(&[1u64, u64::MAX]);
        assert_eq!(lanes_from_bytes::<u64>(&bytes, 2).unwrap(), [1, u64::MAX]);
        assert_eq!(lanes_to_bytes(&[258u32]), [2, 1, 0, 0]);
        for n in [0, 1, 3, usize::MAX] {
            assert!(matches!(lanes_from_bytes::<u64>(&bytes, n), Err(Error::Length { .. })));
        }
        assert!(lanes_from_bytes::<u64>(&bytes[..15], 2).is_err());
    }
}
