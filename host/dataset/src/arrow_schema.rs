//! The Arrow schema that pyarrow writes beside a Parquet file's own: some types, such as
//! durations, are told there alone. Base64 of an encapsulated IPC message
//! (arrow.apache.org/docs/format/Columnar.html), a FlatBuffer. A field that is not as expected is
//! ignored: the file's own schema holds.

use std::collections::BTreeSet;

/// The key that it has in a file's metadata.
pub(crate) const KEY: &str = "ARROW:schema";
/// `Type.Duration` (format/Schema.fbs).
const DURATION: u8 = 18;
/// The longest schema that is looked at, in characters.
const CHARS_MAX: usize = 16 << 20;
/// The most columns that are looked at.
const COLUMNS_MAX: usize = crate::bounds::COLUMNS_MAX;

/// Places of fields in their FlatBuffer tables (format/Message.fbs, format/Schema.fbs).
const MESSAGE_HEADER: usize = 2;
const SCHEMA_FIELDS: usize = 1;
const FIELD_NAME: usize = 0;
const FIELD_TYPE: usize = 2;

/// Names of the columns that are durations.
pub(crate) fn durations(schema: &str) -> BTreeSet<String> {
    read(schema).unwrap_or_default()
}

fn read(schema: &str) -> Option<BTreeSet<String>> {
    let bytes = base64(schema)?;
    // A marker, in version 0.15 or later, and the length of the rest.
    let start = if bytes.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let buffer = Buffer(bytes.get(start..)?);
    let message = Table { buffer: &buffer, at: buffer.offset(0)? };
    let schema = message.table(MESSAGE_HEADER)?;
    let fields = buffer.offset(schema.field(SCHEMA_FIELDS)?)?;
    let n = (buffer.u32(fields)? as usize).min(COLUMNS_MAX);
    let mut found = BTreeSet::new();
    for nth in 0..n {
        let field = Table { buffer: &buffer, at: buffer.offset(fields + 4 + 4 * nth)? };
        let is_duration = field.field(FIELD_TYPE).and_then(|at| buffer.byte(at)) == Some(DURATION);
        if is_duration {
            found.insert(buffer.text(buffer.offset(field.field(FIELD_NAME)?)?)?);
        }
    }
    Some(found)
}

/// Little-endian numbers at places that may be anywhere.
struct Buffer<'a>(&'a [u8]);

impl Buffer<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    /// Where the offset at this place leads.
    fn offset(&self, at: usize) -> Option<usize> {
        at.checked_add(self.u32(at)? as usize)
    }

    fn text(&self, at: usize) -> Option<String> {
        let len = self.u32(at)? as usize;
        let bytes = self.0.get(at + 4..)?.get(..len)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

struct Table<'a> {
    buffer: &'a Buffer<'a>,
    at: usize,
}

impl<'a> Table<'a> {
    /// Where a field of the table is, if it has it.
    fn field(&self, nth: usize) -> Option<usize> {
        let back = self.buffer.u32(self.at)?.cast_signed();
        let places = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let (len, entry) = (usize::from(self.buffer.u16(places)?), 4 + 2 * nth);
        let offset = if entry + 2 <= len { self.buffer.u16(places + entry)? } else { 0 };
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    fn table(&self, nth: usize) -> Option<Self> {
        Some(Self { buffer: self.buffer, at: self.buffer.offset(self.field(nth)?)? })
    }
}

/// Decodes RFC 4648, section 4.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.len() > CHARS_MAX {
        return None;
    }
    let (mut bytes, mut word, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (word, bits) = ((word << 6 | u32::from(value)) & 0xffff, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by pyarrow 26: `pa.schema([("a", pa.float64()), ("wait", pa.duration("s"))])`.
    const SCHEMA: &str = "/////6AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAIAAABEAAAABAAAANT///8AAAESEAAAABgAAAAEAAAAAAAAAAQAAAB3YWl0AAAAAMr///8AAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABgAAAAEAAAAAAAAAAEAAABhAAYACAAGAAYAAAAAAAIA";

    #[test]
    fn durations_are_found_by_name() {
        assert_eq!(durations(SCHEMA), BTreeSet::from(["wait".to_owned()]));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let bytes = base64(SCHEMA).unwrap();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                durations(&encode(&bytes));
            }
            durations(&encode(&bytes[..at]));
        }
        assert!(durations("no base64!").is_empty() && durations("").is_empty());
    }

    fn encode(bytes: &[u8]) -> String {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |chunk: &[u8]| {
            let at = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
            let word = at(0) << 16 | at(1) << 8 | at(2);
            let digit = |nth: usize| char::from(digits[(word >> (18 - 6 * nth) & 63) as usize]);
            (0..=chunk.len()).map(digit).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }
}
