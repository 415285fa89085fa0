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

struct Misbehaves {
    linear: Linear,
    deed: String,
}

impl TrainingPlan for Misbehaves {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn dependencies() -> Vec<Dependency> {
        vec![Dependency::Runtime("^0.1".into())]
    }

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 2)?, deed: args.deed.clone() })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
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
            "recurse" => Ok(recurse(1) as f32),
            "panic" => panic!("batch of {} rows\x1b[31m", batch.inputs.shape()[0]),
            "divide" => Ok((1 / std::hint::black_box(0i32)) as f32),
            "infinite" => {
                for parameter in self.linear.parameters() {
                    parameter.1.gradient.data_mut().fill(f32::INFINITY);
                }
                Ok(1.0)
            }
            _ => self.linear.forward(batch.inputs).map(|_| 0.5),
        }
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        match self.deed.as_str() {
            "narrow" => Tensor::zeros(&[1, 2]),
            _ => self.linear.forward(batch.inputs),
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
