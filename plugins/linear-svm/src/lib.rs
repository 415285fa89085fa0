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

module! {
    struct LinearSvm { weight: Parameter, bias: Parameter, lambda: f64 }
}

impl LinearSvm {
    /// How far on the side of class 1 each row is, shape [rows].
    fn distances(&self, batch: &Batch) -> Tensor {
        batch.inputs.matmul(&self.weight.tensor()) + self.bias.tensor()
    }
}

impl TrainingPlan for LinearSvm {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let weight = Parameter::new(&[args.n_features], Init::Zeros);
        Ok(Self { weight, bias: Parameter::new(&[1], Init::Zeros), lambda: args.lambda })
    }

    fn data(&self) -> Data {
        Data::classes(&self.weight.shape())
    }

    fn train(&mut self, training: &mut Training) -> Result<()> {
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(&batch)?;
            let penalty = self.weight.tensor().square().sum_all() * (self.lambda / 2.0);
            (&loss + penalty).backward()?;
            training.correct()?;
            for parameter in [&self.weight, &self.bias] {
                if let Some(gradient) = parameter.take_gradient()? {
                    no_grad(|| parameter.set(&(parameter.tensor() - gradient * training.lr())));
                }
            }
            training.report(&loss)?;
        }
        Ok(())
    }

    /// The mean hinge loss: of the rows inside of the margin.
    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let sides = batch.targets.eq(1.0).where_(1.0, -1.0);
        Ok((1.0 - sides * self.distances(batch)).relu().mean_all())
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let distances = self.distances(batch);
        Ok(Tensor::stack(&[&-&distances, &distances], 1))
    }
}

export!(LinearSvm);
