//! The tensors of a session, as a plan reads and writes them.

use fedwasm_params::Tensor;

use crate::contract::AccessError;
use crate::request::{PlainSlot, Returned};

/// The most bytes of one call (design of the contract, `store.wit`).
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 20;

/// One list of tensors.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    tensors: Vec<Tensor>,
    /// Whether each may be written.
    trainable: Vec<bool>,
}

impl Slot {
    pub(crate) fn new(PlainSlot { tensors, trainable }: PlainSlot) -> Self {
        Self { tensors, trainable }
    }

    /// The tensors that go back: those that the call could write; `any` as for
    /// [`Slot::write`].
    pub(crate) fn returned(self, any: bool) -> Vec<Returned> {
        let Self { tensors, trainable } = self;
        let back = |(tensor, trainable): (Tensor, bool)| {
            Returned((trainable || any).then(|| tensor.into_parts().2.into()))
        };
        tensors.into_iter().zip(trainable).map(back).collect()
    }

    /// A tensor.
    pub(crate) fn get(&self, index: u32) -> Result<&Tensor, AccessError> {
        self.tensors.get(index as usize).ok_or(AccessError::UnknownTensor)
    }

    /// A tensor that may be written; `any` as for [`Slot::write`].
    pub(crate) fn get_mut(&mut self, index: u32, any: bool) -> Result<&mut Tensor, AccessError> {
        let tensor = self.tensors.get_mut(index as usize).ok_or(AccessError::UnknownTensor)?;
        if !any && !self.trainable.get(index as usize).is_some_and(|trainable| *trainable) {
            return Err(AccessError::ReadOnly);
        }
        Ok(tensor)
    }

    /// Returns `len` bytes from `offset` on.
    pub(crate) fn read(&self, index: u32, offset: u64, len: u32) -> Result<Vec<u8>, AccessError> {
        if len as usize > CHUNK_BYTES_MAX {
            return Err(AccessError::TooLarge);
        }
        let data = self.get(index)?.data();
        let range = range(offset, len as usize, data.len())?;
        data.get(range).map(<[u8]>::to_vec).ok_or(AccessError::OutOfBounds)
    }

    /// Replaces bytes from `offset` on. `any` also admits tensors that training may not write.
    pub(crate) fn write(
        &mut self,
        index: u32,
        offset: u64,
        bytes: &[u8],
        any: bool,
    ) -> Result<(), AccessError> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(AccessError::TooLarge);
        }
        let data = self.get_mut(index, any)?.data_mut();
        let range = range(offset, bytes.len(), data.len())?;
        data.get_mut(range).ok_or(AccessError::OutOfBounds)?.copy_from_slice(bytes);
        Ok(())
    }
}

fn range(offset: u64, len: usize, of: usize) -> Result<std::ops::Range<usize>, AccessError> {
    let start = usize::try_from(offset).map_err(|_| AccessError::OutOfBounds)?;
    let end = start.checked_add(len).ok_or(AccessError::OutOfBounds)?;
    if end > of { Err(AccessError::OutOfBounds) } else { Ok(start..end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_params::DType;

    fn slot(trainable: bool) -> Slot {
        let tensors = vec![Tensor::zeros(DType::Float32, vec![2]).unwrap()];
        Slot { tensors, trainable: vec![trainable] }
    }

    #[test]
    fn bounds_are_those_of_the_tensor() {
        let mut slot = slot(true);
        assert_eq!(slot.write(0, 4, &[1, 2, 3, 4], false), Ok(()));
        assert_eq!(slot.read(0, 0, 8), Ok(vec![0, 0, 0, 0, 1, 2, 3, 4]));
        for (offset, len) in [(0, 9), (8, 1), (u64::MAX, 1), (u64::MAX, 0)] {
            assert_eq!(slot.read(0, offset, len), Err(AccessError::OutOfBounds), "{offset} {len}");
            let bytes = vec![0; len as usize];
            assert_eq!(slot.write(0, offset, &bytes, true), Err(AccessError::OutOfBounds));
        }
        assert_eq!(slot.read(1, 0, 0), Err(AccessError::UnknownTensor));
        let over = CHUNK_BYTES_MAX as u32 + 1;
        assert_eq!(slot.read(0, 0, over), Err(AccessError::TooLarge));
    }

    #[test]
    fn only_init_writes_what_is_not_trainable() {
        let mut slot = slot(false);
        assert_eq!(slot.write(0, 0, &[1], false), Err(AccessError::ReadOnly));
        assert_eq!(slot.write(0, 0, &[1], true), Ok(()));
    }
}
