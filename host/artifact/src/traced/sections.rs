//! The sections of a component or a module, as bytes.

use std::ops::Range;

use wasmparser::BinaryReader;

use super::{TracedError, malformed};

/// Magic, version and layer.
const PREAMBLE_BYTES: usize = 8;

/// Where a section lies in the bytes around it.
pub(super) struct Section {
    /// Its kind.
    pub(super) id: u8,
    /// All of it.
    pub(super) whole: Range<usize>,
    /// Without kind and length.
    pub(super) contents: Range<usize>,
}

/// Walks over the sections; ends after an error.
pub(super) fn sections(bytes: &[u8]) -> impl Iterator<Item = Result<Section, TracedError>> {
    let mut at = PREAMBLE_BYTES.min(bytes.len());
    std::iter::from_fn(move || {
        if at == bytes.len() {
            return None;
        }
        let section = section(bytes, at);
        at = section.as_ref().map_or(bytes.len(), |section| section.whole.end);
        Some(section)
    })
}

fn section(bytes: &[u8], start: usize) -> Result<Section, TracedError> {
    let mut reader = BinaryReader::new(&bytes[start..], start);
    let id = reader.read_u8().map_err(malformed)?;
    let contents = reader.read_reader().map_err(malformed)?.range();
    Ok(Section { id, whole: start..contents.end, contents })
}
