//! Progress messages of a running round: at most five a second,
//! each of bounded size, and no number about fewer rows than the node tells of.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use std::sync::Arc;

use fedwasm_protocol::{Point, Progress, RequestId};
use fedwasm_training::RoundEvent;

use crate::privacy::Floor;
use crate::trace::Trace;

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
    floor: Floor,
    trace: Arc<Trace>,
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
    /// Each message is counted in `trace` before `say` gets it.
    pub(crate) fn new(request_id: RequestId, floor: Floor, trace: Arc<Trace>, say: S) -> Self {
        let (said, points, names) = (None, Vec::new(), BTreeSet::new());
        Self {
            request_id,
            floor,
            trace,
            say,
            said,
            said_all: false,
            points,
            names,
            stride: 1,
            picked: 0,
        }
    }

    pub(crate) fn take(&mut self, event: RoundEvent) {
        let (step, steps_max, rows, mut values, is_logged) = match event {
            RoundEvent::Log(level, line) => return tracing::info!("plan ({level:?}): {line}"),
            RoundEvent::Step { step, steps_max, rows, values, is_logged } => {
                (step, steps_max, rows, values, is_logged)
            }
        };
        if !self.floor.progress {
            return;
        }
        // A number about few rows reveals them; the progress of the round may be sent.
        if rows < self.floor.min_rows {
            values.clear();
        }
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
        let progress = Progress { request_id, steps: step, steps_max, loss, points };
        if self.trace.tell(&progress) {
            (self.say)(progress);
        }
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
    use crate::samples::round_request;
    use fedwasm_protocol::Digest;
    use fedwasm_trust::Identity;
    use std::cell::RefCell;

    const FLOOR: Floor =
        Floor { min_rows: 10, progress: true, score_sums: true, cells: true, extremes: false };

    fn trace() -> (tempfile::TempDir, Arc<Trace>) {
        let dir = tempfile::tempdir().unwrap();
        let node: fedwasm_protocol::Participant = "node-n".parse().unwrap();
        let identity =
            Identity::open_or_create(&dir.path().join("identity"), |_| node.clone()).unwrap();
        let database = crate::Database::open(dir.path(), &identity).unwrap();
        let trace = Trace::new(database, &node, &Digest::of(b"request"), &round_request());
        (dir, Arc::new(trace))
    }

    /// The messages sent, for a trace that still counts and for one that is closed.
    #[test]
    fn numbers_of_few_rows_and_numbers_that_nobody_counts_are_not_told() {
        let (_dir, trace) = trace();
        let told = |rows: u64, floor: Floor| {
            let said = RefCell::new(Vec::new());
            let id = "r".parse().unwrap();
            let say = |progress| said.borrow_mut().push(progress);
            let mut teller = Teller::new(id, floor, Arc::clone(&trace), say);
            let values = vec![("loss".to_owned(), 0.5)];
            teller.take(RoundEvent::Step { step: 1, steps_max: 1, rows, values, is_logged: true });
            let said: Vec<Progress> = said.into_inner();
            said.iter().map(|p| (p.loss, p.points.len())).collect::<Vec<_>>()
        };
        let floor = FLOOR;
        assert_eq!(told(10, floor), [(Some(0.5), 1)]);
        assert_eq!(told(9, floor), [(None, 0)]);
        assert_eq!(told(1, Floor { min_rows: 1, ..floor }), [(Some(0.5), 1)]);
        assert_eq!(told(10, Floor { progress: false, ..floor }), []);
        let counted = trace.close();
        assert_eq!((&counted["messages"], &counted["numbers"]), (&3.into(), &4.into()));
        assert_eq!(told(10, floor), []);
    }

    #[test]
    fn a_plan_has_few_words() {
        let (_dir, trace) = trace();
        let said = RefCell::new(BTreeSet::new());
        let say = |p: Progress| said.borrow_mut().extend(p.points.into_iter().map(|p| p.name));
        let mut teller = Teller::new("r".parse().unwrap(), FLOOR, trace, say);
        for step in 1..=1_000 {
            let values = vec![(format!("row {step}"), 1.0)];
            teller.take(RoundEvent::Step {
                step,
                steps_max: 1_000,
                rows: 10,
                values,
                is_logged: true,
            });
        }
        assert!(said.borrow().len() <= NAMES_MAX);
    }

    #[test]
    fn messages_are_few_and_small_however_much_a_plan_says() {
        let said = RefCell::new(Vec::new());
        let (_dir, trace) = trace();
        let id = "r".parse().unwrap();
        let (floor, say) = (FLOOR, |p| said.borrow_mut().push(p));
        let mut teller = Teller::new(id, floor, trace, say);
        let steps_max = 50_000;
        for step in 1..=steps_max {
            let values = vec![("loss".into(), step as f64), ("x".repeat(65), 1.0)];
            teller.take(RoundEvent::Step { step, steps_max, rows: 10, values, is_logged: true });
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
