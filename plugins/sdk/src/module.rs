//! Modules: what has parameters.

use std::cell::Cell;
use std::rc::Rc;

use crate::{Parameter, Random, Result, engine};

/// A part of a model: parameters, and modules that have some. [`crate::module!`] implements it.
pub trait Module {
    /// Shows the visitor each field that has parameters, always the same in the same order.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// Leaves all parameters inside as they are: they are declared as not trainable, and what
    /// computes otherwise in training, such as dropout and batch normalisation, computes as in
    /// prediction. Gradients go through it to what comes before.
    fn freeze(&self) {
        Visitor::walk(self, &mut |leaf| match leaf {
            Leaf::Parameter(_, parameter) => parameter.set_frozen(),
            Leaf::Mode(mode) => mode.0.set(true),
        });
    }

    /// Keeps all parameters inside at the node (Fed-BioMed `tag_parameters`).
    fn keep_local(&self) {
        Visitor::walk(self, &mut |leaf| {
            if let Leaf::Parameter(_, parameter) = leaf {
                parameter.set_local();
            }
        });
    }

    /// Draws initial values of all parameters inside, each by its own [`crate::Init`], in their order.
    ///
    /// # Errors
    /// Those of [`Random`].
    fn draw(&self, random: &mut Random) -> Result<()> {
        self.parameters().iter().try_for_each(|(_, parameter)| parameter.init(random))
    }

    /// The parameters by name; one that is there twice has its first name. A name is the path to it:
    /// `encoder.layers.0.weight`.
    fn parameters(&self) -> Vec<(String, Parameter)> {
        let mut parameters = Vec::new();
        Visitor::walk(self, &mut |leaf| {
            if let Leaf::Parameter(name, parameter) = leaf {
                let is_new = |(_, known): &(String, Parameter)| !known.is_same(parameter);
                if parameters.iter().all(is_new) {
                    parameters.push((name.to_owned(), parameter.clone()));
                }
            }
        });
        parameters
    }
}

/// What a visitor comes to.
pub(crate) enum Leaf<'a> {
    Parameter(&'a str, &'a Parameter),
    Mode(&'a Mode),
}

/// Goes through the parameters of a module.
pub struct Visitor<'a> {
    path: String,
    leaf: &'a mut dyn FnMut(Leaf<'_>),
}

impl Visitor<'_> {
    fn walk<M: Module + ?Sized>(module: &M, leaf: &mut dyn FnMut(Leaf<'_>)) {
        module.visit(&mut Visitor { path: String::new(), leaf });
    }

    /// Visits a field under its name.
    pub fn field(&mut self, name: &str, module: &dyn Module) {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        module.visit(self);
        self.path.truncate(len);
    }

    pub(crate) fn parameter(&mut self, parameter: &Parameter) {
        (self.leaf)(Leaf::Parameter(&self.path, parameter));
    }

    pub(crate) fn mode(&mut self, mode: &Mode) {
        (self.leaf)(Leaf::Mode(mode));
    }
}

/// A field of modules that compute otherwise in training.
#[derive(Clone, Debug, Default)]
pub struct Mode(Rc<Cell<bool>>);

impl Mode {
    /// Whether the plan trains and the module is not frozen.
    #[must_use]
    pub fn is_training(&self) -> bool {
        !self.0.get() && engine::is_training()
    }
}

impl Module for Mode {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.mode(self);
    }
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        /// A plain value has no parameters.
        impl Module for $type {
            fn visit(&self, _: &mut Visitor<'_>) {}
        }
    )*};
}

plain! { () bool usize u32 u64 i32 i64 f32 f64 String &'static str }

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

impl<M: Module> Module for [M] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (nth, module) in self.iter().enumerate() {
            visitor.field(&nth.to_string(), module);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self[..].visit(visitor);
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self[..].visit(visitor);
    }
}

/// Declares a struct as a [`Module`](crate::Module): its fields are modules, parameters, or plain
/// values. A parameter is called by the path to it, here `hidden.weight`.
///
/// ```
/// use fedwasm_sdk::*;
///
/// module! {
///     /// Two layers.
///     struct Network {
///         hidden: Linear,
///         output: Linear,
///         scale: f64,
///     }
/// }
///
/// impl Layer for Network {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.output.forward(&self.hidden.forward(x).relu()) * self.scale
///     }
/// }
/// ```
#[macro_export]
macro_rules! module {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type,)*
        }

        impl $crate::Module for $name {
            fn visit(&self, visitor: &mut $crate::Visitor<'_>) {
                $(visitor.field(::core::stringify!($field), &self.$field);)*
                let _ = visitor;
            }
        }
    };
}
