//! An optimizer together with what it keeps.

use fedwasm_compute::{Optimizer as Rule, Schedule, Warmup};

use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::optimizers::{LR, not_negative, positive};
use crate::{Argument, Arguments, Init, Optimizer, Parameter, PlanError, Result, Tensor, engine};

/// An optimizer, what it keeps for each parameter that it moves, and the number of steps.
#[derive(Debug)]
pub(crate) struct Stepper {
    rule: Rule,
    lr: f64,
    schedule: Schedule,
    warmup: Warmup,
    clip_norm: f64,
    clip_value: f64,
    trained: Vec<Parameter>,
    /// For each parameter as many as the rule says, float32.
    kept: Vec<Tensor>,
    /// As the contract counts them, over rounds if state is kept.
    steps: u64,
    last_rate: f64,
    state: State,
}

/// Whether anything goes on from round to round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing.
    No,
    /// What is kept for each parameter.
    Tensors,
    /// That, and the number of steps.
    TensorsAndSteps,
}

/// Whether what the optimizer keeps goes on from round to round.
pub(crate) const KEEP_STATE: &str = "optimizer.keep_state";
const CLIP_NORM: &str = "optimizer.clip_norm";
const CLIP_VALUE: &str = "optimizer.clip_value";
const SCHEDULE: &str = "optimizer.schedule";
const SCHEDULE_STEPS: &str = "optimizer.schedule_steps";
const SCHEDULE_FACTOR: &str = "optimizer.schedule_factor";
const WARMUP_STEPS: &str = "optimizer.warmup_steps";

/// Float32 counts up to here; what depends on the count has long reached its limit then.
const STEPS_MAX: u64 = 1 << 24;

/// The arguments that hold for each optimizer.
pub(super) fn arguments() -> Vec<Argument> {
    let keep = "whether what the optimizer keeps goes on from round to round, at the node";
    let norm = "most that the norm of all gradients together is, 0 for no bound";
    let value = "most that an element of a gradient is, 0 for no bound";
    let schedule = "how the learning rate goes on: constant, step or cosine";
    let steps = "steps after which a step schedule goes down, or in which a cosine does";
    let factor = "times the rate: at each step of a step schedule, at the end of a cosine";
    let warmup = "steps in which the learning rate grows to its full value";
    vec![
        Argument::with_default::<bool, _>(KEEP_STATE, false, keep),
        Argument::with_default::<f64, _>(CLIP_NORM, 0.0, norm),
        Argument::with_default::<f64, _>(CLIP_VALUE, 0.0, value),
        Argument::with_default::<String, _>(SCHEDULE, "constant", schedule),
        Argument::with_default::<i64, _>(SCHEDULE_STEPS, 0, steps),
        Argument::with_default::<f64, _>(SCHEDULE_FACTOR, 0.1, factor),
        Argument::with_default::<i64, _>(WARMUP_STEPS, 0, warmup),
    ]
}

fn schedule(args: &Arguments) -> Result<Schedule> {
    let name = args.text(SCHEDULE)?;
    let steps = || match u64::try_from(args.integer(SCHEDULE_STEPS)?) {
        Ok(steps) if steps > 0 => Ok(steps),
        _ => {
            let text = format!("{SCHEDULE} is {name} and needs {SCHEDULE_STEPS}, at least 1");
            Err(PlanError::InvalidArgument(text))
        }
    };
    let schedule = match name {
        "constant" => Schedule::Constant,
        "step" => Schedule::Step { every: steps()?, factor: args.real(SCHEDULE_FACTOR)? },
        "cosine" => Schedule::Cosine { steps: steps()?, least: args.real(SCHEDULE_FACTOR)? },
        other => {
            let text = format!("{SCHEDULE} is {other}, expected constant, step or cosine");
            return Err(PlanError::InvalidArgument(text));
        }
    };
    let wrong = |rule| PlanError::InvalidArgument(format!("{SCHEDULE_FACTOR}: {rule}"));
    schedule.check().map(|()| schedule).map_err(wrong)
}

fn warmup(args: &Arguments) -> Result<Warmup> {
    let steps = args.integer(WARMUP_STEPS)?;
    let negative = |_| PlanError::InvalidArgument(format!("{WARMUP_STEPS} is {steps}"));
    let steps = u64::try_from(steps).map_err(negative)?;
    // The first step is one share of the rate, the last before the schedule all but one.
    Ok(Warmup { steps, first: 1.0 / (steps as f64 + 1.0) })
}

impl Stepper {
    pub(super) fn new<O: Optimizer>(args: &Arguments, trained: Vec<Parameter>) -> Result<Self> {
        let mut stepper = Self {
            rule: O::read(args)?,
            lr: positive(args, LR)?,
            schedule: schedule(args)?,
            warmup: warmup(args)?,
            clip_norm: not_negative(args, CLIP_NORM)?,
            clip_value: not_negative(args, CLIP_VALUE)?,
            trained,
            kept: Vec::new(),
            steps: 0,
            last_rate: 0.0,
            state: State::No,
        };
        stepper.last_rate = stepper.rate();
        if args.boolean(KEEP_STATE)? {
            stepper.state = match O::counts_steps() || stepper.changes_rate() {
                true => State::TensorsAndSteps,
                false => State::Tensors,
            };
        }
        Ok(stepper)
    }

    fn changes_rate(&self) -> bool {
        self.schedule != Schedule::Constant || self.warmup.steps > 0
    }

    /// The names and shapes of the node state of an optimizer for parameters of these names.
    pub(crate) fn state<O: Optimizer>(
        args: &Arguments,
        trained: &[(String, Parameter)],
    ) -> Result<Vec<(String, Vec<usize>)>> {
        let parameters = trained.iter().map(|(_, parameter)| parameter.clone()).collect();
        let stepper = Self::new::<O>(args, parameters)?;
        let mut specs = Vec::new();
        if stepper.state != State::No {
            for (name, parameter) in trained {
                let kept = stepper.rule.buffers().iter();
                specs.extend(kept.map(|kept| (format!("{kept}.{name}"), parameter.shape())));
            }
        }
        if stepper.state == State::TensorsAndSteps {
            specs.push(("steps".to_owned(), vec![1]));
        }
        Ok(specs)
    }

    /// Makes or reads what is kept, in the order of [`state`](Self::state).
    pub(super) fn start(&mut self) -> Result<()> {
        let read = |index, kind| Ok(Tensor::of(Some(engine::load(Slot::State, index, kind)?)));
        for parameter in &self.trained {
            for _ in self.rule.buffers() {
                let kept = match self.state {
                    State::No => Tensor::zeros(&parameter.shape()),
                    _ => read(self.kept.len(), parameter.kind())?,
                };
                self.kept.push(kept);
            }
        }
        if self.state == State::TensorsAndSteps {
            let steps = read(self.kept.len(), Parameter::new(&[1], Init::Zeros).kind())?;
            self.steps = steps.item()? as u64;
        }
        Ok(())
    }

    /// The rate of the next step.
    pub(super) fn rate(&self) -> f64 {
        self.lr * self.schedule.factor_after(self.warmup, self.steps)
    }

    /// The rate of the last step; that of the first if there was none.
    pub(super) fn last_rate(&self) -> f64 {
        self.last_rate
    }

    /// Cuts the gradients and takes one step.
    pub(super) fn step(&mut self) -> Result<()> {
        let values = self.trained.iter().map(|parameter| Ok(parameter.tensor().checked()?.id));
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let kept =
            self.kept.iter().map(|kept| Ok(kept.checked()?.id)).collect::<Result<Vec<_>>>()?;
        engine::clip(&values, self.clip_value, self.clip_norm)?;
        self.last_rate = self.rate();
        self.steps = STEPS_MAX.min(self.steps + 1);
        engine::step(&self.rule, self.last_rate, self.steps, &values, &kept)
    }

    /// Writes what is kept.
    pub(super) fn finish(&self) -> Result<()> {
        if self.state == State::No {
            return Ok(());
        }
        for (index, kept) in self.kept.iter().enumerate() {
            engine::save(Slot::State, index, kept.checked()?)?;
        }
        if self.state == State::TensorsAndSteps {
            let steps = Tensor::full(&[1], self.steps as f64);
            engine::save(Slot::State, self.kept.len(), steps.checked()?)?;
        }
        Ok(())
    }
}
