//! A linear support vector machine for two classes: no layers, and a training loop by hand (Pegasos,
//! Shalev-Shwartz et al. 2011, with a constant learning rate).
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// weight of the squared norm of the weights
        lambda: f64 = 0.001,
    }
}

struct LinearSvm {
    weight: Parameter,
    bias: Parameter,
    lambda: f32,
}

impl LinearSvm {
    /// How far on the side of class 1 each row is.
    fn distances(&self, inputs: &Tensor) -> Result<Vec<f32>> {
        inputs.rows_of(self.weight.value.shape(), "LinearSvm")?;
        let (weight, bias) = (self.weight.value.data(), self.bias.value.data()[0]);
        let rows = inputs.data().chunks_exact(weight.len());
        Ok(rows.map(|row| reduction::dot(row, weight) + bias).collect())
    }
}

impl TrainingPlan for LinearSvm {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let (weight, bias) = (Parameter::zeros(&[args.n_features])?, Parameter::zeros(&[1])?);
        Ok(Self { weight, bias, lambda: args.lambda as f32 })
    }

    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        vec![("weight".into(), &mut self.weight), ("bias".into(), &mut self.bias)]
    }

    fn data(&mut self) -> Data {
        Data::classes(self.weight.value.shape())
    }

    fn train(&mut self, training: &mut Training<Self>) -> Result<()> {
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(batch)?;
            training.correct(self);
            for parameter in [&mut self.weight, &mut self.bias] {
                let (value, gradient) = (&mut parameter.value, &mut parameter.gradient);
                elementwise::add_scaled(value.data_mut(), -training.lr(), gradient.data());
                gradient.data_mut().fill(0.0);
            }
            training.report(loss)?;
        }
        Ok(())
    }

    /// The mean hinge loss; its gradient is that of the rows inside of the margin.
    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let distances = self.distances(&batch.inputs)?;
        let (n, mut loss) = (distances.len() as f32, 0.0);
        let (weight, gradient) = (self.weight.value.data(), self.weight.gradient.data_mut());
        elementwise::add_scaled(gradient, self.lambda, weight);
        let rows = batch.inputs.data().chunks_exact(weight.len());
        for ((row, distance), class) in rows.zip(distances).zip(batch.targets.classes()?) {
            let side = if *class == 1 { 1.0 } else { -1.0 };
            if side * distance < 1.0 {
                loss += 1.0 - side * distance;
                elementwise::add_scaled(gradient, -side / n, row);
                self.bias.gradient.data_mut()[0] -= side / n;
            }
        }
        Ok(loss / n)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        let distances = self.distances(&batch.inputs)?;
        let scores = distances.iter().flat_map(|distance| [-distance, *distance]).collect();
        Tensor::new(&[distances.len(), 2], scores)
    }
}

export!(LinearSvm);
