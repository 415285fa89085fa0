//! What surrounds a session: memory and work of its host that count with its own, and single
//! numbers.

use crate::apply::Id;
use crate::error::{Mistake, Rule};
use crate::session::{Session, TENSOR, mistake};

impl Session {
    /// Counts bytes that lie elsewhere and stay as long as the session, as if they were a tensor.
    ///
    /// # Errors
    /// [`Rule::Memory`] beyond the session's bound; nothing is counted then.
    pub fn charge_bytes(&mut self, bytes: usize) -> Result<(), Mistake> {
        self.buffers.charge(bytes).map_err(mistake)
    }

    /// Counts units of [`work`](crate::work()) that are about to be done elsewhere.
    ///
    /// # Errors
    /// [`Rule::Work`], [`Rule::Stopped`].
    pub fn charge_work(&mut self, units: u64) -> Result<(), Mistake> {
        self.meter.charge(units).map_err(mistake)
    }

    /// The only element of a tensor as float64: int64 to nearest, bool as 0 or 1.
    ///
    /// # Errors
    /// [`Rule::NoTensor`], [`Rule::Sizes`] if there are more elements or none.
    pub fn item(&self, id: Id) -> Result<f64, Mistake> {
        let tensor = self.get(id)?;
        let rule = Rule::Sizes("the tensor must have one element");
        tensor.item().ok_or_else(|| Mistake::new(TENSOR, &[tensor.kind()], rule))
    }
}
