//! Linear regression: one linear layer under the mean squared error.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
    }
}

struct LinearRegression {
    linear: Linear,
}

impl TrainingPlan for LinearRegression {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 1)? })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let outputs = self.linear.forward(batch.inputs)?;
        let (loss, gradient) = mse(&outputs, &batch.targets)?;
        self.linear.backward_first(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.linear.forward(batch.inputs)
    }
}

export!(LinearRegression);
