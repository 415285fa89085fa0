//! Requested rounds: which wait, which run, and which are cancelled.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Participant, Reason, Refusal, ResearcherId, RoundReply, RoundRequest, SessionId,
};
use fedwasm_trust::Roster;

use super::{Action, Now, Rules};
use crate::Dataset;
use crate::asked::Asked;
use crate::queue::Queue;
use crate::rate::{Note, Rate};
use crate::refusal::refusal;
use crate::trace::End;

/// The number of a round that was asked for, in this run of the node: the same request can be
/// made again while the first one winds down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// A round that has a place among those that run.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) ticket: Ticket,
    pub(crate) asked: Asked,
    pub(crate) request: Box<RoundRequest>,
    pub(crate) dataset: Dataset,
    /// How much time it has; none if it does not run, and its end follows at once.
    pub(crate) left: Option<Duration>,
}

/// The outcome of running a round.
#[derive(Debug)]
pub(crate) enum Ran {
    Done(Box<RoundReply>),
    /// With the end that its trace has: before or after its plan began to run.
    Refused(Refusal, End),
}

/// The end of a round: the reply to its researcher, and the entry in the log.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) ticket: Ticket,
    pub(crate) end: End,
    /// Why, for the log.
    pub(crate) reason: Option<String>,
    /// None if the researcher no longer waits.
    pub(crate) reply: Option<Body>,
    pub(crate) entry: Entry,
}

/// Whether an end is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// With how many like it were left out before.
    Write {
        left_out: u64,
    },
    LeaveOut,
}

/// The rounds of a node.
#[derive(Debug)]
pub(crate) struct Rounds {
    rules: Rules,
    tickets: u64,
    waiting: Queue<Queued>,
    running: Vec<Running>,
    /// When each session that waits for a round was last heard.
    heard: HashMap<(Participant, SessionId), Instant>,
    /// Whether the node cannot hear anyone: its own connection is lost.
    is_deaf: bool,
    /// The newest results that were sent, for researchers that did not get them.
    said: VecDeque<(Asked, Box<RoundReply>)>,
    /// Rounds that never began, by researcher.
    refused: Rate,
}

/// Results that are kept in case that they are lost on the way: of a round and a score each of the
/// researchers that may wait.
pub(super) const SAID_MAX: usize = 16;

/// A round that waits for its place.
#[derive(Debug)]
struct Queued {
    ticket: Ticket,
    asked: Asked,
    request: Box<RoundRequest>,
    dataset: Dataset,
    deadline: Instant,
    is_called_off: bool,
    /// As of a running one.
    is_alone: bool,
}

/// A round that has a place.
#[derive(Debug)]
struct Running {
    ticket: Ticket,
    asked: Asked,
    /// Which round of its experiment it is.
    round: u32,
    since: Instant,
    deadline: Instant,
    is_called_off: bool,
    /// Its researcher's connection is lost: others need not wait for this round.
    is_alone: bool,
    /// How it ends is known; it is told and written down.
    is_ending: bool,
}

impl Rounds {
    pub(crate) fn new(rules: Rules) -> Self {
        let (waiting, running) = (Queue::new(), Vec::new());
        let (heard, refused) = (HashMap::new(), Rate::default());
        let (is_deaf, said) = (false, VecDeque::new());
        Self { rules, tickets: 0, waiting, running, heard, is_deaf, said, refused }
    }

    /// Accepts a round, unless it is already known: a request resent after a broken connection,
    /// which no longer matters; the answer is on its way.
    pub(crate) fn enqueue(
        &mut self,
        asked: Asked,
        request: Box<RoundRequest>,
        dataset: Dataset,
        deadline: Instant,
        now: &Now,
    ) -> Result<(), Refusal> {
        let mut is_known = false;
        for known in self.open_mut().filter(|known| known.request_id == asked.request_id) {
            is_known = true;
            if known.from == asked.from {
                known.connection = known.connection.max(asked.connection);
            }
        }
        if is_known {
            return Ok(());
        }
        let researcher = asked.researcher.clone();
        let session = asked.session();
        let ticket = Ticket(self.tickets);
        let (is_called_off, is_alone) = (false, false);
        let queued = Queued { ticket, asked, request, dataset, deadline, is_called_off, is_alone };
        if self.waiting.room(&researcher).is_err() {
            // Rounds of sessions that are gone make room for those that wait for an answer.
            self.waiting.retain(|queued| !queued.is_alone);
        }
        let pushed = self.waiting.push(&researcher, queued);
        pushed.map_err(|full| refusal(Reason::Busy, full.to_string()))?;
        self.tickets += 1;
        self.heard.insert(session, now.at);
        Ok(())
    }

    /// A session gave a sign of life.
    pub(crate) fn hear(&mut self, sender: &Participant, session: &SessionId, now: &Now) {
        if let Some(heard) = self.heard.get_mut(&(sender.clone(), session.clone())) {
            *heard = now.at;
        }
        let is_other =
            |asked: &Asked| asked.from.participant != *sender || asked.from.session != *session;
        self.running.iter_mut().for_each(|running| running.is_alone &= is_other(&running.asked));
        self.waiting.iter_mut().for_each(|queued| queued.is_alone &= is_other(&queued.asked));
    }

    /// The result of a request that was answered before, and is said again.
    pub(crate) fn said(&self, asked: &Asked) -> Option<Action> {
        let of = |known: &Asked| known.request_id == asked.request_id && known.from == asked.from;
        let (known, reply) = self.said.iter().find(|(known, _)| of(known))?;
        Some(Action::Send { asked: known.clone(), body: Body::RoundReply(reply.clone()) })
    }

    /// The connection is lost: silence says nothing about researchers.
    pub(crate) fn go_deaf(&mut self) {
        self.is_deaf = true;
    }

    /// The connection is there again, and leases begin anew.
    pub(crate) fn hear_again(&mut self, now: &Now) {
        self.is_deaf = false;
        self.heard.values_mut().for_each(|heard| *heard = now.at);
    }

    /// Researchers left, or lost their connections: their rounds continue until their leases end, or
    /// another round waits.
    pub(crate) fn leave_alone(&mut self, is_of: impl Fn(&Asked) -> bool) {
        for queued in self.waiting.iter_mut().filter(|queued| is_of(&queued.asked)) {
            queued.is_alone = true;
        }
        for running in &mut self.running {
            if is_of(&running.asked) && !running.is_called_off && !running.is_ending {
                let (who, round) = (&running.asked.from.participant, running.round);
                tracing::info!("{who} is gone; round {round} continues while no other one waits");
                running.is_alone = true;
            }
        }
    }

    /// Cancels rounds whose researchers no longer wait.
    pub(crate) fn call_off(&mut self, is_over: impl Fn(&Asked) -> bool, actions: &mut Vec<Action>) {
        for queued in self.waiting.iter_mut().filter(|queued| !queued.is_called_off) {
            queued.is_called_off = is_over(&queued.asked);
        }
        let is_open = |running: &&mut Running| !running.is_called_off && !running.is_ending;
        for running in self.running.iter_mut().filter(is_open) {
            if is_over(&running.asked) {
                running.is_called_off = true;
                actions.push(Action::CallOff(running.ticket));
            }
        }
    }

    /// Calls rounds off whose researchers were not heard for too long: they left without a
    /// word, and others wait.
    pub(crate) fn end_leases(&mut self, now: &Now, actions: &mut Vec<Action>) {
        if self.is_deaf {
            return;
        }
        let (heard, lease) = (std::mem::take(&mut self.heard), self.rules.lease);
        let is_over = |asked: &Asked| {
            let heard = heard.get(&asked.session());
            let is_over = heard.is_none_or(|heard| now.since(*heard) > lease);
            if is_over {
                let (who, s) = (&asked.from.participant, lease.as_secs());
                tracing::warn!("{who} has not been heard for {s} s: its round is cancelled");
            }
            is_over
        };
        self.call_off(is_over, actions);
        self.waiting.retain(|queued| !queued.is_called_off);
        let waits: HashSet<_> = self.open().map(Asked::session).collect();
        self.heard = heard.into_iter().filter(|(session, _)| waits.contains(session)).collect();
    }

    /// Calls rounds off whose researchers' keys count no longer: nothing more is sent to them.
    pub(crate) fn call_off_revoked(&mut self, roster: &Roster, actions: &mut Vec<Action>) {
        let is_over = |asked: &Asked| {
            let who = &asked.from.participant;
            let is_over = roster.key(who).is_none();
            if is_over {
                tracing::warn!("the key of {who} was revoked: its round is cancelled");
            }
            is_over
        };
        self.call_off(is_over, actions);
        self.waiting.retain(|queued| !queued.is_called_off);
    }

    /// Starts rounds that wait. A round that used its turn makes room if a researcher without a
    /// running round waits.
    pub(crate) fn start(&mut self, now: &Now, actions: &mut Vec<Action>) {
        while self.running.len() < self.rules.rounds_max {
            let running = &self.running;
            let may =
                |who: &ResearcherId| running.iter().all(|running| running.asked.researcher != *who);
            let Some(queued) = self.waiting.pop(may) else { break };
            self.start_one(queued, now, actions);
        }
        if self.waiting.iter().any(|queued| !queued.is_called_off && !queued.is_alone) {
            self.call_off_alone(actions);
        }
        if let Some(oldest) = self.turn_of().filter(|oldest| now.at >= self.turn_end(oldest)) {
            let (ticket, s) = (oldest.ticket, self.rules.turn.as_secs());
            let message = format!("the round used its turn of {s} s, and others are waiting");
            tracing::warn!("{message}");
            self.break_off(ticket, End::CalledOff, Reason::Busy, message, now, actions);
        }
    }

    /// Calls rounds off whose researchers are gone: others wait.
    fn call_off_alone(&mut self, actions: &mut Vec<Action>) {
        for running in &mut self.running {
            if running.is_alone && !running.is_called_off && !running.is_ending {
                running.is_called_off = true;
                actions.push(Action::CallOff(running.ticket));
            }
        }
    }

    fn start_one(&mut self, queued: Queued, now: &Now, actions: &mut Vec<Action>) {
        let Queued { ticket, asked, request, dataset, deadline, is_called_off, is_alone } = queued;
        tracing::info!(
            "{:?} of round {} of experiment {} for {}, plan {}",
            request.mode,
            request.round,
            request.experiment_id,
            asked.from.participant,
            request.plan.sha256,
        );
        let left = deadline.saturating_duration_since(now.at).min(self.rules.round_time_max);
        self.running.push(Running {
            ticket,
            asked: asked.clone(),
            round: request.round,
            since: now.at,
            deadline: now.at + left,
            is_called_off,
            is_alone,
            is_ending: false,
        });
        let is_late = left.is_zero();
        let left = (!is_called_off && !is_late).then_some(left);
        actions.push(Action::Start(Box::new(Start { ticket, asked, request, dataset, left })));
        if is_called_off {
            self.end(ticket, End::Refused, None, None, now, actions);
        } else if is_late {
            let message = "the deadline passed before the round began".to_owned();
            let reply = Body::Refused(refusal(Reason::Expired, message.clone()));
            self.end(ticket, End::Refused, Some(message), Some(reply), now, actions);
        }
    }

    /// Ends rounds whose time is over.
    pub(crate) fn end_late(&mut self, now: &Now, actions: &mut Vec<Action>) {
        let is_late = |running: &&Running| !running.is_ending && now.at >= running.deadline;
        let late: Vec<_> = self.running.iter().filter(is_late).map(|late| late.ticket).collect();
        for ticket in late {
            let message = "the deadline passed before the round finished".to_owned();
            tracing::warn!("{message}");
            self.break_off(ticket, End::Expired, Reason::Expired, message, now, actions);
        }
    }

    /// A round ran, well or not.
    pub(crate) fn ran(&mut self, ticket: Ticket, ran: Ran, now: &Now, actions: &mut Vec<Action>) {
        let Some(running) = self.running.iter().find(|running| running.ticket == ticket) else {
            return;
        };
        if running.is_ending {
            return;
        }
        // It may have been asked for again, under the same id: an answer to the first asking would
        // be taken for one to the second.
        if running.is_called_off {
            tracing::info!("the researcher no longer waits for round {}", running.round);
            return self.end(ticket, End::CalledOff, None, None, now, actions);
        }
        match ran {
            Ran::Done(reply) => {
                self.said.truncate(SAID_MAX - 1);
                self.said.push_front((running.asked.clone(), reply.clone()));
                let reply = Some(Body::RoundReply(reply));
                self.end(ticket, End::Delivered, None, reply, now, actions);
            }
            Ran::Refused(refused, end) => {
                tracing::warn!("refused ({}): {}", refused.reason, refused.message);
                let reason = Some(refused.message.clone());
                self.end(ticket, end, reason, Some(Body::Refused(refused)), now, actions);
            }
        }
    }

    /// A round is over and its end is written down.
    pub(crate) fn free(&mut self, ticket: Ticket) {
        self.running.retain(|running| running.ticket != ticket);
    }

    /// The time of the next decision if no event comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        let running = self.running.iter().filter(|running| !running.is_ending);
        let deadlines = running.map(|running| running.deadline);
        deadlines.chain(self.turn_of().map(|oldest| self.turn_end(oldest))).min()
    }

    /// The round whose turn may be over: the oldest one, if no place is free and a researcher
    /// without a running round waits.
    fn turn_of(&self) -> Option<&Running> {
        let may = |who: &ResearcherId| {
            self.running.iter().all(|running| running.asked.researcher != *who)
        };
        if self.running.len() < self.rules.rounds_max || !self.waiting.has(may) {
            return None;
        }
        let oldest = self.running.iter().min_by_key(|running| running.since);
        oldest.filter(|oldest| !oldest.is_ending)
    }

    fn turn_end(&self, running: &Running) -> Instant {
        running.since + self.rules.turn
    }

    /// Ends a running round without waiting for its result.
    fn break_off(
        &mut self,
        ticket: Ticket,
        end: End,
        reason: Reason,
        message: String,
        now: &Now,
        actions: &mut Vec<Action>,
    ) {
        if let Some(running) = self.running.iter_mut().find(|running| running.ticket == ticket) {
            running.is_called_off = true;
        }
        actions.push(Action::CallOff(ticket));
        let reply = Body::Refused(refusal(reason, message.clone()));
        self.end(ticket, end, Some(message), Some(reply), now, actions);
    }

    fn end(
        &mut self,
        ticket: Ticket,
        end: End,
        reason: Option<String>,
        reply: Option<Body>,
        now: &Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(running) = self.running.iter_mut().find(|running| running.ticket == ticket) else {
            return;
        };
        running.is_ending = true;
        let mut entry = Entry::Write { left_out: 0 };
        if end == End::Refused {
            entry = match self.refused.take(running.asked.researcher.as_str(), now.minute()) {
                Note::Write { left_out, .. } => Entry::Write { left_out },
                Note::Count => Entry::LeaveOut,
            };
        }
        actions.push(Action::End(Ending { ticket, end, reason, reply, entry }));
    }

    /// The researcher who waits for a round.
    fn open(&self) -> impl Iterator<Item = &Asked> {
        let waiting = self.waiting.iter().filter(|queued| !queued.is_called_off);
        let running = self.running.iter().filter(|running| !running.is_called_off);
        waiting.map(|queued| &queued.asked).chain(running.map(|running| &running.asked))
    }

    fn open_mut(&mut self) -> impl Iterator<Item = &mut Asked> {
        let waiting = self.waiting.iter_mut().filter(|queued| !queued.is_called_off);
        let running = self.running.iter_mut().filter(|running| !running.is_called_off);
        waiting.map(|queued| &mut queued.asked).chain(running.map(|running| &mut running.asked))
    }
}
