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

module! {
    struct Counts {
        linear: Linear,
        round: i64,
        rounds: i64,
    }
}

impl TrainingPlan for Counts {
    const TASK: Task = Task::Classification;
    const METRICS: &[&str] = &["told_round", "told_rounds"];
    type Arguments = Counted;
    type Optimizer = Sgd;

    fn model(args: &Counted) -> Result<Self> {
        Ok(Self { linear: Linear::new(30, 2), round: args.round, rounds: args.rounds })
    }

    fn data(&self) -> Data {
        Data::classes(&[30])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.linear.forward(&batch.inputs))
    }

    fn metrics(&mut self, _: &Batch) -> Result<Vec<(&'static str, f64)>> {
        Ok(vec![("told_round", self.round as f64), ("told_rounds", self.rounds as f64)])
    }
}

export!(Counts);
