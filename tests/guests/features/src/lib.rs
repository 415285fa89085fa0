//! A network whose features may be frozen, that adds noise to its inputs while it trains, or that
//! wrongly runs one layer for two inputs.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// whether only the last layer is trained
        freeze: bool = false,
        /// standard deviation of what is added to inputs in training
        noise: f64 = 0.0,
        /// whether a step runs the network on the inputs twice, and backward once
        twice: bool = false,
    }
}

struct Features {
    network: Sequential,
    noise: f32,
    twice: bool,
}

impl TrainingPlan for Features {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let network = Sequential::new()
            .then("features", Linear::new(args.n_features, 8)?.frozen(args.freeze))
            .then("normal", BatchNorm::new(8)?.frozen(args.freeze))
            .then("tanh", Tanh::new())
            .then("output", Linear::new(8, 2)?);
        Ok(Self { network, noise: args.noise as f32, twice: args.twice })
    }

    fn layers(&mut self) -> Layers<'_> {
        self.network.layers()
    }

    fn training_step(&mut self, mut batch: Batch) -> Result<f32> {
        if self.noise > 0.0 {
            let mut noise = vec![0.0; batch.inputs.data().len()];
            Random::new().fill_normal(&mut noise)?;
            elementwise::add_scaled(batch.inputs.data_mut(), self.noise, &noise);
        }
        if self.twice {
            self.network.forward(batch.inputs.clone())?;
        }
        let scores = self.network.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.network.backward(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.network.forward(batch.inputs)
    }
}

export!(Features);
