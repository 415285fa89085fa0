//! The decisions of the loop that owns the node's connection.
//!
//! An event and the time go in, actions come out; the result of an action comes back as an event.
//! Opens no socket and no file, reads no clock, takes no lock, waits for nothing.

mod event;
mod rounds;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Columns, Digest, Header, MESSAGE_BYTES_MAX, Message, Participant, Presence, Reason,
    Refusal, RoundRequest, SearchReply, SessionId,
};
use fedwasm_trust::{Refused, SKEW_MS};
use serde_json::json;

pub(crate) use self::event::{About, Action, Event, Inquiry, Now, Rules, WideSearch};
pub(crate) use self::rounds::{Ending, Entry, Ran, Start, Ticket};

use self::rounds::Rounds;
use crate::asked::Asked;
use crate::rate::{Note, Once, Rate};
use crate::refusal::refusal;
use crate::{Datasets, Error, demands};

/// How often leases are looked at while one lasts.
const LEASE_LOOKS: u32 = 8;
/// Questions that may be under way.
const QUESTIONS_MAX: usize = 8;
/// How long unused workers of a plan stay.
pub(crate) const UNUSED_TIME_MAX: Duration = Duration::from_secs(300);
/// Between greetings that show the clock.
const GREETING_PAUSE: Duration = Duration::from_secs(1);
/// The difference of clocks from which on the log warns.
const CLOCK_WARNING_MS: u64 = 60_000;
/// The longest time that a researcher may ask for.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Decides the actions of a node.
#[derive(Debug)]
pub(crate) struct Handler {
    rules: Rules,
    /// The session of this program.
    session: SessionId,
    /// When it began to serve.
    started_ms: u64,
    rounds: Rounds,
    /// Questions that are under way.
    questions: usize,
    /// Questions that were written down.
    noted: Once<(Participant, Digest, String)>,
    /// Messages that were refused, by topic.
    refused: Rate,
    /// When it last greeted for the sake of its clock.
    greeted: Option<Instant>,
    /// When leases are looked at next.
    look_at: Instant,
    /// When to look for unused workers next.
    sweep_at: Instant,
}

impl Handler {
    pub(crate) fn new(rules: Rules, session: SessionId, now: Now) -> Self {
        Self {
            rules,
            session,
            started_ms: now.unix_ms,
            rounds: Rounds::new(rules),
            questions: 0,
            noted: Once::default(),
            refused: Rate::default(),
            greeted: None,
            look_at: now.at,
            sweep_at: now.at + UNUSED_TIME_MAX,
        }
    }

    /// Returns the actions for an event.
    pub(crate) fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), &now);
        match event {
            Event::Message { message, connection } => {
                self.message(*message, connection, now, &mut actions);
            }
            Event::Refused { topic, refused } => {
                self.refuse(topic.as_ref(), &refused, now, &mut actions);
            }
            Event::Datasets { inquiry: Inquiry::Search { asked, tags }, datasets } => {
                actions.push(self.search(asked, &tags, datasets));
            }
            Event::Datasets { inquiry: Inquiry::Round { asked, request, deadline }, datasets } => {
                if let Some(said) = self.rounds.said(&asked) {
                    // Its answer was lost on the way.
                    actions.push(said);
                } else {
                    let taken = self.enqueue(asked.clone(), request, deadline, datasets, now);
                    if let Err(refused) = taken {
                        actions.push(Action::Send { asked, body: Body::Refused(refused) });
                    }
                }
            }
            Event::Answered { asked, about, answer } => {
                self.questions = self.questions.saturating_sub(1);
                if let About::Plan(plan) = about {
                    actions.extend(self.note_asked(&asked.from.participant, &plan, &answer, now));
                }
                actions.push(Action::Send { asked, body: answer });
            }
            Event::Unanswered => self.questions = self.questions.saturating_sub(1),
            Event::Roster(roster) => self.rounds.call_off_revoked(&roster, &mut actions),
            Event::Ran { ticket, ran } => self.rounds.ran(ticket, ran, now, &mut actions),
            Event::Ended(ticket) => self.rounds.free(ticket),
            // Rounds continue: their researchers ask for them again once the connection is back.
            Event::Disconnected => self.rounds.go_deaf(),
            Event::Connected => self.rounds.hear_again(now),
            // Our farewell told all researchers not to wait for these rounds.
            Event::Leaving => self.rounds.call_off(|_| true, &mut actions),
            Event::Time => {}
        }
        self.pass_time(now, &mut actions);
        actions
    }

    /// When [`Event::Time`] is due if nothing else happens.
    pub(crate) fn next(&self) -> Instant {
        let next = self.look_at.min(self.sweep_at);
        self.rounds.next().map_or(next, |round| round.min(next))
    }

    /// The actions that are due.
    fn pass_time(&mut self, now: &Now, actions: &mut Vec<Action>) {
        if now.at >= self.look_at {
            self.rounds.end_leases(now, actions);
            self.look_at = now.at + self.rules.lease / LEASE_LOOKS;
        }
        self.rounds.end_late(now, actions);
        let before = actions.len();
        self.rounds.start(now, actions);
        let is_new = |action: &Action| matches!(action, Action::Start(_));
        if now.at >= self.sweep_at || actions[before..].iter().any(is_new) {
            self.sweep_at = now.at + UNUSED_TIME_MAX;
            actions.push(Action::DropUnused);
        }
    }

    fn message(&mut self, message: Message, connection: u64, now: &Now, actions: &mut Vec<Action>) {
        if self.is_rival(&message, connection) {
            return actions.push(Action::GiveWay);
        }
        let Message { header, digest, body } = message;
        match body {
            // The will of a connection that broke can arrive after the greeting
            // of the one that followed, and an old presence can be replayed; then the
            // greeting is.
            Body::Presence(Presence { online }) => {
                if !online || header.session != self.session {
                    actions.push(Action::Greet);
                }
                return;
            }
            // A researcher left or lost its connection; one that leaves cancels its requests before
            // it does. One that is back asks for the round again.
            Body::Farewell => {
                let is_of = |asked: &Asked| {
                    asked.from.participant == header.sender
                        && asked.from.session == header.session
                        && asked.connection <= header.connection
                };
                return self.rounds.leave_alone(is_of);
            }
            _ => {}
        }
        self.rounds.hear(&header.sender, &header.session, now);
        let Some(asked) = Asked::of(&header, digest) else {
            return tracing::warn!("a {} of {} is ignored", header.kind, header.sender);
        };
        self.request(asked, &header, body, now, actions);
    }

    /// A request of a researcher.
    fn request(
        &mut self,
        asked: Asked,
        header: &Header,
        body: Body,
        now: &Now,
        actions: &mut Vec<Action>,
    ) {
        let body = match body {
            Body::Search(request) => {
                warn_of_clock(header, now);
                let tags = request.tags;
                return actions.push(Action::ReadDatasets(Inquiry::Search { asked, tags }));
            }
            Body::Round(request) => match demands::check(&request, self.rules.memory_mib_max) {
                Ok(()) => {
                    let time = Duration::from_millis(header.deadline_ms).min(DEADLINE_MAX);
                    let deadline = now.at + time;
                    let inquiry = Inquiry::Round { asked, request, deadline };
                    return actions.push(Action::ReadDatasets(inquiry));
                }
                Err(refused) => Body::Refused(refused),
            },
            // Only the researcher who asked for a round may cancel it.
            Body::Cancel => {
                let is_it = |known: &Asked| {
                    known.request_id == asked.request_id && known.from == asked.from
                };
                return self.rounds.call_off(is_it, actions);
            }
            Body::Ping => Body::Pong,
            Body::Approval(request) => match self.question("questions about plans") {
                Ok(()) => return actions.push(Action::AnswerApproval { asked, request }),
                Err(refused) => Body::Refused(refused),
            },
            Body::Secagg(request) => match self.question("questions") {
                Ok(()) => return actions.push(Action::AnswerStep { asked, request }),
                Err(refused) => Body::Refused(refused),
            },
            Body::Statistics(request) => match self.question("questions") {
                Ok(()) => return actions.push(Action::AnswerStatistics { asked, request }),
                Err(refused) => Body::Refused(refused),
            },
            _ => return tracing::warn!("a {} is ignored", header.kind),
        };
        actions.push(Action::Send { asked, body });
    }

    /// Whether another program with this node's key, of another directory, was here before
    /// this one. Each throws the other out of the broker, so both have connected anew since
    /// this one started; the one that came first counts more connections. Anything older than
    /// this program is not a sign of life.
    fn is_rival(&self, message: &Message, own: u64) -> bool {
        let Header { session, connection, issued_ms, .. } = &message.header;
        matches!(message.body, Body::Presence(_))
            && *session != self.session
            && own > 1
            && *connection >= own
            && *issued_ms > self.started_ms
    }

    /// Writes down that a message was refused; a flood is counted and does not fill the log.
    fn refuse(
        &mut self,
        topic: Option<&Participant>,
        refused: &Refused,
        now: &Now,
        actions: &mut Vec<Action>,
    ) {
        // It greets, so that a sender whose message has another time than this node learns what
        // time it is here.
        let is_of_another_time =
            matches!(refused, Refused::Expired { .. } | Refused::Future { .. });
        if is_of_another_time && self.greeted.is_none_or(|at| now.since(at) >= GREETING_PAUSE) {
            self.greeted = Some(now.at);
            actions.push(Action::Greet);
        }
        let (who, why) = (topic.map_or("no participant".to_owned(), ToString::to_string), refused);
        let Note::Write { is_last, left_out } = self.refused.take(&who, now.minute()) else {
            return;
        };
        tracing::warn!("a message over the topic of {who} is refused: {why}");
        let fields = json!({
            "topic": who, "reason": why.to_string(), "more_are_not_recorded": is_last,
            "left_out": left_out,
        });
        actions.push(Action::Record { kind: "message-refused", fields });
    }

    /// Takes up a question if not too many are.
    fn question(&mut self, questions: &str) -> Result<(), Refusal> {
        if self.questions >= QUESTIONS_MAX {
            let text = format!("{QUESTIONS_MAX} {questions} are already waiting");
            return Err(refusal(Reason::Busy, text));
        }
        self.questions += 1;
        Ok(())
    }

    /// Answers at once, or later if names of columns have to be stored first.
    fn search(
        &mut self,
        asked: Asked,
        tags: &[String],
        datasets: Result<Datasets, Error>,
    ) -> Action {
        let mut datasets = match datasets {
            Ok(datasets) => datasets.search(tags),
            Err(error) => {
                tracing::error!("{error}");
                let refused = refusal(Reason::Internal, "the registry cannot be read".into());
                return Action::Send { asked, body: Body::Refused(refused) };
            }
        };
        // Half of a message is room for everything else.
        let (mut room, mut wide) = (MESSAGE_BYTES_MAX / 2, Vec::new());
        for dataset in &mut datasets {
            match room.checked_sub(dataset.columns_bytes()) {
                Some(left) => room = left,
                None => wide.push((dataset.dataset_id.clone(), Columns::take(dataset))),
            }
        }
        if wide.is_empty() {
            let body = Body::SearchReply(SearchReply { datasets, columns: [].into() });
            return Action::Send { asked, body };
        }
        match self.question("questions") {
            Ok(()) => Action::StoreColumns(WideSearch { asked, datasets, wide }),
            Err(refused) => Action::Send { asked, body: Body::Refused(refused) },
        }
    }

    /// Lets a round wait for its place.
    fn enqueue(
        &mut self,
        asked: Asked,
        request: Box<RoundRequest>,
        deadline: Instant,
        datasets: Result<Datasets, Error>,
        now: &Now,
    ) -> Result<(), Refusal> {
        let internal = |_| refusal(Reason::Internal, "the registry cannot be read".into());
        let datasets = datasets.map_err(internal)?;
        let Some(dataset) = datasets.find(&request.dataset_id).cloned() else {
            let message = format!("this node has no dataset `{}`", request.dataset_id);
            return Err(refusal(Reason::Dataset, message));
        };
        dataset.check_columns(&request.data)?;
        self.rounds.enqueue(asked, request, dataset, deadline, now)
    }

    /// Logs who asked for a plan and the answer; repetitions within a minute are left out.
    fn note_asked(
        &mut self,
        who: &Participant,
        plan: &Digest,
        answer: &Body,
        now: &Now,
    ) -> Option<Action> {
        let told = match answer {
            Body::ApprovalReply(reply) => reply.status.to_string(),
            Body::Refused(refusal) => refusal.reason.to_string(),
            _ => return None,
        };
        if !self.noted.take((who.clone(), *plan, told.clone()), now.minute()) {
            return None;
        }
        let fields = json!({ "researcher": who, "plan": plan, "told": told });
        Some(Action::Record { kind: "asked", fields })
    }
}

/// Says that a researcher's clock is far off this one.
fn warn_of_clock(header: &Header, now: &Now) {
    let ms = now.unix_ms.abs_diff(header.issued_ms);
    if ms <= CLOCK_WARNING_MS {
        return;
    }
    let (who, s) = (&header.sender, ms / 1_000);
    let side = if header.issued_ms > now.unix_ms { "ahead of" } else { "behind" };
    tracing::warn!(
        "the clock of {who} is {s} s {side} this one; messages are refused beyond {} s",
        SKEW_MS / 1_000
    );
}
