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

struct LogisticRegression {
    linear: Linear,
}

impl TrainingPlan for LogisticRegression {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, args.n_classes)? })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let scores = self.linear.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.linear.backward_first(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.linear.forward(batch.inputs)
    }
}

export!(LogisticRegression);
