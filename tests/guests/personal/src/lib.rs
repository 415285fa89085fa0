//! Softmax regression whose bias stays at the node, with a metric of its own.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
    }
}

module! {
    struct Personal {
        linear: Linear,
    }
}

impl TrainingPlan for Personal {
    const TASK: Task = Task::Classification;
    const METRICS: &[&str] = &["prevalence"];
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 2) })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn scope(parameter: &str) -> Scope {
        if parameter == "linear.bias" { Scope::Local } else { Scope::Shared }
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        Ok(vec![("prevalence", batch.targets.eq(1.0).to_f32().mean_all().item()?)])
    }
}

export!(Personal);
