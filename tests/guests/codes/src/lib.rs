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

module! {
    struct Codes {
        table: Embedding,
        hidden: Linear,
        output: Linear,
        first_code: i64,
    }
}

impl TrainingPlan for Codes {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self {
            table: Embedding::new(args.n_codes, WIDTH),
            hidden: Linear::new(COLUMNS * WIDTH, 16),
            output: Linear::new(16, args.n_classes),
            first_code: args.first_code,
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[COLUMNS])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let codes = &batch.inputs - self.first_code as f64;
        let entries = self.table.forward(&codes).flatten(1);
        Ok(self.output.forward(&self.hidden.forward(&entries).tanh()))
    }
}

export!(Codes);
