//! A model whose initial parameters are the results of all kernels, for the test that compares
//! them with those of the host.
use fedwasm_sdk::*;

mod kernels;

arguments! {
    struct Arguments {
        /// what shapes and numbers follow from
        seed: usize = 1,
    }
}

struct Arithmetic {
    results: Vec<(String, Parameter)>,
}

impl TrainingPlan for Arithmetic {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let parameter = |(name, bits): (String, Vec<f32>)| {
            let value = Tensor::new(&[bits.len()], bits)?;
            Ok((name, Parameter::buffer(value)))
        };
        let results = kernels::results(args.seed as u32).into_iter().map(parameter);
        Ok(Self { results: results.collect::<Result<_>>()? })
    }

    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        self.results.iter_mut().map(|(name, parameter)| (name.clone(), parameter)).collect()
    }

    fn training_step(&mut self, _batch: Batch) -> Result<f32> {
        Err(PlanError::Unsupported("this plan computes in `init` only".into()))
    }

    fn predict(&mut self, _batch: Batch) -> Result<Tensor> {
        Err(PlanError::Unsupported("this plan computes in `init` only".into()))
    }
}

export!(Arithmetic);
