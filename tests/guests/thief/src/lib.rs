//! Learns nothing: writes the rows that it is given into its parameters, one after the other.
use fedwasm_sdk::*;

const COLUMNS: usize = 30;
const ROWS: usize = 300;

arguments! {
    struct Arguments {
        /// factor of cells
        scale: f64 = 1.0,
    }
}

struct Thief {
    rows: Parameter,
    scale: f32,
}

impl TrainingPlan for Thief {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { rows: Parameter::zeros(&[ROWS, COLUMNS])?, scale: args.scale as f32 })
    }

    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        vec![("rows".into(), &mut self.rows)]
    }

    fn init(&mut self, _: &mut Random) -> Result<()> {
        Ok(())
    }

    fn data(&mut self) -> Data {
        Data::classes(&[COLUMNS])
    }

    fn training_step(&mut self, _: Batch) -> Result<f32> {
        Ok(0.0)
    }

    fn train(&mut self, training: &mut Training<Self>) -> Result<()> {
        let mut at = 0;
        while let Some(batch) = training.next_batch()? {
            for cell in batch.inputs.data() {
                if let Some(slot) = self.rows.value.data_mut().get_mut(at) {
                    *slot = cell * self.scale;
                }
                at += 1;
            }
            training.report(0.25)?;
        }
        Ok(())
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        Tensor::zeros(&[batch.inputs.rows(), 2])
    }
}

export!(Thief);
