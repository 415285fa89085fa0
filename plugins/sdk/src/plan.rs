//! The one trait that a plan implements.

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::{
    Batch, Data, Dependency, Module, Optimizer, PlanArguments, Random, Result, Scope, Tensor,
    Training,
};

/// What predictions mean, and so which standard metrics the host computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Scores of classes; the target is a class index.
    Classification,
    /// Real numbers.
    Regression,
    /// Something else, by name, such as "segmentation"; the host computes no standard metrics.
    Other(&'static str),
}

impl Task {
    pub(crate) fn into_wit(self) -> wit::Task {
        match self {
            Self::Classification => wit::Task::Classification,
            Self::Regression => wit::Task::Regression,
            Self::Other(name) => wit::Task::Other(name.into()),
        }
    }
}

/// A model, a training step and a prediction.
///
/// The SDK does the rest: it announces the parameters of the [`Module`], reads and writes them, goes
/// backward, steps the optimizer after every batch and reports the loss. The host decides how many
/// batches there are and in which order.
pub trait TrainingPlan: Module + Sized + 'static {
    /// What the predictions mean, and so which standard metrics the host computes.
    const TASK: Task;

    /// The names of the plan's own metrics, which [`metrics`] returns: at most 16, each of `a-z`,
    /// `0-9`, `_`, `-` and `.`. Those who approve the plan read them, and no other name gets out.
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

    /// Builds the model (Fed-BioMed `init_model`). Its parameters have shapes and no values yet.
    ///
    /// # Errors
    /// [`crate::PlanError::InvalidArgument`] if no model has these arguments.
    fn model(args: &Self::Arguments) -> Result<Self>;

    /// What a batch must hold.
    fn data(&self) -> Data;

    /// Draws initial values of the parameters: by default each its own, in their order.
    ///
    /// # Errors
    /// Those of [`Random`].
    fn init(&mut self, random: &mut Random) -> Result<()> {
        self.draw(random)
    }

    /// Who may see the parameter of this name: by default the researcher, too. A local one stays
    /// at the node, where it goes on from round to round (Fed-BioMed `tag_parameters`).
    fn scope(_parameter: &str) -> Scope {
        Scope::Shared
    }

    /// Computes the mean loss of one batch (Fed-BioMed `training_step`).
    ///
    /// # Errors
    /// What the plan finds wrong.
    fn training_step(&mut self, batch: &Batch) -> Result<Tensor>;

    /// Trains on all batches that the host gives: by default one [`training_step`] and one step
    /// of the optimizer each. A loop of one's own goes here.
    ///
    /// # Errors
    /// Those of [`training_step`] and of [`Training`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn train(&mut self, training: &mut Training) -> Result<()> {
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(&batch)?;
            training.step(&loss)?;
        }
        Ok(())
    }

    /// Computes the scores of a batch, shape [rows, classes or outputs]. It has no targets.
    ///
    /// # Errors
    /// What the plan finds wrong.
    fn predict(&mut self, batch: &Batch) -> Result<Tensor>;

    /// Computes the mean loss of one held-out batch (Fed-BioMed `testing_step`). By default that
    /// of [`training_step`].
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`training_step`]: TrainingPlan::training_step
    fn testing_step(&mut self, batch: &Batch) -> Result<Tensor> {
        self.training_step(batch)
    }

    /// Computes the plan's own metrics of one held-out batch, such as
    /// ("calibration_error", 0.02), each announced in [`METRICS`]. The SDK takes their mean over
    /// all rows. `loss` and the metrics of the host, such as `accuracy`, have their names already.
    ///
    /// # Errors
    /// As [`training_step`].
    ///
    /// [`METRICS`]: TrainingPlan::METRICS
    /// [`training_step`]: TrainingPlan::training_step
    fn metrics(&mut self, _batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }

    /// Changes the parameters after training, before they are written (Fed-BioMed `postprocess`).
    ///
    /// # Errors
    /// What the plan finds wrong; the round then fails.
    fn postprocess(&mut self) -> Result<()> {
        Ok(())
    }

    // A plan that is data, and not a type of its own, answers these by itself; for all others they
    // follow from the above.

    #[doc(hidden)]
    fn metadata(metadata: wit::Metadata) -> wit::Metadata {
        metadata
    }

    // A plan whose training takes no steps of an optimizer announces none of the arguments of one, nor
    // of aggregators that correct steps: the host refuses them by name.
    #[doc(hidden)]
    fn takes_steps() -> bool {
        true
    }

    #[doc(hidden)]
    fn metric_names() -> Vec<String> {
        Self::METRICS.iter().map(|name| (*name).to_owned()).collect()
    }

    #[doc(hidden)]
    fn named_metrics(&mut self, batch: &Batch) -> Result<Vec<(String, f64)>> {
        let metrics = self.metrics(batch)?;
        Ok(metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[doc(hidden)]
    fn testing_loss(&mut self, batch: &Batch) -> Result<Option<Tensor>> {
        self.testing_step(batch).map(Some)
    }
}
