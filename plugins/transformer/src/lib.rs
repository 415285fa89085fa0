//! A transformer for tables (Gorishniy et al. 2021): each column is a token, encoder layers let the
//! tokens see each other, and a linear layer scores their mean under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// numbers of a token
        width: usize = 32,
        /// heads of attention; they must divide the width
        heads: usize = 4,
        /// encoder layers
        layers: usize = 2,
        /// hidden units of an encoder layer
        hidden: usize = 64,
        /// probability to leave a unit out
        dropout: f64 = 0.1,
    }
}

module! {
    struct Transformer {
        scale: Parameter,
        shift: Parameter,
        layers: Vec<TransformerEncoderLayer>,
        norm: LayerNorm,
        output: Linear,
    }
}

impl TrainingPlan for Transformer {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = AdamW;

    fn model(args: &Arguments) -> Result<Self> {
        let Arguments { n_features, width, heads, hidden, .. } = *args;
        let token = Init::Uniform(1.0 / (width as f64).sqrt());
        let layer = |_| {
            TransformerEncoderLayer::new(width, heads, hidden)
                .norm_first()
                .gelu()
                .dropout(args.dropout)
        };
        Ok(Self {
            scale: Parameter::new(&[n_features, width], token),
            shift: Parameter::new(&[n_features, width], token),
            layers: (0..args.layers).map(layer).collect(),
            norm: LayerNorm::new(width),
            output: Linear::new(width, args.n_classes),
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.scale.size(0)])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let tokens = batch.inputs.unsqueeze(-1) * self.scale.tensor() + self.shift.tensor();
        let seen = self.layers.iter().fold(tokens, |x, layer| layer.forward(&x));
        Ok(self.output.forward(&self.norm.forward(&seen).mean(&[1])))
    }
}

export!(Transformer);
