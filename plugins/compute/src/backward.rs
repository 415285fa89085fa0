//! The way back along the tape.

use alloc::vec::Vec;

use crate::apply::{Apply, Id};
use crate::derive::{Done, of_input};
use crate::error::{Mistake, Rule};
use crate::infer::kind_of;
use crate::kernels::{self, elementwise};
use crate::meter::Meter;
use crate::op::{Binary, INPUTS_MAX, Op};
use crate::run::{Home, run_checked};
use crate::session::{Entry, Session, TENSOR, Tape, mistake};
use crate::shape::{Dtype, Kind};
use crate::tensor::Tensor;
use crate::work::work;

/// Tensors of one entry's derivative; numbers are places in the list.
struct Scratch<'a> {
    values: &'a mut Vec<(Kind, Option<Tensor>)>,
    inputs: &'a mut Vec<Tensor>,
    kinds: &'a mut Vec<Kind>,
    home: Home<'a>,
    meter: &'a mut Meter,
}

impl Scratch<'_> {
    fn applied(&mut self, op: &Op, ids: &[Id]) -> Result<Id, Rule> {
        self.kinds.clear();
        for id in ids {
            let value = self.values.get(*id as usize);
            let tensor = value.and_then(|(_, tensor)| tensor.clone()).ok_or(Rule::NoTensor(*id))?;
            self.kinds.push(tensor.kind());
            self.inputs.push(tensor);
        }
        let kind = kind_of(op, self.kinds)?;
        self.meter.charge(work(op, self.kinds, &kind))?;
        let output = run_checked(op, self.inputs, kind, &mut self.home)?;
        self.values.push((kind, Some(output)));
        Ok(self.values.len() as Id - 1)
    }
}

impl Apply for Scratch<'_> {
    fn apply(&mut self, op: Op, ids: &[Id]) -> Result<Id, Mistake> {
        let applied = self.applied(&op, ids);
        // They would count as other users of the elements.
        self.inputs.clear();
        applied.map_err(|rule| Mistake::new(op.name(), self.kinds, rule))
    }

    fn kind(&self, id: Id) -> Result<Kind, Mistake> {
        let value = self.values.get(id as usize);
        value.map(|value| value.0).ok_or_else(|| mistake(Rule::NoTensor(id)))
    }
}

impl Session {
    /// Adds the gradients of a loss, a single floating-point number, to the tensors that they are
    /// wanted for. The tape is empty then.
    ///
    /// # Errors
    /// [`Rule::NoTensor`]; [`Rule::Sizes`] if it is not a single number; [`Rule::NoDerivative`];
    /// [`Rule::Memory`]. After an error gradients are incomplete.
    pub fn backward(&mut self, loss: Id) -> Result<(), Mistake> {
        let kind = self.kind(loss)?;
        if kind.shape.len() != 1 || !kind.dtype.is_float() {
            let rule = Rule::Sizes("a loss must be a single floating-point number");
            return Err(Mistake::new("backward", &[kind], rule));
        }
        let full = Op::Full { shape: kind.shape, dtype: kind.dtype, value: 1.0 };
        let charged = self.meter.charge(work(&full, &[], &kind));
        let one = charged.and_then(|()| self.buffers.tensor(kind)).and_then(|mut one| {
            match kind.dtype {
                Dtype::F64 => one.elements_mut::<f64>()?.fill(1.0),
                _ => one.elements_mut::<f32>()?.fill(1.0),
            }
            Ok(one)
        });
        self.backward_of(loss, one.map_err(|rule| Mistake::new("backward", &[kind], rule))?)
    }

    /// As [`backward`](Self::backward), for an output of any shape whose gradient is given.
    ///
    /// # Errors
    /// As [`backward`](Self::backward); [`Rule::Sizes`] if the two are not of one kind.
    pub fn backward_with(&mut self, output: Id, gradient: Id) -> Result<(), Mistake> {
        let (kind, gradient) = (self.kind(output)?, self.get(gradient)?.clone());
        if gradient.kind() != kind || !kind.dtype.is_float() {
            let rule = Rule::Sizes("the gradient must be of the kind of the output");
            return Err(Mistake::new("backward", &[kind, gradient.kind()], rule));
        }
        self.backward_of(output, gradient)
    }

    fn backward_of(&mut self, output: Id, gradient: Tensor) -> Result<(), Mistake> {
        self.accumulate(output, gradient)?;
        let tape = core::mem::take(&mut self.tape);
        let mut done = Ok(());
        let mut values = Vec::new();
        for entry in tape.entries.iter().rev() {
            let slot = self.table.get_mut(entry.output);
            let gradient = slot.and_then(|slot| slot.gradient.take());
            if let (Some(gradient), Ok(())) = (gradient, &done) {
                done = self.step_back(&tape, entry, gradient, &mut values);
            }
            self.unpin(&tape, entry);
        }
        self.put_back(tape);
        done
    }

    /// Adds what an entry's output gradient gives its inputs.
    fn step_back(
        &mut self,
        tape: &Tape,
        entry: &Entry,
        gradient: Tensor,
        values: &mut Vec<(Kind, Option<Tensor>)>,
    ) -> Result<(), Mistake> {
        let inputs = tape.inputs(entry);
        values.clear();
        for id in inputs.iter().chain([&entry.output]) {
            let slot = self.table.get(*id).ok_or_else(|| mistake(Rule::NoTensor(*id)))?;
            values.push((slot.kind, slot.tensor.clone()));
        }
        values.push((gradient.kind(), Some(gradient)));
        let output = inputs.len() as Id;
        let mut locals = [0; INPUTS_MAX];
        locals.iter_mut().zip(0..output).for_each(|(local, nth)| *local = nth);
        let done = Done {
            op: &entry.op,
            inputs: &locals[..inputs.len()],
            output,
            gradient: output + 1,
            wanted: entry.wanted,
        };
        let mut added = Ok(());
        for (nth, id) in inputs.iter().enumerate().filter(|(nth, _)| done.wants(*nth)) {
            let mut scratch = Scratch {
                values,
                inputs: &mut self.inputs,
                kinds: &mut self.kinds,
                home: Home { buffers: &mut self.buffers, threads: &*self.threads },
                meter: &mut self.meter,
            };
            let local = of_input(&mut scratch, &done, nth);
            added = local.and_then(|local| match &values[local as usize].1 {
                Some(gradient) => self.accumulate(*id, gradient.clone()),
                None => Err(mistake(Rule::NoTensor(*id))),
            });
            if added.is_err() {
                break;
            }
        }
        for tensor in values.drain(..).filter_map(|(_, tensor)| tensor) {
            self.buffers.give_back(tensor);
        }
        added
    }

    /// Adds a tensor to the gradient of another of its kind.
    ///
    /// # Errors
    /// [`Rule::NoTensor`]; [`Rule::Sizes`] if the two are not of one kind; [`Rule::Attribute`] if no
    /// gradient is wanted; [`Rule::Memory`].
    pub fn add_gradient(&mut self, id: Id, gradient: Id) -> Result<(), Mistake> {
        let gradient = self.get(gradient)?.clone();
        let slot = self.table.held(id).map_err(mistake)?;
        let wrong = |rule| Err(Mistake::new("gradient", &[slot.kind, gradient.kind()], rule));
        if slot.kind != gradient.kind() {
            return wrong(Rule::Sizes("the gradient must be of the kind of its tensor"));
        }
        if !slot.has_gradient {
            return wrong(Rule::Attribute("no gradient is wanted for the tensor"));
        }
        self.accumulate(id, gradient)
    }

    /// Adds to the gradient of a tensor, if one is wanted.
    fn accumulate(&mut self, id: Id, gradient: Tensor) -> Result<(), Mistake> {
        let slot = self.table.get_mut(id).ok_or_else(|| mistake(Rule::NoTensor(id)))?;
        debug_assert_eq!(slot.kind, gradient.kind(), "a gradient is like its tensor");
        if !slot.has_gradient {
            self.buffers.give_back(gradient);
            return Ok(());
        }
        let Some(mut sum) = slot.gradient.take() else {
            slot.gradient = Some(gradient);
            return Ok(());
        };
        let kind = slot.kind;
        let add_op = Op::Binary(Binary::Add);
        let charged = self.meter.charge(work(&add_op, &[kind, kind], &kind));
        let own = charged.and_then(|()| self.unshared(&mut sum));
        let done = own.and_then(|()| match kind.dtype {
            Dtype::F64 => add::<f64>(&mut sum, &gradient, self),
            _ => add::<f32>(&mut sum, &gradient, self),
        });
        self.buffers.give_back(gradient);
        if let Some(slot) = self.table.get_mut(id) {
            slot.gradient = Some(sum);
        }
        done.map_err(|rule| Mistake::new(add_op.name(), &[kind, kind], rule))
    }

    /// The gradient of a tensor, and from then on none; `None` if there is none.
    ///
    /// # Errors
    /// [`Rule::NoTensor`], [`Rule::Memory`].
    pub fn take_gradient(&mut self, id: Id) -> Result<Option<Id>, Mistake> {
        let slot = self.table.held_mut(id).map_err(mistake)?;
        let Some(gradient) = slot.gradient.take() else { return Ok(None) };
        let kind = gradient.kind();
        let pushed = self.push_tensor(gradient);
        pushed.map(Some).map_err(|rule| Mistake::new(TENSOR, &[kind], rule))
    }

    /// Forgets the gradients of all kept tensors.
    pub fn clear_gradients(&mut self) {
        for slot in self.table.kept_mut() {
            if let Some(gradient) = slot.gradient.take() {
                self.buffers.give_back(gradient);
            }
        }
    }
}

fn add<T: kernels::Float + crate::tensor::Element>(
    sum: &mut Tensor,
    gradient: &Tensor,
    session: &Session,
) -> Result<(), Rule> {
    let (sum, gradient) = (sum.elements_mut::<T>()?, gradient.elements::<T>()?);
    elementwise::binary_in_place(kernels::Binary::Add, sum, gradient, &*session.threads);
    Ok(())
}
