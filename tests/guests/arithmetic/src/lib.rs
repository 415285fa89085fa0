//! A model whose initial parameters are the results of all operations, for the test that compares
//! them with those of the host.
use fedwasm_compute::Session;
use fedwasm_sdk::*;

mod operations;

arguments! {
    struct Arguments {
        /// what shapes and numbers follow from
        seed: usize = 1,
    }
}

struct Arithmetic {
    results: Vec<(String, Vec<f32>, Parameter)>,
}

impl Module for Arithmetic {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.results.iter().for_each(|(name, _, parameter)| visitor.field(name, parameter));
    }
}

impl TrainingPlan for Arithmetic {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let results = operations::results(args.seed as u64, Session::new).into_iter();
        let results = results.map(|(name, bits)| {
            let parameter = Parameter::buffer(&[bits.len()], Init::Zeros);
            (name, bits, parameter)
        });
        Ok(Self { results: results.collect() })
    }

    fn data(&self) -> Data {
        Data::reals(&[1], 1)
    }

    fn init(&mut self, _: &mut Random) -> Result<()> {
        for (_, bits, parameter) in &self.results {
            parameter.set(&Tensor::from_slice(bits, &[bits.len()]));
        }
        Ok(())
    }

    fn training_step(&mut self, _: &Batch) -> Result<Tensor> {
        Err(PlanError::Unsupported("this plan computes in `init` only".into()))
    }

    fn predict(&mut self, _: &Batch) -> Result<Tensor> {
        Err(PlanError::Unsupported("this plan computes in `init` only".into()))
    }
}

export!(Arithmetic);
