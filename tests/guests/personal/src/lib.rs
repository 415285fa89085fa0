//! Softmax regression whose bias stays at the node, with a metric of its own.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
    }
}

struct Personal {
    linear: Linear,
}

impl TrainingPlan for Personal {
    const TASK: Task = Task::Classification;
    const METRICS: &[&str] = &["prevalence"];
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        Ok(Self { linear: Linear::new(args.n_features, 2)? })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn scope(parameter: &str) -> Scope {
        if parameter == "linear.bias" { Scope::Local } else { Scope::Shared }
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let scores = self.linear.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.linear.backward_first(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.linear.forward(batch.inputs)
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f32)>> {
        let ones = batch.targets.classes()?.iter().filter(|class| **class == 1).count();
        Ok(vec![("prevalence", ones as f32 / batch.targets.classes()?.len() as f32)])
    }
}

export!(Personal);
