//! Events of a node, and the actions that answer them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    ApprovalRequest, Body, Columns, DatasetEntry, DatasetId, Digest, Message, Participant,
    RoundRequest, SecaggRequest, StatisticsRequest,
};
use fedwasm_trust::{Refused, Roster};
use serde_json::Value;

use super::rounds::{Ending, Ran, Start, Ticket};
use crate::asked::Asked;
use crate::{Datasets, Error, NodeConfig};

/// The longest lease and turn, a year: they are added to the current time.
const SECONDS_MAX: u64 = 365 * 24 * 3_600;

/// The current time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) unix_ms: u64,
}

impl Now {
    pub(super) fn since(&self, earlier: Instant) -> Duration {
        self.at.saturating_duration_since(earlier)
    }

    /// The minute of Unix time.
    pub(super) fn minute(&self) -> u64 {
        self.unix_ms / 60_000
    }
}

/// The rules of a node, from its configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long a round is worked for without a sign of life from its researcher.
    pub(crate) lease: Duration,
    /// Rounds that run at once.
    pub(crate) rounds_max: usize,
    /// How long a round runs while another researcher's round waits.
    pub(crate) turn: Duration,
    /// The most time of a round, regardless of its deadline.
    pub(crate) round_time_max: Duration,
    pub(crate) memory_mib_max: u64,
}

impl Rules {
    pub(crate) fn of(config: &NodeConfig) -> Self {
        let seconds = |s: u64| Duration::from_secs(s.clamp(1, SECONDS_MAX));
        Self {
            lease: seconds(config.lease_s),
            rounds_max: config.rounds_max.max(1),
            turn: seconds(config.turn_s),
            round_time_max: Duration::from_secs(config.round_s_max),
            memory_mib_max: config.memory_mib_max,
        }
    }
}

/// An event of a node.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message came whose sender, recipient, time and novelty were checked.
    Message {
        message: Box<Message>,
        /// The number of the node's own connection.
        connection: u64,
    },
    /// A message came that is not believed.
    Refused { topic: Option<Participant>, refused: Refused },
    /// The registry of datasets was read.
    Datasets { inquiry: Inquiry, datasets: Result<Datasets, Error> },
    /// A question has its answer.
    Answered { asked: Asked, about: About, answer: Body },
    /// A question gets no answer: its task ended early.
    Unanswered,
    /// A key was put on the roster or revoked.
    Roster(Arc<Roster>),
    /// A round ran, well or not.
    Ran { ticket: Ticket, ran: Ran },
    /// The end of a round is sent and logged, or its task ended early.
    Ended(Ticket),
    /// The connection to the broker was lost.
    Disconnected,
    /// It is there again.
    Connected,
    /// The program ends.
    Leaving,
    /// Time passed.
    Time,
}

/// An action that follows an event. Actions are carried out in their order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Announce the node to all participants.
    Greet,
    /// Send an answer.
    Send { asked: Asked, body: Body },
    /// Read the registry of datasets: [`Event::Datasets`].
    ReadDatasets(Inquiry),
    /// Answer a question about a plan: [`Event::Answered`].
    AnswerApproval { asked: Asked, request: ApprovalRequest },
    /// Answer a step of a secure sum: [`Event::Answered`].
    AnswerStep { asked: Asked, request: SecaggRequest },
    /// Sum up columns of a dataset: [`Event::Answered`].
    AnswerStatistics { asked: Asked, request: Box<StatisticsRequest> },
    /// Store names of columns, then answer a search: [`Event::Answered`].
    StoreColumns(WideSearch),
    /// Run a round if it has time left: [`Event::Ran`].
    Start(Box<Start>),
    /// Cancel a round whose researcher no longer waits.
    CallOff(Ticket),
    /// Stop to wait for a round if it runs, send its end and write it down: [`Event::Ended`].
    End(Ending),
    /// Write an entry into the log.
    Record { kind: &'static str, fields: Value },
    /// End workers that were not used for [`super::UNUSED_TIME_MAX`].
    DropUnused,
    /// End the program: another one serves as this node, and its directory is the older one.
    GiveWay,
}

/// The purpose of reading the registry of datasets.
#[derive(Debug)]
pub(crate) enum Inquiry {
    Search { asked: Asked, tags: Vec<String> },
    Round { asked: Asked, request: Box<RoundRequest>, deadline: Instant },
}

/// A search whose datasets have too many columns for a message.
#[derive(Debug)]
pub(crate) struct WideSearch {
    pub(crate) asked: Asked,
    pub(crate) datasets: Vec<DatasetEntry>,
    pub(crate) wide: Vec<(DatasetId, Columns)>,
}

/// The subject of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Plan(Digest),
    Datasets,
    Sum,
    Statistics,
}
