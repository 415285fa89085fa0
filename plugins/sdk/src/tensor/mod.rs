//! Tensors: handles of arrays that the engine holds.

mod functions;
mod layout;
mod losses;
mod norms;
mod operand;
#[cfg(test)]
mod tests;
mod windows;

use std::fmt;
use std::rc::Rc;

use fedwasm_compute::{Apply, Element, Id, Kind, Mistake, Op, Rule, Shape};

use crate::engine::{self, Held};
use crate::{Dtype, PlanError, Result};

pub use losses::CrossEntropy;
pub use operand::Operand;

/// An array of numbers, row-major: float32, float64, int64 or truth values.
///
/// A tensor is a handle, and a clone the same array. Operations are methods and operators, named as
/// PyTorch's. They return a tensor and no result: the first mistake, such as shapes that do not fit,
/// is noted with the line of the plan that made it, and what comes of it is a tensor that failed,
/// with no axes. The mistake ends the call of the plan, at the latest when the plan reads a number.
///
/// Operations are recorded, and [`backward`](Self::backward) goes back along them. An axis is counted
/// from 0, or from the last one, which is -1.
#[derive(Clone)]
pub struct Tensor(pub(crate) Handle);

/// What a tensor is a handle of.
#[derive(Clone)]
pub(crate) enum Handle {
    /// Of an array.
    Held(Rc<Held>),
    /// Of nothing; the mistake was noted.
    Failed,
    /// Of nothing, which is a mistake for this reason as soon as it is used.
    Absent(&'static str),
}

/// Why a tensor cannot be used that a thread kept from an earlier call.
const OF_ANOTHER_CALL: &str = "a tensor of an earlier call of the plan, which has ended";

/// An operation, or several, on tensors of these numbers.
type Operation<'a> = dyn FnMut(&mut dyn Apply, &[Id]) -> Result<Id, Mistake> + 'a;

/// Does an operation on tensors, and notes a mistake with the caller's line.
#[track_caller]
pub(crate) fn apply(inputs: &[&Tensor], f: &mut Operation<'_>) -> Tensor {
    let mut ids = Vec::with_capacity(inputs.len());
    for input in inputs {
        match &input.0 {
            Handle::Held(held) if held.is_of_this_call() => ids.push(held.id),
            Handle::Held(_) => {
                engine::note(PlanError::Internal(OF_ANOTHER_CALL.into()));
                return Tensor::failed();
            }
            Handle::Failed => return Tensor::failed(),
            Handle::Absent(reason) => {
                engine::note(PlanError::Internal((*reason).to_owned()));
                return Tensor::failed();
            }
        }
    }
    match engine::apply(&mut |apply| f(apply, &ids).map(|id| [id])) {
        // An operation that has nothing to do returns what it was given.
        Ok([id]) => match ids.iter().position(|input| *input == id) {
            Some(nth) => inputs[nth].clone(),
            None => Tensor::of(engine::handle(id)),
        },
        Err(error) => {
            engine::note(error);
            Tensor::failed()
        }
    }
}

/// An axis that may be counted from the end.
pub(crate) fn axis_of(apply: &dyn Apply, x: Id, axis: isize) -> Result<usize, Mistake> {
    let kind = apply.kind(x)?;
    axis_below(kind, kind.shape.rank(), axis)
}

/// As [`axis_of`], of so many axes.
fn axis_below(kind: Kind, rank: usize, axis: isize) -> Result<usize, Mistake> {
    let from_start = if axis < 0 { rank.checked_add_signed(axis) } else { Some(axis as usize) };
    let rule = match from_start {
        Some(axis) if axis < rank => return Ok(axis),
        Some(axis) => Rule::Axis { axis, rank },
        None => Rule::Attribute("an axis counted from the end, -1 the last, must be there"),
    };
    Err(Mistake { op: "axis", inputs: vec![kind], rule })
}

pub(crate) fn axes_of(apply: &dyn Apply, x: Id, axes: &[isize]) -> Result<Vec<usize>, Mistake> {
    axes.iter().map(|axis| axis_of(apply, x, *axis)).collect()
}

impl Tensor {
    pub(crate) fn failed() -> Self {
        Self(Handle::Failed)
    }

    /// Nothing, for this reason.
    pub(crate) fn absent(reason: &'static str) -> Self {
        Self(Handle::Absent(reason))
    }

    pub(crate) fn of(held: Option<Rc<Held>>) -> Self {
        Self(held.map_or(Handle::Failed, Handle::Held))
    }

    /// Of what the engine made, or a mistake at the caller's line.
    #[track_caller]
    pub(crate) fn made(held: Result<Rc<Held>>) -> Self {
        match held {
            Ok(held) => Self(Handle::Held(held)),
            Err(error) => {
                engine::note(error);
                Self::failed()
            }
        }
    }

    /// What it holds; none if it failed. Using nothing is noted.
    #[track_caller]
    pub(crate) fn held(&self) -> Option<&Rc<Held>> {
        match &self.0 {
            Handle::Held(held) if held.is_of_this_call() => Some(held),
            Handle::Held(_) => {
                engine::note(PlanError::Internal(OF_ANOTHER_CALL.into()));
                None
            }
            Handle::Failed => None,
            Handle::Absent(reason) => {
                engine::note(PlanError::Internal((*reason).to_owned()));
                None
            }
        }
    }

    /// As [`held`](Self::held), or the first mistake.
    #[track_caller]
    pub(crate) fn checked(&self) -> Result<&Rc<Held>> {
        let held = self.held();
        engine::check()?;
        held.ok_or_else(|| PlanError::Internal("the tensor failed".into()))
    }

    fn kind(&self) -> Option<Kind> {
        match &self.0 {
            Handle::Held(held) => Some(held.kind),
            _ => None,
        }
    }

    /// A tensor of these elements, `f32`, `f64`, `i64` or `bool`, in this shape.
    #[must_use]
    #[track_caller]
    pub fn from_slice<T: Element>(elements: &[T], shape: &[usize]) -> Self {
        match fedwasm_compute::Tensor::new(shape, elements) {
            Ok(tensor) => Self::made(engine::insert(&tensor)),
            Err(rule) => {
                let len = elements.len();
                let text = format!("{len} elements in shape {shape:?}: {rule}");
                Self::made(Err(PlanError::Internal(text)))
            }
        }
    }

    /// A float32 tensor of one value.
    #[must_use]
    #[track_caller]
    pub fn full(shape: &[usize], value: f64) -> Self {
        Self::full_of(shape, value, Dtype::F32)
    }

    /// As [`full`](Self::full), of any dtype.
    #[must_use]
    #[track_caller]
    pub fn full_of(shape: &[usize], value: f64, dtype: Dtype) -> Self {
        apply(&[], &mut |apply, _| fedwasm_compute::compose::full(apply, shape, dtype, value))
    }

    /// A float32 tensor of zeros.
    #[must_use]
    #[track_caller]
    pub fn zeros(shape: &[usize]) -> Self {
        Self::full(shape, 0.0)
    }

    /// A float32 tensor of ones.
    #[must_use]
    #[track_caller]
    pub fn ones(shape: &[usize]) -> Self {
        Self::full(shape, 1.0)
    }

    /// The whole numbers from 0 to below `len`, int64.
    #[must_use]
    #[track_caller]
    pub fn range(len: usize) -> Self {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        apply(&[], &mut |apply, _| apply.apply(Op::Range(len), &[]))
    }

    /// Lengths of the axes; none if it failed.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.kind().map_or_else(Vec::new, |kind| kind.shape.sizes().collect())
    }

    /// The length of an axis; 0 if there is none, or if the tensor failed.
    #[must_use]
    pub fn size(&self, axis: isize) -> usize {
        let sizes = self.shape();
        let axis =
            if axis < 0 { sizes.len().checked_add_signed(axis) } else { Some(axis as usize) };
        axis.and_then(|axis| sizes.get(axis).copied()).unwrap_or(0)
    }

    /// How many axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.kind().map_or(0, |kind| kind.shape.rank())
    }

    /// How many elements; 0 if it failed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kind().map_or(0, |kind| kind.shape.len())
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the elements; float32 if it failed.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.kind().map_or(Dtype::F32, |kind| kind.dtype)
    }

    /// The number of a tensor of one floating-point element.
    ///
    /// # Errors
    /// The first mistake, or that there is not one such element.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        engine::item(self.checked()?)
    }

    /// All elements, row-major, if they are of this type.
    ///
    /// # Errors
    /// The first mistake, or that they are of another type.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let tensor = engine::value(self.checked()?)?;
        let (wanted, got) = (T::DTYPE, tensor.dtype());
        let elements = tensor.get::<T>().map(<[T]>::to_vec);
        let other = || PlanError::Internal(format!("elements are {got}, {wanted} was asked for"));
        elements.ok_or_else(other)
    }

    /// Adds the gradient of this loss, a tensor of one element, to the parameters that it depends
    /// on, and forgets everything that was recorded: a second loss is computed after it, or added to
    /// this one before.
    ///
    /// # Errors
    /// The first mistake, or that this is not one floating-point element.
    #[track_caller]
    pub fn backward(&self) -> Result<()> {
        engine::backward(self.checked()?)
    }

    /// The same elements, through which no gradient flows.
    #[must_use]
    #[track_caller]
    pub fn detach(&self) -> Self {
        match self.held() {
            Some(held) => Self::made(engine::detach(held)),
            None => Self::failed(),
        }
    }

    /// The tensor itself, whose gradient [`backward`](Self::backward) keeps, too: for gradients of
    /// inputs.
    #[must_use]
    #[track_caller]
    pub fn requires_grad(self) -> Self {
        if let Some(held) = self.held()
            && let Err(error) = engine::want_gradient(held, true)
        {
            engine::note(error);
        }
        self
    }

    /// Takes the gradient that [`backward`](Self::backward) left; none if there is none.
    ///
    /// # Errors
    /// The first mistake.
    #[track_caller]
    pub fn take_gradient(&self) -> Result<Option<Self>> {
        let gradient = engine::take_gradient(self.checked()?)?;
        Ok(gradient.map(|held| Self(Handle::Held(held))))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Handle::Held(held) => write!(f, "{} tensor", held.kind),
            Handle::Failed => f.write_str("a tensor that failed"),
            Handle::Absent(reason) => write!(f, "no tensor: {reason}"),
        }
    }
}

/// Computes without recording: no gradient flows through what `f` does.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    engine::set_recording(false);
    let done = f();
    engine::set_recording(true);
    done
}

/// A shape, or the mistake of an operation.
fn shape_of(op: &'static str, sizes: &[usize]) -> Result<Shape, Mistake> {
    Shape::new(sizes).map_err(|rule| Mistake { op, inputs: Vec::new(), rule })
}
