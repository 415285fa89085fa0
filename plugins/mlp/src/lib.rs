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

struct Mlp {
    network: Sequential,
}

impl TrainingPlan for Mlp {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let network = Sequential::new()
            .then("hidden", Linear::new(args.n_features, args.hidden)?)
            .then("relu", Relu::new())
            .then("output", Linear::new(args.hidden, args.n_classes)?);
        Ok(Self { network })
    }

    fn layers(&mut self) -> Layers<'_> {
        self.network.layers()
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let scores = self.network.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.network.backward(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.network.forward(batch.inputs)
    }
}

export!(Mlp);
