//! Where tensors live: at the host, or in this component.
//!
//! There is one engine. It knows the kinds of all tensors, so asking for a shape calls nobody, and it
//! keeps the first mistake, so operations return tensors instead of results.

#[cfg(any(feature = "in-guest", not(target_arch = "wasm32")))]
mod guest;
#[cfg(not(feature = "in-guest"))]
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "compiled to be checked; a native build has no host")
)]
mod host;
mod mistakes;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fedwasm_compute::{Apply, Id, Kind, Mistake, Op, Optimizer, Rule, infer};

#[cfg(any(feature = "in-guest", not(target_arch = "wasm32")))]
use guest::Home;
#[cfg(not(any(feature = "in-guest", not(target_arch = "wasm32"))))]
use host::Home;

use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::DataSpec;
use crate::{PlanError, Result};

#[cfg(not(target_arch = "wasm32"))]
pub use mistakes::take_mistake;
pub use mistakes::{Source, noted};
pub(crate) use mistakes::{check, enter, leave, note, note_argument, refused};

/// The most numbers that wait to be released.
const RELEASED_MAX: usize = 32;
/// The most bytes of tensors that wait to be released.
const RELEASED_BYTES_MAX: usize = 1 << 20;

/// A tensor of the home. When the last handle goes, its number is released.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    era: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The engine of a thread may be gone before its tensors, or be another one.
        let _ = ENGINE.try_with(|engine| {
            let mut engine = engine.borrow_mut();
            if engine.era == self.era {
                engine.release(self.id);
            }
        });
    }
}

impl Held {
    /// Whether it is of the call that runs. Only natively a tensor can outlive its call.
    pub(crate) fn is_of_this_call(&self) -> bool {
        cfg!(target_arch = "wasm32") || with(|engine| engine.era == self.era)
    }
}

/// A tensor with a number.
#[derive(Clone, Copy, Debug)]
struct Live {
    kind: Kind,
    is_kept: bool,
}

/// Rows that were asked for.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    /// The number of the batch.
    pub(crate) index: u64,
    pub(crate) rows: u32,
    pub(crate) inputs: Vec<T>,
    pub(crate) targets: Vec<T>,
}

impl<T> Rows<T> {
    fn map<U>(self, mut f: impl FnMut(T) -> U) -> Rows<U> {
        let Self { index, rows, inputs, targets } = self;
        let inputs = inputs.into_iter().map(&mut f).collect();
        Rows { index, rows, inputs, targets: targets.into_iter().map(f).collect() }
    }
}

/// The home of tensors, and what is known of them.
struct Engine {
    home: Home,
    /// All tensors that something holds.
    live: BTreeMap<Id, Live>,
    /// Numbers that wait to be released.
    released: Vec<(Id, Live)>,
    /// Of their tensors.
    released_bytes: usize,
    /// Made by the operation at hand.
    made: Vec<Id>,
    kinds: Vec<Kind>,
    mistakes: mistakes::Mistakes,
    is_training: bool,
    /// How many calls of `no_grad` are open.
    unrecorded: u32,
    /// Which engine of its thread it is.
    era: u32,
    /// How often the home was asked for something; at the host each is a call.
    #[cfg(test)]
    calls: usize,
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::new());
}

/// No tensor may be dropped in `f`.
fn with<T>(f: impl FnOnce(&mut Engine) -> T) -> T {
    ENGINE.with(|engine| f(&mut engine.borrow_mut()))
}

impl Engine {
    fn new() -> Self {
        Self {
            home: Home::new(),
            live: BTreeMap::new(),
            released: Vec::new(),
            released_bytes: 0,
            made: Vec::new(),
            kinds: Vec::new(),
            mistakes: mistakes::Mistakes::default(),
            is_training: false,
            unrecorded: 0,
            era: 0,
            #[cfg(test)]
            calls: 0,
        }
    }

    fn home(&mut self) -> &mut Home {
        #[cfg(test)]
        {
            self.calls += 1;
        }
        &mut self.home
    }

    fn hold(&mut self, id: Id, kind: Kind, is_kept: bool) {
        self.live.insert(id, Live { kind, is_kept });
    }

    fn release(&mut self, id: Id) {
        let Some(live) = self.live.remove(&id) else { return };
        self.released.push((id, live));
        self.released_bytes += live.kind.bytes();
        if self.released.len() >= RELEASED_MAX || self.released_bytes >= RELEASED_BYTES_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let released: Vec<Id> = self.released.drain(..).map(|(id, _)| id).collect();
        if let Err(error) = self.home().release(&released) {
            self.mistakes.note(error);
        }
        self.released_bytes = 0;
    }

    /// Keeps what is still held, and forgets what goes with the batch.
    fn end_batch(&mut self) -> Result<()> {
        let mut live = std::mem::take(&mut self.live);
        let mut left = live.iter_mut().filter(|(_, live)| !live.is_kept);
        let done = left.try_for_each(|(id, live)| {
            live.is_kept = true;
            self.home().keep(*id)
        });
        self.live = live;
        self.released.retain(|(_, live)| live.is_kept);
        self.released_bytes = self.released.iter().map(|(_, live)| live.kind.bytes()).sum();
        done
    }
}

impl Apply for Engine {
    fn apply(&mut self, op: Op, inputs: &[Id]) -> Result<Id, Mistake> {
        let mut kinds = std::mem::take(&mut self.kinds);
        kinds.clear();
        for id in inputs {
            kinds.push(self.kind(*id)?);
        }
        let kind = infer(&op, &kinds)?;
        let applied = self.home().apply(&op, inputs).map_err(|error| {
            // Operations made of several pass a mistake on; the home's own reason waits here.
            self.mistakes.refusal = Some(error);
            Mistake { op: op.name(), inputs: kinds.clone(), rule: Rule::Stopped }
        });
        self.kinds = kinds;
        let id = applied?;
        self.hold(id, kind, false);
        self.made.push(id);
        Ok(id)
    }

    fn kind(&self, id: Id) -> Result<Kind, Mistake> {
        let live = self.live.get(&id).map(|live| live.kind);
        live.ok_or_else(|| Mistake { op: "tensor", inputs: Vec::new(), rule: Rule::NoTensor(id) })
    }
}

/// Does operations on tensors of these numbers; what they need on the way is released.
pub(crate) fn apply<T: AsRef<[Id]>>(
    f: &mut dyn FnMut(&mut dyn Apply) -> Result<T, Mistake>,
) -> Result<T> {
    with(|engine| {
        engine.made.clear();
        let done = f(engine);
        let made = std::mem::take(&mut engine.made);
        let kept = done.as_ref().map(AsRef::as_ref).unwrap_or_default();
        made.iter().filter(|id| !kept.contains(id)).for_each(|id| engine.release(*id));
        engine.made = made;
        done.map_err(|mistake| engine.mistakes.refusal.take().unwrap_or_else(|| refused(&mistake)))
    })
}

fn held(engine: &mut Engine, id: Id, kind: Kind, is_kept: bool) -> Rc<Held> {
    engine.hold(id, kind, is_kept);
    Rc::new(Held { id, kind, era: engine.era })
}

/// The handle of a number that [`apply`] returned.
pub(crate) fn handle(id: Id) -> Option<Rc<Held>> {
    with(|engine| {
        let era = engine.era;
        engine.live.get(&id).map(|live| Rc::new(Held { id, kind: live.kind, era }))
    })
}

/// Makes a tensor of these elements.
pub(crate) fn insert(tensor: &fedwasm_compute::Tensor) -> Result<Rc<Held>> {
    with(|engine| {
        let id = engine.home().insert(tensor)?;
        Ok(held(engine, id, tensor.kind(), false))
    })
}

/// The elements.
pub(crate) fn value(of: &Held) -> Result<fedwasm_compute::Tensor> {
    with(|engine| engine.home().value(of.id, of.kind))
}

/// The only element.
pub(crate) fn item(of: &Held) -> Result<f64> {
    with(|engine| engine.home().item(of.id))
}

/// Which elements a dropout at this rate keeps.
pub(crate) fn keep_mask(shape: fedwasm_compute::Shape, rate: f64) -> Result<Rc<Held>> {
    with(|engine| {
        let id = engine.home().keep_mask(shape, rate)?;
        Ok(held(engine, id, Kind { dtype: fedwasm_compute::Dtype::Bool, shape }, false))
    })
}

/// The same elements without their past.
pub(crate) fn detach(of: &Held) -> Result<Rc<Held>> {
    with(|engine| {
        let id = engine.home().detach(of.id)?;
        Ok(held(engine, id, of.kind, false))
    })
}

/// Says whether gradients are wanted.
pub(crate) fn want_gradient(of: &Held, is_wanted: bool) -> Result<()> {
    with(|engine| engine.home().want_gradient(of.id, is_wanted))
}

/// Adds the gradients of a loss.
pub(crate) fn backward(loss: &Held) -> Result<()> {
    with(|engine| engine.home().backward(loss.id))
}

/// Takes a gradient away.
pub(crate) fn take_gradient(of: &Held) -> Result<Option<Rc<Held>>> {
    with(|engine| {
        let gradient = engine.home().take_gradient(of.id)?;
        Ok(gradient.map(|id| held(engine, id, of.kind, false)))
    })
}

/// Adds to a gradient.
pub(crate) fn add_gradient(of: &Held, gradient: &Held) -> Result<()> {
    with(|engine| engine.home().add_gradient(of.id, gradient.id))
}

/// Cuts gradients, first each element and then their norm; 0 for not at all.
pub(crate) fn clip(ids: &[Id], by_value: f64, by_norm: f64) -> Result<()> {
    with(|engine| {
        if by_value > 0.0 {
            engine.home().clip_by_value(ids, by_value)?;
        }
        if by_norm > 0.0 {
            engine.home().clip_by_norm(ids, by_norm)?;
        }
        Ok(())
    })
}

/// Takes step `nth` of values, and forgets their gradients.
pub(crate) fn step(
    optimizer: &Optimizer,
    rate: f64,
    nth: u64,
    values: &[Id],
    kept: &[Id],
) -> Result<()> {
    with(|engine| engine.home().step(optimizer, rate, nth, values, kept))
}

/// Reads a tensor of a store.
pub(crate) fn load(slot: Slot, index: usize, kind: Kind) -> Result<Rc<Held>> {
    with(|engine| {
        let id = engine.home().load(slot, index as u32, kind)?;
        Ok(held(engine, id, kind, true))
    })
}

/// Writes a tensor of a store.
pub(crate) fn save(slot: Slot, index: usize, of: &Held) -> Result<()> {
    with(|engine| engine.home().save(slot, index as u32, of.id))
}

/// The next batch, whose tensors are what `inputs` and `targets` say.
pub(crate) fn next(inputs: &[DataSpec], targets: &[DataSpec]) -> Result<Option<Rows<Rc<Held>>>> {
    with(|engine| {
        engine.end_batch()?;
        let next = engine.home().next(inputs, targets)?;
        Ok(next.map(|rows| rows.map(|(id, kind)| held(engine, id, kind, false))))
    })
}

/// Gives the scores of a batch to the host.
pub(crate) fn emit(index: u64, scores: &Held) -> Result<()> {
    with(|engine| engine.home().emit(index, scores.id))
}

/// Whether the plan trains: dropout and batch normalisation do something else then.
pub(crate) fn is_training() -> bool {
    with(|engine| engine.is_training)
}

pub(crate) fn set_training(is_training: bool) {
    with(|engine| engine.is_training = is_training);
}

/// Starts to record, or stops, however often it was stopped before.
pub(crate) fn set_recording(is_recording: bool) {
    let done = with(|engine| {
        let before = engine.unrecorded;
        engine.unrecorded =
            if is_recording { before.saturating_sub(1) } else { before.saturating_add(1) };
        match (before, engine.unrecorded) {
            (0, 1) | (1, 0) => engine.home().set_recording(is_recording),
            _ => Ok(()),
        }
    });
    if let Err(error) = done {
        note(error);
    }
}

/// How often the home was asked for something.
#[cfg(test)]
pub(crate) fn calls() -> usize {
    with(|engine| engine.calls)
}

/// Bytes of all tensors.
#[cfg(test)]
pub(crate) fn bytes() -> usize {
    with(|engine| engine.home.bytes())
}

/// Forgets everything: natively a thread may run several exports.
pub(crate) fn reset() {
    let era = with(|engine| engine.era.wrapping_add(1));
    let old = ENGINE.with(|engine| engine.replace(Engine { era, ..Engine::new() }));
    drop(old);
}

/// The dtype of the contract in the library.
fn dtype(
    dtype: crate::bindings::fedwasm::training_plan::types::Dtype,
) -> Result<fedwasm_compute::Dtype> {
    use crate::bindings::fedwasm::training_plan::types::Dtype as Wit;
    Ok(match dtype {
        Wit::Boolean => fedwasm_compute::Dtype::Bool,
        Wit::Int64 => fedwasm_compute::Dtype::I64,
        Wit::Float32 => fedwasm_compute::Dtype::F32,
        Wit::Float64 => fedwasm_compute::Dtype::F64,
        other => return Err(PlanError::BadData(format!("a plan has no tensors of {other:?}"))),
    })
}
