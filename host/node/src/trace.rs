//! The entries of every round in the node's log, however it ends: an entry before a plan
//! sees a row, one with the receipt before anything is uploaded, and one at the end. The last
//! one counts all progress messages of the round.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fedwasm_protocol::{
    Body, Digest, Hasher, Participant, Progress, Reason, Refusal, RoundRequest,
};
use fedwasm_training::Prepared as Done;
use fedwasm_transport::now_ms;
use serde_json::{Value, json};

use crate::log::Later;
use crate::refusal::refusal;
use crate::{Database, Error};

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The researcher was sent the reply.
    Delivered,
    /// There is a receipt, but the reply could not be sent, or not all that it names.
    NotDelivered,
    /// The researcher no longer waits for it.
    CalledOff,
    /// Its deadline passed.
    Expired,
    /// The plan or the node failed after the plan began to run.
    Failed,
    /// It never began.
    Refused,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NotDelivered => "not-delivered",
            Self::CalledOff => "called-off",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// The entries of a round in the log.
#[derive(Debug)]
pub(crate) struct Trace {
    database: Database,
    about: Value,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    receipt: Option<Digest>,
    /// No progress may be sent any more: it would not be counted.
    over: bool,
    messages: u64,
    numbers: u64,
    bytes: u64,
    told: Hasher,
}

impl Trace {
    pub(crate) fn new(
        database: Database,
        researcher: &Participant,
        request_sha256: &Digest,
        request: &RoundRequest,
    ) -> Self {
        let about = json!({
            "researcher": researcher, "request": request_sha256,
            "experiment": request.experiment_id, "round": request.round, "mode": request.mode,
            "plan": request.plan.sha256, "dataset": request.dataset_id,
        });
        Self { database, about, state: Mutex::default() }
    }

    /// Writes down that the plan begins to run. Nothing runs unless this is on the disk.
    /// `done` is what was done by the rules of columns.
    pub(crate) fn start(&self, done: &Done) -> Result<(), Refusal> {
        let mut fields = self.about.clone();
        if !done.columns.is_empty() {
            fields["data"] = json!(done);
        }
        self.record("started", &fields).map_err(|error| {
            tracing::error!("the log could not be written: {error}");
            let text = "the node cannot write its log; the messages on its console say more";
            refusal(Reason::Internal, text.into())
        })?;
        self.state().started = true;
        Ok(())
    }

    /// Counts a progress message; false if it must not be sent.
    pub(crate) fn tell(&self, progress: &Progress) -> bool {
        let Ok(bytes) = Body::Progress(progress.clone()).encode() else { return false };
        let mut state = self.state();
        if state.over {
            return false;
        }
        state.messages += 1;
        state.numbers += progress.points.len() as u64 + u64::from(progress.loss.is_some());
        state.bytes += bytes.len() as u64;
        state.told.update(&bytes);
        true
    }

    /// The receipt is written.
    pub(crate) fn ran(&self, receipt: Digest) {
        self.state().receipt = Some(receipt);
    }

    /// How a round ended that gave this refusal.
    pub(crate) fn end_of(&self, refused: &Refusal) -> End {
        let state = self.state();
        match (state.started, state.receipt) {
            (_, Some(_)) => End::NotDelivered,
            (true, None) if refused.reason == Reason::Expired => End::CalledOff,
            (true, None) => End::Failed,
            (false, None) => End::Refused,
        }
    }

    /// Forbids further progress messages; returns the counts so far.
    pub(crate) fn close(&self) -> Value {
        let mut state = self.state();
        state.over = true;
        let told = state.told.clone().finish();
        let (messages, numbers, bytes) = (state.messages, state.numbers, state.bytes);
        json!({ "messages": messages, "numbers": numbers, "bytes": bytes, "sha256": told })
    }

    /// Writes down how it ended, and how many entries like it were left out before. That a reply was
    /// sent is written with the next entry: what left is in the log since before it did.
    pub(crate) fn end(&self, end: End, reason: Option<&str>, left_out: u64) -> Result<(), Error> {
        let told = self.close();
        let mut fields = self.about.clone();
        let State { started, receipt, .. } = &*self.state();
        if *started {
            fields["told"] = told;
        }
        fields["receipt"] = json!(receipt);
        fields["reason"] = json!(reason);
        if left_out > 0 {
            fields["left_out"] = json!(left_out);
        }
        let kind = end.as_str();
        match end {
            End::Delivered => self.database.record_later(Later { time_ms: now_ms(), kind, fields }),
            _ => self.record(kind, &fields).map(drop),
        }
    }

    fn record(&self, kind: &str, fields: &Value) -> Result<u64, Error> {
        self.database.record(now_ms(), kind, fields)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
