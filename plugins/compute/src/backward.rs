//! The way back along the tape.

use alloc::vec::Vec;

use crate::apply::{Apply, Id};
use crate::derive::{Done, of_input};
use crate::error::{Mistake, Rule};
use crate::kernels::{self, elementwise};
use crate::meter::Meter;
use crate::op::{Binary, INPUTS_MAX, Op};
use crate::run::{Home, lend, run_counted};
use crate::session::{Entry, Session, TENSOR, Tape, mistake};
use crate::shape::{Dtype, Kind};
use crate::table::{Slot, Table};
use crate::tensor::Tensor;
use crate::work::work;

/// What a derivative reads of the session, by local numbers: those of the inputs from 0 on, the
/// output, its gradient. Numbers of tensors that the derivative makes follow.
struct Known<'a> {
    table: &'a Table,
    inputs: &'a [Id],
    output: Id,
    gradient: &'a Tensor,
}

/// The local numbers of inputs.
static LOCALS: [Id; INPUTS_MAX] = {
    let mut locals = [0; INPUTS_MAX];
    let mut nth = 0;
    while nth < INPUTS_MAX {
        locals[nth] = nth as Id;
        nth += 1;
    }
    locals
};

impl<'a> Known<'a> {
    /// The local number of the first tensor that the derivative makes.
    fn first_made(&self) -> usize {
        self.inputs.len() + 2
    }

    /// Where an input or the output is; none for others.
    fn slot(&self, id: Id) -> Option<&'a Slot> {
        let nth = id as usize;
        let output = (nth == self.inputs.len()).then_some(&self.output);
        self.table.get(*self.inputs.get(nth).or(output)?)
    }

    fn tensor(&self, made: &'a [Tensor], id: Id) -> Result<&'a Tensor, Rule> {
        let tensor = match (id as usize).checked_sub(self.first_made()) {
            Some(nth) => made.get(nth),
            None if id as usize + 1 == self.first_made() => Some(self.gradient),
            None => self.slot(id).and_then(|slot| slot.tensor.as_ref()),
        };
        tensor.ok_or(Rule::NoTensor(id))
    }
}

/// Where the derivative of one entry is computed.
struct Scratch<'a> {
    known: Known<'a>,
    made: &'a mut Vec<Tensor>,
    kinds: &'a mut Vec<Kind>,
    home: Home<'a>,
    meter: &'a mut Meter,
}

impl Apply for Scratch<'_> {
    fn apply(&mut self, op: Op, ids: &[Id]) -> Result<Id, Mistake> {
        let Self { known, made, kinds, home, meter } = self;
        kinds.clear();
        let output = lend(
            ids,
            |id| known.tensor(made, id),
            |inputs| run_counted(&op, inputs, kinds, meter, home),
        );
        made.push(output.map_err(|rule| Mistake::new(op.name(), kinds, rule))?);
        Ok((known.first_made() + made.len() - 1) as Id)
    }

    fn kind(&self, id: Id) -> Result<Kind, Mistake> {
        // Known also where elements are gone.
        match self.known.slot(id) {
            Some(slot) => Ok(slot.kind),
            None => self.known.tensor(self.made, id).map(Tensor::kind).map_err(mistake),
        }
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
        let mut made = Vec::new();
        for entry in tape.entries.iter().rev() {
            let slot = self.table.get_mut(entry.output);
            let gradient = slot.and_then(|slot| slot.gradient.take());
            if let (Some(gradient), Ok(())) = (gradient, &done) {
                done = self.step_back(&tape, entry, gradient, &mut made);
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
        made: &mut Vec<Tensor>,
    ) -> Result<(), Mistake> {
        let inputs = tape.inputs(entry);
        let done = Done {
            op: &entry.op,
            inputs: &LOCALS[..inputs.len()],
            output: inputs.len() as Id,
            gradient: inputs.len() as Id + 1,
            wanted: entry.wanted,
        };
        let mut added = Ok(());
        for (nth, id) in inputs.iter().enumerate().filter(|(nth, _)| done.wants(*nth)) {
            let known =
                Known { table: &self.table, inputs, output: entry.output, gradient: &gradient };
            let mut scratch = Scratch {
                known,
                made,
                kinds: &mut self.kinds,
                home: Home { buffers: &mut self.buffers, threads: &*self.threads },
                meter: &mut self.meter,
            };
            let part = of_input(&mut scratch, &done, nth).and_then(|local| {
                let Scratch { known, made, .. } = scratch;
                match (local as usize).checked_sub(known.first_made()) {
                    Some(nth) if nth < made.len() => Ok(made.swap_remove(nth)),
                    _ => known.tensor(&[], local).cloned().map_err(mistake),
                }
            });
            made.drain(..).for_each(|tensor| self.buffers.give_back(tensor));
            added = part.and_then(|part| self.accumulate(*id, part));
            if added.is_err() {
                break;
            }
        }
        self.buffers.give_back(gradient);
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
