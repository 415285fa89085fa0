//! Learning rates that change from round to round. The researcher works out a plain number for
//! each request, so that bounds at nodes and receipts see the rate that a round really trains
//! with.

use std::f64::consts::PI;

use fedwasm_protocol::{Fields, TrainingArgs, Value};
use serde::{Deserialize, Serialize};

/// The argument that a schedule changes.
const LR: &str = "optimizer.lr";
/// Terms of a series on [0, π/4]: the next one is below 1e-19.
const TERMS: u32 = 9;

/// How the learning rate follows from `lr`, that of `optimizer_args`, and `t`, the rounds that
/// are done, from 0. Formulas are those of `torch.optim.lr_scheduler`; its name stands in
/// brackets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum LrSchedule {
    /// `lr gamma^floor(t / step_size)` (StepLR).
    Step {
        /// Rounds of one rate, at least 1.
        step_size: u32,
        /// More than 0.
        gamma: f64,
    },
    /// `lr gamma^k` after `k` of the milestones (MultiStepLR).
    MultiStep {
        /// Rounds after which the rate changes, each more than the one before.
        milestones: Vec<u32>,
        /// More than 0.
        gamma: f64,
    },
    /// `lr gamma^t` (ExponentialLR).
    Exponential {
        /// More than 0.
        gamma: f64,
    },
    /// `lr_min + (lr - lr_min) (1 + cos(π t / rounds)) / 2` (CosineAnnealingLR).
    Cosine {
        /// Rounds of half a period, at least 1 (`T_max`).
        rounds: u32,
        /// The lowest rate, at least 0 (`eta_min`).
        lr_min: f64,
    },
    /// `lr (start + (end - start) min(t, rounds) / rounds)` (LinearLR).
    Linear {
        /// More than 0 (`start_factor`).
        start: f64,
        /// More than 0 (`end_factor`).
        end: f64,
        /// Rounds from the one to the other, at least 1 (`total_iters`).
        rounds: u32,
    },
}

const NAMES: [&str; 5] = ["step", "multi_step", "exponential", "cosine", "linear"];

impl LrSchedule {
    /// Reads the table; mistakes go to `fields`.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("name") {
            fields.mistake("name", format!("is missing; one of {}", NAMES.join(", ")));
        }
        let name = fields.one_of("name", &NAMES).map(|at| NAMES[at])?;
        Some(match name {
            "step" => Self::Step { step_size: rounds(fields, "step_size")?, gamma: gamma(fields)? },
            "multi_step" => {
                Self::MultiStep { milestones: milestones(fields)?, gamma: gamma(fields)? }
            }
            "exponential" => Self::Exponential { gamma: gamma(fields)? },
            "cosine" => Self::Cosine {
                rounds: rounds(fields, "rounds")?,
                lr_min: fields
                    .real("lr_min", "a number, at least 0", |lr| lr >= 0.0)
                    .unwrap_or(0.0),
            },
            _ => Self::Linear {
                start: positive(fields, "start").unwrap_or(1.0 / 3.0),
                end: positive(fields, "end").unwrap_or(1.0),
                rounds: rounds(fields, "rounds")?,
            },
        })
    }

    /// Returns the rate of a round, counted from 1. Only basic arithmetic, so that it has the
    /// same bits everywhere; within 1e-14 of PyTorch's, which multiplies step by step.
    pub fn rate(&self, lr: f64, round: u32) -> f64 {
        let t = round.saturating_sub(1);
        match self {
            Self::Step { step_size, gamma } => lr * power(*gamma, t / (*step_size).max(1)),
            Self::MultiStep { milestones, gamma } => {
                let passed = milestones.iter().filter(|milestone| **milestone <= t).count();
                lr * power(*gamma, u32::try_from(passed).unwrap_or(u32::MAX))
            }
            Self::Exponential { gamma } => lr * power(*gamma, t),
            Self::Cosine { rounds, lr_min } => {
                let half = u64::from((*rounds).max(1));
                let at = u64::from(t) % (2 * half);
                let root = half_cosine(at.min(2 * half - at) as f64 / half as f64);
                lr_min + (lr - lr_min) * (root * root)
            }
            Self::Linear { start, end, rounds } => {
                let share = f64::from(t.min(*rounds)) / f64::from((*rounds).max(1));
                lr * (start + (end - start) * share)
            }
        }
    }

    /// The mistake in it for an experiment of so many rounds.
    pub fn check(&self, rounds: u32) -> Option<String> {
        match self {
            Self::Cosine { rounds: half, lr_min } if *lr_min == 0.0 && rounds > *half => {
                let round = u64::from(*half) + 1;
                Some(format!("gives the rate 0 in round {round}; give `lr_min`, or more `rounds`"))
            }
            _ => None,
        }
    }
}

/// The training arguments of a round.
pub fn in_round(
    training: &TrainingArgs,
    schedule: Option<&LrSchedule>,
    round: u32,
) -> TrainingArgs {
    let mut training = training.clone();
    if let (Some(schedule), Some(lr)) = (schedule, lr_of(&training)) {
        let rate = Value::Real(schedule.rate(lr, round));
        training.optimizer_args.insert(LR.to_owned(), rate);
    }
    training
}

/// The learning rate that the arguments give, if they do.
pub fn lr_of(training: &TrainingArgs) -> Option<f64> {
    match training.optimizer_args.get(LR)? {
        Value::Real(lr) => Some(*lr),
        Value::Integer(lr) => Some(*lr as f64),
        _ => None,
    }
}

fn rounds(fields: &mut Fields, key: &'static str) -> Option<u32> {
    if !fields.has(key) {
        fields.mistake(key, "is missing; give the number of rounds");
    }
    fields.whole_until(key, 1, u64::from(u32::MAX)).map(|rounds| rounds as u32)
}

fn gamma(fields: &mut Fields) -> Option<f64> {
    if !fields.has("gamma") {
        fields.mistake("gamma", "is missing; give the factor that the rate is multiplied by");
    }
    positive(fields, "gamma")
}

fn positive(fields: &mut Fields, key: &'static str) -> Option<f64> {
    fields.real(key, "a number, more than 0", |value| value > 0.0)
}

fn milestones(fields: &mut Fields) -> Option<Vec<u32>> {
    let milestones: Option<Vec<u32>> = fields.read("milestones");
    let rise = milestones.as_ref().is_some_and(|all| {
        all.first().is_some_and(|first| *first > 0) && all.windows(2).all(|pair| pair[0] < pair[1])
    });
    if !rise && !fields.is_wrong("milestones") {
        let what = "is missing, or not a list of rounds, each more than the one before";
        fields.mistake("milestones", what);
    }
    milestones.filter(|_| rise)
}

/// `base^n`, by squaring.
fn power(base: f64, mut n: u32) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

/// `cos(π p / 2)` for `p` in [0, 1], whose square is `(1 + cos(π p)) / 2`.
fn half_cosine(p: f64) -> f64 {
    let series = |x: f64, first: f64, mut n: f64| {
        let (mut term, mut sum) = (first, first);
        for _ in 1..TERMS {
            term *= -x * x / ((n + 1.0) * (n + 2.0));
            sum += term;
            n += 2.0;
        }
        sum
    };
    match p <= 0.5 {
        true => series(PI * p / 2.0, 1.0, 0.0),
        // The sine of the rest to π/2, so that no digits are lost near 0.
        false => {
            let x = PI * (1.0 - p) / 2.0;
            series(x, x, 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LrSchedule, String> {
        let mut fields = Fields::new("training.lr_schedule", toml::from_str(text).unwrap());
        let schedule = LrSchedule::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() {
            Ok(schedule.unwrap())
        } else {
            Err(fedwasm_protocol::sentences(&mistakes, "\n"))
        }
    }

    /// The output of tests/oracles/lr_schedules_torch.py.
    #[test]
    fn rates_equal_those_of_pytorch() {
        let cases = include_str!("../../../tests/data/lr_schedules.json");
        let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
        let cases = cases.as_array().unwrap();
        for case in cases {
            let text = case["schedule"].as_str().unwrap();
            let (schedule, lr) = (read(text).unwrap(), case["lr"].as_f64().unwrap());
            let rates = case["rates"].as_array().unwrap();
            assert!(rates.len() >= 20);
            for (round, rate) in (1..).zip(rates) {
                let (got, expected) = (schedule.rate(lr, round), rate.as_f64().unwrap());
                let near = (got - expected).abs() <= 1e-13 * expected.abs().max(1e-6);
                assert!(near, "{text}, round {round}: {got} instead of {expected}");
            }
        }
        let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
        assert!(NAMES.iter().all(|name| names.contains(name)), "{names:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "`training.lr_schedule.name` is missing"),
            ("name = \"cosin\"", "did you mean `cosine`?"),
            ("name = \"step\"", "`training.lr_schedule.step_size` is missing"),
            ("name = \"step\"\nstep_size = 2", "`training.lr_schedule.gamma` is missing"),
            ("name = \"exponential\"\ngamma = 0", "expected a number, more than 0"),
            ("name = \"multi_step\"\nmilestones = [3, 3]\ngamma = 0.1", "each more than the one"),
            ("name = \"cosine\"\nrounds = 0", "`training.lr_schedule.rounds` is 0"),
            ("name = \"cosine\"\nrounds = 3\ngamma = 1", "`training.lr_schedule.gamma` is unknown"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_rate_of_nothing_is_told_before_it_comes() {
        let schedule = read("name = \"cosine\"\nrounds = 5").unwrap();
        assert_eq!(schedule.check(5), None);
        assert!(schedule.check(6).unwrap().contains("round 6"));
        assert_eq!(schedule.rate(0.5, 6), 0.0);
        assert_eq!(read("name = \"cosine\"\nrounds = 5\nlr_min = 0.1").unwrap().check(9), None);
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let schedule = read("name = \"multi_step\"\nmilestones = [2, 5]\ngamma = 0.5").unwrap();
        let json = serde_json::to_value(&schedule).unwrap();
        assert_eq!(json["name"], "multi_step");
        assert_eq!(serde_json::from_value::<LrSchedule>(json).unwrap(), schedule);
    }

    #[test]
    fn a_round_trains_with_a_plain_number() {
        let table = toml::from_str("epochs = 1\noptimizer_args = { lr = 1 }").unwrap();
        let training = TrainingArgs::parse(table).unwrap();
        let schedule = read("name = \"step\"\nstep_size = 2\ngamma = 0.5").unwrap();
        let rate = |round| lr_of(&in_round(&training, Some(&schedule), round)).unwrap();
        assert_eq!([1, 2, 3, 4, 5].map(rate), [1.0, 1.0, 0.5, 0.5, 0.25]);
        assert_eq!(in_round(&training, None, 3), training);
    }
}
