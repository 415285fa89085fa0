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

module! {
    struct Mistaken {
        linear: Linear,
        /// Added to all scores, which the softmax takes out again.
        shift: Option<Parameter>,
        /// Behind a threshold that its initial value does not reach.
        gate: Option<Parameter>,
        mistake: String,
        rule: String,
    }
}

/// The model's arguments, and which rule steps.
struct All(Arguments, String);

impl PlanArguments for All {
    fn announced() -> Vec<Argument> {
        Arguments::announced()
    }

    fn read(args: &fedwasm_sdk::Arguments) -> Result<Self> {
        Ok(Self(Arguments::read(args)?, args.text("optimizer.rule").unwrap_or("sgd").to_owned()))
    }
}

impl Mistaken {
    /// A parameter with a gradient that is not its own, if that is the mistake.
    fn mistaken(&self, name: &str, parameter: &Parameter) -> Tensor {
        let value = parameter.tensor();
        let constant = value.detach();
        match (self.mistake.as_str(), name) {
            // A sum where a mean belongs.
            ("gradient", "weight") | ("factor", _) => &value * 2.0 - constant,
            ("sign", "bias") => &constant * 2.0 - value,
            ("frozen", "bias") => constant,
            // The slope of a root at 0.
            ("not-finite", "bias") => &constant + (&value - &constant).sqrt(),
            _ => value,
        }
    }
}

impl TrainingPlan for Mistaken {
    const TASK: Task = Task::Classification;
    // "metric" and "unannounced" report others.
    const METRICS: &[&str] = &[];
    type Arguments = All;
    type Optimizer = Rule;

    fn model(All(args, rule): &All) -> Result<Self> {
        let (mistake, rule) = (args.mistake.clone(), rule.clone());
        let only = |name, init| (mistake == name).then(|| Parameter::new(&[1], init));
        Ok(Self {
            linear: Linear::new(args.n_features, args.n_classes),
            shift: only("shift", Init::Ones),
            gate: only("gate", Init::Zeros),
            mistake,
            rule,
        })
    }

    fn data(&self) -> Data {
        Data::classes(&[self.linear.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        if self.mistake == "one-row" {
            assert!(batch.rows() > 1, "the variance of one row");
        }
        if self.mistake == "picky" && batch.inputs.lt(1000.0).to_f32().sum_all().item()? > 0.0 {
            return Err(PlanError::BadData("an input is less than 1000".into()));
        }
        let weight = self.mistaken("weight", &self.linear.weight);
        let bias = self.linear.bias.as_ref().map(|bias| self.mistaken("bias", bias));
        let mut scores = batch.inputs.linear(&weight, bias.as_ref());
        if let Some(shift) = &self.shift {
            scores = scores + shift.tensor();
        }
        if let Some(gate) = &self.gate {
            // Its gradient is 0 up to the threshold.
            let first = Tensor::from_fn(&[scores.size(0), scores.size(1)], |at| {
                f32::from(at.iter().all(|nth| *nth == 0))
            });
            scores = scores + first * (gate.tensor() - 0.25).relu();
        }
        Ok(scores.cross_entropy(&batch.targets))
    }

    fn train(&mut self, training: &mut Training) -> Result<()> {
        let own = Own::named(&self.rule);
        let trained: Vec<Parameter> = self.parameters().into_iter().map(|(_, p)| p).collect();
        let mut means: Vec<Tensor> = trained.iter().map(|p| Tensor::zeros(&p.shape())).collect();
        let mut nth = 0;
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(&batch)?;
            if self.mistake == "uncorrected" {
                training.report(&loss)?;
                loss.backward()?;
                for parameter in &trained {
                    if let Some(gradient) = parameter.take_gradient()? {
                        let moved = no_grad(|| parameter.tensor() - gradient * training.lr());
                        parameter.set(&moved);
                    }
                }
                // Without a gradient that it could correct.
                training.update()?;
                continue;
            }
            let Some(own) = own else {
                training.step(&loss)?;
                continue;
            };
            nth += 1;
            training.report(&loss)?;
            loss.backward()?;
            // Descent along what the rule makes of the gradients.
            for (parameter, mean) in trained.iter().zip(&mut means) {
                if let Some(gradient) = parameter.take_gradient()? {
                    let step = no_grad(|| own.step(nth, parameter, &gradient, mean))?;
                    parameter.add_gradient(&step)?;
                }
            }
            training.update()?;
        }
        Ok(())
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let scores = self.linear.forward(&batch.inputs);
        Ok(if self.mistake == "batch" { &scores - scores.mean_all() } else { scores })
    }

    fn metrics(&mut self, _: &Batch) -> Result<Vec<(&'static str, f64)>> {
        Ok(match self.mistake.as_str() {
            "metric" => vec![("loss", 1.0)],
            "unannounced" => vec![("surprise", 1.0)],
            _ => Vec::new(),
        })
    }
}

/// The optimizer that `optimizer.rule` names: one of the SDK's, or a rule of the plan's own that
/// announces nothing that could be turned.
struct Rule;

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
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "signs" => Self::Signs,
            "damped" => Self::Damped,
            "decay" => Self::Decay,
            "mean" => Self::Mean,
            "warm-up" => Self::WarmUp,
            "one-length" => Self::OneLength,
            "bounded" => Self::Bounded,
            _ => return None,
        })
    }

    fn step(self, nth: u32, of: &Parameter, g: &Tensor, mean: &mut Tensor) -> Result<Tensor> {
        *mean = &*mean * 0.9 + g * 0.1;
        let value = of.tensor();
        Ok(match self {
            Self::Signs => g / (g.abs() + 1e-8),
            Self::Damped => g / (g.abs() + 0.05) + value * 0.01,
            Self::Decay => g + value * 0.05,
            Self::Mean => mean.clone(),
            Self::WarmUp => g * (f64::from(nth.min(10)) / 10.0),
            Self::OneLength => g / g.square().sum_all().sqrt().item()?.max(1e-12),
            Self::Bounded => g.clone(),
        })
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

    fn read(args: &fedwasm_sdk::Arguments) -> Result<fedwasm_sdk::Rule> {
        let (name, lr) = (args.text("optimizer.rule")?, args.real("optimizer.lr")?);
        match name {
            "sgd" => Sgd::read(args),
            "adam" => Adam::read(args),
            "adamw" => AdamW::read(args),
            "rms-prop" => RmsProp::read(args),
            "bounded" if lr > 0.1 => {
                let text = format!("optimizer.lr is {lr}, expected 0.1 or less");
                Err(PlanError::InvalidArgument(text))
            }
            other if Own::named(other).is_some() => Sgd::read(args),
            other => Err(PlanError::InvalidArgument(format!("optimizer.rule is {other}"))),
        }
    }
}

export!(Mistaken);
