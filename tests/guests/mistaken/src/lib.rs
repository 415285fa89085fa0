//! A plan with the mistake that `model.mistake` names: what `plan test` must find.
use fedwasm_sdk::*;

struct Mistaken {
    linear: Linear,
    mistake: String,
}

impl TrainingPlan for Mistaken {
    const TASK: Task = Task::Classification;

    fn arguments() -> Vec<Argument> {
        vec![
            Argument::input_columns("model.n_features", "number of input columns"),
            Argument::target_classes("model.n_classes", "number of classes"),
            Argument::text("model.mistake", "none", "which mistake"),
        ]
    }

    fn model(args: &Arguments) -> Result<Self> {
        let (inputs, outputs) = (args.size("model.n_features")?, args.size("model.n_classes")?);
        let linear = Linear::new(inputs, outputs)?;
        Ok(Self { linear, mistake: args.text("model.mistake")?.to_owned() })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
    }

    fn training_step(&mut self, batch: &Batch) -> Result<f32> {
        let scores = self.linear.forward(&batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.linear.backward(&batch.inputs, &gradient)?;
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
        if self.mistake == "one-row" {
            assert!(batch.inputs.shape()[0] > 1, "the variance of one row");
        }
        Ok(loss)
    }

    fn predict(&mut self, inputs: &Tensor) -> Result<Tensor> {
        let mut scores = self.linear.forward(inputs)?;
        if self.mistake == "batch" {
            let values = scores.data_mut();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            values.iter_mut().for_each(|value| *value -= mean);
        }
        Ok(scores)
    }
}

export!(Mistaken);
