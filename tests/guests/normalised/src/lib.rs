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

module! {
    struct Normalised {
        hidden: Linear,
        normal: BatchNorm,
        output: Linear,
    }
}

impl TrainingPlan for Normalised {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let normal = BatchNorm::new(8).share_buffers(args.share_persistent_buffers);
        Ok(Self { hidden: Linear::new(args.n_features, 8), normal, output: Linear::new(8, 2) })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.hidden.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let hidden = self.normal.forward(&self.hidden.forward(&batch.inputs));
        Ok(self.output.forward(&hidden.tanh()))
    }
}

export!(Normalised);
