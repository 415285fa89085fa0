//! Simulated nodes as a researcher asks them: as many at once as there are threads. An answer depends
//! on the node and the question alone, so the order in which threads come to them does not matter.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_node::{Question, SimulatedNodes};
use fedwasm_protocol::{BlobRef, Body, Mode, NodeId, Refusal, RoundRequest};
use fedwasm_researcher::{AnswerHere, NodesHere};
use fedwasm_sandbox::Cancel;
use serde::Serialize;

use crate::Conditions;
use crate::conditions::Fate;
use crate::shelf::Shelf;

/// A question to train, as it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulatedRound {
    /// The round, from 1.
    pub round: u32,
    /// How often it was asked for before: a round that does not count is tried again.
    pub attempt: u32,
    /// Nodes that were asked.
    pub n_asked: usize,
    /// Those that did not answer.
    pub dropped_out: Vec<NodeId>,
    /// Those that would have answered after the deadline, with their seconds.
    pub late: BTreeMap<NodeId, f64>,
    /// How long the researcher waited, in seconds of the simulation: for the last answer, or until the
    /// deadline if one was missing. None without a `--round-time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Nodes, with the conditions under which they work.
#[derive(Debug)]
pub(crate) struct Crowd {
    nodes: SimulatedNodes,
    shelf: Arc<Shelf>,
    conditions: Conditions,
    random_seed: u64,
    rounds: Mutex<Vec<SimulatedRound>>,
}

/// A node that is to work, and how long it takes.
struct Task {
    node: NodeId,
    request: Mutex<Option<Box<RoundRequest>>>,
    s: f64,
}

impl Crowd {
    pub(crate) fn new(
        nodes: SimulatedNodes,
        shelf: Arc<Shelf>,
        conditions: Conditions,
        random_seed: u64,
    ) -> Self {
        Self { nodes, shelf, conditions, random_seed, rounds: Mutex::default() }
    }

    /// The questions to train so far.
    pub(crate) fn rounds(&self) -> Vec<SimulatedRound> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fetch(&self, blob: &BlobRef) -> Option<Vec<u8>> {
        self.shelf.find(blob).map(|bytes| bytes.to_vec())
    }

    /// Draws what becomes of each node; those that do not answer in time are left out of the work.
    fn draw(
        &self,
        requests: Vec<(NodeId, Box<RoundRequest>)>,
        deadline: Duration,
    ) -> (Vec<Task>, Vec<AnswerHere>) {
        let (mut tasks, mut silent) = (Vec::new(), Vec::new());
        let Some((_, first)) = requests.first() else { return (tasks, silent) };
        let is_training = first.mode == Mode::Train;
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let again = rounds.last().filter(|last| last.round == first.round);
        let attempt = again.map_or(0, |last| last.attempt + 1);
        let mut record = SimulatedRound {
            round: first.round,
            attempt,
            n_asked: requests.len(),
            dropped_out: Vec::new(),
            late: BTreeMap::new(),
            seconds: self.conditions.has_time().then_some(0.0),
        };
        let mut longest = 0.0_f64;
        for (node, request) in requests {
            let fate = match is_training {
                true => self.conditions.fate(self.random_seed, request.round, attempt, &node),
                false => Fate::Answers { s: 0.0 },
            };
            match fate {
                Fate::Answers { s } if s <= deadline.as_secs_f64() => {
                    longest = longest.max(s);
                    tasks.push(Task { node, request: Mutex::new(Some(request)), s });
                    continue;
                }
                Fate::Answers { s } => drop(record.late.insert(node.clone(), s)),
                Fate::DropsOut => record.dropped_out.push(node.clone()),
            }
            silent.push(AnswerHere { node, body: None, time: deadline });
        }
        if is_training {
            let whole = silent.is_empty();
            let waited = if whole { longest } else { deadline.as_secs_f64() };
            record.seconds = record.seconds.map(|_| waited);
            rounds.push(record);
        }
        (tasks, silent)
    }

    /// Has the nodes work, each thread one after the other.
    fn work(&self, tasks: &[Task], question: &Question<'_>) -> Vec<AnswerHere> {
        let next = AtomicUsize::new(0);
        let work = |seat: usize| {
            let mut answers = Vec::new();
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                answers.extend(self.answer(seat, task, question));
            }
            answers
        };
        std::thread::scope(|scope| {
            let work = &work;
            let others = self.nodes.seats().min(tasks.len());
            let others: Vec<_> = (1..others).map(|seat| scope.spawn(move || work(seat))).collect();
            let mut answers = work(0);
            for other in others {
                // A thread that panicked leaves its nodes without an answer.
                answers.extend(other.join().unwrap_or_default());
            }
            answers
        })
    }

    fn answer(&self, seat: usize, task: &Task, question: &Question<'_>) -> Option<AnswerHere> {
        let request = task.request.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let start = Instant::now();
        let ran = question.run(seat, &task.node, *request, &|blob| self.fetch(blob));
        let body = match ran {
            Ok(ran) => {
                ran.blobs.into_iter().for_each(|bytes| self.shelf.upload(bytes));
                Body::RoundReply(Box::new(ran.reply))
            }
            Err(refused) => Body::Refused(refused),
        };
        let time = match self.conditions.has_time() {
            true => Duration::try_from_secs_f64(task.s).unwrap_or_default(),
            false => start.elapsed(),
        };
        Some(AnswerHere { node: task.node.clone(), body: Some(body), time })
    }
}

impl NodesHere for Crowd {
    fn nodes(&self) -> Vec<NodeId> {
        self.nodes.ids().cloned().collect()
    }

    fn ask(
        &self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
        cancel: &Cancel,
    ) -> Vec<AnswerHere> {
        let (mut rounds, mut answers) = (Vec::new(), Vec::new());
        for (node, body) in requests {
            match body {
                Body::Round(request) => rounds.push((node, request)),
                body => {
                    let body = Some(self.nodes.answer(&node, &body));
                    answers.push(AnswerHere { node, body, time: Duration::ZERO });
                }
            }
        }
        let Some((_, first)) = rounds.first() else { return answers };
        if first.mode == Mode::Train {
            self.shelf.begin_round();
        }
        let first = first.clone();
        let (tasks, silent) = self.draw(rounds, deadline);
        answers.extend(silent);
        let fetch = |blob: &BlobRef| self.fetch(blob);
        match self.nodes.question(&first, &fetch, cancel) {
            Ok(question) => answers.extend(self.work(&tasks, &question)),
            Err(refused) => answers.extend(tasks.into_iter().map(|task| refuse(task, &refused))),
        }
        answers
    }
}

fn refuse(task: Task, refused: &Refusal) -> AnswerHere {
    let body = Some(Body::Refused(refused.clone()));
    AnswerHere { node: task.node, body, time: Duration::ZERO }
}
