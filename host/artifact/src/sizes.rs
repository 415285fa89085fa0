//! The sizes of the parts of a component.

use serde::Serialize;
use wasmparser::{Parser, Payload};

/// The page of a WebAssembly memory, in bytes.
const PAGE_BYTES: u64 = 64 << 10;

/// The sizes of the parts of a component, summed over its core modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Core modules.
    pub modules: u32,
    /// Their bytes.
    pub module_bytes: u64,
    /// Functions with a body.
    pub functions: u32,
    /// Bytes of the code sections.
    pub code_bytes: u64,
    /// Bytes of the data sections.
    pub data_bytes: u64,
    /// Bytes of custom sections, of modules and of the component: names, metadata.
    pub custom_bytes: u64,
    /// Bytes of memory that an instance starts with.
    pub memory_bytes: u64,
}

impl Sizes {
    /// Walks through the sections until one cannot be read. An admitted component can be read
    /// to its end.
    pub(crate) fn of(component: &[u8]) -> Self {
        let mut sizes = Self::default();
        for payload in Parser::new(0).parse_all(component) {
            let Ok(payload) = payload else { break };
            let bytes = |range: &std::ops::Range<usize>| range.len() as u64;
            match payload {
                Payload::ModuleSection { unchecked_range, .. } => {
                    sizes.modules += 1;
                    sizes.module_bytes += bytes(&unchecked_range);
                }
                Payload::CodeSectionStart { range, count, .. } => {
                    sizes.functions = sizes.functions.saturating_add(count);
                    sizes.code_bytes += bytes(&range);
                }
                Payload::DataSection(section) => sizes.data_bytes += bytes(&section.range()),
                Payload::CustomSection(section) => sizes.custom_bytes += bytes(&section.range()),
                Payload::MemorySection(section) => {
                    let memories = section.into_iter().flatten();
                    let pages = memories.fold(0_u64, |sum, m| sum.saturating_add(m.initial));
                    sizes.memory_bytes += pages.saturating_mul(PAGE_BYTES);
                }
                _ => {}
            }
        }
        sizes
    }
}
