//! Checks arriving messages: the sender, the recipient, that it is of now and was not
//! heard before. All of that is settled before the body of a message is looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{
    EnvelopeError, FederationId, Header, Kind, Message, Participant, Recipient, Role, Sealed,
    SessionId,
};

use crate::{Member, Signer, Standing};

/// How far clocks of participants may differ, in milliseconds.
pub const SKEW_MS: u64 = 5 * 60_000;
/// The longest lifetime that a message may claim, in milliseconds.
const LIFETIME_MS_MAX: u64 = 10 * 60_000;
/// How far back a message may come after later ones of its sender.
const WINDOW: u64 = 64;
/// The most sessions of one participant that are kept in mind. One that has been silent for
/// longer than its messages live is forgotten.
const SESSIONS_MAX: usize = 1_024;

/// The reason why a message is refused. A refusal changes nothing for other participants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Not of the form of a message.
    #[error(transparent)]
    Form(#[from] EnvelopeError),
    /// Another federation's.
    #[error("it belongs to federation {0}")]
    Federation(FederationId),
    /// It came over the topic of another participant.
    #[error("it names {sender} as its sender, but it came over the topic of {topic}")]
    Topic {
        /// The sender in the header.
        sender: Participant,
        /// The participant of the topic.
        topic: Participant,
    },
    /// It is for another participant.
    #[error("it is for {0}")]
    Recipient(String),
    /// Meant for an earlier run of this program.
    #[error("it is for another session of this program")]
    Session,
    /// The sender's role may not send this kind.
    #[error("a {role} may not send a {kind}")]
    Kind {
        /// The kind of message.
        kind: Kind,
        /// The sender's role.
        role: Role,
    },
    /// A stranger's.
    #[error("{0} is not on the roster")]
    Unknown(Participant),
    /// Signed with a key that does not count any more.
    #[error("the key of {0} that signed it is revoked")]
    Revoked(Participant),
    /// Not signed by whom it names.
    #[error("it is not signed by {0}")]
    Signature(Participant),
    /// Too old.
    #[error("it expired {} s ago; a clock may be wrong", ms / 1_000)]
    Expired {
        /// By this machine's clock.
        ms: u64,
    },
    /// Of a time that is not yet.
    #[error("it was written {} s in the future; a clock may be wrong", ms / 1_000)]
    Future {
        /// By this machine's clock.
        ms: u64,
    },
    /// It claims to live for too long.
    #[error("it claims to be valid for {ms} ms")]
    Lifetime {
        /// From its writing to its end.
        ms: u64,
    },
    /// It was heard before.
    #[error("it was received before")]
    Replayed,
    /// The roster is too old to verify anything.
    #[error(
        "the roster was signed {} ago and is too old: later revocations are unknown",
        crate::roster::days(*.age)
    )]
    ExpiredRoster {
        /// Since it was signed.
        age: Duration,
    },
    /// Too many runs of one participant.
    #[error("{0} has more than {SESSIONS_MAX} sessions")]
    Sessions(Participant),
}

/// Looks at everything that arrives for one run of a participant's program.
#[derive(Debug)]
pub struct Guard {
    member: Arc<Member>,
    session: SessionId,
    heard: HashMap<Participant, HashMap<SessionId, Window>>,
}

/// Which messages of a session were heard.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The highest sequence number.
    highest: u64,
    /// Bit n: the message n before the highest was also heard.
    before: u64,
    /// The end of the last message's life.
    until_ms: u64,
}

impl Guard {
    /// A guard for messages to this session of `member`.
    pub fn new(member: Arc<Member>, session: SessionId) -> Self {
        Self { member, session, heard: HashMap::new() }
    }

    /// Opens a message that came over the topic of `topic` at `now_ms`,
    /// milliseconds of Unix time.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(
        &mut self,
        bytes: &[u8],
        topic: Option<&Participant>,
        now_ms: u64,
    ) -> Result<Message, Refused> {
        let sealed = Sealed::decode(bytes)?;
        let header = sealed.header()?;
        self.check_address(&header, topic)?;
        if let Standing::Expired { age } = self.member.standing(now_ms) {
            return Err(Refused::ExpiredRoster { age });
        }
        let Header { sender, .. } = &header;
        let signed = Sealed::signed_bytes(&sealed.header);
        match self.member.roster().signer(sender, &signed, &sealed.signature) {
            Signer::Current => {}
            Signer::Revoked => return Err(Refused::Revoked(sender.clone())),
            Signer::Other => return Err(Refused::Signature(sender.clone())),
            Signer::Unknown => return Err(Refused::Unknown(sender.clone())),
        }
        // Before it counts as heard: a stranger who swaps the body must not spend the header.
        if !header.body.matches(&sealed.body) {
            return Err(EnvelopeError::OtherBody.into());
        }
        if is_for_everybody(header.kind) {
            // Left behind for later: its order is the reader's matter.
            return Ok(sealed.open(header)?);
        }
        check_time(&header, now_ms)?;
        self.hear(&header, now_ms)?;
        Ok(sealed.open(header)?)
    }

    fn check_address(&self, header: &Header, topic: Option<&Participant>) -> Result<(), Refused> {
        let Header { federation, sender, kind, recipient, .. } = header;
        if *federation != self.member.membership().federation {
            return Err(Refused::Federation(federation.clone()));
        }
        if let Some(topic) = topic.filter(|topic| *topic != sender) {
            return Err(Refused::Topic { sender: sender.clone(), topic: topic.clone() });
        }
        if sender.role != kind.said_by() {
            return Err(Refused::Kind { kind: *kind, role: sender.role });
        }
        match recipient {
            None if is_for_everybody(*kind) => Ok(()),
            Some(Recipient { participant, session })
                if participant == self.member.participant() =>
            {
                if *session == self.session {
                    Ok(())
                } else {
                    Err(Refused::Session)
                }
            }
            Some(Recipient { participant, .. }) => Err(Refused::Recipient(participant.to_string())),
            None => Err(Refused::Recipient("everybody".into())),
        }
    }

    fn hear(&mut self, header: &Header, now_ms: u64) -> Result<(), Refused> {
        let sessions = self.heard.entry(header.sender.clone()).or_default();
        if !sessions.contains_key(&header.session) && sessions.len() >= SESSIONS_MAX {
            // Expired messages are refused anyway.
            sessions.retain(|_, window| window.until_ms.saturating_add(SKEW_MS) >= now_ms);
            if sessions.len() >= SESSIONS_MAX {
                return Err(Refused::Sessions(header.sender.clone()));
            }
        }
        let window = sessions.entry(header.session.clone()).or_default();
        window.until_ms = window.until_ms.max(header.expires_ms);
        if window.take(header.sequence) { Ok(()) } else { Err(Refused::Replayed) }
    }
}

impl Window {
    /// Whether this number is heard for the first time.
    fn take(&mut self, sequence: u64) -> bool {
        if sequence == 0 {
            return false;
        }
        if sequence > self.highest {
            let step = sequence - self.highest;
            // The old highest becomes bit step - 1.
            self.before = match step {
                1..WINDOW => self.before << step | 1 << (step - 1),
                WINDOW => 1 << (WINDOW - 1),
                _ => 0,
            };
            self.highest = sequence;
            return true;
        }
        let back = self.highest - sequence;
        if back == 0 || back > WINDOW {
            return false;
        }
        let bit = 1 << (back - 1);
        let is_new = self.before & bit == 0;
        self.before |= bit;
        is_new
    }
}

fn is_for_everybody(kind: Kind) -> bool {
    matches!(kind, Kind::Presence | Kind::Farewell)
}

fn check_time(header: &Header, now_ms: u64) -> Result<(), Refused> {
    let Header { issued_ms, expires_ms, .. } = *header;
    let lifetime = expires_ms.saturating_sub(issued_ms);
    if lifetime > LIFETIME_MS_MAX {
        return Err(Refused::Lifetime { ms: lifetime });
    }
    if issued_ms > now_ms.saturating_add(SKEW_MS) {
        return Err(Refused::Future { ms: issued_ms - now_ms });
    }
    if expires_ms.saturating_add(SKEW_MS) < now_ms {
        return Err(Refused::Expired { ms: now_ms - expires_ms });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Identity, KeyPair, Outgoing, Seal};
    use fedwasm_protocol::{Body, Presence, RequestId, SearchRequest};

    const NOW: u64 = 1_800_000_000_000;

    struct Fixture {
        _dir: tempfile::TempDir,
        authority: Authority,
        researcher: Seal,
        node: Seal,
        guard: Guard,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("net"), "test").unwrap();
        // The test must not depend on the current time.
        authority.renew(Some(Duration::from_secs(1_000_000_000))).unwrap();
        let seal = |who: &str| {
            let who: Participant = who.parse().unwrap();
            let identity = Identity::create(&dir.path().join(who.to_string()), who.clone());
            let identity = identity.unwrap();
            let membership = authority.enrol(&who, identity.key.public()).unwrap();
            Seal::new(Arc::new(identity.join(&membership).unwrap())).unwrap()
        };
        let (researcher, node) = (seal("researcher-r"), seal("node-n"));
        node.member().take_roster(&authority.signed_roster().unwrap()).unwrap();
        researcher.member().take_roster(&authority.signed_roster().unwrap()).unwrap();
        let guard = Guard::new(Arc::clone(node.member()), node.session().clone());
        Fixture { _dir: dir, authority, researcher, node, guard }
    }

    impl Fixture {
        fn to_node(&self) -> Option<Recipient> {
            let participant = self.node.member().participant().clone();
            Some(Recipient { participant, session: self.node.session().clone() })
        }

        fn ask(&self, now_ms: u64) -> Vec<u8> {
            said(&self.researcher, self.to_node(), &Body::Ping, now_ms)
        }
    }

    fn said(seal: &Seal, recipient: Option<Recipient>, body: &Body, now_ms: u64) -> Vec<u8> {
        let request_id = RequestId::random().unwrap();
        let deadline = Duration::from_secs(1);
        let message = Outgoing { recipient, request_id, in_reply_to: None, deadline, body };
        seal.seal(message, now_ms).unwrap().0
    }

    /// Changes the message in `bytes` and seals it again with a key.
    fn forged(bytes: &[u8], key: &KeyPair, change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let sealed = Sealed::decode(bytes).unwrap();
        let mut header = sealed.header().unwrap();
        change(&mut header);
        let header = header.encode().unwrap();
        let signature = key.sign(&Sealed::signed_bytes(&header)).unwrap();
        Sealed { header, signature, ..sealed }.encode().unwrap()
    }

    #[test]
    fn what_a_participant_says_is_believed_once() {
        let mut f = fixture();
        let bytes = f.ask(NOW);
        let message = f.guard.open(&bytes, None, NOW).unwrap();
        assert_eq!(message.body, Body::Ping);
        assert_eq!(message.header.sender, *f.researcher.member().participant());
        assert_eq!(f.guard.open(&bytes, None, NOW), Err(Refused::Replayed));
        // A later run of the node's program refuses messages to this one.
        let mut later = Guard::new(Arc::clone(f.node.member()), SessionId::random().unwrap());
        assert_eq!(later.open(&bytes, None, NOW), Err(Refused::Session));
        assert_eq!(later.open(&f.ask(NOW), None, NOW), Err(Refused::Session));
    }

    #[test]
    fn each_attack_has_its_own_refusal() {
        let mut f = fixture();
        let bytes = f.ask(NOW);
        let open = |f: &mut Fixture, bytes: &[u8]| f.guard.open(bytes, None, NOW).unwrap_err();
        let sealed = Sealed::decode(&bytes).unwrap();
        let who = || f.researcher.member().participant().clone();

        let stripped = Sealed { signature: Vec::new(), ..sealed.clone() }.encode().unwrap();
        let other_key = forged(&bytes, &KeyPair::generate().unwrap(), |_| {});
        let own = Arc::clone(f.researcher.member().key());
        let own = |change: fn(&mut Header)| forged(&bytes, &own, change);
        let node_key = Arc::clone(f.node.member().key());
        let as_node = forged(&bytes, &node_key, |header| {
            header.sender = "node-n".parse().unwrap();
        });
        let stranger = own(|header| header.sender = "researcher-x".parse().unwrap());
        let other_federation = own(|header| header.federation = "x".parse().unwrap());
        let other_recipient = own(|header| {
            header.recipient.as_mut().unwrap().participant = "node-m".parse().unwrap();
        });
        let for_all = own(|header| header.recipient = None);
        let other_kind = own(|header| header.kind = Kind::Cancel);
        let long = own(|header| header.expires_ms = u64::MAX);
        let body = Body::Search(SearchRequest { tags: Vec::new() }).encode().unwrap();
        let other_body = Sealed { body, ..sealed.clone() }.encode().unwrap();
        let mut flipped = sealed.clone();
        flipped.header[60] ^= 1;
        let flipped = flipped.encode().unwrap();
        let zero = own(|header| header.sequence = 0);

        let r = who();
        for (bytes, expected) in [
            (stripped, Refused::Signature(r.clone())),
            (other_key, Refused::Signature(r.clone())),
            (as_node, Refused::Kind { kind: Kind::Ping, role: Role::Node }),
            (stranger, Refused::Unknown("researcher-x".parse().unwrap())),
            (other_federation, Refused::Federation("x".parse().unwrap())),
            (other_recipient, Refused::Recipient("node-m".into())),
            (for_all, Refused::Recipient("everybody".into())),
            (long, Refused::Lifetime { ms: u64::MAX - NOW }),
            (other_body, Refused::Form(EnvelopeError::OtherBody)),
            (zero, Refused::Replayed),
        ] {
            assert_eq!(open(&mut f, &bytes), expected);
        }
        let contradiction = open(&mut f, &other_kind);
        assert!(
            matches!(contradiction, Refused::Form(EnvelopeError::Contradiction { .. })),
            "{contradiction}"
        );
        assert!(f.guard.open(&flipped, None, NOW).is_err());
        let topic = "researcher-x".parse().unwrap();
        let refused = f.guard.open(&bytes, Some(&topic), NOW).unwrap_err();
        assert_eq!(refused, Refused::Topic { sender: r, topic });
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        let mut f = fixture();
        let minutes = |n: u64| n * 60_000;
        for (issued, is_good) in [
            (NOW + minutes(5), true),
            (NOW + minutes(5) + 1, false),
            (NOW - minutes(7), true),
            (NOW - minutes(7) - 1, false),
        ] {
            let bytes = f.ask(issued);
            match (f.guard.open(&bytes, None, NOW), is_good) {
                (Ok(_), true) => {}
                (Err(Refused::Future { ms }), false) => assert_eq!(ms, minutes(5) + 1),
                (Err(Refused::Expired { ms }), false) => assert_eq!(ms, minutes(5) + 1),
                (other, _) => panic!("{issued}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_revoked_key_says_nothing_more() {
        let mut f = fixture();
        let bytes = f.ask(NOW);
        let who = f.researcher.member().participant().clone();
        f.authority.revoke(&who).unwrap();
        f.node.member().take_roster(&f.authority.signed_roster().unwrap()).unwrap();
        assert_eq!(f.guard.open(&bytes, None, NOW), Err(Refused::Revoked(who)));
    }

    #[test]
    fn nobody_is_believed_by_a_roster_that_is_too_old() {
        let mut f = fixture();
        let bytes = f.ask(NOW);
        let presence = said(&f.node, None, &Body::Presence(Presence { online: true }), NOW);
        let age = Duration::from_millis(NOW - f.node.member().roster().issued_ms);
        f.node.member().set_roster_age_max(age - Duration::from_millis(1));
        f.researcher.member().set_roster_age_max(age - Duration::from_millis(1));
        let refused = f.guard.open(&bytes, None, NOW).unwrap_err();
        assert!(matches!(refused, Refused::ExpiredRoster { .. }), "{refused}");
        let mut guard =
            Guard::new(Arc::clone(f.researcher.member()), f.researcher.session().clone());
        let refused = guard.open(&presence, None, NOW).unwrap_err();
        assert!(matches!(refused, Refused::ExpiredRoster { .. }), "{refused}");
        // It was not heard, so it counts once there is a newer roster.
        f.node.member().set_roster_age_max(age);
        assert_eq!(f.guard.open(&bytes, None, NOW).unwrap().body, Body::Ping);
    }

    #[test]
    fn presence_is_for_everybody_and_from_nodes_alone() {
        let mut f = fixture();
        let presence = Body::Presence(Presence { online: true });
        let bytes = said(&f.node, None, &presence, NOW - 1_000_000_000);
        let mut guard =
            Guard::new(Arc::clone(f.researcher.member()), f.researcher.session().clone());
        assert_eq!(guard.open(&bytes, None, NOW).unwrap().body, presence);
        let own = Arc::clone(f.researcher.member().key());
        let forged = forged(&bytes, &own, |header| header.sender = "researcher-r".parse().unwrap());
        let refused = f.guard.open(&forged, None, NOW).unwrap_err();
        assert_eq!(refused, Refused::Kind { kind: Kind::Presence, role: Role::Researcher });
    }

    #[test]
    fn a_flood_of_sessions_shuts_out_its_own_sender_only() {
        let mut f = fixture();
        let own = Arc::clone(f.researcher.member().key());
        let bytes = f.ask(NOW);
        let session = |n: usize| {
            forged(&bytes, &own, |header| header.session = format!("s{n}").parse().unwrap())
        };
        for n in 0..SESSIONS_MAX {
            f.guard.open(&session(n), None, NOW).unwrap();
        }
        let refused = f.guard.open(&session(SESSIONS_MAX), None, NOW).unwrap_err();
        assert!(matches!(refused, Refused::Sessions(_)), "{refused}");
        let late = NOW + 10 * 60_000;
        let later = f.ask(late);
        f.guard.open(&later, None, late).unwrap();
    }

    #[test]
    fn order_may_change_a_little_and_nothing_is_heard_twice() {
        let mut window = Window::default();
        for (sequence, is_new) in [
            (0, false),
            (5, true),
            (5, false),
            (4, true),
            (4, false),
            (69, true),
            (5, false),
            (6, true),
            (4, false),
            (200, true),
            (136, true),
            (136, false),
            (135, false),
            (199, true),
            (u64::MAX, true),
            (u64::MAX, false),
            (200, false),
            (u64::MAX - 1, true),
        ] {
            assert_eq!(window.take(sequence), is_new, "{sequence}");
        }
    }
}
