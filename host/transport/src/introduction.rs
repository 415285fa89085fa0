//! The messages at the beginning and at the end of each connection: for all participants, and
//! signed with the connection's number.

use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{Body, Presence, Recipient, RequestId, Role, SessionId};
use fedwasm_trust::{Outgoing, Seal};

use crate::port::{Client, Introduction, Publication};
use crate::{Clock, Error, Topics};

/// Signs greetings and farewells.
#[derive(Clone, Debug)]
pub(crate) struct Introducer {
    pub(crate) seal: Arc<Seal>,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
}

impl Introducer {
    /// The client of this session, which introduces itself anew on every connection.
    pub(crate) fn client(self) -> Result<Client, Error> {
        let subscriptions = self.subscriptions();
        let id = self.client_id()?;
        let introduce = move || {
            self.seal.connect();
            Ok(Introduction { greeting: self.presence(true)?, will: self.farewell()? })
        };
        Ok(Client { id, subscriptions, introduce: Box::new(introduce) })
    }

    /// A broker hangs up on a client when another one comes with its id, so no other client may
    /// know it. Two programs of one node have the same, throw each other out, and learn of it.
    fn client_id(&self) -> Result<String, Error> {
        let me = self.seal.member().participant();
        let secret = match me.role {
            Role::Node => self.seal.member().key().secret_name(),
            _ => SessionId::random().map_err(|_| fedwasm_trust::Error::Randomness)?.to_string(),
        };
        Ok(format!("{me}.{secret}"))
    }

    fn subscriptions(&self) -> Vec<String> {
        let (topics, me) = (&self.topics, self.seal.member().participant().clone());
        let role = me.role;
        let own_presence = topics.presence(&me);
        let session = self.seal.session().clone();
        let inbox = topics.inbox(&Recipient { participant: me, session });
        match role {
            // Its own presence, since a will can arrive after the greeting that followed it.
            Role::Node => vec![inbox, own_presence, topics.farewell_all()],
            _ => vec![topics.presence_all(), inbox],
        }
    }

    /// The retained message of a node; none for other roles.
    pub(crate) fn presence(&self, online: bool) -> Result<Option<Publication>, Error> {
        let me = self.seal.member().participant();
        if me.role != Role::Node {
            return Ok(None);
        }
        let payload = self.seal_for_all(&Body::Presence(Presence { online }))?.into();
        Ok(Some(Publication { topic: self.topics.presence(me), payload, retain: true }))
    }

    fn farewell(&self) -> Result<Option<Publication>, Error> {
        let me = self.seal.member().participant();
        if me.role != Role::Researcher {
            return self.presence(false);
        }
        let payload = self.seal_for_all(&Body::Farewell)?.into();
        Ok(Some(Publication { topic: self.topics.farewell(me), payload, retain: false }))
    }

    fn seal_for_all(&self, body: &Body) -> Result<Vec<u8>, Error> {
        let request_id = RequestId::random().map_err(|_| fedwasm_trust::Error::Randomness)?;
        let (recipient, in_reply_to, deadline) = (None, None, Duration::ZERO);
        let message = Outgoing { recipient, request_id, in_reply_to, deadline, body };
        Ok(self.seal.seal(message, self.clock.now_ms())?.0)
    }
}
