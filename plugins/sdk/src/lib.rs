#![doc = include_str!("../README.md")]

// The generated export macro names this crate by its public name.
extern crate self as fedwasm_sdk;

mod adapter;
mod arguments;
mod batch;
mod engine;
mod imports;
mod layers;
mod log;
mod module;
mod optimizers;
mod parameter;
mod plan;
mod random;
mod tensor;
#[cfg(test)]
mod torch_values;
mod training;

// Written by plugins/bindgen, which has the test that they follow wit/. A plan that computes by
// itself is of the first release, so that all hosts run it.
#[doc(hidden)]
#[rustfmt::skip]
#[cfg_attr(feature = "in-guest", path = "bindings/v0_1_0.rs")]
#[cfg_attr(not(feature = "in-guest"), path = "bindings/v0_2_0.rs")]
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
pub use batch::{Batch, Data};
pub use bindings::exports::fedwasm::training_plan::plan::Dependency;
pub use bindings::fedwasm::training_plan::types::{PlanError, Scope};
#[doc(hidden)]
pub use engine::{Source, noted};
pub use fedwasm_compute::Optimizer as Rule;
pub use fedwasm_compute::{Dtype, Element, Pooling, Reduction, Sampling, Window, Windows};
#[cfg(not(target_arch = "wasm32"))]
pub use imports::native;
pub use layers::*;
pub use log::{Level, log};
pub use module::{Mode, Module, Visitor};
pub use optimizers::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};
pub use parameter::{Init, Parameter};
pub use plan::{Task, TrainingPlan};
pub use random::Random;
pub use tensor::{CrossEntropy, Operand, Tensor, no_grad};
pub use training::Training;

/// What the functions of a plan return.
pub type Result<T, E = PlanError> = core::result::Result<T, E>;

/// Makes a type that implements [`TrainingPlan`] the plan of this component.
///
/// The plan's name and version are those of the crate that calls the macro.
// The tests of this crate hold several plans, and have one of their own.
#[cfg(not(test))]
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
