//! Which nodes take part in an experiment, which are away for a while, and
//! which are out, with the reason for each. Decides what brings a node back;
//! talks to nobody.

use std::collections::BTreeMap;

use fedwasm_protocol::{NodeId, Reason};

use crate::columns::Member;
use crate::requests::Answer;

/// The nodes of an experiment.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    members: BTreeMap<NodeId, Member>,
    away: BTreeMap<NodeId, Away>,
    /// Why each that is away or out is so.
    reasons: BTreeMap<NodeId, (Reason, String)>,
}

/// Why a node is away, and so what brings it back.
#[derive(Debug, PartialEq)]
pub(crate) enum Away {
    /// Its will arrived: its presence brings it back.
    Gone(Member),
    /// It did not answer in time: a sign of life brings it back.
    Silent(Member),
    /// It could not, or would not: it is asked again in the next round, and may say yes then.
    Refused(Member),
    /// What it sent cannot be believed, or it was left out before the first round.
    Out,
}

/// Whether a node that refuses before the first round may be asked in it: what a repository or a
/// disk could not do may work then.
pub(crate) fn may_pass(reason: Reason) -> bool {
    let passing =
        [Reason::Busy, Reason::Compiling, Reason::Expired, Reason::Blob, Reason::Internal];
    passing.contains(&reason)
}

impl Away {
    fn member(&self) -> Option<&Member> {
        match self {
            Self::Gone(member) | Self::Silent(member) | Self::Refused(member) => Some(member),
            Self::Out => None,
        }
    }
}

impl Membership {
    /// After a search: who has the data, and who does not.
    pub(crate) fn found(
        members: BTreeMap<NodeId, Member>,
        refused: Vec<(NodeId, Reason, String)>,
    ) -> Self {
        let mut this = Self { members, ..Self::default() };
        for (node, reason, text) in refused {
            this.drop_node(node, Away::Out, reason, text);
        }
        this
    }

    /// After a breakpoint: those that are not online are gone.
    pub(crate) fn resumed(
        nodes: BTreeMap<NodeId, Member>,
        is_online: impl Fn(&NodeId) -> bool,
    ) -> Self {
        let mut this = Self::default();
        for (node, member) in nodes {
            match is_online(&node) {
                true => drop(this.members.insert(node, member)),
                false => {
                    let text = "it is not connected".to_owned();
                    this.drop_node(node, Away::Gone(member), Reason::Expired, text);
                }
            }
        }
        this
    }

    /// The nodes that take part, in ascending order.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.members.keys().cloned().collect()
    }

    /// A node that takes part.
    pub(crate) fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members.get(node)
    }

    /// The nodes that take part, or will when they are back.
    pub(crate) fn known(&self) -> BTreeMap<NodeId, Member> {
        let back = self.away.iter();
        let back = back.filter_map(|(node, away)| Some((node.clone(), away.member()?.clone())));
        self.members.clone().into_iter().chain(back).collect()
    }

    /// The nodes whose presence would bring them back.
    pub(crate) fn gone(&self) -> Vec<NodeId> {
        let gone = self.away.iter().filter(|(_, away)| matches!(away, Away::Gone(_)));
        gone.map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that do not take part, and why.
    pub(crate) fn refused(&self) -> Vec<(NodeId, Reason, String)> {
        let reasons = self.reasons.iter();
        reasons.map(|(node, (reason, text))| (node.clone(), *reason, text.clone())).collect()
    }

    /// Takes back those for which `is_back` holds, and returns them.
    pub(crate) fn take_back(
        &mut self,
        mut is_back: impl FnMut(&NodeId, &Away) -> bool,
    ) -> Vec<NodeId> {
        let back = self.away.extract_if(.., |node, away| is_back(node, away));
        let back: Vec<(NodeId, Away)> = back.collect();
        let mut nodes = Vec::new();
        for (node, away) in back {
            if let Some(member) = away.member() {
                self.members.insert(node.clone(), member.clone());
                self.reasons.remove(&node);
                nodes.push(node);
            }
        }
        nodes
    }

    /// How long an answer that is no delivery keeps its node away.
    pub(crate) fn away_for(&self, node: &NodeId, answer: &Answer) -> Away {
        match (answer, self.members.get(node).cloned()) {
            (Answer::Gone, Some(member)) => Away::Gone(member),
            (Answer::Silent { .. }, Some(member)) => Away::Silent(member),
            (Answer::Refused(_), Some(member)) => Away::Refused(member),
            _ => Away::Out,
        }
    }

    /// How long a reason keeps a node away whose upload could not be taken: what a repository
    /// could not do may work in the next round.
    pub(crate) fn away_because(&self, node: &NodeId, reason: Reason) -> Away {
        match self.members.get(node).cloned() {
            Some(member) if reason == Reason::Blob => Away::Refused(member),
            _ => Away::Out,
        }
    }

    /// Lets a node no longer take part.
    pub(crate) fn drop_node(&mut self, node: NodeId, away: Away, reason: Reason, text: String) {
        self.members.remove(&node);
        self.away.insert(node.clone(), away);
        self.reasons.insert(node, (reason, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::Refusal;

    fn id(id: &str) -> NodeId {
        id.parse().unwrap()
    }

    fn member() -> Member {
        Member { dataset_id: "d".parse().unwrap(), n_rows: 1 }
    }

    fn three() -> Membership {
        let members = ["a", "b", "c"].map(|node| (id(node), member())).into();
        Membership::found(members, vec![(id("x"), Reason::Dataset, "no".into())])
    }

    fn refused(reason: Reason) -> Answer {
        Answer::Refused(Refusal { reason, message: String::new() })
    }

    #[test]
    fn who_refused_is_asked_again_and_who_cannot_be_believed_is_out() {
        let nodes = three();
        let away = |answer| nodes.away_for(&id("a"), &answer);
        for reason in [
            Reason::Busy,
            Reason::Compiling,
            Reason::Blob,
            Reason::Internal,
            Reason::Dataset,
            Reason::NotApproved,
            Reason::PlanFailed,
            Reason::Unsupported,
        ] {
            assert_eq!(away(refused(reason)), Away::Refused(member()), "{reason}");
        }
        assert_eq!(away(Answer::Reply(fedwasm_protocol::Body::Pong)), Away::Out);
        assert_eq!(nodes.away_because(&id("a"), Reason::Blob), Away::Refused(member()));
        assert_eq!(nodes.away_because(&id("a"), Reason::PlanFailed), Away::Out);
        assert_eq!(away(Answer::Gone), Away::Gone(member()));
        assert_eq!(away(Answer::Silent { progress: None }), Away::Silent(member()));
        // Nobody who never took part comes back.
        assert_eq!(nodes.away_for(&id("x"), &Answer::Gone), Away::Out);
    }

    #[test]
    fn who_is_back_has_no_reason_any_more_and_who_is_out_stays_out() {
        let mut nodes = three();
        for (node, away) in [("a", Away::Gone(member())), ("b", Away::Out)] {
            nodes.drop_node(id(node), away, Reason::Internal, "why".into());
        }
        assert_eq!((nodes.nodes(), nodes.gone()), (vec![id("c")], vec![id("a")]));
        assert_eq!(nodes.known().into_keys().collect::<Vec<_>>(), [id("a"), id("c")]);
        assert_eq!(nodes.take_back(|_, _| true), [id("a")]);
        assert_eq!(nodes.nodes(), [id("a"), id("c")]);
        let refused = nodes.refused();
        let refused: Vec<&str> = refused.iter().map(|(node, ..)| node.as_str()).collect();
        assert_eq!(refused, ["b", "x"]);
    }

    #[test]
    fn nodes_of_a_breakpoint_that_are_not_there_are_gone() {
        let nodes = ["a", "b"].map(|node| (id(node), member())).into();
        let nodes = Membership::resumed(nodes, |node| node.as_str() == "a");
        assert_eq!((nodes.nodes(), nodes.gone()), (vec![id("a")], vec![id("b")]));
    }
}
