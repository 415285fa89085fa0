//! Elements of tensors as bytes, from and to the plan, the store and the source of randomness.

use fedwasm_compute::{Apply as _, Dtype, Id, Kind, RANK_MAX, Session, Shape, compose};

use super::{Done, Failed, copy_work, kind_of, name_of, sizes};
use crate::contract::{AccessError, SlotName};
use crate::host::Host;
use crate::request::Export;
use crate::slot::CHUNK_BYTES_MAX;

/// Random bytes that are drawn at a time: four for each element of a mask.
const DRAWN_BYTES: usize = 4 << 10;

/// Checks the place of some bytes of a tensor and counts their copy; returns the offset.
fn place(session: &mut Session, tensor: Id, offset: u64, len: usize) -> Done<usize> {
    let kind = session.kind(tensor)?;
    if len > CHUNK_BYTES_MAX {
        return Err(AccessError::TooLarge.into());
    }
    let end = offset.checked_add(len as u64);
    if end.is_none_or(|end| end > kind.bytes() as u64) {
        return Err(AccessError::OutOfBounds.into());
    }
    session.charge_work(copy_work(len / kind.dtype.size()))?;
    Ok(offset as usize)
}

/// Returns `len` bytes of the elements, from byte `offset` on.
pub(crate) fn read(session: &mut Session, tensor: Id, offset: u64, len: u32) -> Done<Vec<u8>> {
    let offset = place(session, tensor, offset, len as usize)?;
    let mut bytes = vec![0; len as usize];
    let read = session.get(tensor)?.read_bytes(offset, &mut bytes);
    read.map_err(|rule| Failed::Mistake(format!("read: {rule}")))?;
    Ok(bytes)
}

/// Replaces bytes of the elements, from byte `offset` on.
pub(crate) fn write(session: &mut Session, tensor: Id, offset: u64, bytes: &[u8]) -> Done<()> {
    let offset = place(session, tensor, offset, bytes.len())?;
    Ok(session.change(tensor, |to| to.write_bytes(offset, bytes))?)
}

impl Host {
    /// Draws which elements a dropout at this rate keeps.
    pub(crate) fn keep_mask(
        &mut self,
        session: &mut Session,
        shape: &[u32],
        rate: f64,
    ) -> Done<Id> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Failed::Mistake(format!("keep-mask: the rate is {rate}, not in [0, 1)")));
        }
        // A plan can pass millions of sizes; neither they nor a text of them is kept.
        let shown = &shape[..shape.len().min(RANK_MAX + 1)];
        let sizes: Vec<usize> = shown.iter().map(|size| *size as usize).collect();
        let wrong = |rule| Failed::Mistake(format!("keep-mask of {shown:?}: {rule}"));
        let kind = Kind { dtype: Dtype::Bool, shape: Shape::new(&sizes).map_err(wrong)? };
        session.charge_work(copy_work(kind.shape.len()))?;
        let mut drawn = [0; DRAWN_BYTES];
        let id = session.create(kind, |mask| {
            for part in mask.get_mut::<bool>().unwrap_or_default().chunks_mut(DRAWN_BYTES / 4) {
                let drawn = &mut drawn[..4 * part.len()];
                self.random.fill(drawn);
                compose::keep_mask(part, rate, drawn)?;
            }
            Ok(())
        });
        Ok(id?)
    }

    /// Returns a tensor of the store as a kept tensor.
    pub(crate) fn load(&mut self, session: &mut Session, slot: SlotName, index: u32) -> Done<Id> {
        self.check_readable(slot)?;
        let tensor = self.slot(slot).get(index)?;
        let kind = kind_of(tensor.dtype(), tensor.shape())?;
        session.charge_work(copy_work(kind.shape.len()))?;
        let id = session.create(kind, |to| to.fill_from_bytes(tensor.data()))?;
        session.keep(id)?;
        Ok(id)
    }

    /// Replaces a tensor of the store by one of its dtype and shape.
    pub(crate) fn save(
        &mut self,
        session: &mut Session,
        slot: SlotName,
        index: u32,
        tensor: Id,
    ) -> Done<()> {
        let any = self.check_writable(slot)?;
        let to = self.slot(slot).get_mut(index, any)?;
        let kind = session.kind(tensor)?;
        if (to.dtype(), to.shape()) != (name_of(kind.dtype), &sizes(&kind)[..]) {
            let (dtype, shape) = (to.dtype().name(), to.shape());
            let text = format!("save: the tensor is {kind}, the store's is {dtype} {shape:?}");
            return Err(Failed::Mistake(text));
        }
        session.charge_work(copy_work(kind.shape.len()))?;
        let read = session.get(tensor)?.read_bytes(0, to.data_mut());
        read.map_err(|rule| Failed::Mistake(format!("save: {rule}")))
    }

    /// Takes the scores of batch `index`.
    pub(crate) fn emit(&mut self, session: &mut Session, index: u64, scores: Id) -> Done<()> {
        if self.export != Export::Predict {
            return Err(AccessError::Closed.into());
        }
        let kind = session.kind(scores)?;
        session.charge_work(copy_work(kind.shape.len()))?;
        if kind.bytes() > CHUNK_BYTES_MAX {
            return Err(AccessError::TooLarge.into());
        }
        let bytes = session.get(scores)?.to_bytes();
        Ok(self.take_scores(index, name_of(kind.dtype), sizes(&kind), bytes)?)
    }
}
