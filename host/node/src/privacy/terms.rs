//! The terms of one round: the stricter of the operator's floors and the request.

use fedwasm_protocol::{DpArgs, DpKind, Evaluation, Metrics, Mode, Reason, Refusal};
use serde::{Deserialize, Serialize};

use super::config::{Floors, range_of_clip, range_of_noise};
use crate::refusal::refusal;

/// The name of the training loss in a list of metrics.
const TRAIN_LOSS: &str = "train_loss";

/// Differential privacy of one round. A ledger has it, so that the round can be run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) clip: f64,
    pub(crate) noise_multiplier: f64,
    pub(crate) delta: f64,
    /// The budget of the dataset.
    pub(crate) epsilon: Option<f64>,
    pub(crate) metrics: Vec<String>,
    pub(crate) metrics_digits: u32,
    pub(crate) time_step_ms: u64,
}

impl Terms {
    /// The terms of a round; none in the clear.
    pub(crate) fn of(floors: &Floors, asked: Option<DpArgs>) -> Option<Self> {
        // Noise of the aggregator is not this node's.
        let of_node = asked.filter(|dp| dp.kind == DpKind::Local);
        let (sigma, most) = (of_node.map(|dp| dp.sigma), asked.map(|dp| dp.clip));
        // A NaN is neither less nor more: `check` refused it.
        let noise_multiplier = floors.noise_multiplier.into_iter().chain(sigma).reduce(f64::max)?;
        let clip = floors.clip.into_iter().chain(most).reduce(f64::min)?;
        Some(Self {
            clip,
            noise_multiplier,
            delta: floors.delta(),
            epsilon: floors.epsilon,
            metrics: floors.metrics.clone().unwrap_or_default(),
            metrics_digits: floors.metrics_digits(),
            time_step_ms: floors.time_step_ms(),
        })
    }

    /// The words of the reply for these terms.
    pub(crate) fn warning(&self, mode: Mode) -> String {
        let Self { clip, noise_multiplier, metrics_digits, .. } = self;
        let metrics = match &self.metrics[..] {
            [] => "no metric is told".to_owned(),
            _ => format!("metrics on its list are told with {metrics_digits} digits"),
        };
        match mode {
            Mode::Train => format!(
                "differential privacy of the node: the update is clipped to an L2 norm of {clip} and \
                 has noise of multiplier {noise_multiplier}; {metrics}; counts of rows and steps \
                 are fixed"
            ),
            Mode::Validate | Mode::Scale | Mode::Statistics => {
                format!("differential privacy of the node: {metrics}; the count of rows is fixed")
            }
        }
    }

    /// The metrics that may leave, rounded.
    pub(super) fn metrics(&self, metrics: &Metrics) -> Metrics {
        let listed = metrics.iter().filter(|(name, _)| self.metrics.contains(name));
        listed.map(|(name, value)| (name.clone(), self.rounded(*value))).collect()
    }

    pub(super) fn train_loss(&self, loss: Option<f64>) -> Option<f64> {
        let is_listed = self.metrics.iter().any(|name| name == TRAIN_LOSS);
        loss.filter(|_| is_listed).map(|loss| self.rounded(loss))
    }

    /// Scores that may leave, about one row as far as a researcher can tell.
    pub(super) fn evaluation(&self, evaluation: &Evaluation) -> Evaluation {
        Evaluation { n_rows: 1, metrics: self.metrics(&evaluation.metrics), sums: None }
    }

    /// A number in so many significant digits.
    fn rounded(&self, value: f64) -> f64 {
        let digits = self.metrics_digits.saturating_sub(1) as usize;
        format!("{value:.digits$e}").parse().unwrap_or(0.0)
    }

    /// A time, up to the next whole step.
    pub(crate) fn stepped_ms(&self, ms: f64) -> f64 {
        let step = self.time_step_ms as f64;
        (ms / step).ceil() * step
    }
}

/// The clip that a request asks for without noise, since the aggregator adds that; 0 is the
/// `sigma` that this node adds.
pub(super) fn clip_alone(asked: Option<DpArgs>) -> Option<f64> {
    asked.filter(|dp| dp.kind == DpKind::Central).map(|dp| dp.clip)
}

/// Checks the demand of a request.
pub(crate) fn check(asked: Option<DpArgs>) -> Result<(), Refusal> {
    let Some(DpArgs { kind, sigma, clip }) = asked else { return Ok(()) };
    let is_central = kind == DpKind::Central;
    if is_central && sigma != 0.0 {
        let text = "`dp_args.type` is `central`: the aggregator adds the noise, so `sigma`, the noise \
                    of this node, must be 0; with `local` this node adds it";
        return Err(refusal(Reason::Unsupported, text.into()));
    }
    let wrong = range_of_noise(Some(sigma).filter(|_| !is_central));
    let wrong = wrong.map(|rule| ("sigma", sigma, rule));
    let wrong = wrong.or_else(|| range_of_clip(Some(clip)).map(|rule| ("clip", clip, rule)));
    match wrong {
        None => Ok(()),
        Some((key, value, rule)) => {
            let text = format!("`dp_args.{key}` is {value}: it {rule}");
            Err(refusal(Reason::BadRequest, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floors(clip: f64, noise_multiplier: f64) -> Floors {
        let (clip, noise_multiplier) = (Some(clip), Some(noise_multiplier));
        Floors { clip, noise_multiplier, ..Floors::default() }
    }

    fn asked(sigma: f64, clip: f64) -> Option<DpArgs> {
        Some(DpArgs { kind: DpKind::Local, sigma, clip })
    }

    #[test]
    fn the_stricter_of_floor_and_request_holds_key_by_key() {
        let hold = |floors: &Floors, asked| {
            Terms::of(floors, asked).map(|terms| (terms.clip, terms.noise_multiplier))
        };
        let floor = floors(1.0, 2.0);
        assert_eq!(hold(&Floors::default(), None), None);
        assert_eq!(hold(&floor, None), Some((1.0, 2.0)));
        assert_eq!(hold(&floor, asked(0.5, 9.0)), Some((1.0, 2.0)));
        assert_eq!(hold(&floor, asked(3.0, 9.0)), Some((1.0, 3.0)));
        assert_eq!(hold(&floor, asked(0.5, 0.1)), Some((0.1, 2.0)));
        assert_eq!(hold(&Floors::default(), asked(0.5, 9.0)), Some((9.0, 0.5)));
        // A clip for the noise of the aggregator adds none here.
        let central = Some(DpArgs { kind: DpKind::Central, sigma: 0.0, clip: 0.25 });
        assert_eq!((hold(&Floors::default(), central), clip_alone(central)), (None, Some(0.25)));
        assert_eq!(hold(&floor, central), Some((0.25, 2.0)));
        assert_eq!(clip_alone(asked(1.0, 1.0)), None);
        let terms = Terms::of(&Floors { delta: Some(1e-9), ..floor }, asked(1.0, 1.0)).unwrap();
        assert_eq!((terms.delta, terms.epsilon), (1e-9, None));
    }

    #[test]
    fn requests_that_no_node_can_fulfil_are_refused_by_name() {
        assert!(check(None).is_ok() && check(asked(0.01, 1.0)).is_ok());
        let central = |sigma, clip| Some(DpArgs { kind: DpKind::Central, sigma, clip });
        for sigma in [1.0, f64::NAN] {
            assert!(check(central(sigma, 1.0)).unwrap_err().message.contains("aggregator"));
        }
        assert!(check(central(0.0, 1.0)).is_ok() && check(central(0.0, f64::NAN)).is_err());
        for (sigma, clip, key) in [
            (0.0, 1.0, "sigma"),
            (f64::NAN, 1.0, "sigma"),
            (1e3, 1.0, "sigma"),
            (1.0, f64::INFINITY, "clip"),
            (1.0, 1e-300, "clip"),
        ] {
            let refused = check(asked(sigma, clip)).unwrap_err();
            assert_eq!(refused.reason, Reason::BadRequest);
            assert!(refused.message.contains(&format!("`dp_args.{key}`")), "{}", refused.message);
        }
    }

    #[test]
    fn metrics_off_the_list_stay_and_others_are_rounded() {
        let list = |names: &[&str]| {
            let metrics = Some(names.iter().map(|name| (*name).to_owned()).collect());
            let floors = Floors { metrics, metrics_digits: Some(3), ..floors(1.0, 1.0) };
            Terms::of(&floors, None).unwrap()
        };
        let all: Metrics =
            [("accuracy".into(), 0.876_54), ("loss".into(), 12_345.6), ("plan".into(), 1e-300)]
                .into();
        let mut sums = fedwasm_protocol::ClassSums::new(2);
        (0..57).for_each(|_| sums.count(Some(0), 0));
        let sums = fedwasm_protocol::ScoreSums::Classes(sums).checked();
        let evaluation = Evaluation { n_rows: 57, metrics: all, sums };
        assert!(list(&[]).evaluation(&evaluation).metrics.is_empty());
        let told = list(&["accuracy", "loss"]).evaluation(&evaluation);
        assert_eq!((told.n_rows, &told.sums), (1, &None));
        assert!(evaluation.sums.is_some());
        assert_eq!(told.metrics, [("accuracy".into(), 0.877), ("loss".into(), 12_300.0)].into());
        assert_eq!(list(&["accuracy"]).train_loss(Some(0.5)), None);
        assert_eq!(list(&["train_loss"]).train_loss(Some(-0.123_45)), Some(-0.123));
        let terms = list(&[]);
        assert_eq!(
            [0.0, 0.1, 1_000.0, 1_000.1].map(|ms| terms.stepped_ms(ms)),
            [0.0, 1_000.0, 1_000.0, 2_000.0]
        );
    }
}
