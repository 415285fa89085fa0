//! Two inputs and two targets: each target is a linear function of one of the inputs.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// how many numbers there are beside the picture
        n_numbers: usize = required,
    }
}

/// The axes of the picture.
const PICTURE: [usize; 3] = [1, 3, 4];

module! {
    struct Several {
        of_numbers: Parameter,
        of_picture: Parameter,
    }
}

impl TrainingPlan for Several {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let of_picture = Parameter::new(&[PICTURE.iter().product()], Init::Zeros);
        Ok(Self { of_numbers: Parameter::new(&[args.n_numbers], Init::Zeros), of_picture })
    }

    fn data(&self) -> Data {
        let numbers = Data::reals(&self.of_numbers.shape(), 1);
        numbers.input("picture", &PICTURE).target_reals("second", 1)
    }

    /// Squared differences of both targets, half of the mean over the rows.
    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let targets = Tensor::concat(&[&batch.targets, &batch.target("second")], 1);
        let differences = self.predict(batch)? - targets;
        Ok(differences.square().sum(&[1]).mean_all() / 2.0)
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let of_numbers = batch.inputs.matmul(&self.of_numbers.tensor());
        let of_picture = batch.input("picture").flatten(1).matmul(&self.of_picture.tensor());
        Ok(Tensor::stack(&[&of_numbers, &of_picture], 1))
    }
}

export!(Several);
