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

struct Several {
    of_numbers: Parameter,
    of_picture: Parameter,
}

impl TrainingPlan for Several {
    const TASK: Task = Task::Regression;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let (n, pixels) = (args.n_numbers, PICTURE.iter().product());
        Ok(Self { of_numbers: Parameter::zeros(&[n])?, of_picture: Parameter::zeros(&[pixels])? })
    }

    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        let [a, b] = [&mut self.of_numbers, &mut self.of_picture];
        vec![("of_numbers".into(), a), ("of_picture".into(), b)]
    }

    fn data(&mut self) -> Data {
        Data::reals(self.of_numbers.value.shape(), 1)
            .and_input("picture", &PICTURE)
            .and_reals("second", 1)
    }

    /// Squared differences of both targets, half of the mean over the rows.
    fn training_step(&mut self, mut batch: Batch) -> Result<f32> {
        let picture = batch.take_input("picture")?;
        let (rows, mut loss) = (batch.inputs.rows(), 0.0);
        let first = batch.targets.reals(&[rows, 1])?;
        let second = batch.target("second")?.reals(&[rows, 1])?;
        for (parameter, inputs, targets) in
            [(&mut self.of_numbers, &batch.inputs, first), (&mut self.of_picture, &picture, second)]
        {
            let (weight, gradient) = (parameter.value.data(), parameter.gradient.data_mut());
            for (row, target) in inputs.data().chunks_exact(weight.len()).zip(targets.data()) {
                let difference = reduction::dot(row, weight) - target;
                loss += difference * difference / 2.0;
                elementwise::add_scaled(gradient, difference / rows as f32, row);
            }
        }
        Ok(loss / rows as f32)
    }

    fn predict(&mut self, mut batch: Batch) -> Result<Tensor> {
        let picture = batch.take_input("picture")?;
        let (n, rows) = (self.of_numbers.value.data().len(), batch.inputs.rows());
        let numbers = batch.inputs.data().chunks_exact(n);
        let said = numbers.zip(picture.data().chunks_exact(12)).flat_map(|(numbers, picture)| {
            let of_picture = reduction::dot(picture, self.of_picture.value.data());
            [reduction::dot(numbers, self.of_numbers.value.data()), of_picture]
        });
        Tensor::new(&[rows, 2], said.collect())
    }
}

export!(Several);
