//! `store`: the tensors of a session.

use wasmtime::Result;

use crate::contract::{AccessError, SlotName};
use crate::host::Host;
use crate::request::Export;
use crate::slot::Slot;

impl Host {
    /// Returns `len` bytes of tensor `index`, from byte `offset` on.
    pub(crate) fn read_store(
        &mut self,
        slot: SlotName,
        index: u32,
        offset: u64,
        len: u32,
    ) -> Result<Result<Vec<u8>, AccessError>> {
        self.enter()?;
        let is_open = self.check_readable(slot);
        Ok(is_open.and_then(|()| self.slot(slot).read(index, offset, len)))
    }

    /// Whether the export may read a slot.
    pub(super) fn check_readable(&self, slot: SlotName) -> Result<(), AccessError> {
        let is_open = match self.export {
            Export::Train => true,
            Export::Predict | Export::Validate => slot == SlotName::Model,
            Export::Describe | Export::Declare | Export::Init => false,
        };
        if is_open { Ok(()) } else { Err(AccessError::Closed) }
    }

    /// Replaces bytes of tensor `index`, from byte `offset` on.
    pub(crate) fn write_store(
        &mut self,
        slot: SlotName,
        index: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<Result<(), AccessError>> {
        self.enter()?;
        let any = self.check_writable(slot);
        Ok(any.and_then(|any| self.slot(slot).write(index, offset, data, any)))
    }

    /// Whether the export may write a slot; true if also tensors that training may not write.
    pub(super) fn check_writable(&self, slot: SlotName) -> Result<bool, AccessError> {
        match (self.export, slot) {
            (Export::Init, SlotName::Model) => Ok(true),
            (Export::Train, SlotName::AuxIn) => Err(AccessError::ReadOnly),
            (Export::Train, _) => Ok(false),
            _ => Err(AccessError::Closed),
        }
    }

    pub(super) fn slot(&mut self, slot: SlotName) -> &mut Slot {
        match slot {
            SlotName::Model => &mut self.model,
            SlotName::AuxIn => &mut self.aux_in,
            SlotName::AuxOut => &mut self.aux_out,
            SlotName::State => &mut self.state,
        }
    }
}
