//! What operations can be applied on: a session, a graph that is traced, a host behind an
//! interface.

use crate::error::Mistake;
use crate::op::Op;
use crate::shape::Kind;

/// The number of a tensor.
pub type Id = u32;

/// A place that tensors live in by number. Derivatives and composite operations are written
/// against it, so they are the same wherever tensors live.
pub trait Apply {
    /// Does `op` on `inputs`, now or when a graph runs.
    ///
    /// # Errors
    /// Those of [`infer`](crate::infer()) and [`run`](crate::run()), and numbers without a tensor.
    fn apply(&mut self, op: Op, inputs: &[Id]) -> Result<Id, Mistake>;

    /// Dtype and shape of a tensor.
    ///
    /// # Errors
    /// If there is no tensor of this number.
    fn kind(&self, id: Id) -> Result<Kind, Mistake>;
}
