//! Names of MQTT topics. The sender is part of each, so that two rules are a broker's whole
//! access list: write under `from/YOU`, read under `from/+/to/YOU` and the topics for all
//! participants. Nothing here is trusted: messages are signed.

use fedwasm_protocol::{FederationId, Participant, Recipient, Role, SessionId};

/// The topics of a federation.
#[derive(Clone, Debug)]
pub struct Topics {
    root: String,
}

impl Topics {
    /// The topics of this federation.
    pub fn new(federation: &FederationId) -> Self {
        Self { root: format!("fedwasm/{federation}") }
    }

    /// From one participant to a session of another one.
    pub fn to(&self, sender: &Participant, recipient: &Recipient) -> String {
        let Recipient { participant, session } = recipient;
        format!("{}/from/{sender}/to/{participant}/{session}", self.root)
    }

    /// All that is said to a session.
    pub fn inbox(&self, recipient: &Recipient) -> String {
        let Recipient { participant, session } = recipient;
        format!("{}/from/+/to/{participant}/{session}", self.root)
    }

    /// Retained presence of a node.
    pub fn presence(&self, node: &Participant) -> String {
        format!("{}/from/{node}/presence", self.root)
    }

    /// Retained presence of all nodes.
    pub fn presence_all(&self) -> String {
        format!("{}/from/+/presence", self.root)
    }

    /// The farewell of a researcher.
    pub fn farewell(&self, researcher: &Participant) -> String {
        format!("{}/from/{researcher}/farewell", self.root)
    }

    /// Farewells of all researchers.
    pub fn farewell_all(&self) -> String {
        format!("{}/from/+/farewell", self.root)
    }

    /// The sender that a topic names.
    pub fn sender(&self, topic: &str) -> Option<Participant> {
        let rest = topic.strip_prefix(&self.root)?.strip_prefix("/from/")?;
        rest.split_once('/')?.0.parse().ok()
    }

    /// Whether a participant may publish to a topic.
    pub fn may_publish(&self, who: &Participant, topic: &str) -> bool {
        let Some(rest) = topic.strip_prefix(&format!("{}/from/{who}/", self.root)) else {
            return false;
        };
        match rest {
            "presence" => who.role == Role::Node,
            "farewell" => who.role == Role::Researcher,
            rest => {
                let to = rest.strip_prefix("to/").and_then(|to| to.split_once('/'));
                to.is_some_and(|(participant, session)| {
                    participant.parse::<Participant>().is_ok()
                        && session.parse::<SessionId>().is_ok()
                })
            }
        }
    }

    /// Whether a participant may subscribe to a filter.
    pub fn may_subscribe(&self, who: &Participant, filter: &str) -> bool {
        let inbox = format!("{}/from/+/to/{who}/", self.root);
        let session = filter.strip_prefix(&inbox);
        session.is_some_and(|session| !session.contains(['/', '+', '#']))
            || filter == self.presence_all()
            || filter == self.presence(who)
            || filter == self.farewell_all()
    }

    /// The access list of these rules for mosquitto, where a participant is the
    /// common name of its certificate.
    pub fn mosquitto_acl(&self) -> String {
        let root = &self.root;
        format!(
            "pattern write {root}/from/%u/to/#\n\
             pattern write {root}/from/%u/presence\n\
             pattern write {root}/from/%u/farewell\n\
             pattern read {root}/from/+/to/%u/#\n\
             pattern read {root}/from/+/presence\n\
             pattern read {root}/from/+/farewell\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_writes_as_itself_and_reads_its_own() {
        let topics = Topics::new(&"f".parse().unwrap());
        let (a, b) = ("node-a".parse().unwrap(), "researcher-b".parse().unwrap());
        let to_a =
            Recipient { participant: "node-a".parse().unwrap(), session: "s".parse().unwrap() };
        let topic = topics.to(&b, &to_a);
        assert_eq!(topics.sender(&topic), Some(b.clone()));
        assert!(topics.may_publish(&b, &topic) && !topics.may_publish(&a, &topic));
        assert!(topics.may_subscribe(&a, &topics.inbox(&to_a)));
        assert!(!topics.may_subscribe(&b, &topics.inbox(&to_a)));
        assert!(topics.may_subscribe(&b, &topics.presence_all()));
        for filter in [
            "#",
            "fedwasm/#",
            "fedwasm/f/from/+/to/+/s",
            "fedwasm/f/from/+/to/node-a/#",
            "fedwasm/f/from/+/to/node-a/+",
            "fedwasm/f/from/+/+",
            "$SYS/#",
            "fedwasm/f/from/+/to/node-a/s/x",
        ] {
            assert!(!topics.may_subscribe(&a, filter), "{filter}");
        }
        assert!(topics.may_publish(&a, "fedwasm/f/from/node-a/presence"));
        for topic in [
            "fedwasm/f/from/node-ab/presence",
            "fedwasm/f/from/node-a",
            "fedwasm/g/from/node-a/presence",
            "fedwasm/f/from/node-a/farewell",
            "fedwasm/f/from/node-a/junk",
            "fedwasm/f/from/node-a/to/x/s",
            "fedwasm/f/from/node-a/to/node-b/s/x",
        ] {
            assert!(!topics.may_publish(&a, topic), "{topic}");
        }
        assert_eq!(topics.sender("fedwasm/f/from/node-+/x"), None);
        assert_eq!(topics.sender("fedwasm/g/from/node-a/x"), None);
    }
}
