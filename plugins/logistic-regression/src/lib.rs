//! Softmax regression: one linear layer under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
    }
}

module! {
    struct LogisticRegression { linear: Linear }
}

impl TrainingPlan for LogisticRegression {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, args.n_classes) })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }
}

export!(LogisticRegression);
