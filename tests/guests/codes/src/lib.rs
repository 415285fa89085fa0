//! Classes from codes: each input is the number of an entry of a table.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// how many codes there are, counted from 0
        n_codes: usize = 11,
        /// the smallest code
        first_code: i64 = 0,
        /// number of classes
        n_classes: usize = target_classes,
    }
}

/// Codes of a row.
const COLUMNS: usize = 4;
/// Numbers for a code.
const WIDTH: usize = 3;

struct Codes {
    network: Sequential,
    first_code: i64,
}

impl TrainingPlan for Codes {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let network = Sequential::new()
            .then("table", Embedding::new(args.n_codes, WIDTH)?)
            .then("flatten", Flatten::new())
            .then("hidden", Linear::new(COLUMNS * WIDTH, 16)?)
            .then("tanh", Tanh::new())
            .then("output", Linear::new(16, args.n_classes)?);
        Ok(Self { network, first_code: args.first_code })
    }

    fn data(&mut self) -> Data {
        Data::classes(&[COLUMNS])
    }

    fn layers(&mut self) -> Layers<'_> {
        self.network.layers()
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let targets = batch.targets.clone();
        let (loss, gradient) = cross_entropy(&self.predict(batch)?, &targets)?;
        self.network.backward(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, mut batch: Batch) -> Result<Tensor> {
        for code in batch.inputs.data_mut() {
            *code -= self.first_code as f32;
        }
        self.network.forward(batch.inputs)
    }
}

export!(Codes);
