//! A request and its sender.

use std::time::Duration;

use fedwasm_protocol::{
    Body, Digest, Header, Participant, Recipient, RequestId, ResearcherId, SessionId,
};
use fedwasm_trust::Outgoing;

/// A request and its sender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The recipient of the answer.
    pub(crate) from: Recipient,
    /// The connection that it came over.
    pub(crate) connection: u64,
    /// The researcher's id.
    pub(crate) researcher: ResearcherId,
    pub(crate) request_id: RequestId,
    /// The digest of the request, which the answer names.
    pub(crate) digest: Digest,
}

impl Asked {
    /// By a message with this header; none if no researcher sent it.
    pub(crate) fn of(header: &Header, digest: Digest) -> Option<Self> {
        let Header { sender, session, connection, request_id, .. } = header;
        let from = Recipient { participant: sender.clone(), session: session.clone() };
        let (connection, request_id) = (*connection, request_id.clone());
        let researcher = sender.researcher_id()?;
        Some(Self { from, connection, researcher, request_id, digest })
    }

    /// The run of the researcher's program.
    pub(crate) fn session(&self) -> (Participant, SessionId) {
        (self.from.participant.clone(), self.from.session.clone())
    }

    /// An answer to it.
    pub(crate) fn answer<'a>(&self, body: &'a Body) -> Outgoing<'a> {
        Outgoing {
            recipient: Some(self.from.clone()),
            request_id: self.request_id.clone(),
            in_reply_to: Some(self.digest),
            deadline: Duration::ZERO,
            body,
        }
    }
}
