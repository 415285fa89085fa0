//! Parameters of models.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use fedwasm_compute::{Kind, Shape};

use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::{Dtype, Module, PlanError, Random, Result, Tensor, Visitor, engine, no_grad};

/// What a parameter starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// One value.
    Full(f64),
    /// Draws from U(-bound, bound).
    Uniform(f64),
    /// Draws from the normal distribution around 0 with this standard deviation.
    Normal(f64),
}

impl Init {
    /// Draws so many values.
    fn draw(self, random: &mut Random, len: usize) -> Result<Vec<f32>> {
        let mut values = vec![0.0; len];
        match self {
            Self::Zeros => {}
            Self::Ones => values.fill(1.0),
            Self::Full(value) => values.fill(value as f32),
            Self::Uniform(bound) => random.fill_uniform(&mut values, bound as f32)?,
            Self::Normal(deviation) => {
                random.fill_normal(&mut values)?;
                values.iter_mut().for_each(|value| *value *= deviation as f32);
            }
        }
        Ok(values)
    }
}

/// A float32 tensor that the model is made of. A clone is the same parameter: a weight that two
/// modules share is one.
#[derive(Clone)]
pub struct Parameter(Rc<Inner>);

struct Inner {
    shape: Shape,
    init: Init,
    is_buffer: bool,
    is_frozen: Cell<bool>,
    is_local: Cell<bool>,
    /// None before the adapter has loaded or drawn it.
    value: RefCell<Option<Tensor>>,
}

impl Parameter {
    /// A parameter that training moves.
    ///
    /// A length of 0, or more elements than a tensor has, is a mistake of the model's arguments.
    #[must_use]
    #[track_caller]
    pub fn new(shape: &[usize], init: Init) -> Self {
        Self::with(shape, init, false)
    }

    /// A parameter that training changes, but not along a gradient, such as running means.
    #[must_use]
    #[track_caller]
    pub fn buffer(shape: &[usize], init: Init) -> Self {
        Self::with(shape, init, true)
    }

    #[track_caller]
    fn with(shape: &[usize], init: Init, is_buffer: bool) -> Self {
        if shape.contains(&0) {
            let text = format!("a parameter of shape {shape:?}: each length must be at least 1");
            engine::note_argument(text);
        }
        // No closure: the place that is noted is that of the caller.
        let checked = match Shape::new(shape) {
            Ok(shape) => shape,
            Err(rule) => {
                engine::note_argument(format!("a parameter of shape {shape:?}: {rule}"));
                Shape::SCALAR
            }
        };
        Self(Rc::new(Inner {
            shape: checked,
            init,
            is_buffer,
            is_frozen: Cell::new(false),
            is_local: Cell::new(false),
            value: RefCell::new(None),
        }))
    }

    /// Lengths of the axes.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape.sizes().collect()
    }

    /// The length of an axis; 1 where there is none.
    #[must_use]
    pub fn size(&self, axis: usize) -> usize {
        self.0.shape.size(axis)
    }

    /// The value.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor {
        self.0.value.borrow().clone().unwrap_or_else(|| {
            Tensor::absent("a parameter has no value while the model is built and declared")
        })
    }

    /// Replaces the value by a tensor of the same shape; no gradient flows back through it.
    #[track_caller]
    pub fn set(&self, value: &Tensor) {
        let Some(held) = value.held() else { return };
        if held.kind != self.kind() {
            let text = format!("a parameter of {} cannot be set to {}", self.kind(), held.kind);
            return engine::note(PlanError::Internal(text));
        }
        let mut new = value.detach();
        if self.is_trained() {
            new = new.requires_grad();
        }
        // The old one goes after the borrow has ended.
        let _old = self.0.value.replace(Some(new));
    }

    /// Moves the value towards another by a share of the way, without a gradient: a running mean.
    #[track_caller]
    pub fn move_towards(&self, value: &Tensor, share: f64) {
        no_grad(|| self.set(&(self.tensor() * (1.0 - share) + value * share)));
    }

    /// Takes the gradient that [`Tensor::backward`] left; none if there is none.
    ///
    /// # Errors
    /// The first mistake.
    #[track_caller]
    pub fn take_gradient(&self) -> Result<Option<Tensor>> {
        self.tensor().take_gradient()
    }

    /// Adds to the gradient, which [`crate::Training::update`] takes its step along.
    ///
    /// # Errors
    /// The first mistake, or that the two differ in shape or no gradient is wanted.
    #[track_caller]
    pub fn add_gradient(&self, gradient: &Tensor) -> Result<()> {
        engine::add_gradient(self.tensor().checked()?, gradient.checked()?)
    }

    /// Whether training changes it without a gradient.
    #[must_use]
    pub fn is_buffer(&self) -> bool {
        self.0.is_buffer
    }

    /// Whether training leaves it as it is; it is declared as not trainable then.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.0.is_frozen.get()
    }

    /// Whether it stays at the node, whatever [`crate::TrainingPlan::scope`] says.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.is_local.get()
    }

    /// Whether steps of the optimizer move it.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        !self.is_frozen() && !self.is_buffer()
    }

    pub(crate) fn set_frozen(&self) {
        self.0.is_frozen.set(true);
    }

    pub(crate) fn set_local(&self) {
        self.0.is_local.set(true);
    }

    /// Whether both are one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind { dtype: Dtype::F32, shape: self.0.shape }
    }

    /// Draws its initial value.
    pub(crate) fn init(&self, random: &mut Random) -> Result<()> {
        let values = self.0.init.draw(random, self.0.shape.len())?;
        self.set(&Tensor::from_slice(&values, &self.shape()));
        engine::check()
    }

    /// Reads it from the store, as parameter `index`.
    pub(crate) fn load(&self, index: usize) -> Result<()> {
        let held = engine::load(Slot::Model, index, self.kind())?;
        if self.is_trained() {
            engine::want_gradient(&held, true)?;
        }
        let _old = self.0.value.replace(Some(Tensor::of(Some(held))));
        Ok(())
    }

    /// Writes it to the store, as parameter `index`.
    pub(crate) fn save(&self, index: usize) -> Result<()> {
        engine::save(Slot::Model, index, self.tensor().checked()?)
    }
}

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter(self);
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "parameter of {}", self.kind())
    }
}
