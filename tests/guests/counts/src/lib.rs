//! Softmax regression that asks which round it is, and tells it as metrics.
use fedwasm_sdk::*;

struct Counted {
    round: i64,
    rounds: i64,
}

impl PlanArguments for Counted {
    fn announced() -> Vec<Argument> {
        vec![
            Argument::required::<i64>("round", "the round, from 1"),
            Argument::required::<i64>("rounds", "how many there are to be"),
        ]
    }

    fn read(args: &Arguments) -> Result<Self> {
        Ok(Self { round: args.integer("round")?, rounds: args.integer("rounds")? })
    }
}

struct Counts {
    linear: Linear,
    round: i64,
    rounds: i64,
}

impl TrainingPlan for Counts {
    const TASK: Task = Task::Classification;
    const METRICS: &[&str] = &["told_round", "told_rounds"];
    type Arguments = Counted;
    type Optimizer = Sgd;

    fn model(args: &Counted) -> Result<Self> {
        Ok(Self { linear: Linear::new(30, 2)?, round: args.round, rounds: args.rounds })
    }

    fn layers(&mut self) -> Layers<'_> {
        vec![("linear", &mut self.linear)]
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

    fn metrics(&mut self, _: &Batch) -> Result<Vec<(&'static str, f32)>> {
        Ok(vec![("told_round", self.round as f32), ("told_rounds", self.rounds as f32)])
    }
}

export!(Counts);
