//! A network with batch normalisation, whose running statistics are shared or stay at the nodes.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// whether running means and variances go to the researcher
        share_persistent_buffers: bool = true,
    }
}

struct Normalised {
    network: Sequential,
}

impl TrainingPlan for Normalised {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let normal = BatchNorm::new(8)?.share_buffers(args.share_persistent_buffers);
        let network = Sequential::new()
            .then("hidden", Linear::new(args.n_features, 8)?)
            .then("normal", normal)
            .then("tanh", Tanh::new())
            .then("output", Linear::new(8, 2)?);
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

export!(Normalised);
