//! A plan that does what `model.deed` says, in its first training step.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// what to do
        deed: String = "none",
    }
}

module! {
    struct Misbehaves {
        linear: Linear,
        deed: String,
    }
}

impl TrainingPlan for Misbehaves {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn dependencies() -> Vec<Dependency> {
        vec![Dependency::Runtime(">=0.1, <0.3".into())]
    }

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 2), deed: args.deed.clone() })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        match self.deed.as_str() {
            "loop" => loop {
                std::hint::black_box(0);
            },
            "hoard" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1u8; 1 << 20]));
                }
            }
            "recurse" => Ok(Tensor::full(&[], recurse(1) as f64)),
            "panic" => panic!("batch of {} rows\x1b[31m", batch.rows()),
            "divide" => Ok(Tensor::full(&[], f64::from(1 / std::hint::black_box(0i32)))),
            "infinite" => Ok(Tensor::full(&[], 1.0)),
            _ => Ok(self.linear.forward(&batch.inputs).sum_all() * 0.0 + 0.5),
        }
    }

    fn train(&mut self, training: &mut Training) -> Result<()> {
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(&batch)?;
            training.report(&loss)?;
            loss.backward()?;
            if self.deed == "infinite" {
                let weight = &self.linear.weight;
                weight.add_gradient(&Tensor::full(&weight.shape(), f64::INFINITY))?;
            }
            training.update()?;
        }
        Ok(())
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        match self.deed.as_str() {
            "narrow" => Ok(Tensor::zeros(&[1, 2])),
            _ => Ok(self.linear.forward(&batch.inputs)),
        }
    }
}

#[inline(never)]
fn recurse(n: u64) -> u64 {
    if n == u64::MAX {
        return n;
    }
    recurse(std::hint::black_box(n + 1)) ^ std::hint::black_box(n)
}

export!(Misbehaves);
