//! Updates in fewer bytes. Little-endian, tensor after tensor, without a header: both sides know the
//! lengths.

use fedwasm_protocol::{Compression, INT8_BLOCK};
use rand_core::Rng;

use crate::Error;

/// The largest level of an int8.
const LEVEL_MAX: f64 = 127.0;

/// Returns an update in the form in which it travels.
///
/// * `update` — the values of all tensors, one after the other, in float64.
/// * `lengths` — values of each tensor.
/// * `rng` — what int8 rounds by; one draw of 32 bits a value.
///
/// # Errors
/// [`Error::Length`] if `lengths` are of another number of values; [`Error::NotFiniteAt`] for a value
/// that is not finite, or beyond the range of bfloat16 or of a float32 step.
pub fn compress(
    update: &[f64],
    lengths: &[usize],
    compression: Compression,
    rng: &mut impl Rng,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut start = 0;
    for block in blocks(update.len(), lengths, compression)? {
        let (values, end) = (update.get(start..start + block).unwrap_or_default(), start + block);
        match compression {
            Compression::BFloat16 => {
                for (at, value) in (start..).zip(values) {
                    let half = bfloat16(*value).ok_or(Error::NotFiniteAt { at })?;
                    bytes.extend(half.to_le_bytes());
                }
            }
            Compression::Int8 => {
                let step = step(values).map_err(|at| Error::NotFiniteAt { at: start + at })?;
                bytes.extend(step.to_le_bytes());
                bytes.extend(values.iter().map(|value| level(*value, step, rng).cast_unsigned()));
            }
        }
        start = end;
    }
    Ok(bytes)
}

/// Reads an update that was compressed.
///
/// * `lengths` — values of each tensor.
///
/// # Errors
/// [`Error::Length`] for another number of bytes; [`Error::NotFiniteAt`].
pub fn decompress(
    bytes: &[u8],
    lengths: &[usize],
    compression: Compression,
) -> Result<Vec<f64>, Error> {
    let n = lengths.iter().fold(0, |n: usize, length| n.saturating_add(*length));
    let expected = compression.n_bytes(lengths.iter().map(|length| *length as u64));
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    if bytes.len() != expected {
        return Err(Error::Length { what: "bytes of an update", got: bytes.len(), expected });
    }
    let mut values = Vec::with_capacity(n);
    match compression {
        Compression::BFloat16 => {
            let (halves, _) = bytes.as_chunks();
            let value = |half: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*half)) << 16);
            values.extend(halves.iter().map(|half| f64::from(value(half))));
        }
        Compression::Int8 => {
            let mut left = bytes;
            for block in blocks(n, lengths, compression)? {
                let Some((step, rest)) = left.split_first_chunk() else { break };
                let (levels, rest) = rest.split_at_checked(block).unwrap_or((rest, &[]));
                let step = f64::from(f32::from_le_bytes(*step));
                values.extend(levels.iter().map(|level| f64::from(level.cast_signed()) * step));
                left = rest;
            }
        }
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => Err(Error::NotFiniteAt { at }),
    }
}

/// The lengths of blocks, which end with their tensor.
fn blocks(n: usize, lengths: &[usize], compression: Compression) -> Result<Vec<usize>, Error> {
    let expected = lengths.iter().fold(0, |n: usize, length| n.saturating_add(*length));
    if n != expected {
        return Err(Error::Length { what: "values", got: n, expected });
    }
    if compression == Compression::BFloat16 {
        return Ok(lengths.to_vec());
    }
    let of = |length: &usize| {
        let rest = length % INT8_BLOCK;
        let whole = std::iter::repeat_n(INT8_BLOCK, length / INT8_BLOCK);
        whole.chain((rest > 0).then_some(rest))
    };
    Ok(lengths.iter().flat_map(of).collect())
}

/// The upper half of a float32, rounded to the nearest, ties to even; none if it is not finite.
fn bfloat16(value: f64) -> Option<u16> {
    let bits = (value as f32).to_bits();
    let half = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let is_finite = value.is_finite() && half & 0x7f80 != 0x7f80;
    is_finite.then(|| u16::try_from(half).ok()).flatten()
}

/// The step of a block: its largest value is level 127 at most. Fails with the place of a value that
/// is not finite or too large.
fn step(values: &[f64]) -> Result<f32, usize> {
    let mut largest = (0, 0.0);
    for (at, value) in values.iter().enumerate() {
        if !value.is_finite() {
            return Err(at);
        }
        if value.abs() > largest.1 {
            largest = (at, value.abs());
        }
    }
    let mut step = (largest.1 / LEVEL_MAX) as f32;
    if f64::from(step) * LEVEL_MAX < largest.1 {
        step = step.next_up();
    }
    if step.is_finite() { Ok(step) } else { Err(largest.0) }
}

/// The level below a value or the one above it, at random in such a way that the mean is the value.
fn level(value: f64, step: f32, rng: &mut impl Rng) -> i8 {
    let chance = f64::from(rng.next_u32()) / 2f64.powi(32);
    if step == 0.0 {
        return 0;
    }
    let level = (value / f64::from(step) + chance).floor();
    level.clamp(-LEVEL_MAX, LEVEL_MAX) as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([7; 32])
    }

    fn there_and_back(update: &[f64], lengths: &[usize], how: Compression) -> Vec<f64> {
        let bytes = compress(update, lengths, how, &mut rng()).unwrap();
        assert_eq!(bytes.len() as u64, how.n_bytes(lengths.iter().map(|n| *n as u64)));
        decompress(&bytes, lengths, how).unwrap()
    }

    // tests/oracles/compression.py prints these: torch.tensor(x).to(torch.bfloat16).
    #[test]
    fn bfloat16_is_that_of_pytorch() {
        for (value, bits) in BFLOAT16 {
            assert_eq!(bfloat16(value), Some(bits), "{value}");
        }
        assert_eq!([f64::NAN, f64::INFINITY, 3.4e38, -1e300].map(bfloat16), [None; 4]);
    }

    const BFLOAT16: [(f64, u16); 8] = [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3f80),
        (0.1, 0x3dcd),
        (-3.140_625, 0xc049),
        (1.003_906_25, 0x3f80),
        (1.011_718_75, 0x3f82),
        (1e-40, 0x0001),
    ];

    #[test]
    fn int8_is_right_on_average_and_within_a_step() {
        // 300 values of one tensor are two blocks; the third is of another tensor.
        let update: Vec<f64> = (0..310).map(|n| f64::from(n) * 1e-3 - 0.1).collect();
        let lengths = [300, 10];
        let (mut rng, mut sums) = (rng(), vec![0.0; update.len()]);
        for _ in 0..4_000 {
            let bytes = compress(&update, &lengths, Compression::Int8, &mut rng).unwrap();
            let values = decompress(&bytes, &lengths, Compression::Int8).unwrap();
            for ((sum, value), original) in sums.iter_mut().zip(&values).zip(&update) {
                assert!((value - original).abs() <= 0.31 / 127.0, "{value} {original}");
                *sum += value;
            }
        }
        for (sum, value) in sums.iter().zip(&update) {
            // Six standard deviations of the mean of 4,000 draws within a step.
            assert!((sum / 4_000.0 - value).abs() < 6.0 * 0.5 * 0.31 / 127.0 / 63.2, "{value}");
        }
    }

    #[test]
    fn what_training_leaves_alone_stays_and_same_seed_same_bytes() {
        for how in Compression::ALL {
            assert_eq!(there_and_back(&[0.0; 5], &[2, 3], how), [0.0; 5]);
            let update = [1.0, 0.0, -0.3, 0.0, 2e-30];
            let values = there_and_back(&update, &[5], how);
            assert_eq!((values[1], values[3]), (0.0, 0.0));
            assert_eq!(values, there_and_back(&update, &[5], how));
            assert_eq!(there_and_back(&[], &[], how), [0.0; 0]);
        }
    }

    #[test]
    fn other_lengths_and_numbers_without_a_form_are_refused() {
        let how = Compression::Int8;
        let bytes = compress(&[1.0, 2.0], &[2], how, &mut rng()).unwrap();
        for wrong in [&bytes[..5], &[&bytes[..], &[0]].concat()[..], &[]] {
            assert!(matches!(decompress(wrong, &[2], how), Err(Error::Length { .. })));
        }
        assert!(matches!(decompress(&bytes, &[1, 1], how), Err(Error::Length { .. })));
        assert!(matches!(compress(&[1.0], &[2], how, &mut rng()), Err(Error::Length { .. })));
        let infinite = [&f32::INFINITY.to_le_bytes()[..], &[1, 0]].concat();
        assert!(matches!(decompress(&infinite, &[2], how), Err(Error::NotFiniteAt { at: 0 })));
        for how in Compression::ALL {
            for value in [f64::NAN, f64::NEG_INFINITY, 1e300] {
                let error = compress(&[0.0, value], &[2], how, &mut rng()).unwrap_err();
                assert!(matches!(error, Error::NotFiniteAt { at: 1 }), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_of_a_stranger_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), a in 0usize..300, b in 0usize..300) {
            for how in Compression::ALL {
                let _ = decompress(&bytes, &[a, b], how);
            }
        }

        #[test]
        fn errors_are_within_the_form(update in prop::collection::vec(-1e3f64..1e3, 1..700)) {
            let largest = update.iter().fold(0.0f64, |m, value| m.max(value.abs()));
            let int8 = there_and_back(&update, &[update.len()], Compression::Int8);
            let bf16 = there_and_back(&update, &[update.len()], Compression::BFloat16);
            for ((value, int8), bf16) in update.iter().zip(int8).zip(bf16) {
                prop_assert!((value - int8).abs() <= largest / 126.9);
                prop_assert!((value - bf16).abs() <= value.abs() / 255.0);
            }
        }
    }
}
