//! Texts in delta encodings. The library asks for the memory that their headers announce; here they
//! become plain pages first, within bounds. (Encodings.md of the Parquet format.)

use std::io::{Error, ErrorKind};

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

use crate::bounds::PAGE_BYTES_MAX;

/// The most texts of a page: their lengths are kept, eight bytes each.
const PAGE_TEXTS_MAX: usize = 1 << 22;
/// The most lengths of a block.
const BLOCK_VALUES_MAX: u64 = 1 << 16;

/// The pages of a column of texts, none of them in a delta encoding.
pub(crate) struct PlainPages {
    pub(crate) pages: Box<dyn PageReader>,
    pub(crate) is_optional: bool,
}

impl PageReader for PlainPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| plain(page, self.is_optional)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for PlainPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The same page with plain texts.
fn plain(mut page: Page, is_optional: bool) -> Result<Page> {
    let (buf, encoding, n_values, n_level_bytes) = match &mut page {
        Page::DictionaryPage { .. } => return Ok(page),
        Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
            let n = match (is_optional, buf.first_chunk::<4>()) {
                _ if is_plain(*encoding) => 0,
                (false, _) => 0,
                (true, Some(n)) if *def_level_encoding == Encoding::RLE => {
                    4 + u64::from(u32::from_le_bytes(*n))
                }
                _ => return Err(malformed("levels")),
            };
            (buf, encoding, *num_values, n)
        }
        Page::DataPageV2 {
            buf,
            num_values,
            encoding,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let n = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            (buf, encoding, *num_values, n)
        }
    };
    if is_plain(*encoding) {
        return Ok(page);
    }
    let n_level_bytes = usize::try_from(n_level_bytes).unwrap_or(usize::MAX);
    let Some((levels, values)) = buf.split_at_checked(n_level_bytes) else {
        return Err(malformed("levels"));
    };
    let n_max = (n_values as usize).min(PAGE_TEXTS_MAX);
    let texts = match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => by_lengths(levels, values, n_max),
        Encoding::DELTA_BYTE_ARRAY => by_prefixes(levels, values, n_max),
        other => return Err(ParquetError::General(format!("texts encoded as {other}"))),
    };
    *buf = texts.ok_or_else(|| malformed("lengths"))?.into();
    *encoding = Encoding::PLAIN;
    Ok(page)
}

/// Whether the library reads texts of this encoding within bounds.
fn is_plain(encoding: Encoding) -> bool {
    use Encoding::{PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY};
    matches!(encoding, PLAIN | PLAIN_DICTIONARY | RLE_DICTIONARY)
}

fn malformed(what: &str) -> ParquetError {
    let text = format!("a page of texts in a delta encoding has malformed {what}");
    Error::new(ErrorKind::InvalidData, text).into()
}

/// `DELTA_LENGTH_BYTE_ARRAY`: all lengths, then all texts. None if that is malformed.
fn by_lengths(levels: &[u8], values: &[u8], n_max: usize) -> Option<Vec<u8>> {
    let (lengths, mut rest) = deltas(values, n_max)?;
    let mut out = levels.to_vec();
    for length in lengths {
        let text;
        (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        push(&mut out, &[text])?;
    }
    rest.is_empty().then_some(out)
}

/// `DELTA_BYTE_ARRAY`: how much of each text is that of the one before it; then the ends.
fn by_prefixes(levels: &[u8], values: &[u8], n_max: usize) -> Option<Vec<u8>> {
    let (prefixes, rest) = deltas(values, n_max)?;
    let (lengths, mut rest) = deltas(rest, n_max)?;
    if prefixes.len() != lengths.len() {
        return None;
    }
    let mut out = levels.to_vec();
    // The text before, in what was written.
    let mut before = out.len()..out.len();
    for (prefix, length) in prefixes.into_iter().zip(lengths) {
        let end;
        (end, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let shared = out.get(before)?.get(..usize::try_from(prefix).ok()?)?.to_vec();
        let start = out.len() + 4;
        push(&mut out, &[&shared, end])?;
        before = start..out.len();
    }
    rest.is_empty().then_some(out)
}

/// Appends a text as `PLAIN` has it, while the page stays within its bound.
fn push(out: &mut Vec<u8>, parts: &[&[u8]]) -> Option<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if (out.len() + 4 + length) as u64 > PAGE_BYTES_MAX {
        return None;
    }
    out.extend(u32::try_from(length).ok()?.to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Some(())
}

/// `DELTA_BINARY_PACKED`: the numbers, at most `n_max`, and the bytes behind them.
fn deltas(mut bytes: &[u8], n_max: usize) -> Option<(Vec<i64>, &[u8])> {
    let (in_block, n_miniblocks) = (varint(&mut bytes)?, varint(&mut bytes)?);
    let n = usize::try_from(varint(&mut bytes)?).ok().filter(|n| *n <= n_max)?;
    let mut last = zigzag(varint(&mut bytes)?);
    let in_miniblock = in_block.checked_div(n_miniblocks)?;
    let is_known = in_block <= BLOCK_VALUES_MAX && in_miniblock % 8 == 0 && in_miniblock > 0;
    if !is_known || in_miniblock * n_miniblocks != in_block {
        return None;
    }
    let (in_miniblock, n_miniblocks) = (in_miniblock as usize, n_miniblocks as usize);
    let mut numbers = Vec::new();
    if n > 0 {
        numbers.push(last);
    }
    while numbers.len() < n {
        let least = zigzag(varint(&mut bytes)?);
        let widths;
        (widths, bytes) = bytes.split_at_checked(n_miniblocks)?;
        for width in widths {
            // Miniblocks behind the last number have no bytes.
            let left = (n - numbers.len()).min(in_miniblock);
            if left == 0 {
                break;
            }
            let width = usize::from(*width);
            if width > 64 {
                return None;
            }
            let packed;
            (packed, bytes) = bytes.split_at_checked(in_miniblock / 8 * width)?;
            for at in 0..left {
                let delta = least.wrapping_add(bits(packed, at * width, width).cast_signed());
                last = last.wrapping_add(delta);
                numbers.push(last);
            }
        }
    }
    Some((numbers, bytes))
}

/// The number of `width` bits from bit `start` on, the lowest bit first.
fn bits(bytes: &[u8], start: usize, width: usize) -> u64 {
    let bit = |at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or_default();
        u64::from(byte >> (at % 8) & 1)
    };
    (0..width).fold(0, |number, at| number | bit(start + at) << at)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four numbers in a block of 128 with miniblocks of 32: 5, then -2, -2 and +1. The least of these is
    /// -2, and 0, 0, 3 are above it in two bits each.
    const NUMBERS: [u8; 18] = [0x80, 1, 4, 4, 10, 3, 2, 0, 0, 0, 0b0011_0000, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn packed_numbers_are_read_and_announced_ones_are_bounded() {
        let (numbers, rest) = deltas(&NUMBERS, 4).unwrap();
        assert_eq!((&numbers[..], rest), (&[5, 3, 1, 2][..], &[][..]));
        assert!(deltas(&NUMBERS, 3).is_none());
        for bytes in [
            &[0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0][..],
            &[0x80, 1, 0, 4, 10],
            &[0, 4, 4, 10],
            &[0x80, 1, 3, 4, 10],
            &[0x80, 1, 4, 4, 10, 3, 65, 0, 0, 0],
            &[0x80, 1, 4, 4, 10, 3, 2, 0, 0],
            &[0xff; 12],
        ] {
            assert!(deltas(bytes, PAGE_TEXTS_MAX).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_page_that_swells_is_refused() {
        // Two numbers, the second by a difference of no bits above the least.
        let packed = |first: u8, least: u8| vec![0x80, 1, 4, 2, first, least, 0, 0, 0, 0];
        let (prefixes, lengths) = (packed(0, 2), packed(2, 1));
        let values = [&prefixes[..], &lengths, b"a"].concat();
        assert_eq!(by_prefixes(&[], &values, 2).unwrap(), b"\x01\0\0\0a\x01\0\0\0a");
        // A beginning that is longer than the text before, and fewer bytes than are announced.
        assert!(by_prefixes(&[], &[&packed(0, 4)[..], &lengths, b"a"].concat(), 2).is_none());
        assert!(by_prefixes(&[], &values[..values.len() - 1], 2).is_none());
        assert_eq!(by_lengths(&[], &values[10..], 2).unwrap(), b"\x01\0\0\0a\0\0\0\0");
        let mut out = vec![0; PAGE_BYTES_MAX as usize - 10];
        assert!(push(&mut out, &[b"123456"]).is_some());
        assert!(push(&mut out, &[b""]).is_none());
    }
}
