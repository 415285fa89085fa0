//! The tensors of a session, by number. A number is given out once: that of a tensor which was
//! released never names another one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::apply::Id;
use crate::error::Rule;
use crate::shape::Kind;
use crate::tensor::Tensor;

/// What is known of a tensor.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Known as long as something needs it, also without elements.
    pub(crate) kind: Kind,
    pub(crate) tensor: Option<Tensor>,
    /// Whether the number is still good.
    pub(crate) is_held: bool,
    /// How many entries of the tape read the elements.
    pub(crate) pins: u32,
    /// Whether a gradient flows to it.
    pub(crate) has_gradient: bool,
    pub(crate) gradient: Option<Tensor>,
}

impl Slot {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self {
            kind: tensor.kind(),
            tensor: Some(tensor),
            is_held: true,
            pins: 0,
            has_gradient: false,
            gradient: None,
        }
    }

    /// The elements, if nothing needs them any more.
    pub(crate) fn take_unused(&mut self) -> Option<Tensor> {
        if self.is_held || self.pins > 0 { None } else { self.tensor.take() }
    }
}

/// The tensors of a batch and those that are kept.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The number of the batch's first tensor.
    first: Id,
    batch: Vec<Option<Slot>>,
    kept: BTreeMap<Id, Slot>,
    /// Kept ones that were released.
    released: Vec<Id>,
}

/// Bytes that a number costs in a batch, and again if it is kept: a vector that grows has room for
/// twice as many, a tree's nodes are half empty.
pub(crate) const SLOT_BYTES: usize = 2 * size_of::<Option<Slot>>();

impl Table {
    /// Gives a tensor the next number.
    pub(crate) fn push(&mut self, slot: Slot) -> Result<Id, Rule> {
        let nth = u32::try_from(self.batch.len()).map_err(|_| Rule::Exhausted)?;
        let id = self.first.checked_add(nth).ok_or(Rule::Exhausted)?;
        self.batch.push(Some(slot));
        Ok(id)
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Slot> {
        let nth = id.checked_sub(self.first).map(|nth| nth as usize);
        let slot = nth.and_then(|nth| self.batch.get(nth)?.as_ref());
        slot.or_else(|| self.kept.get(&id))
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Slot> {
        let nth = id.checked_sub(self.first).map(|nth| nth as usize);
        let slot = nth.and_then(|nth| self.batch.get_mut(nth)?.as_mut());
        // The borrow of a slot that is there would outlive the branch where it is not.
        if slot.is_some() { slot } else { self.kept.get_mut(&id) }
    }

    /// A slot whose number is good.
    pub(crate) fn held(&self, id: Id) -> Result<&Slot, Rule> {
        self.get(id).filter(|slot| slot.is_held).ok_or(Rule::NoTensor(id))
    }

    /// As [`held`](Self::held), to be changed.
    pub(crate) fn held_mut(&mut self, id: Id) -> Result<&mut Slot, Rule> {
        self.get_mut(id).filter(|slot| slot.is_held).ok_or(Rule::NoTensor(id))
    }

    /// Whether a good number is that of a kept tensor.
    pub(crate) fn is_kept(&self, id: Id) -> Result<bool, Rule> {
        self.held(id).map(|_| self.kept.contains_key(&id))
    }

    /// Keeps a tensor of the batch over batches, under its number.
    pub(crate) fn keep(&mut self, id: Id) {
        let nth = id.checked_sub(self.first).map(|nth| nth as usize);
        let slot = nth.and_then(|nth| self.batch.get_mut(nth)?.take());
        slot.into_iter().for_each(|slot| drop(self.kept.insert(id, slot)));
    }

    /// Notes that a number was released; those of a batch go with the batch.
    pub(crate) fn note_released(&mut self, id: Id) {
        if self.kept.contains_key(&id) {
            self.released.push(id);
        }
    }

    /// Takes kept tensors that were released away.
    pub(crate) fn forget_released(&mut self) -> impl Iterator<Item = Slot> + '_ {
        self.released.drain(..).filter_map(|id| self.kept.remove(&id))
    }

    /// The slots of the batch.
    pub(crate) fn batch_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.batch.iter_mut().flatten()
    }

    /// Ends a batch: its slots go, and the next one starts with the next number.
    pub(crate) fn end_batch(&mut self) {
        // As many as `push` has counted.
        self.first = self.first.saturating_add(self.batch.len() as u32);
        self.batch.clear();
    }

    /// How many numbers the batch has given out.
    pub(crate) fn batch_len(&self) -> usize {
        self.batch.len()
    }

    pub(crate) fn kept_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.kept.values_mut()
    }
}
