//! The slot of a core module: finds, fills and frees it.

use std::ops::Range;

use wasm_encoder::{ConstExpr, Encode as _};
use wasmparser::{BinaryReader, DataKind, DataSectionReader, MemorySectionReader, Operator};

use super::sections::sections;
use super::{TracedError, malformed};

/// How the slot begins; `plugins/traced` has the same bytes.
const MARKER: &[u8; 16] = b"fedwasm:graph:01";
/// The marker, an address and a length, each of 4 bytes, little-endian.
const SLOT_BYTES: usize = MARKER.len() + 8;
/// The page of a WebAssembly memory, in bytes.
const PAGE_BYTES: u64 = 64 << 10;
/// Pages of the largest memory.
const PAGES_MAX: u64 = 1 << 16;

// Kinds of sections (WebAssembly Core Specification 2.0, 5.5.2).
const MEMORY: u8 = 5;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;
/// The kind of a segment of data for the first memory (5.5.14).
const ACTIVE: u8 = 0;

/// The contents of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// There is no graph.
    Free,
    /// There is one.
    Taken { address: u32, length: u32 },
}

/// Returns the slot of a module, if it has one.
///
/// # Errors
/// [`TracedError::ManySlots`], [`TracedError::Malformed`].
pub(super) fn find(module: &[u8]) -> Result<Option<Slot>, TracedError> {
    for section in sections(module) {
        let section = section?;
        if section.id == DATA {
            return Ok(Data::read(&module[section.contents])?.slot()?.map(|(_, slot)| slot));
        }
    }
    Ok(None)
}

/// Returns the module with a graph behind its memory. Its slot is free.
///
/// # Errors
/// [`TracedError`].
pub(super) fn fill(module: &[u8], graph: &[u8]) -> Result<Vec<u8>, TracedError> {
    let (pages, maximum) = memory(module)?;
    let no_room = TracedError::NoRoom { pages, graph_bytes: graph.len() as u64 };
    let address = u32::try_from(pages.saturating_mul(PAGE_BYTES));
    let length = u32::try_from(graph.len());
    let (Ok(address), Ok(length)) = (address, length) else { return Err(no_room) };
    let larger = pages + pages_of(length);
    if larger > maximum.unwrap_or(PAGES_MAX).min(PAGES_MAX) {
        return Err(no_room);
    }
    rewritten(module, larger, |contents, out| {
        let data = Data::read(contents)?;
        let (slot, _) = data.slot()?.ok_or(TracedError::NoSlot)?;
        data.write(slot, (address, length), contents.len(), data.count + 1, out);
        // An address is an i32 to WebAssembly, whatever its sign.
        out.push(ACTIVE);
        ConstExpr::i32_const(address as i32).encode(out);
        graph.encode(out);
        Ok(data.count + 1)
    })
}

/// Returns the module without its graph, and the graph. Its slot says `address` and `length`.
///
/// # Errors
/// [`TracedError`].
pub(super) fn free(
    module: &[u8],
    address: u32,
    length: u32,
) -> Result<(Vec<u8>, Vec<u8>), TracedError> {
    let misplaced = |reason| TracedError::Misplaced { address, length, reason };
    let pages = u64::from(address) / PAGE_BYTES;
    if u64::from(address) % PAGE_BYTES != 0 {
        return Err(misplaced("a graph begins with a page of the memory"));
    }
    if memory(module)?.0 != pages + pages_of(length) {
        return Err(misplaced("the memory that the component starts with does not end with it"));
    }
    let mut graph = Vec::new();
    let module = rewritten(module, pages, |contents, out| {
        let data = Data::read(contents)?;
        let (slot, _) = data.slot()?.ok_or(TracedError::NoSlot)?;
        let last = data.last.as_ref();
        let last = last.filter(|last| last.address == Some(address) && slot < last.start);
        let last = last.ok_or(misplaced("the last segment of data is another one"))?;
        let bytes = &contents[last.bytes.clone()];
        if bytes.len() != length as usize {
            return Err(misplaced("the segment of data there has another length"));
        }
        if data.reach > u64::from(address) {
            return Err(misplaced("another segment of data reaches into its pages"));
        }
        graph = bytes.to_vec();
        data.write(slot, (0, 0), last.start, data.count - 1, out);
        Ok(data.count - 1)
    })?;
    Ok((module, graph))
}

/// Copies a module with `pages` of memory and the section of data that `data` writes from its
/// old contents; it returns the number of segments.
fn rewritten(
    module: &[u8],
    pages: u64,
    mut data: impl FnMut(&[u8], &mut Vec<u8>) -> Result<u32, TracedError>,
) -> Result<Vec<u8>, TracedError> {
    let mut count = 0;
    let mut contents = Vec::new();
    for section in sections(module) {
        let section = section?;
        if section.id == DATA {
            contents.clear();
            count = data(&module[section.contents], &mut contents)?;
        }
    }
    let mut out = Vec::with_capacity(module.len() + contents.len());
    let mut end = 0;
    for section in sections(module) {
        let section = section?;
        out.extend_from_slice(&module[end..section.whole.start]);
        end = section.whole.end;
        match section.id {
            MEMORY => {
                let memories = reader(&module[section.contents]);
                let memories = MemorySectionReader::new(memories).map_err(malformed)?;
                let mut section = wasm_encoder::MemorySection::new();
                for memory in memories {
                    let memory = memory.map_err(malformed)?;
                    section.memory(wasm_encoder::MemoryType {
                        minimum: pages,
                        maximum: memory.maximum,
                        memory64: memory.memory64,
                        shared: memory.shared,
                        page_size_log2: memory.page_size_log2,
                    });
                }
                out.push(MEMORY);
                section.encode(&mut out);
            }
            DATA_COUNT => {
                out.push(DATA_COUNT);
                wasm_encoder::DataCountSection { count }.encode(&mut out);
            }
            DATA => {
                out.push(DATA);
                contents.encode(&mut out);
            }
            _ => out.extend_from_slice(&module[section.whole]),
        }
    }
    out.extend_from_slice(&module[end..]);
    Ok(out)
}

/// The pages that the one memory of a module starts with, and may have.
fn memory(module: &[u8]) -> Result<(u64, Option<u64>), TracedError> {
    for section in sections(module) {
        let section = section?;
        if section.id == MEMORY {
            let memories = reader(&module[section.contents]);
            let memories = MemorySectionReader::new(memories).map_err(malformed)?;
            let mut memories = memories.into_iter();
            return match (memories.next(), memories.next()) {
                (Some(Ok(memory)), None) => Ok((memory.initial, memory.maximum)),
                _ => Err(malformed("its module has not exactly one memory")),
            };
        }
    }
    Err(malformed("its module has no memory of its own"))
}

/// The section of data, as far as it matters here.
struct Data<'a> {
    contents: &'a [u8],
    /// Segments.
    count: u32,
    /// Length of that number.
    head: usize,
    /// Offsets of the slots in all segments but the last one, two at most.
    slots: Vec<usize>,
    /// The address behind all of these segments.
    reach: u64,
    last: Option<Segment>,
}

/// The last segment.
struct Segment {
    start: usize,
    /// Where it goes in the memory, if that is a constant.
    address: Option<u32>,
    bytes: Range<usize>,
    slots: Vec<usize>,
}

impl<'a> Data<'a> {
    fn read(contents: &'a [u8]) -> Result<Self, TracedError> {
        let mut head = reader(contents);
        let count = head.read_var_u32().map_err(malformed)?;
        let head = head.current_position();
        let mut data = Self { contents, count, head, slots: Vec::new(), reach: 0, last: None };
        for item in DataSectionReader::new(reader(contents)).map_err(malformed)? {
            let item = item.map_err(malformed)?;
            let address = match item.kind {
                DataKind::Active { memory_index: 0, offset_expr } => {
                    let mut operators = offset_expr.get_operators_reader();
                    match (operators.read(), operators.read(), operators.eof()) {
                        (Ok(Operator::I32Const { value }), Ok(Operator::End), true) => {
                            Some(value as u32)
                        }
                        _ => None,
                    }
                }
                _ => None,
            };
            let bytes = item.range.end - item.data.len()..item.range.end;
            let markers = item.data.windows(SLOT_BYTES).enumerate();
            let markers = markers.filter(|(_, bytes)| bytes.starts_with(MARKER));
            let slots = markers.map(|(at, _)| bytes.start + at).take(2).collect();
            let segment = Segment { start: item.range.start, address, bytes, slots };
            if let Some(before) = data.last.replace(segment) {
                data.slots.extend(before.slots);
                data.slots.truncate(2);
                let end = u64::from(before.address.unwrap_or(0)) + before.bytes.len() as u64;
                data.reach = data.reach.max(end);
            }
        }
        Ok(data)
    }

    /// Returns the slot and its offset. A graph may hold the marker, so the last segment counts
    /// only where no other one has a slot that is taken.
    fn slot(&self) -> Result<Option<(usize, Slot)>, TracedError> {
        let last = self.last.as_ref().map_or(&[][..], |last| &last.slots);
        match (&self.slots[..], last) {
            ([], []) => Ok(None),
            ([at], last) => match self.said(*at) {
                Slot::Free if !last.is_empty() => Err(TracedError::ManySlots),
                slot => Ok(Some((*at, slot))),
            },
            ([], [at]) => Ok(Some((*at, self.said(*at)))),
            _ => Err(TracedError::ManySlots),
        }
    }

    fn said(&self, slot: usize) -> Slot {
        let number = |at: usize| {
            let bytes = self.contents[at..at + 4].try_into();
            bytes.map_or(0, u32::from_le_bytes)
        };
        let at = slot + MARKER.len();
        match (number(at), number(at + 4)) {
            (0, 0) => Slot::Free,
            (address, length) => Slot::Taken { address, length },
        }
    }

    /// Writes `count` and the segments up to `end`, with other numbers in the slot.
    fn write(
        &self,
        slot: usize,
        (address, length): (u32, u32),
        end: usize,
        count: u32,
        out: &mut Vec<u8>,
    ) {
        count.encode(out);
        let numbers = slot + MARKER.len();
        out.extend_from_slice(&self.contents[self.head..numbers]);
        out.extend_from_slice(&address.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.contents[numbers + 8..end]);
    }
}

fn pages_of(bytes: u32) -> u64 {
    u64::from(bytes).div_ceil(PAGE_BYTES)
}

fn reader(bytes: &[u8]) -> BinaryReader<'_> {
    BinaryReader::new(bytes, 0)
}
