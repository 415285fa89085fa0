//! Recurrent layers: one step after the other over a sequence.

use std::marker::PhantomData;

use fedwasm_compute::INPUTS_MAX;

use super::{fan_in, refuse};
use crate::{Dropout, Layer, Module, Parameter, Tensor, Visitor};

/// The most layers.
const LAYERS_MAX: usize = 1024;

/// Recurrent layers, one upon the other: [`Rnn`], [`Lstm`] and [`Gru`] are this. As those of
/// `torch.nn` with `batch_first=True`: takes [rows, steps, inputs], gives the outputs of the last
/// layer [rows, steps, units], or [rows, steps, 2 units] if it is bidirectional.
///
/// Parameters are PyTorch's `weight_ih_l0` [gates · units, inputs], `weight_hh_l0`
/// [gates · units, units], `bias_ih_l0` and `bias_hh_l0` [gates · units], the same for each further
/// layer, and with the ending `_reverse` for the way back. All start from U(-k, k), k = 1/√units.
///
/// ```
/// use fedwasm_sdk::*;
///
/// let lstm = Lstm::new(8, 16).layers(2).bidirectional();
/// let score = Linear::new(2 * 16, 3);
/// let scores = |x: &Tensor| {
///     let (outputs, last) = lstm.run(x);
///     let _states = last.hidden; // [4, rows, 16]
///     score.forward(&outputs.mean(&[1]))
/// };
/// # let _ = scores;
/// ```
#[derive(Clone, Debug)]
pub struct Recurrent<C> {
    inputs: usize,
    units: usize,
    /// 1, or 2 if the sequence is gone through backwards, too.
    n_directions: usize,
    /// Those of the first layer, then those of the second.
    directions: Vec<Direction<C>>,
    dropout: Dropout,
}

/// `h' = tanh(W x + b + V h + c)`, as `torch.nn.RNN`.
pub type Rnn = Recurrent<RnnCell>;
/// Long short-term memory (Hochreiter and Schmidhuber 1997), as `torch.nn.LSTM`.
pub type Lstm = Recurrent<LstmCell>;
/// Gated recurrent units (Cho et al. 2014), as `torch.nn.GRU`.
pub type Gru = Recurrent<GruCell>;

/// What a recurrent layer knows after a step.
#[derive(Clone, Debug)]
pub struct States {
    /// Outputs, shape [layers · directions, rows, units].
    pub hidden: Tensor,
    /// Memories of an [`Lstm`], the same shape; using those of another layer is a mistake.
    pub cell: Tensor,
}

/// A step of a recurrent layer.
pub trait Cell: 'static {
    /// Lines of the weights for each unit.
    const GATES: usize;
    /// Whether it has states beside its outputs.
    const HAS_MEMORY: bool = false;

    /// From `input`, W x + b, and `before`, V h + c, both [rows, gates · units], to the new states,
    /// each [rows, units].
    #[track_caller]
    fn step(input: &Tensor, before: &Tensor, hidden: &Tensor, cell: &Tensor) -> (Tensor, Tensor);
}

/// The step of an [`Rnn`].
#[derive(Clone, Copy, Debug)]
pub struct RnnCell;

impl Cell for RnnCell {
    const GATES: usize = 1;

    fn step(input: &Tensor, before: &Tensor, _: &Tensor, cell: &Tensor) -> (Tensor, Tensor) {
        ((input + before).tanh(), cell.clone())
    }
}

/// The step of an [`Lstm`]; gates are input, forget, cell and output.
#[derive(Clone, Copy, Debug)]
pub struct LstmCell;

impl Cell for LstmCell {
    const GATES: usize = 4;
    const HAS_MEMORY: bool = true;

    fn step(input: &Tensor, before: &Tensor, hidden: &Tensor, cell: &Tensor) -> (Tensor, Tensor) {
        let (gates, units) = (input + before, hidden.size(1));
        let gate = |nth| gates.slice(1, nth * units, units);
        let cell = gate(1).sigmoid() * cell + gate(0).sigmoid() * gate(2).tanh();
        (gate(3).sigmoid() * cell.tanh(), cell)
    }
}

/// The step of a [`Gru`]; gates are reset, update and new.
#[derive(Clone, Copy, Debug)]
pub struct GruCell;

impl Cell for GruCell {
    const GATES: usize = 3;

    fn step(input: &Tensor, before: &Tensor, hidden: &Tensor, cell: &Tensor) -> (Tensor, Tensor) {
        let units = hidden.size(1);
        let gates = (input.slice(1, 0, 2 * units) + before.slice(1, 0, 2 * units)).sigmoid();
        let (reset, update) = (gates.slice(1, 0, units), gates.slice(1, units, units));
        let gate = |of: &Tensor| of.slice(1, 2 * units, units);
        let new = (gate(input) + reset * gate(before)).tanh();
        (&new + update * (hidden - &new), cell.clone())
    }
}

/// A layer that goes through the sequence in one direction.
#[derive(Clone, Debug)]
struct Direction<C> {
    weight_ih: Parameter,
    weight_hh: Parameter,
    bias_ih: Parameter,
    bias_hh: Parameter,
    is_reverse: bool,
    cell: PhantomData<C>,
}

impl<C: Cell> Recurrent<C> {
    /// One layer in one direction.
    #[must_use]
    #[track_caller]
    pub fn new(inputs: usize, units: usize) -> Self {
        let directions = directions(inputs, units, 1, 1);
        Self { inputs, units, n_directions: 1, directions, dropout: Dropout::new(0.0) }
    }

    /// So many layers, each of which takes the outputs of the one before (`num_layers`). Parameters
    /// are made anew.
    #[must_use]
    #[track_caller]
    pub fn layers(mut self, n: usize) -> Self {
        if n == 0 || n > LAYERS_MAX {
            let text = format!("a recurrent layer of {n} layers: 1 to {LAYERS_MAX}");
            crate::engine::note_argument(text);
            return self;
        }
        self.directions = directions(self.inputs, self.units, n, self.n_directions);
        self
    }

    /// The layer that goes through the sequence in both directions; outputs of the way back lie
    /// behind the others. Parameters are made anew.
    #[must_use]
    #[track_caller]
    pub fn bidirectional(mut self) -> Self {
        let n = self.directions.len() / self.n_directions;
        self.n_directions = 2;
        self.directions = directions(self.inputs, self.units, n, 2);
        self
    }

    /// Dropout between layers, at least 0 and less than 1; 0 unless said.
    #[must_use]
    #[track_caller]
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = Dropout::new(rate);
        self
    }

    /// Outputs of all steps and the states after the last, from states of zeros.
    #[must_use]
    #[track_caller]
    pub fn run(&self, x: &Tensor) -> (Tensor, States) {
        let shape = [self.directions.len(), x.size(0), self.units];
        let cell = match C::HAS_MEMORY {
            true => Tensor::zeros(&shape),
            false => Tensor::absent("only an Lstm has cell states"),
        };
        self.run_from(x, &States { hidden: Tensor::zeros(&shape), cell })
    }

    /// As [`run`](Self::run), from given states.
    #[must_use]
    #[track_caller]
    pub fn run_from(&self, x: &Tensor, start: &States) -> (Tensor, States) {
        let Self { inputs, units, n_directions, .. } = *self;
        let (rows, steps) = (x.size(0), x.size(1));
        if x.rank() != 3 || x.size(2) != inputs || steps == 0 {
            let takes = format!("[rows, steps, {inputs}], one step or more");
            let none = refuse(x, "a recurrent layer", &takes);
            return (none.clone(), States { hidden: none.clone(), cell: none });
        }
        // The rows of one step after those of another: a step is one piece of memory.
        let mut x = x.transpose(0, 1).reshape(&[-1, inputs as isize]);
        let (mut hidden, mut cells) = (Vec::new(), Vec::new());
        for (nth, layer) in self.directions.chunks(n_directions).enumerate() {
            if nth > 0 {
                x = self.dropout.forward(&x);
            }
            let mut outputs = Vec::new();
            for direction in layer {
                let nth = hidden.len();
                let cell = match C::HAS_MEMORY {
                    true => start.cell.select(0, nth),
                    false => start.cell.clone(),
                };
                let (output, last) = direction.run(&x, steps, start.hidden.select(0, nth), cell);
                outputs.push(output);
                hidden.push(last.0);
                cells.push(last.1);
            }
            x = concat(outputs, 1);
        }
        let stack = |all: &[Tensor]| Tensor::stack(&all.iter().collect::<Vec<_>>(), 0);
        let cell = if C::HAS_MEMORY { stack(&cells) } else { start.cell.clone() };
        let sizes = [steps, rows, n_directions * units].map(|size| size as isize);
        (x.reshape(&sizes).transpose(0, 1), States { hidden: stack(&hidden), cell })
    }
}

impl<C: Cell> Direction<C> {
    #[track_caller]
    fn new(inputs: usize, units: usize, is_reverse: bool) -> Self {
        let init = fan_in(units);
        let lines = C::GATES.saturating_mul(units);
        Self {
            weight_ih: Parameter::new(&[lines, inputs], init),
            weight_hh: Parameter::new(&[lines, units], init),
            bias_ih: Parameter::new(&[lines], init),
            bias_hh: Parameter::new(&[lines], init),
            is_reverse,
            cell: PhantomData,
        }
    }

    /// Outputs [steps · rows, units] and the last states of inputs [steps · rows, inputs].
    #[track_caller]
    fn run(
        &self,
        x: &Tensor,
        steps: usize,
        mut hidden: Tensor,
        mut cell: Tensor,
    ) -> (Tensor, (Tensor, Tensor)) {
        let inputs = x.linear(&self.weight_ih.tensor(), Some(&self.bias_ih.tensor()));
        let mut inputs = parts(&inputs, steps);
        if self.is_reverse {
            inputs.reverse();
        }
        let (weight, bias) = (self.weight_hh.tensor(), self.bias_hh.tensor());
        let mut outputs = Vec::with_capacity(steps);
        for input in &inputs {
            let before = hidden.linear(&weight, Some(&bias));
            (hidden, cell) = C::step(input, &before, &hidden, &cell);
            outputs.push(hidden.clone());
        }
        if self.is_reverse {
            outputs.reverse();
        }
        (concat(outputs, 0), (hidden, cell))
    }
}

#[track_caller]
fn directions<C: Cell>(
    inputs: usize,
    units: usize,
    n_layers: usize,
    n_directions: usize,
) -> Vec<Direction<C>> {
    let mut all = Vec::new();
    for layer in 0..n_layers {
        let inputs = if layer == 0 { inputs } else { units.saturating_mul(n_directions) };
        for nth in 0..n_directions {
            all.push(Direction::new(inputs, units, nth == 1));
        }
    }
    all
}

/// `n` parts of one length along the first axis, by halves: the gradient of a slice is as large as
/// what it is a slice of, and this way there are log₂ n large ones instead of n.
#[track_caller]
fn parts(x: &Tensor, n: usize) -> Vec<Tensor> {
    if n < 2 {
        return vec![x.clone()];
    }
    let (half, len) = (n / 2, x.size(0) / n);
    let mut all = parts(&x.slice(0, 0, half * len), half);
    all.extend(parts(&x.slice(0, half * len, (n - half) * len), n - half));
    all
}

/// One behind the other, in rounds, since an operation has so many inputs at most.
#[track_caller]
fn concat(mut parts: Vec<Tensor>, axis: isize) -> Tensor {
    while parts.len() > 1 {
        let mut joined = Vec::with_capacity(parts.len().div_ceil(INPUTS_MAX));
        for some in parts.chunks(INPUTS_MAX) {
            joined.push(Tensor::concat(&some.iter().collect::<Vec<_>>(), axis));
        }
        parts = joined;
    }
    parts.pop().unwrap_or_else(Tensor::failed)
}

impl<C: Cell> Module for Recurrent<C> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (nth, direction) in self.directions.iter().enumerate() {
            let layer = nth / self.n_directions;
            let end = if direction.is_reverse { "_reverse" } else { "" };
            let Direction { weight_ih, weight_hh, bias_ih, bias_hh, .. } = direction;
            visitor.field(&format!("weight_ih_l{layer}{end}"), weight_ih);
            visitor.field(&format!("weight_hh_l{layer}{end}"), weight_hh);
            visitor.field(&format!("bias_ih_l{layer}{end}"), bias_ih);
            visitor.field(&format!("bias_hh_l{layer}{end}"), bias_hh);
        }
        visitor.field("dropout", &self.dropout);
    }
}

impl<C: Cell> Layer for Recurrent<C> {
    /// The outputs of [`run`](Recurrent::run).
    fn forward(&self, x: &Tensor) -> Tensor {
        self.run(x).0
    }
}
