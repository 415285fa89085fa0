//! The training loss of a run, step by step, in bounded space.

use serde::{Deserialize, Serialize};

/// A point of the training loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The last step of the points that it stands for, from 1.
    pub step: u64,
    /// The mean of their losses.
    pub loss: f64,
}

/// The most points of a training loss.
const STEPS_MAX: usize = 1_000;

/// Collects losses in bounded space: when it is full, pairs of neighbours
/// become one.
#[derive(Debug)]
pub struct Steps {
    points: Vec<StepRecord>,
    /// Steps that a point stands for.
    stride: u64,
    sum: f64,
    n: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

impl Steps {
    /// Collects from nothing.
    pub fn new() -> Self {
        Self { points: Vec::new(), stride: 1, sum: 0.0, n: 0 }
    }

    /// Takes the loss of a step.
    pub fn push(&mut self, step: u64, loss: f64) {
        self.sum += loss;
        self.n += 1;
        if self.n < self.stride {
            return;
        }
        self.points.push(StepRecord { step, loss: self.sum / self.n as f64 });
        (self.sum, self.n) = (0.0, 0);
        if self.points.len() == STEPS_MAX {
            self.points = halved(&self.points);
            self.stride *= 2;
        }
    }

    /// The collected rounds.
    pub fn points(&self) -> &[StepRecord] {
        &self.points
    }
}

fn halved(points: &[StepRecord]) -> Vec<StepRecord> {
    let of_pair = |pair: &[StepRecord]| StepRecord {
        step: pair[pair.len() - 1].step,
        loss: pair.iter().map(|point| point.loss).sum::<f64>() / pair.len() as f64,
    };
    points.chunks(2).map(of_pair).collect()
}

/// Keeps the points of several legs of a run within the bound.
pub fn bounded(mut points: Vec<StepRecord>) -> Vec<StepRecord> {
    while points.len() > STEPS_MAX {
        points = halved(&points);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stay_bounded_and_keep_the_mean() {
        let mut steps = Steps::new();
        for step in 1..=100_000u64 {
            steps.push(step, step as f64);
        }
        let points = steps.points();
        assert!(points.len() < STEPS_MAX && points.len() >= STEPS_MAX / 2 - 1);
        // Each point is the mean of the steps that it stands for.
        assert_eq!(points[0].loss, (1 + points[0].step) as f64 / 2.0);
    }

    #[test]
    fn legs_of_a_run_stay_bounded_and_keep_the_last_step() {
        let points = |n| (1..=n).map(|step| StepRecord { step, loss: step as f64 }).collect();
        let bounded_2001 = bounded(points(2_001));
        assert_eq!(bounded_2001.len(), 501);
        assert_eq!(bounded_2001[0], StepRecord { step: 4, loss: 2.5 });
        assert_eq!(bounded_2001[500], StepRecord { step: 2_001, loss: 2_001.0 });
        assert_eq!(bounded(points(1_000)).len(), 1_000);
    }
}
