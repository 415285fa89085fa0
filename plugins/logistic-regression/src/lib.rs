//! Softmax regression: one linear layer under the cross-entropy loss.
use fedwasm_sdk::*;

struct LogisticRegression {
    linear: Linear,
}

impl TrainingPlan for LogisticRegression {
    const TASK: Task = Task::Classification;

    fn arguments() -> Vec<Argument> {
        vec![
            Argument::input_columns("model.n_features", "number of input columns"),
            Argument::target_classes("model.n_classes", "number of classes"),
        ]
    }

    fn model(args: &Arguments) -> Result<Self> {
        let (inputs, outputs) = (args.size("model.n_features")?, args.size("model.n_classes")?);
        Ok(Self { linear: Linear::new(inputs, outputs)? })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: &Batch) -> Result<f32> {
        let scores = self.linear.forward(&batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.linear.backward(&batch.inputs, &gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, inputs: &Tensor) -> Result<Tensor> {
        self.linear.forward(inputs)
    }
}

export!(LogisticRegression);
