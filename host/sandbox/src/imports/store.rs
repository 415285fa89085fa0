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
        let is_open = match self.export {
            Export::Train => true,
            Export::Predict | Export::Validate => slot == SlotName::Model,
            Export::Describe | Export::Declare | Export::Init => false,
        };
        if !is_open {
            return Ok(Err(AccessError::Closed));
        }
        Ok(self.slot(slot).read(index, offset, len))
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
        Ok(match (self.export, slot) {
            (Export::Init, SlotName::Model) => self.model.write(index, offset, data, true),
            (Export::Train, SlotName::AuxIn) => Err(AccessError::ReadOnly),
            (Export::Train, slot) => self.slot(slot).write(index, offset, data, false),
            _ => Err(AccessError::Closed),
        })
    }

    fn slot(&mut self, slot: SlotName) -> &mut Slot {
        match slot {
            SlotName::Model => &mut self.model,
            SlotName::AuxIn => &mut self.aux_in,
            SlotName::AuxOut => &mut self.aux_out,
            SlotName::State => &mut self.state,
        }
    }
}
