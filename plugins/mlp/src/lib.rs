//! A multilayer perceptron: two linear layers, the first rectified, under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// units of the hidden layer
        hidden: usize = 128,
    }
}

module! {
    struct Mlp { hidden: Linear, output: Linear }
}

impl TrainingPlan for Mlp {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self {
            hidden: Linear::new(args.n_features, args.hidden),
            output: Linear::new(args.hidden, args.n_classes),
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.hidden.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.output.forward(&self.hidden.forward(&batch.inputs).relu()))
    }
}

export!(Mlp);
