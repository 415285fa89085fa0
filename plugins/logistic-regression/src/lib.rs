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
    struct LogisticRegression { linear: Linear, class_weights: Vec<f32> }
}

impl TrainingPlan for LogisticRegression {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let (n, weights) = (args.n_classes, &args.class_weights);
        if !weights.is_empty() && (weights.len() != n || !weights.iter().all(|w| *w >= 0.0)) {
            let text = format!("has {} weights: expected {n}, none below 0", weights.len());
            return Err(PlanError::InvalidArgument(format!("model.class_weights {text}")));
        }
        let class_weights = weights.iter().map(|weight| *weight as f32).collect();
        Ok(Self { linear: Linear::new(args.n_features, n), class_weights })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let of = &self.class_weights;
        let weights = (!of.is_empty()).then(|| Tensor::from_slice(of, &[of.len()]));
        let loss = CrossEntropy { weights, ..CrossEntropy::default() };
        Ok(self.predict(batch)?.cross_entropy_with(&batch.targets, &loss))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }
}

export!(LogisticRegression);
