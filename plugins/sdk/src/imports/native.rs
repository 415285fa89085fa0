//! In the place of a host, in a native build: what a plan would import, for one thread.
//!
//! The exports of a plan are those of [`Guest`], which `Adapter<Plan>` implements. They run as in a
//! component, and compute in this process.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

pub use crate::bindings::exports::fedwasm::training_plan::plan::{
    Argument, Declaration, Default, Guest, Metadata, Report, Task,
};
pub use crate::bindings::fedwasm::training_plan::loader::Batch;
pub use crate::bindings::fedwasm::training_plan::monitor::Level;
pub use crate::bindings::fedwasm::training_plan::store::Slot;
pub use crate::bindings::fedwasm::training_plan::types::{
    DataSpec, Dtype, Tensor, TensorSpec, Value, ValueKind,
};
pub use crate::engine::take_mistake;
use crate::{PlanError, Result, engine};

/// What a host does for a plan.
pub trait Host {
    /// Returns `len` bytes of a tensor of a store, from byte `offset` on.
    ///
    /// # Errors
    /// [`PlanError::Internal`] if there are no such bytes.
    fn read(&mut self, slot: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>>;

    /// Replaces bytes of a tensor of a store.
    ///
    /// # Errors
    /// [`PlanError::Internal`] if there are no such bytes.
    fn write(&mut self, slot: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Returns the next batch; none at the end of the round.
    ///
    /// # Errors
    /// [`PlanError::Cancelled`] if the round was called off.
    fn next(&mut self) -> Result<Option<Batch>>;

    /// Takes the scores of a batch.
    ///
    /// # Errors
    /// [`PlanError::Internal`] if they are refused.
    fn emit(&mut self, index: u64, scores: &Tensor) -> Result<()>;

    /// Returns the next bytes of the session's randomness.
    ///
    /// # Errors
    /// [`PlanError::Internal`] if there is none.
    fn random(&mut self, len: usize) -> Result<Vec<u8>>;

    /// Takes numbers about the newest batch.
    fn scalars(&mut self, values: &[(String, f64)]);

    /// Takes a line of the log.
    fn log(&mut self, level: Level, line: &str);
}

thread_local! {
    /// Of a thread that was given none.
    static MEMORY: Rc<RefCell<Memory>> = Rc::new(RefCell::new(Memory::new()));
    static HOST: RefCell<Rc<RefCell<dyn Host>>> = RefCell::new(MEMORY.with(Rc::clone) as _);
}

/// Looks into the host of a thread that was given none.
#[cfg(test)]
pub(crate) fn with<T>(f: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with(|memory| f(&mut memory.borrow_mut()))
}

/// Puts the host that was there before back, also after a panic.
struct Before(Option<Rc<RefCell<dyn Host>>>);

impl Drop for Before {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            // The host of a thread may be gone before this.
            let _ = HOST.try_with(|host| host.replace(before));
        }
    }
}

/// Makes this the host of the thread while `f` runs. `f` may take turns with the host, which is
/// borrowed in each of its functions only.
pub fn with_host<T>(host: Rc<RefCell<dyn Host>>, f: impl FnOnce() -> T) -> T {
    let _before = Before(Some(HOST.with(|place| place.replace(host))));
    f()
}

/// Says whether the thread trains: dropout and batch normalisation do something else then. The
/// exports of a plan say so by themselves.
pub fn set_training(is_training: bool) {
    engine::set_training(is_training);
}

/// What a host does may call code of a program, which may call the host again.
fn host<T>(f: impl FnOnce(&mut dyn Host) -> T) -> Result<T> {
    let host = HOST.with(|host| host.borrow().clone());
    let busy = |_| PlanError::Internal("the host is asked while it answers".into());
    host.try_borrow_mut().map(|mut host| f(&mut *host)).map_err(busy)
}

pub(crate) fn random(len: usize) -> Result<Vec<u8>> {
    host(|host| host.random(len))?
}

pub(crate) fn read(slot: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>> {
    host(|host| host.read(slot, index, offset, len))?
}

pub(crate) fn write(slot: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
    host(|host| host.write(slot, index, offset, bytes))?
}

pub(crate) fn next() -> Result<Option<Batch>> {
    host(|host| host.next())?
}

pub(crate) fn emit(index: u64, scores: &Tensor) -> Result<()> {
    host(|host| host.emit(index, scores))?
}

pub(crate) fn scalars(values: &[(String, f64)]) {
    let _ = host(|host| host.scalars(values));
}

pub(crate) fn log(level: Level, line: &str) {
    let _ = host(|host| host.log(level, line));
}

/// Stores and batches in memory, and randomness from a fixed seed (xorshift, Marsaglia 2003): a host
/// of tests, and that of a thread that was given none.
#[derive(Debug)]
pub struct Memory {
    /// Bytes of tensors.
    pub stores: BTreeMap<(Slot, u32), Vec<u8>>,
    /// Batches that wait.
    pub batches: VecDeque<Batch>,
    /// Scores that were taken.
    pub emitted: Vec<(u64, Tensor)>,
    /// Numbers that were taken.
    pub reported: Vec<(String, f64)>,
    state: u32,
}

impl Memory {
    /// Empty.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "its randomness has a seed")]
    pub fn new() -> Self {
        Self {
            stores: BTreeMap::new(),
            batches: VecDeque::new(),
            emitted: Vec::new(),
            reported: Vec::new(),
            state: 1,
        }
    }
}

impl Host for Memory {
    fn read(&mut self, slot: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>> {
        let start = offset as usize;
        let bytes = self.stores.get(&(slot, index));
        let part = bytes.and_then(|bytes| bytes.get(start..start + len)).map(<[u8]>::to_vec);
        part.ok_or_else(|| PlanError::Internal(format!("no tensor {index} in {slot:?}")))
    }

    /// Makes a tensor that is not there.
    fn write(&mut self, slot: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let stored = self.stores.entry((slot, index)).or_default();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        stored.resize(stored.len().max(end), 0);
        stored[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        Ok(self.batches.pop_front())
    }

    fn emit(&mut self, index: u64, scores: &Tensor) -> Result<()> {
        self.emitted.push((index, scores.clone()));
        Ok(())
    }

    fn random(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len + 3);
        while bytes.len() < len {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            bytes.extend(self.state.to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn scalars(&mut self, values: &[(String, f64)]) {
        self.reported.extend_from_slice(values);
    }

    fn log(&mut self, level: Level, line: &str) {
        eprintln!("{level:?}: {line}");
    }
}
