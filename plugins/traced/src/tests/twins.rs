//! Plans in Rust.

use fedwasm_sdk::*;

arguments! {
    pub(super) struct Sizes {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// units of the hidden layer
        hidden: usize = 128,
    }
}

module! {
    pub(super) struct Mlp { hidden: Linear, output: Linear }
}

impl Package for Mlp {
    const NAME: &'static str = "mlp";
    const VERSION: &'static str = "0.1.0";
}

impl TrainingPlan for Mlp {
    const TASK: Task = Task::Classification;
    type Arguments = Sizes;
    type Optimizer = Sgd;

    fn model(args: &Sizes) -> Result<Self> {
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

module! {
    /// Batch normalisation, dropout, a frozen layer and a plain parameter, under AdamW.
    pub(super) struct Norms {
        first: Linear,
        norm: BatchNorm,
        dropout: Dropout,
        last: Linear,
        scale: Parameter,
    }
}

impl Package for Norms {
    const NAME: &'static str = "norms";
    const VERSION: &'static str = "0.1.0";
}

impl Norms {
    fn scores(&self, x: &Tensor) -> Tensor {
        let hidden = self.norm.forward(&self.first.forward(x)).gelu();
        self.last.forward(&self.dropout.forward(&hidden)) * self.scale.tensor()
    }
}

impl TrainingPlan for Norms {
    const TASK: Task = Task::Classification;
    const METRICS: &'static [&'static str] = &["agreement"];
    type Arguments = Sizes;
    type Optimizer = AdamW;

    fn model(args: &Sizes) -> Result<Self> {
        let first = Linear::without_bias(args.n_features, args.hidden);
        first.freeze();
        Ok(Self {
            first,
            norm: BatchNorm::new(args.hidden).momentum(0.25),
            dropout: Dropout::new(0.25),
            last: Linear::new(args.hidden, args.n_classes),
            scale: Parameter::new(&[1], Init::Full(2.0)),
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.first.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).softmax(-1))
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        let right = self.scores(&batch.inputs).argmax(-1).eq(&batch.targets);
        Ok(vec![("agreement", right.to_f32().mean_all().item()?)])
    }
}
