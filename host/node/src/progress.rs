//! What a researcher hears while a round runs: at most five messages a second,
//! each of bounded size.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Point, Progress, RequestId};
use fedwasm_training::Event;

/// How often a researcher hears of progress, at most.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);
/// The most numbers of a message. When there are more, every other one of
/// those that wait is left out.
const POINTS_MAX: usize = 128;
/// The longest name of a number, in bytes, and the most names of a round:
/// names are words that a plan chooses.
const NAME_BYTES_MAX: usize = 64;
const NAMES_MAX: usize = 16;

/// Turns a plan's events into log lines and, now and then, into progress.
pub(crate) struct Teller<S> {
    request_id: RequestId,
    say: S,
    said: Option<Instant>,
    said_all: bool,
    points: Vec<Point>,
    names: BTreeSet<String>,
    /// Of so many points that are picked one is kept.
    stride: u64,
    picked: u64,
}

impl<S: Fn(Progress)> Teller<S> {
    pub(crate) fn new(request_id: RequestId, say: S) -> Self {
        let (said, points, names) = (None, Vec::new(), BTreeSet::new());
        Self { request_id, say, said, said_all: false, points, names, stride: 1, picked: 0 }
    }

    pub(crate) fn take(&mut self, event: Event) {
        let (step, steps_max, values, is_logged) = match event {
            Event::Log(level, line) => return tracing::info!("plan ({level:?}): {line}"),
            Event::Step { step, steps_max, values, is_logged } => {
                (step, steps_max, values, is_logged)
            }
        };
        let loss = values.iter().find(|(name, _)| name == "loss").map(|(_, loss)| *loss);
        if is_logged {
            self.keep(step, values);
        }
        let is_last = step == steps_max && !self.said_all;
        if !is_last && self.said.is_some_and(|at| at.elapsed() < PROGRESS_PAUSE) {
            return;
        }
        self.said_all |= is_last;
        self.said = Some(Instant::now());
        let (request_id, points) = (self.request_id.clone(), std::mem::take(&mut self.points));
        self.stride = 1;
        (self.say)(Progress { request_id, steps: step, steps_max, loss, points });
    }

    fn keep(&mut self, step: u64, values: Vec<(String, f64)>) {
        self.picked += 1;
        if !self.picked.is_multiple_of(self.stride) {
            return;
        }
        for (name, value) in values.into_iter().filter(|(name, _)| name.len() <= NAME_BYTES_MAX) {
            if !self.names.contains(&name) {
                if self.names.len() == NAMES_MAX {
                    continue;
                }
                self.names.insert(name.clone());
            }
            if self.points.len() >= POINTS_MAX {
                let mut nth = 0;
                self.points.retain(|_| {
                    nth += 1;
                    nth % 2 == 0
                });
                self.stride = self.stride.saturating_mul(2);
            }
            self.points.push(Point { step, name, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_plan_has_few_words() {
        let said = RefCell::new(BTreeSet::new());
        let say = |p: Progress| said.borrow_mut().extend(p.points.into_iter().map(|p| p.name));
        let mut teller = Teller::new("r".parse().unwrap(), say);
        for step in 1..=1_000 {
            let values = vec![(format!("row {step}"), 1.0)];
            teller.take(Event::Step { step, steps_max: 1_000, values, is_logged: true });
        }
        assert!(said.borrow().len() <= NAMES_MAX);
    }

    #[test]
    fn messages_are_few_and_small_however_much_a_plan_says() {
        let said = RefCell::new(Vec::new());
        let mut teller = Teller::new("r".parse().unwrap(), |p| said.borrow_mut().push(p));
        let steps_max = 50_000;
        for step in 1..=steps_max {
            let values = vec![("loss".into(), step as f64), ("x".repeat(65), 1.0)];
            teller.take(Event::Step { step, steps_max, values, is_logged: true });
        }
        drop(teller);
        let said = said.into_inner();
        assert!(said.iter().all(|progress| progress.points.len() <= POINTS_MAX));
        assert!(said.iter().flat_map(|progress| &progress.points).all(|p| p.name == "loss"));
        let last = said.last().unwrap();
        assert_eq!((last.steps, last.loss), (steps_max, Some(steps_max as f64)));
        let steps: Vec<u64> = said.iter().flat_map(|p| &p.points).map(|p| p.step).collect();
        assert!(steps.is_sorted() && steps.len() > 10, "{steps:?}");
    }
}
