//! A session: tensors by number, and a tape of what was done to them.
//!
//! Tensors live until the next batch unless they are kept. Buffers are used again. An operation
//! is written on the tape if a gradient flows through it, and the tape keeps the elements that
//! derivatives will read; others go as soon as they are released.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::apply::{Apply, Id};
use crate::buffers::Buffers;
use crate::derive::needs;
use crate::error::{Mistake, Rule};
use crate::kernels::{OneThread, Parallel};
use crate::meter::Meter;
use crate::op::{INPUTS_MAX, Op};
use crate::run::{Home, lend, run_counted};
use crate::shape::Kind;
use crate::table::{SLOT_BYTES, Slot, Table};
use crate::tensor::Tensor;

/// An operation that was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) op: Op,
    /// Where its inputs start in the tape's list.
    first: u32,
    n_inputs: u8,
    pub(crate) output: Id,
    /// Inputs that a gradient flows to.
    pub(crate) wanted: u64,
}

/// What was done, and on which tensors.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) entries: Vec<Entry>,
    inputs: Vec<Id>,
}

/// Bytes of an entry with its inputs: vectors that grow have room for twice as many.
fn entry_bytes(n_inputs: usize) -> usize {
    2 * (size_of::<Entry>() + n_inputs * size_of::<Id>())
}

impl Tape {
    pub(crate) fn inputs(&self, entry: &Entry) -> &[Id] {
        &self.inputs[entry.first as usize..][..usize::from(entry.n_inputs)]
    }

    fn push(&mut self, op: Op, inputs: &[Id], output: Id, wanted: u64) {
        // Numbers of tensors end before these do: each output has one.
        let (first, n_inputs) = (self.inputs.len() as u32, inputs.len() as u8);
        self.inputs.extend_from_slice(inputs);
        self.entries.push(Entry { op, first, n_inputs, output, wanted });
    }

    fn bytes(&self) -> usize {
        2 * (size_of_val(&self.entries[..]) + size_of_val(&self.inputs[..]))
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.inputs.clear();
    }
}

/// Tensors by number.
pub struct Session {
    pub(crate) table: Table,
    pub(crate) tape: Tape,
    pub(crate) buffers: Buffers,
    pub(crate) threads: Box<dyn Parallel + Send>,
    is_recording: bool,
    pub(crate) meter: Meter,
    /// Of the inputs of the operation at hand.
    pub(crate) kinds: Vec<Kind>,
}

/// The name in mistakes of what is no operation.
pub(crate) const TENSOR: &str = "tensor";

/// The mistake about one tensor.
pub(crate) fn mistake(rule: Rule) -> Mistake {
    Mistake::new(TENSOR, &[], rule)
}

impl Session {
    /// Returns a session without tensors. All of them, the tape and buffers that wait for use
    /// never have more than `bytes_max` bytes together.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self::with_threads(bytes_max, Box::new(OneThread))
    }

    /// As [`new`](Self::new), with threads for large operations. Results do not depend on them.
    #[must_use]
    pub fn with_threads(bytes_max: usize, threads: Box<dyn Parallel + Send>) -> Self {
        Self {
            table: Table::default(),
            tape: Tape::default(),
            buffers: Buffers::new(bytes_max),
            threads,
            is_recording: true,
            meter: Meter::new(),
            kinds: Vec::new(),
        }
    }

    /// Makes a tensor whose elements `fill` writes; they can be anything before.
    ///
    /// # Errors
    /// [`Rule::Memory`], and those of `fill`.
    pub fn create(
        &mut self,
        kind: Kind,
        fill: impl FnOnce(&mut Tensor) -> Result<(), Rule>,
    ) -> Result<Id, Mistake> {
        let wrong = |rule| Mistake::new(TENSOR, &[kind], rule);
        let mut tensor = self.buffers.tensor(kind).map_err(wrong)?;
        if let Err(rule) = fill(&mut tensor) {
            self.buffers.give_back(tensor);
            return Err(wrong(rule));
        }
        self.push_tensor(tensor).map_err(wrong)
    }

    /// Makes a tensor with the elements of another.
    ///
    /// # Errors
    /// [`Rule::Memory`].
    pub fn insert(&mut self, tensor: &Tensor) -> Result<Id, Mistake> {
        self.create(tensor.kind(), |to| to.copy_from(tensor))
    }

    pub(crate) fn push_tensor(&mut self, tensor: Tensor) -> Result<Id, Rule> {
        self.buffers.charge(SLOT_BYTES)?;
        let id = self.table.push(Slot::new(tensor));
        if id.is_err() {
            self.buffers.discharge(SLOT_BYTES);
        }
        id
    }

    /// The tensor of a number.
    ///
    /// # Errors
    /// [`Rule::NoTensor`].
    pub fn get(&self, id: Id) -> Result<&Tensor, Mistake> {
        let slot = self.table.held(id).map_err(mistake)?;
        slot.tensor.as_ref().ok_or_else(|| mistake(Rule::NoTensor(id)))
    }

    /// Changes the elements of a tensor.
    ///
    /// # Errors
    /// [`Rule::NoTensor`]; [`Rule::InUse`] if the tape needs them as they are; those of `change`.
    pub fn change(
        &mut self,
        id: Id,
        change: impl FnOnce(&mut Tensor) -> Result<(), Rule>,
    ) -> Result<(), Mistake> {
        let slot = self.table.held_mut(id).map_err(mistake)?;
        if slot.pins > 0 {
            return Err(Mistake::new(TENSOR, &[slot.kind], Rule::InUse));
        }
        let kind = slot.kind;
        let mut tensor = slot.tensor.take().ok_or_else(|| mistake(Rule::NoTensor(id)))?;
        let done = self.unshared(&mut tensor).and_then(|()| change(&mut tensor));
        self.table.held_mut(id).map_err(mistake)?.tensor = Some(tensor);
        done.map_err(|rule| Mistake::new(TENSOR, &[kind], rule))
    }

    /// Gives a tensor that shares its elements others of its own.
    pub(crate) fn unshared(&mut self, tensor: &mut Tensor) -> Result<(), Rule> {
        if !tensor.is_unique() {
            let mut copy = self.buffers.tensor(tensor.kind())?;
            copy.copy_from(tensor)?;
            self.buffers.give_back(core::mem::replace(tensor, copy));
        }
        Ok(())
    }

    /// Keeps a tensor over batches, under its number, until it is released.
    ///
    /// # Errors
    /// [`Rule::NoTensor`], [`Rule::Memory`].
    pub fn keep(&mut self, id: Id) -> Result<(), Mistake> {
        if !self.table.is_kept(id).map_err(mistake)? {
            self.buffers.charge(SLOT_BYTES).map_err(mistake)?;
            self.table.keep(id);
        }
        Ok(())
    }

    /// Says that a number is not used any more.
    ///
    /// # Errors
    /// [`Rule::NoTensor`].
    pub fn release(&mut self, id: Id) -> Result<(), Mistake> {
        let slot = self.table.held_mut(id).map_err(mistake)?;
        slot.is_held = false;
        let unused = slot.take_unused();
        if let Some(tensor) = unused {
            self.buffers.give_back(tensor);
        }
        self.table.note_released(id);
        self.forget_released();
        Ok(())
    }

    /// Forgets kept tensors that were released, once the tape does not name them.
    fn forget_released(&mut self) {
        if self.tape.entries.is_empty() {
            for slot in self.table.forget_released() {
                self.buffers.discharge(SLOT_BYTES);
                let both = slot.tensor.into_iter().chain(slot.gradient);
                both.for_each(|tensor| self.buffers.give_back(tensor));
            }
        }
    }

    /// Says whether gradients are wanted for a tensor; what is done from then on counts.
    ///
    /// # Errors
    /// [`Rule::NoTensor`], [`Rule::Dtype`] if it is not floating-point.
    pub fn want_gradient(&mut self, id: Id, is_wanted: bool) -> Result<(), Mistake> {
        let slot = self.table.held_mut(id).map_err(mistake)?;
        if is_wanted && !slot.kind.dtype.is_float() {
            return Err(Mistake::new(TENSOR, &[slot.kind], Rule::Dtype("f32 or f64")));
        }
        slot.has_gradient = is_wanted;
        Ok(())
    }

    /// Whether operations are written on the tape. They are in a new session.
    pub fn set_recording(&mut self, is_recording: bool) {
        self.is_recording = is_recording;
    }

    /// The same elements as another tensor, to which no gradient flows.
    ///
    /// # Errors
    /// [`Rule::NoTensor`], [`Rule::Memory`].
    pub fn detach(&mut self, id: Id) -> Result<Id, Mistake> {
        let tensor = self.get(id)?.clone();
        self.push_tensor(tensor).map_err(mistake)
    }

    /// Ends a batch: the tape is empty then, and tensors that are not kept are gone. Gradients of
    /// kept tensors stay.
    pub fn next_batch(&mut self) {
        self.clear_tape();
        self.buffers.discharge(SLOT_BYTES * self.table.batch_len());
        for slot in self.table.batch_mut() {
            let both = slot.tensor.take().into_iter().chain(slot.gradient.take());
            both.for_each(|tensor| self.buffers.give_back(tensor));
        }
        self.table.end_batch();
    }

    /// Empties the tape.
    pub fn clear_tape(&mut self) {
        let tape = core::mem::take(&mut self.tape);
        for entry in &tape.entries {
            self.unpin(&tape, entry);
        }
        self.put_back(tape);
    }

    /// Takes a tape whose entries are unpinned as the empty one.
    pub(crate) fn put_back(&mut self, mut tape: Tape) {
        self.buffers.discharge(tape.bytes());
        tape.clear();
        self.tape = tape;
        self.forget_released();
    }

    /// Lets go of what an entry reads.
    pub(crate) fn unpin(&mut self, tape: &Tape, entry: &Entry) {
        let inputs = tape.inputs(entry);
        for id in pinned(entry, inputs) {
            if let Some(slot) = self.table.get_mut(id) {
                slot.pins -= 1;
                let unused = slot.take_unused();
                if let Some(tensor) = unused {
                    self.buffers.give_back(tensor);
                }
            }
        }
    }

    /// Units of [`work`](crate::work()) that were done.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.meter.done()
    }

    /// The most units of work, with those that were done; no bound in a new session.
    pub fn set_work_max(&mut self, work_max: u64) {
        self.meter.set_most(work_max);
    }

    /// What is asked before each operation, and stops it with [`Rule::Stopped`]: for deadlines and
    /// cancellation.
    pub fn set_stop(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        self.meter.set_stop(is_stopped);
    }

    /// Bytes of tensors, buffers and tape.
    #[must_use]
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Writes an operation on the tape.
    fn record(&mut self, op: &Op, ids: &[Id], output: Id, wanted: u64) -> Result<(), Rule> {
        let bytes = entry_bytes(ids.len());
        self.buffers.charge(bytes)?;
        self.tape.push(*op, ids, output, wanted);
        let entry = self.tape.entries[self.tape.entries.len() - 1];
        for id in pinned(&entry, ids) {
            if let Some(slot) = self.table.get_mut(id) {
                slot.pins += 1;
            }
        }
        if let Some(slot) = self.table.get_mut(output) {
            slot.has_gradient = true;
        }
        Ok(())
    }

    fn applied(&mut self, op: &Op, ids: &[Id]) -> Result<Id, Rule> {
        // A bit for each input that a gradient flows to.
        let (mut wanted, mut bit) = (0, 1u64);
        let of = |id| {
            let slot = self.table.held(id)?;
            wanted |= if slot.has_gradient { bit } else { 0 };
            bit <<= 1;
            slot.tensor.as_ref().ok_or(Rule::NoTensor(id))
        };
        let home = &mut Home { buffers: &mut self.buffers, threads: &*self.threads };
        let output = lend(ids, of, |inputs| {
            run_counted(op, inputs, &mut self.kinds, &mut self.meter, home)
        })?;
        let is_recorded = self.is_recording && wanted != 0 && output.dtype().is_float();
        let id = self.push_tensor(output)?;
        if is_recorded {
            self.record(op, ids, id, wanted)?;
        }
        Ok(id)
    }
}

/// The tensors whose elements an entry reads.
fn pinned<'a>(entry: &Entry, inputs: &'a [Id]) -> impl Iterator<Item = Id> + use<'a> {
    let (needs, output) = (needs(&entry.op, entry.wanted), entry.output);
    let read = inputs.iter().enumerate().filter(move |(nth, _)| needs.inputs & 1 << nth != 0);
    read.map(|(_, id)| *id).chain(needs.output.then_some(output))
}

impl Apply for Session {
    fn apply(&mut self, op: Op, ids: &[Id]) -> Result<Id, Mistake> {
        if ids.len() > INPUTS_MAX {
            return Err(Mistake::new(op.name(), &[], Rule::Inputs("at most 64 inputs")));
        }
        self.kinds.clear();
        let applied = self.applied(&op, ids);
        applied.map_err(|rule| {
            let known = ids.iter().map_while(|id| self.kind(*id).ok());
            Mistake::new(op.name(), &known.collect::<Vec<Kind>>(), rule)
        })
    }

    fn kind(&self, id: Id) -> Result<Kind, Mistake> {
        self.table.held(id).map(|slot| slot.kind).map_err(mistake)
    }
}
