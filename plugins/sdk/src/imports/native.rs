//! In the place of a host, for one thread: stores and batches in memory, and randomness from a fixed
//! seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::bindings::fedwasm::training_plan::loader::Batch;
use crate::bindings::fedwasm::training_plan::monitor::Level;
use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::Tensor;
use crate::{PlanError, Result};

/// What a host would hold.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) stores: BTreeMap<(Slot, u32), Vec<u8>>,
    pub(crate) batches: VecDeque<Batch>,
    pub(crate) emitted: Vec<(u64, Tensor)>,
    pub(crate) reported: Vec<(String, f64)>,
    state: u32,
}

thread_local! {
    static NATIVE: RefCell<Native> = RefCell::new(Native::new());
}

impl Native {
    pub(crate) fn new() -> Self {
        Self {
            stores: BTreeMap::new(),
            batches: VecDeque::new(),
            emitted: Vec::new(),
            reported: Vec::new(),
            state: 1,
        }
    }
}

/// No host function may be called in `f`.
pub(crate) fn with<T>(f: impl FnOnce(&mut Native) -> T) -> T {
    NATIVE.with(|native| f(&mut native.borrow_mut()))
}

/// The next bytes of a xorshift generator (Marsaglia 2003).
pub(crate) fn random(len: usize) -> Result<Vec<u8>> {
    with(|native| {
        let mut bytes = Vec::with_capacity(len + 3);
        while bytes.len() < len {
            native.state ^= native.state << 13;
            native.state ^= native.state >> 17;
            native.state ^= native.state << 5;
            bytes.extend(native.state.to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    })
}

/// Bytes of a tensor of a store.
pub(crate) fn read(slot: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>> {
    with(|native| {
        let start = offset as usize;
        let bytes = native.stores.get(&(slot, index));
        let part = bytes.and_then(|bytes| bytes.get(start..start + len)).map(<[u8]>::to_vec);
        part.ok_or_else(|| PlanError::Internal(format!("no tensor {index} in {slot:?}")))
    })
}

/// Replaces bytes of a tensor of a store, or makes it.
pub(crate) fn write(slot: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
    with(|native| {
        let stored = native.stores.entry((slot, index)).or_default();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        stored.resize(stored.len().max(end), 0);
        stored[start..end].copy_from_slice(bytes);
        Ok(())
    })
}

/// The next batch that waits.
pub(crate) fn next() -> Result<Option<Batch>> {
    Ok(with(|native| native.batches.pop_front()))
}

/// Takes the scores of a batch.
pub(crate) fn emit(index: u64, scores: &Tensor) -> Result<()> {
    with(|native| native.emitted.push((index, scores.clone())));
    Ok(())
}

/// Takes numbers about the newest batch.
pub(crate) fn scalars(values: &[(String, f64)]) {
    with(|native| native.reported.extend_from_slice(values));
}

/// Writes a line to standard error.
pub(crate) fn log(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}
