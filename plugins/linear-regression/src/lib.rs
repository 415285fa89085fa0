//! Linear regression: one linear layer under the mean squared error.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
    }
}

module! {
    struct LinearRegression { linear: Linear }
}

impl TrainingPlan for LinearRegression {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 1) })
    }

    fn data(&self) -> Data {
        Data::reals(&[self.linear.inputs()], 1)
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.mse(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }
}

export!(LinearRegression);
