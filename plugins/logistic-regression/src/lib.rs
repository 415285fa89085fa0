//! Softmax regression: one linear layer under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// a weight for each class in the loss, or "balanced"; none: all classes alike
        class_weights: Vec<f64> = [],
    }
}

module! {
    struct LogisticRegression { linear: Linear, class_weights: Vec<f64> }
}

impl TrainingPlan for LogisticRegression {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        check_weights(args)?;
        Ok(Self {
            linear: Linear::new(args.n_features, args.n_classes),
            class_weights: args.class_weights.clone(),
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy_with(&batch.targets, &weighted(&self.class_weights)))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }
}

/// The loss with a weight for each class, if some are given.
fn weighted(weights: &[f64]) -> CrossEntropy {
    let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    let weights = (!weights.is_empty()).then(|| Tensor::from_slice(&weights, &[weights.len()]));
    CrossEntropy { weights, ..CrossEntropy::default() }
}

/// A weight for each class, or none.
fn check_weights(args: &Arguments) -> Result<()> {
    let (n, n_classes) = (args.class_weights.len(), args.n_classes);
    if n == 0 || (n == n_classes && args.class_weights.iter().all(|weight| *weight >= 0.0)) {
        return Ok(());
    }
    let text = format!("model.class_weights has {n} weights: expected {n_classes}, none below 0");
    Err(PlanError::InvalidArgument(text))
}

export!(LogisticRegression);
