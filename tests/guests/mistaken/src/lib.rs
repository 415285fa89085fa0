//! A plan with the mistake that `model.mistake` names: what `plan test` must find, whatever the
//! optimizer is.
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
    /// Added to all scores, which the softmax takes out again.
    shift: Parameter,
    /// Behind a threshold that its initial value does not reach.
    gate: Parameter,
    mistake: String,
}

impl TrainingPlan for Mistaken {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Rule;

    fn model(args: &Arguments) -> Result<Self> {
        let linear = Linear::new(args.n_features, args.n_classes)?;
        let (shift, gate) = (Parameter::zeros(&[1])?, Parameter::zeros(&[1])?);
        Ok(Self { linear, shift, gate, mistake: args.mistake.clone() })
    }

    fn parameters(&mut self) -> Vec<(String, &mut Parameter)> {
        let own = self.linear.parameters().into_iter();
        let mut all: Vec<_> = own.map(|(name, p)| (format!("linear.{name}"), p)).collect();
        if self.mistake == "shift" {
            all.push(("shift".into(), &mut self.shift));
        }
        if self.mistake == "gate" {
            all.push(("gate".into(), &mut self.gate));
        }
        all
    }

    fn init(&mut self, random: &mut Random) -> Result<()> {
        self.shift.value.data_mut().fill(1.0);
        self.linear.init(random)
    }

    fn data(&mut self) -> Data {
        Data::classes(&self.linear.input_shape().unwrap_or_default())
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        if self.mistake == "one-row" {
            assert!(batch.inputs.rows() > 1, "the variance of one row");
        }
        if self.mistake == "picky" && batch.inputs.data().iter().any(|x| *x < 1000.0) {
            return Err(PlanError::BadData("an input is less than 1000".into()));
        }
        let mut scores = self.linear.forward(batch.inputs)?;
        scores.data_mut().iter_mut().for_each(|score| *score += self.shift.value.data()[0]);
        // Its gradient is 0 up to the threshold, and the plan has no larger one.
        scores.data_mut()[0] += (self.gate.value.data()[0] - 0.25).max(0.0);
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.shift.gradient.data_mut()[0] += reduction::sum(gradient.data());
        self.linear.backward_first(gradient)?;
        for (name, parameter) in self.linear.parameters() {
            let gradient = parameter.gradient.data_mut();
            match (self.mistake.as_str(), name) {
                // A sum where a mean belongs.
                ("gradient", "weight") => gradient.iter_mut().for_each(|value| *value *= 2.0),
                ("factor", _) => gradient.iter_mut().for_each(|value| *value *= 2.0),
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
        Ok(match self.mistake.as_str() {
            "metric" => vec![("loss", 1.0)],
            "unannounced" => vec![("surprise", 1.0)],
            _ => Vec::new(),
        })
    }
}

/// The optimizer that `optimizer.rule` names: one of the SDK's, or a rule of the plan's own that
/// announces nothing that could be turned.
enum Rule {
    Sgd(Sgd),
    Adam(Adam),
    AdamW(AdamW),
    RmsProp(RmsProp),
    Own(f32, Own),
}

/// Rules whose numbers are fixed.
#[derive(Clone, Copy)]
enum Own {
    /// Adam without a mean.
    Signs,
    /// Adam with a large number beside the size, and a weight decay by itself.
    Damped,
    /// Descent with weight decay.
    Decay,
    /// Descent along the moving mean of the gradients, from 0.
    Mean,
    /// Descent whose rate grows over the first ten steps.
    WarmUp,
    /// Descent by steps of one length for each parameter.
    OneLength,
    /// Descent that takes no rate above a tenth.
    Bounded,
}

impl Own {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "signs" => Self::Signs,
            "damped" => Self::Damped,
            "decay" => Self::Decay,
            "mean" => Self::Mean,
            "warm-up" => Self::WarmUp,
            "one-length" => Self::OneLength,
            "bounded" => Self::Bounded,
            other => return Err(PlanError::InvalidArgument(format!("optimizer.rule is {other}"))),
        })
    }

    fn step(self, lr: f32, nth: u64, value: &mut [f32], gradient: &[f32], mean: &mut [f32]) {
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt().max(1e-12);
        for ((value, g), mean) in value.iter_mut().zip(gradient).zip(mean) {
            *mean = 0.9 * *mean + 0.1 * g;
            let step = match self {
                Self::Signs => g / (g.abs() + 1e-8),
                Self::Damped => g / (g.abs() + 0.05) + 0.01 * *value,
                Self::Decay => g + 0.05 * *value,
                Self::Mean => *mean,
                Self::WarmUp => g * nth.min(10) as f32 / 10.0,
                Self::OneLength => g / length,
                Self::Bounded => *g,
            };
            *value -= lr * step;
        }
    }
}

impl Optimizer for Rule {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        let mut all = Adam::arguments();
        all.push(Argument::with_default::<String, _>("optimizer.rule", "sgd", "which optimizer"));
        for (name, default) in [("alpha", 0.99), ("momentum", 0.0)] {
            all.push(Argument::with_default::<f64, _>(&format!("optimizer.{name}"), default, ""));
        }
        all.push(Argument::with_default::<bool, _>("optimizer.nesterov", false, ""));
        all
    }

    fn from_arguments(args: &fedwasm_sdk::Arguments) -> Result<Self> {
        Ok(match args.text("optimizer.rule")? {
            "sgd" => Self::Sgd(Sgd::from_arguments(args)?),
            "adam" => Self::Adam(Adam::from_arguments(args)?),
            "adamw" => Self::AdamW(AdamW::from_arguments(args)?),
            "rms-prop" => Self::RmsProp(RmsProp::from_arguments(args)?),
            other => {
                let (lr, own) = (args.real("optimizer.lr")? as f32, Own::named(other)?);
                if matches!(own, Own::Bounded) && lr > 0.1 {
                    let text = format!("optimizer.lr is {lr}, expected 0.1 or less");
                    return Err(PlanError::InvalidArgument(text));
                }
                Self::Own(lr, own)
            }
        })
    }

    fn buffers(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(rule) => rule.buffers(),
            Self::Adam(rule) => rule.buffers(),
            Self::AdamW(rule) => rule.buffers(),
            Self::RmsProp(rule) => rule.buffers(),
            Self::Own(..) => &["mean"],
        }
    }

    fn lr(&self) -> f32 {
        match self {
            Self::Sgd(rule) => rule.lr(),
            Self::Adam(rule) => rule.lr(),
            Self::AdamW(rule) => rule.lr(),
            Self::RmsProp(rule) => rule.lr(),
            Self::Own(lr, _) => *lr,
        }
    }

    fn step(&self, nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        match self {
            Self::Sgd(rule) => rule.step(nth, value, gradient, buffers),
            Self::Adam(rule) => rule.step(nth, value, gradient, buffers),
            Self::AdamW(rule) => rule.step(nth, value, gradient, buffers),
            Self::RmsProp(rule) => rule.step(nth, value, gradient, buffers),
            Self::Own(lr, own) => {
                if let [mean] = buffers {
                    own.step(*lr, nth, value, gradient, mean);
                }
            }
        }
    }
}

export!(Mistaken);
