//! The interface `compute` of version 0.2. Its functions are offered one by one instead of by the
//! generated trait: they take work off the store's fuel, and read lists where the plan has them.

use fedwasm_compute::{Apply as _, INPUTS_MAX, Id, Optimizer, Session};
use wasmtime::component::{Linker, LinkerInstance, WasmList};
use wasmtime::{Result, StoreContextMut};

use super::fedwasm::training_plan::{compute as wit, store};
use crate::host::Host;
use crate::imports::compute::{self, ComputeError, Done, elements, name_of, train};

type Store<'a> = StoreContextMut<'a, Host>;
type Answer<T> = Result<(std::result::Result<T, wit::ComputeError>,)>;

/// Offers the interface.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance("fedwasm:training-plan/compute@0.2.0")?;
    operations(&mut instance)?;
    tensors(&mut instance)?;
    gradients(&mut instance)?;
    outside(&mut instance)
}

/// Does a call, in the contract's words.
fn answer<T>(
    mut store: Store<'_>,
    run: impl FnOnce(&mut Session, &mut Host) -> Done<T>,
) -> Answer<T> {
    Ok((compute::call(&mut store, run)?.map_err(Into::into),))
}

/// The calls of a step.
fn operations(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Apply = (WasmList<u8>, WasmList<Id>);
    instance.func_wrap("apply", |store: Store<'_>, (op, inputs): Apply| {
        let op = compute::read_op(op.as_le_slice(&store));
        // One more than there may be is a mistake of the operation.
        let mut ids = [0; INPUTS_MAX + 1];
        let inputs = inputs.as_le_slice(&store);
        let n = inputs.len().min(ids.len());
        ids.iter_mut().zip(inputs).for_each(|(to, id)| *to = u32::from_le(*id));
        answer(store, |session, _| compute::apply(session, op, &ids[..n]))
    })?;
    instance.func_wrap("release", |store: Store<'_>, (tensors,): (Vec<Id>,)| {
        answer(store, |session, _| train::release(session, &tensors))
    })?;
    type Step = (wit::Optimizer, f64, u64, Vec<Id>, Vec<Id>);
    instance.func_wrap(
        "step",
        |store: Store<'_>, (optimizer, rate, nth, values, kept): Step| {
            let optimizer = Optimizer::from(optimizer);
            answer(store, |session, _| {
                train::step(session, &optimizer, (rate, nth), &values, &kept)
            })
        },
    )?;
    instance.func_wrap("next", |store: Store<'_>, (): ()| {
        answer(store, |session, host| {
            let batch = host.next_tensors(session)?;
            Ok(batch.map(|compute::HostBatch { index, rows, inputs, targets }| wit::HostBatch {
                index,
                rows,
                inputs,
                targets,
            }))
        })
    })
}

/// One tensor at a time.
fn tensors(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("kind-of", |store: Store<'_>, (tensor,): (Id,)| {
        answer(store, |session, _| {
            let kind = session.kind(tensor)?;
            let shape = kind.shape.sizes().map(|size| size as u32).collect();
            Ok(wit::Kind { dtype: name_of(kind.dtype).into(), shape })
        })
    })?;
    instance.func_wrap("item", |store: Store<'_>, (tensor,): (Id,)| {
        answer(store, |session, _| Ok(session.item(tensor)?))
    })?;
    instance.func_wrap("read", |store: Store<'_>, (tensor, offset, len): (Id, u64, u32)| {
        answer(store, |session, _| elements::read(session, tensor, offset, len))
    })?;
    instance.func_wrap(
        "write",
        |store: Store<'_>, (tensor, offset, data): (Id, u64, Vec<u8>)| {
            answer(store, |session, _| elements::write(session, tensor, offset, &data))
        },
    )?;
    instance.func_wrap("keep", |store: Store<'_>, (tensor,): (Id,)| {
        answer(store, |session, _| Ok(session.keep(tensor)?))
    })?;
    instance.func_wrap("detach", |store: Store<'_>, (tensor,): (Id,)| {
        answer(store, |session, _| Ok(session.detach(tensor)?))
    })
}

fn gradients(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("want-gradient", |store: Store<'_>, (tensor, wanted): (Id, bool)| {
        answer(store, |session, _| Ok(session.want_gradient(tensor, wanted)?))
    })?;
    instance.func_wrap("set-recording", |store: Store<'_>, (recording,): (bool,)| {
        answer(store, |session, _| {
            session.set_recording(recording);
            Ok(())
        })
    })?;
    instance.func_wrap("backward", |store: Store<'_>, (loss,): (Id,)| {
        answer(store, |session, _| Ok(session.backward(loss)?))
    })?;
    instance.func_wrap("backward-with", |store: Store<'_>, (output, gradient): (Id, Id)| {
        answer(store, |session, _| Ok(session.backward_with(output, gradient)?))
    })?;
    instance.func_wrap("take-gradient", |store: Store<'_>, (tensor,): (Id,)| {
        answer(store, |session, _| Ok(session.take_gradient(tensor)?))
    })?;
    instance.func_wrap("add-gradient", |store: Store<'_>, (tensor, gradient): (Id, Id)| {
        answer(store, |session, _| Ok(session.add_gradient(tensor, gradient)?))
    })?;
    instance.func_wrap("clear-gradients", |store: Store<'_>, (): ()| {
        answer(store, |session, _| {
            session.clear_gradients();
            Ok(())
        })
    })?;
    instance.func_wrap("clip-by-value", |store: Store<'_>, (tensors, most): (Vec<Id>, f64)| {
        answer(store, |session, _| Ok(session.clip_by_value(&tensors, most)?))
    })?;
    instance.func_wrap("clip-by-norm", |store: Store<'_>, (tensors, most): (Vec<Id>, f64)| {
        answer(store, |session, _| Ok(session.clip_by_norm(&tensors, most)?))
    })
}

/// From and to the session of the host.
fn outside(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("keep-mask", |store: Store<'_>, (shape, rate): (Vec<u32>, f64)| {
        answer(store, |session, host| host.keep_mask(session, &shape, rate))
    })?;
    instance.func_wrap("load", |store: Store<'_>, (slot, index): (store::Slot, u32)| {
        answer(store, |session, host| host.load(session, slot.into(), index))
    })?;
    type Save = (store::Slot, u32, Id);
    instance.func_wrap("save", |store: Store<'_>, (slot, index, tensor): Save| {
        answer(store, |session, host| host.save(session, slot.into(), index, tensor))
    })?;
    instance.func_wrap("emit", |store: Store<'_>, (index, scores): (u64, Id)| {
        answer(store, |session, host| host.emit(session, index, scores))
    })
}

impl From<ComputeError> for wit::ComputeError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Access(error) => Self::Access(error.into()),
            ComputeError::Mistake(text) => Self::Mistake(text),
            ComputeError::BadData(text) => Self::BadData(text),
        }
    }
}

impl From<wit::Optimizer> for Optimizer {
    fn from(optimizer: wit::Optimizer) -> Self {
        match optimizer {
            wit::Optimizer::Sgd(wit::Sgd { momentum, nesterov, weight_decay }) => {
                Self::Sgd { momentum, is_nesterov: nesterov, weight_decay }
            }
            wit::Optimizer::Adam(wit::Adam { beta1, beta2, epsilon, weight_decay, decoupled }) => {
                let (betas, is_decoupled) = ([beta1, beta2], decoupled);
                Self::Adam { betas, epsilon, weight_decay, is_decoupled }
            }
            wit::Optimizer::Adagrad(wit::Adagrad { rate_decay, epsilon, weight_decay }) => {
                Self::Adagrad { rate_decay, epsilon, weight_decay }
            }
            wit::Optimizer::RmsProp(wit::RmsProp { alpha, epsilon, momentum, weight_decay }) => {
                Self::RmsProp { alpha, epsilon, momentum, weight_decay }
            }
        }
    }
}
