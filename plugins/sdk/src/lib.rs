#![doc = include_str!("../README.md")]

// The generated export macro names this crate by its public name.
extern crate self as fedwasm_sdk;

mod adapter;
mod arguments;
mod batch;
#[cfg(test)]
mod finite_differences;
mod layers;
mod log;
mod losses;
mod optimizers;
mod parameter;
mod plan;
mod proximal;
mod scaffold;
mod session;
mod tensor;
#[cfg(test)]
mod torch_values;
mod training;

// Written by plugins/bindgen, which has the test that it follows wit/.
#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unreachable_pub, unsafe_code,
    clippy::all, clippy::unwrap_used, clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod bindings;
#[doc(hidden)]
#[expect(unsafe_code, reason = "the canonical ABI's allocator and the constructors of a module")]
pub mod runtime;

#[doc(hidden)]
pub use adapter::{Adapter, Package};
pub use arguments::{Argument, Arguments, FromLiteral, PlanArguments, Value};
pub use batch::{Batch, Data, Targets};
pub use bindings::exports::fedwasm::training_plan::plan::{Dependency, Task};
pub use bindings::fedwasm::training_plan::types::{PlanError, Scope};
pub use fedwasm_kernels::{Matrix, add_product, elementwise, math, reduction};
pub use layers::{
    AvgPool2d, BatchNorm, Conv2d, Dropout, Embedding, Flatten, Frozen, Layer, Layers, Linear,
    MaxPool2d, Relu, Sequential, Sigmoid, Tanh,
};
pub use log::{Level, log};
pub use losses::{binary_cross_entropy, cross_entropy, huber, mae, mse};
pub use optimizers::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};
pub use parameter::Parameter;
pub use plan::TrainingPlan;
pub use session::Random;
pub use tensor::Tensor;
pub use training::Training;

/// What the functions of a plan return.
pub type Result<T> = core::result::Result<T, PlanError>;

/// Makes a type that implements [`TrainingPlan`] the plan of this component.
///
/// The plan's name and version are those of the crate that calls the macro.
#[macro_export]
macro_rules! export {
    ($plan:ty) => {
        const _: () = {
            impl $crate::Package for $plan {
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            }
            type Exported = $crate::Adapter<$plan>;
    $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
        };
    };
}
