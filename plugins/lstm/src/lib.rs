//! A recurrent network that classifies sequences: a row's columns are time steps, one after the
//! other, and a linear layer scores the last output under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// columns of a time step: those of the first step, then those of the second
        step: usize = 1,
        /// units of each layer
        units: usize = 64,
        /// layers upon each other
        layers: usize = 1,
        /// probability to leave a unit out between layers
        dropout: f64 = 0.0,
    }
}

module! {
    struct Lstm {
        recurrent: fedwasm_sdk::Lstm,
        output: Linear,
        sequence: [usize; 2],
    }
}

impl TrainingPlan for Lstm {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let Arguments { n_features, step, units, .. } = *args;
        if n_features % step != 0 {
            let text = format!("model.step is {step}: it must divide the {n_features} columns");
            return Err(PlanError::InvalidArgument(text));
        }
        let recurrent = fedwasm_sdk::Lstm::new(step, units).layers(args.layers);
        Ok(Self {
            recurrent: recurrent.dropout(args.dropout),
            output: Linear::new(units, args.n_classes),
            sequence: [n_features / step, step],
        })
    }

    fn data(&self) -> Data {
        Data::classes(&self.sequence)
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let outputs = self.recurrent.forward(&batch.inputs);
        Ok(self.output.forward(&outputs.select(1, self.sequence[0] - 1)))
    }
}

export!(Lstm);
