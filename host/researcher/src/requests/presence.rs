//! The presence of nodes, their connections and their clocks.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{Header, NodeId, Participant, Presence, SessionId};
use fedwasm_trust::{Refused, SKEW_MS};

/// The most nodes that are kept in mind; presence of further ones is ignored.
const NODES_MAX: usize = 4_096;

/// A node's presence.
pub(super) struct Known {
    pub(super) online: bool,
    pub(super) session: SessionId,
    connection: u64,
    /// Counts the messages of the session: a higher one was sent later, regardless of the clock.
    sequence: u64,
    issued_ms: u64,
    /// Another run of its program that said by an earlier clock that it is there: it is the one
    /// to talk to if it answers, and a message of long ago if it does not.
    other: Option<(SessionId, u64)>,
    /// By how many milliseconds its clock is ahead of ours, since it last said something that
    /// must be of now.
    ahead_ms: Option<i64>,
}

/// The meaning of a node's presence for a caller that waits for it.
pub(super) enum Change {
    Here,
    Gone,
    /// Over another connection, or of another run: earlier messages are lost.
    Anew,
    /// Its clock is so many milliseconds ahead of ours, too far to accept our messages.
    Clock(i64),
    /// Perhaps another run of its program.
    Other(SessionId),
}

/// The last presence of each node that was ever seen.
#[derive(Default)]
pub(super) struct Directory {
    known: BTreeMap<NodeId, Known>,
    /// Nodes that sent a message too late.
    late: BTreeSet<NodeId>,
}

impl Directory {
    pub(super) fn get(&self, node: &NodeId) -> Option<&Known> {
        self.known.get(node)
    }

    /// The nodes that are online, in ascending order.
    pub(super) fn online(&self) -> Vec<NodeId> {
        self.known.iter().filter(|(_, known)| known.online).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn is_online(&self, node: &NodeId) -> bool {
        self.known.get(node).is_some_and(|known| known.online)
    }

    /// By how many milliseconds a node's clock is ahead of ours, if it said something lately.
    pub(super) fn ahead_ms(&self, node: &NodeId) -> Option<i64> {
        self.known.get(node)?.ahead_ms
    }

    /// Whether a sign of life of the node came since this was last asked.
    pub(super) fn take_late(&mut self, node: &NodeId) -> bool {
        self.late.remove(node)
    }

    /// Whether there is one to take.
    pub(super) fn has_late(&self, node: &NodeId) -> bool {
        self.late.contains(node)
    }

    /// Learns how far a node's clock is from ours from something that it said just now.
    pub(super) fn note_clock(&mut self, header: &Header, now_ms: u64) {
        let known = header.sender.node_id().and_then(|node| self.known.get_mut(&node));
        if let Some(known) = known {
            known.ahead_ms = Some(ahead_ms(header, now_ms));
        }
    }

    /// A message for a future time was written by a clock ahead of ours.
    pub(super) fn note_future(&mut self, topic: Option<&Participant>, refused: &Refused) {
        let node = topic.and_then(Participant::node_id);
        let known = node.and_then(|node| self.known.get_mut(&node));
        if let (Some(known), Refused::Future { ms }) = (known, refused) {
            known.ahead_ms = i64::try_from(*ms).ok();
        }
    }

    /// A late answer changes no round, but shows that the node
    /// is alive.
    pub(super) fn note_late(&mut self, header: &Header, now_ms: u64) {
        self.note_clock(header, now_ms);
        if let Some(node) = header.sender.node_id()
            && self.known.contains_key(&node)
        {
            self.late.insert(node);
        }
    }

    /// Whether something was said by another run of a node's program than the one that is
    /// known, which said that it is there: that is the one to talk to.
    pub(super) fn take_other(&mut self, header: &Header, now_ms: u64) -> Option<NodeId> {
        let node = header.sender.node_id()?;
        let known = self.known.get_mut(&node)?;
        let (session, connection) = known.other.take_if(|(other, _)| *other == header.session)?;
        *known = Known {
            online: true,
            session,
            connection,
            sequence: header.sequence,
            issued_ms: header.issued_ms,
            other: None,
            ahead_ms: Some(ahead_ms(header, now_ms)),
        };
        self.late.insert(node.clone());
        Some(node)
    }

    /// Takes a node's presence, unless it is older than the known one: the last will of a
    /// connection says nothing about a later one, and a replay brings no node back.
    pub(super) fn take(
        &mut self,
        header: &Header,
        Presence { online }: Presence,
        now_ms: u64,
    ) -> Option<(NodeId, Change)> {
        let node = header.sender.node_id()?;
        let Header { session, connection, mut sequence, issued_ms, .. } = header.clone();
        let (other, mut ahead) = (None, None);
        let n_known = self.known.len();
        let change = match self.known.get_mut(&node) {
            None if n_known >= NODES_MAX => return None,
            None => Change::Here,
            Some(known) if known.session == session => {
                let is_older = connection < known.connection;
                let is_same = connection == known.connection;
                // A will is as old as its connection, whenever it comes.
                if is_older || (online && is_same && sequence <= known.sequence) {
                    return None;
                }
                // It greets again where it refuses our messages: this was written just now.
                let is_said_anew = online && is_same;
                sequence = sequence.max(known.sequence);
                ahead = match is_said_anew {
                    true => Some(ahead_ms(header, now_ms)),
                    false => known.ahead_ms,
                };
                match ahead {
                    _ if !online => Change::Gone,
                    _ if connection > known.connection => Change::Anew,
                    Some(ahead) if is_said_anew && is_too_far(ahead) => Change::Clock(ahead),
                    _ => Change::Here,
                }
            }
            // Of long ago, or by a clock that was corrected. A replay brings no node back and
            // evicts none: the node must answer.
            Some(known) if issued_ms < known.issued_ms => {
                let is_new =
                    online && known.other.as_ref().is_none_or(|(other, _)| *other != session);
                known.other = is_new.then(|| (session.clone(), connection)).or(known.other.take());
                return is_new.then_some((node, Change::Other(session)));
            }
            // Another run of its program: requests to the one before are lost.
            Some(_) if online => Change::Anew,
            Some(_) => Change::Gone,
        };
        let was_away = self.known.get(&node).is_some_and(|known| !known.online);
        if online && (was_away || matches!(change, Change::Anew)) {
            // It was started anew, or connected anew: a sign of life.
            self.late.insert(node.clone());
        }
        let new =
            Known { online, session, connection, sequence, issued_ms, other, ahead_ms: ahead };
        self.known.insert(node.clone(), new);
        Some((node, change))
    }
}

/// Whether clocks are too far apart for one side to believe the other.
pub(super) fn is_too_far(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() > SKEW_MS
}

/// By how many milliseconds the clock by which something was written just now is ahead of ours.
fn ahead_ms(header: &Header, now_ms: u64) -> i64 {
    let difference = i128::from(header.issued_ms) - i128::from(now_ms);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}
