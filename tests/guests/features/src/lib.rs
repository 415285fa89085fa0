//! A network whose features may be frozen, that adds noise to its inputs while it trains, and that
//! can run on a batch twice.
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

module! {
    struct Features {
        features: Linear,
        normal: BatchNorm,
        output: Linear,
        noise: f64,
        twice: bool,
    }
}

impl TrainingPlan for Features {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let (features, normal) = (Linear::new(args.n_features, 8), BatchNorm::new(8));
        if args.freeze {
            features.freeze();
            normal.freeze();
        }
        let (noise, twice) = (args.noise, args.twice);
        Ok(Self { features, normal, output: Linear::new(8, 2), noise, twice })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.features.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let mut batch = batch.clone();
        if self.noise > 0.0 {
            let mut noise = vec![0.0; batch.inputs.len()];
            Random::new().fill_normal(&mut noise)?;
            let noise = Tensor::from_slice(&noise, &batch.inputs.shape());
            batch.inputs = batch.inputs + noise * self.noise;
        }
        let mut loss = self.predict(&batch)?.cross_entropy(&batch.targets);
        if self.twice {
            loss = (loss + self.predict(&batch)?.cross_entropy(&batch.targets)) / 2.0;
        }
        Ok(loss)
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let features = self.normal.forward(&self.features.forward(&batch.inputs));
        Ok(self.output.forward(&features.tanh()))
    }
}

export!(Features);
