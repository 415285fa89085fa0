//! The one trait that a plan implements.

use crate::{
    Argument, Arguments, Batch, Data, Dependency, Layers, Result, Scope, Sgd, Task, Tensor,
};

/// A model, a training step and a prediction.
///
/// The SDK does the rest: it announces the parameters of [`layers`], reads and
/// writes them, steps the optimizer after every batch and reports the loss.
/// The host decides how many batches there are and in which order.
///
/// [`layers`]: TrainingPlan::layers
pub trait TrainingPlan: Sized + 'static {
    /// What the predictions mean, and so which standard metrics the host computes.
    const TASK: Task;

    /// The model arguments that the plan understands, keys starting with
    /// `model.`. Those of the optimizer are added by the SDK.
    fn arguments() -> Vec<Argument> {
        Vec::new()
    }

    /// What the plan needs beyond the contract itself.
    fn dependencies() -> Vec<Dependency> {
        Vec::new()
    }

    /// Builds the model with parameters of the right shapes and any values
    /// (Fed-BioMed `init_model`). The SDK fills them in afterwards.
    ///
    /// # Errors
    /// [`crate::PlanError::InvalidArgument`] if no model has these arguments.
    fn model(args: &Arguments) -> Result<Self>;

    /// The layers by name, always the same in the same order. A parameter is
    /// called `layer.parameter`, such as `linear.weight`.
    fn layers(&mut self) -> Layers<'_>;

    /// Who may see the parameter of this name: by default the researcher, too.
    /// A local one stays at the node, where it goes on from round to round
    /// (Fed-BioMed `tag_parameters`).
    fn scope(_parameter: &str) -> Scope {
        Scope::Shared
    }

    /// What a batch must hold. By default the inputs of the first layer, and
    /// for classification one class index a row, otherwise one real number.
    fn data(&mut self) -> Data {
        let n_inputs = self.layers().first().map_or(0, |(_, layer)| layer.n_inputs());
        match Self::TASK {
            Task::Classification => Data::classes(n_inputs),
            Task::Regression | Task::Other(_) => Data::reals(n_inputs, 1),
        }
    }

    /// The optimizer (Fed-BioMed `init_optimizer`).
    ///
    /// # Errors
    /// [`crate::PlanError::InvalidArgument`] if its arguments are out of range.
    fn optimizer(args: &Arguments) -> Result<Sgd> {
        Sgd::from_arguments(args)
    }

    /// Computes the mean loss of one batch and adds its gradient to the
    /// parameters, which start from zero (Fed-BioMed `training_step`).
    ///
    /// # Errors
    /// [`crate::PlanError::BadData`] if the batch is not what [`data`] says.
    ///
    /// [`data`]: TrainingPlan::data
    fn training_step(&mut self, batch: &Batch) -> Result<f32>;

    /// Computes the scores of a batch, shape [rows, classes or outputs].
    ///
    /// # Errors
    /// [`crate::PlanError::BadData`] if the inputs have another shape.
    fn predict(&mut self, inputs: &Tensor) -> Result<Tensor>;

    /// Computes the mean loss of one held-out batch (Fed-BioMed
    /// `testing_step`). By default that of [`training_step`], without a step.
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn testing_step(&mut self, batch: &Batch) -> Result<f32> {
        self.training_step(batch)
    }

    /// Computes the plan's own metrics of one held-out batch, such as
    /// ("calibration error", 0.02). The SDK takes their mean over all rows.
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn metrics(&mut self, _batch: &Batch) -> Result<Vec<(&'static str, f32)>> {
        Ok(Vec::new())
    }
}
