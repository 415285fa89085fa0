//! The one trait that a plan implements.

use crate::{
    Batch, Data, Dependency, Layers, Optimizer, Parameter, PlanArguments, Random, Result, Scope,
    Task, Tensor, Training,
};

/// A model, a training step and a prediction.
///
/// The SDK does the rest: it announces the parameters of [`layers`], reads and writes them, steps
/// the optimizer after every batch and reports the loss. The host decides how many batches there
/// are and in which order.
///
/// [`layers`]: TrainingPlan::layers
pub trait TrainingPlan: Sized + 'static {
    /// What the predictions mean, and so which standard metrics the host computes.
    const TASK: Task;

    /// The names of the plan's own metrics, which [`metrics`] returns: at most 16, each of `a-z`,
    /// `0-9`, `_`, `-` and `.`. Whoever approves the plan reads them, and no other name gets out.
    ///
    /// [`metrics`]: TrainingPlan::metrics
    const METRICS: &'static [&'static str] = &[];

    /// The model arguments, `()` if there are none: see [`crate::arguments!`].
    type Arguments: PlanArguments;

    /// The optimizer (Fed-BioMed `init_optimizer`); its arguments are announced with the model's.
    type Optimizer: Optimizer;

    /// What the plan needs beyond the contract itself (Fed-BioMed `init_dependencies`).
    fn dependencies() -> Vec<Dependency> {
        Vec::new()
    }

    /// Builds the model with parameters of the right shapes and any values (Fed-BioMed
    /// `init_model`). The SDK fills them in afterwards.
    ///
    /// # Errors
    /// [`crate::PlanError::InvalidArgument`] if no model has these arguments.
    fn model(args: &Self::Arguments) -> Result<Self>;

    /// The layers by name, always the same in the same order. A parameter is called
    /// `layer.parameter`, such as `linear.weight`.
    fn layers(&mut self) -> Layers<'_> {
        Vec::new()
    }

    /// The parameters by name, always the same in the same order: by default those of the layers.
    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        let mut parameters = Vec::new();
        for (layer, of_layer) in self.layers() {
            for (name, parameter) in of_layer.parameters() {
                parameters.push((format!("{layer}.{name}"), parameter));
            }
        }
        parameters
    }

    /// Draws initial values of the parameters: by default each layer its own.
    ///
    /// # Errors
    /// Those of [`Random`].
    fn init(&mut self, random: &mut Random) -> Result<()> {
        self.layers().into_iter().try_for_each(|(_, layer)| layer.init(random))
    }

    /// Who may see the parameter of this name: by default the researcher, too. A local one stays
    /// at the node, where it goes on from round to round (Fed-BioMed `tag_parameters`).
    fn scope(_parameter: &str) -> Scope {
        Scope::Shared
    }

    /// What a batch must hold. By default the inputs of the first layer, and for classification
    /// one class index a row, otherwise one real number.
    fn data(&mut self) -> Data {
        let inputs = self.layers().first().and_then(|(_, layer)| layer.input_shape());
        let inputs = inputs.unwrap_or_else(|| vec![1]);
        match Self::TASK {
            Task::Classification => Data::classes(&inputs),
            Task::Regression | Task::Other(_) => Data::reals(&inputs, 1),
        }
    }

    /// Computes the mean loss of one batch and adds its gradient to the parameters, which start
    /// from zero (Fed-BioMed `training_step`).
    ///
    /// # Errors
    /// [`crate::PlanError::BadData`] if the batch is not what [`data`] says.
    ///
    /// [`data`]: TrainingPlan::data
    fn training_step(&mut self, batch: Batch) -> Result<f32>;

    /// Trains on all batches that the host gives: by default one [`training_step`] and one step
    /// of the optimizer each. A loop of one's own goes here.
    ///
    /// # Errors
    /// Those of [`training_step`] and of [`Training`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn train(&mut self, training: &mut Training<Self>) -> Result<()> {
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(batch)?;
            training.step(self, loss)?;
        }
        Ok(())
    }

    /// Computes the scores of a batch, shape [rows, classes or outputs]. It has no targets.
    ///
    /// # Errors
    /// [`crate::PlanError::BadData`] if the inputs have another shape.
    fn predict(&mut self, batch: Batch) -> Result<Tensor>;

    /// Computes the mean loss of one held-out batch (Fed-BioMed `testing_step`). By default that
    /// of [`training_step`], without a step.
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn testing_step(&mut self, batch: Batch) -> Result<f32> {
        self.training_step(batch)
    }

    /// Computes the plan's own metrics of one held-out batch, such as
    /// ("calibration_error", 0.02), each announced in [`METRICS`]. The SDK takes their mean over
    /// all rows. `loss` and the metrics of the host, such as
    /// `accuracy`, have their names already.
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`METRICS`]: TrainingPlan::METRICS
    /// [`training_step`]: TrainingPlan::training_step
    fn metrics(&mut self, _batch: &Batch) -> Result<Vec<(&'static str, f32)>> {
        Ok(Vec::new())
    }

    /// Changes the parameters after training, before they are written (Fed-BioMed `postprocess`).
    ///
    /// # Errors
    /// Whatever the plan finds wrong; the round then fails.
    fn postprocess(&mut self) -> Result<()> {
        Ok(())
    }
}
