//! A plan with the mistake that `model.mistake` names: what `plan test` must find.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// number of input columns
        n_features: usize = input_columns,
        /// number of classes
        n_classes: usize = target_classes,
        /// which mistake
        mistake: String = "none",
    }
}

struct Mistaken {
    linear: Linear,
    mistake: String,
}

impl TrainingPlan for Mistaken {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let linear = Linear::new(args.n_features, args.n_classes)?;
        Ok(Self { linear, mistake: args.mistake.clone() })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        if self.mistake == "one-row" {
            assert!(batch.inputs.rows() > 1, "the variance of one row");
        }
        let scores = self.linear.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.linear.backward_first(gradient)?;
        for (name, parameter) in self.linear.parameters() {
            let gradient = parameter.gradient.data_mut();
            match (self.mistake.as_str(), name) {
                // A sum where a mean belongs.
                ("gradient", "weight") => gradient.iter_mut().for_each(|value| *value *= 2.0),
                ("sign", "bias") => gradient.iter_mut().for_each(|value| *value = -*value),
                ("frozen", "bias") => gradient.fill(0.0),
                ("not-finite", "bias") => gradient.fill(f32::NAN),
                _ => {}
            }
        }
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        let mut scores = self.linear.forward(batch.inputs)?;
        if self.mistake == "batch" {
            let values = scores.data_mut();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            values.iter_mut().for_each(|value| *value -= mean);
        }
        Ok(scores)
    }

    fn metrics(&mut self, _: &Batch) -> Result<Vec<(&'static str, f32)>> {
        if self.mistake == "metric" { Ok(vec![("loss", 1.0)]) } else { Ok(Vec::new()) }
    }
}

export!(Mistaken);
