//! What optimizers do, on lists of tensors.

use fedwasm_compute::{Id, Optimizer, Session, Trained};

use super::{Done, Failed};

/// Says that these numbers are not used any more.
pub(crate) fn release(session: &mut Session, tensors: &[Id]) -> Done<()> {
    Ok(tensors.iter().try_for_each(|id| session.release(*id))?)
}

/// Takes step `nth` of each value that has a gradient; `kept` has the optimizer's tensors, those of
/// the first value first.
pub(crate) fn step(
    session: &mut Session,
    optimizer: &Optimizer,
    (rate, nth): (f64, u64),
    values: &[Id],
    kept: &[Id],
) -> Done<()> {
    let n = optimizer.buffers().len();
    if Some(kept.len()) != values.len().checked_mul(n) {
        let (values, kept) = (values.len(), kept.len());
        return Err(Failed::Mistake(format!(
            "step: the optimizer keeps {n} tensors for each of {values} values, got {kept}"
        )));
    }
    for (at, value) in values.iter().enumerate() {
        // One by one: a list of them would take more memory than the plan's own.
        let trained = Trained { value: *value, buffers: &kept[at * n..][..n] };
        session.step(optimizer, rate, nth, &[trained])?;
    }
    Ok(())
}
