//! Which nodes take part in an experiment, which are away for a while, and
//! which are out, with the reason for each. Decides what brings a node back;
//! sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{NodeId, Reason};

use crate::Member;
use crate::requests::Answer;

/// The nodes of an experiment.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    members: BTreeMap<NodeId, Member>,
    away: BTreeMap<NodeId, Away>,
    /// Why each that is away or out is so.
    reasons: BTreeMap<NodeId, (Reason, String)>,
    /// How often in a row each was silent, and how many rounds it still sits out for it.
    silences: BTreeMap<NodeId, (u32, u32)>,
    /// The newest round that began.
    round: u32,
}

/// How often the rounds that a silent node sits out double.
const DOUBLINGS_MAX: u32 = 3;

/// Why a node is away, and so what brings it back.
#[derive(Debug, PartialEq)]
pub(crate) enum Away {
    /// Its will arrived: its presence brings it back.
    Gone(Member),
    /// It did not answer in time: a sign of life brings it back. One that was also silent the last
    /// time sits out 1 round, then 3, then 7, unless the round is short of nodes: it is
    /// alive and too slow, and costs a deadline each time.
    Silent(Member),
    /// The same, and it said how far it was: it is there, and too slow.
    Slow(Member),
    /// It could not, or would not: it is asked again in the next round, and may accept then.
    Refused(Member),
    /// Its answer is invalid, or it was left out before the first round, and never took
    /// part.
    Out(Option<Member>),
}

/// Whether a node that refuses before the first round may be asked in it: failures of a repository
/// or a disk may pass, and so may a killed process.
fn may_pass(reason: Reason) -> bool {
    use Reason as R;
    [R::Busy, R::Compiling, R::Expired, R::Blob, R::Internal, R::PlanKilled].contains(&reason)
}

impl Away {
    fn member(&self) -> Option<&Member> {
        match self {
            Self::Gone(member)
            | Self::Silent(member)
            | Self::Slow(member)
            | Self::Refused(member) => Some(member),
            Self::Out(member) => member.as_ref(),
        }
    }
}

impl Membership {
    /// After a search: the nodes with the data, and those without.
    pub(crate) fn found(
        members: BTreeMap<NodeId, Member>,
        refused: Vec<(NodeId, Reason, String)>,
    ) -> Self {
        let mut this = Self { members, ..Self::default() };
        for (node, reason, text) in refused {
            this.drop_node(node, Away::Out(None), reason, text);
        }
        this
    }

    /// After a breakpoint: those that are not online are gone. Connected nodes are asked,
    /// regardless of earlier failures.
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

    /// The nodes that take part, or did until something went wrong.
    pub(crate) fn known(&self) -> BTreeMap<NodeId, Member> {
        let back = self.away.iter();
        let back = back.filter_map(|(node, away)| Some((node.clone(), away.member()?.clone())));
        self.members.clone().into_iter().chain(back).collect()
    }

    /// Why each of them that is away is so.
    pub(crate) fn standing(&self) -> BTreeMap<NodeId, String> {
        let away = self.away.iter().filter(|(_, away)| away.member().is_some());
        let standing = away.filter_map(|(node, _)| {
            let (_, text) = self.reasons.get(node)?;
            Some((node.clone(), text.clone()))
        });
        standing.collect()
    }

    /// The nodes whose presence would bring them back.
    pub(crate) fn gone(&self) -> Vec<NodeId> {
        let gone = self.away.iter().filter(|(_, away)| matches!(away, Away::Gone(_)));
        gone.map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that a sign of life would bring back.
    pub(crate) fn silent(&self) -> Vec<NodeId> {
        let is_silent = |away: &Away| matches!(away, Away::Silent(_) | Away::Slow(_));
        let silent = self.away.iter().filter(|(_, away)| is_silent(away));
        silent.map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that are away for a reason that may pass while they are waited for.
    pub(crate) fn may_return(&self) -> BTreeSet<NodeId> {
        let may = |node: &NodeId, away: &Away| match away {
            Away::Gone(_) | Away::Silent(_) => true,
            // A disk or a plan is mended by people.
            Away::Refused(_) => self
                .reasons
                .get(node)
                .is_some_and(|(reason, _)| may_pass(*reason) && *reason != Reason::Internal),
            Away::Slow(_) | Away::Out(_) => false,
        };
        let back = self.away.iter().filter(|(node, away)| may(node, away));
        back.map(|(node, _)| node.clone()).collect()
    }

    /// Says that a round begins, for the first time or not: a silent node has one round fewer to
    /// sit out.
    pub(crate) fn begin_round(&mut self, round: u32) {
        if std::mem::replace(&mut self.round, round) == round {
            return;
        }
        self.silences.values_mut().for_each(|(_, rest)| *rest = rest.saturating_sub(1));
    }

    /// Says that too few nodes are left: no node sits out for being slow.
    pub(crate) fn is_short(&mut self) {
        self.silences.values_mut().for_each(|(_, rest)| *rest = 0);
    }

    /// Whether a silent node still sits out.
    pub(crate) fn rests(&self, node: &NodeId) -> bool {
        self.silences.get(node).is_some_and(|(_, rest)| *rest > 0)
    }

    /// Says that a node delivered.
    pub(crate) fn delivered(&mut self, node: &NodeId) {
        self.silences.remove(node);
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

    /// How long an answer that is not a delivery keeps its node away.
    pub(crate) fn away_for(&self, node: &NodeId, answer: &Answer) -> Away {
        match (answer, self.members.get(node).cloned()) {
            (Answer::Gone, Some(member)) => Away::Gone(member),
            (Answer::Silent { progress: Some(_) }, Some(member)) => Away::Slow(member),
            (Answer::Silent { .. } | Answer::Clock { .. }, Some(member)) => Away::Silent(member),
            (Answer::Refused(_), _) => self.again(node),
            (_, member) => Away::Out(member),
        }
    }

    /// How long a reason keeps a node away whose upload could not be taken: what a repository
    /// could not do may work in the next round.
    pub(crate) fn away_because(&self, node: &NodeId, reason: Reason) -> Away {
        match self.members.get(node).cloned() {
            Some(member) if reason == Reason::Blob => Away::Refused(member),
            member => Away::Out(member),
        }
    }

    /// Has a node that takes part be asked again in the next round.
    pub(crate) fn again(&self, node: &NodeId) -> Away {
        self.members.get(node).cloned().map_or(Away::Out(None), Away::Refused)
    }

    /// Before the first round: a node that refused for a permanent reason never took part.
    pub(crate) fn leave_out(&mut self) {
        for (node, away) in &mut self.away {
            let passes = self.reasons.get(node).is_some_and(|(reason, _)| may_pass(*reason));
            if matches!(away, Away::Refused(_)) && !passes {
                *away = Away::Out(None);
            }
        }
    }

    /// Has a node that takes part be out for good.
    pub(crate) fn out(&self, node: &NodeId) -> Away {
        Away::Out(self.members.get(node).cloned())
    }

    /// Lets a node no longer take part.
    pub(crate) fn drop_node(&mut self, node: NodeId, away: Away, reason: Reason, text: String) {
        self.members.remove(&node);
        if let Away::Silent(_) | Away::Slow(_) = away {
            let (n, rest) = self.silences.entry(node.clone()).or_default();
            // Counted down at the beginning of the next round already.
            *rest = 1 << (*n).min(DOUBLINGS_MAX);
            *n = n.saturating_add(1);
        }
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
            Reason::Expired,
            Reason::Blob,
            Reason::Internal,
            Reason::PlanKilled,
            Reason::Dataset,
            Reason::NotApproved,
            Reason::PlanFailed,
            Reason::State,
            Reason::Unsupported,
        ] {
            assert_eq!(away(refused(reason)), Away::Refused(member()), "{reason}");
        }
        let pong = Answer::Reply(fedwasm_protocol::Body::Pong);
        assert_eq!(away(pong), Away::Out(Some(member())));
        assert_eq!(nodes.away_because(&id("a"), Reason::Blob), Away::Refused(member()));
        assert_eq!(nodes.away_because(&id("a"), Reason::PlanFailed), Away::Out(Some(member())));
        assert_eq!(away(Answer::Gone), Away::Gone(member()));
        assert_eq!(away(Answer::Silent { progress: None }), Away::Silent(member()));
        assert_eq!(away(Answer::Silent { progress: Some((1, 2)) }), Away::Slow(member()));
        assert_eq!(away(Answer::Clock { ahead_ms: 600_000 }), Away::Silent(member()));
        // A node that never took part does not come back.
        assert_eq!(nodes.away_for(&id("x"), &Answer::Gone), Away::Out(None));
    }

    #[test]
    fn who_refused_before_the_first_round_is_left_out_unless_it_may_pass() {
        let mut nodes = three();
        for (node, reason) in [("a", Reason::NotApproved), ("b", Reason::PlanKilled)] {
            let away = nodes.away_for(&id(node), &refused(reason));
            nodes.drop_node(id(node), away, reason, "why".into());
        }
        nodes.leave_out();
        // A breakpoint does not keep nodes that never took part.
        assert_eq!(nodes.known().into_keys().collect::<Vec<_>>(), ["b", "c"].map(id));
        assert_eq!(nodes.take_back(|_, away| matches!(away, Away::Refused(_))), [id("b")]);
        assert_eq!(nodes.refused().len(), 2);
    }

    #[test]
    fn who_is_silent_again_and_again_sits_out_unless_nodes_are_short() {
        let mut nodes = three();
        let a = id("a");
        // Rounds until it may be asked again, after each silence.
        let rests = |nodes: &mut Membership| {
            nodes.drop_node(a.clone(), Away::Silent(member()), Reason::Expired, "why".into());
            assert_eq!(nodes.silent(), std::slice::from_ref(&a));
            let first = nodes.round + 1;
            nodes.begin_round(first);
            nodes.begin_round(first);
            let mut n = 0;
            while nodes.rests(&a) {
                n += 1;
                nodes.begin_round(first + n);
            }
            let back = nodes.take_back(|_, away| matches!(away, Away::Silent(_)));
            assert_eq!(back, std::slice::from_ref(&a));
            n
        };
        let rounds: Vec<u32> = (0..5).map(|_| rests(&mut nodes)).collect();
        assert_eq!(rounds, [0, 1, 3, 7, 7]);
        nodes.delivered(&a);
        assert_eq!(rests(&mut nodes), 0);
        nodes.drop_node(a.clone(), Away::Silent(member()), Reason::Expired, "why".into());
        nodes.begin_round(nodes.round + 1);
        assert!(nodes.rests(&a));
        nodes.is_short();
        assert!(!nodes.rests(&a));
    }

    #[test]
    fn who_is_back_has_no_reason_any_more_and_who_is_out_stays_out() {
        let mut nodes = three();
        let out = nodes.out(&id("b"));
        for (node, away) in [("a", Away::Gone(member())), ("b", out)] {
            nodes.drop_node(id(node), away, Reason::Internal, "why".into());
        }
        assert_eq!((nodes.nodes(), nodes.gone()), (vec![id("c")], vec![id("a")]));
        // A breakpoint also keeps nodes that are out: the cause may be repaired.
        assert_eq!(nodes.known().into_keys().collect::<Vec<_>>(), ["a", "b", "c"].map(id));
        assert_eq!(nodes.take_back(|_, away| !matches!(away, Away::Out(_))), [id("a")]);
        assert_eq!(nodes.nodes(), [id("a"), id("c")]);
        let refused = nodes.refused();
        let refused: Vec<&str> = refused.iter().map(|(node, ..)| node.as_str()).collect();
        assert_eq!(refused, ["b", "x"]);
    }

    #[test]
    fn a_node_that_is_away_may_return_and_one_that_is_slow_or_wrong_does_not() {
        let mut nodes = three();
        let may_return = |nodes: &mut Membership, away, reason| {
            nodes.drop_node(id("a"), away, reason, "why".into());
            nodes.may_return().contains(&id("a"))
        };
        assert!(may_return(&mut nodes, Away::Gone(member()), Reason::Expired));
        assert!(may_return(&mut nodes, Away::Silent(member()), Reason::Expired));
        assert!(may_return(&mut nodes, Away::Refused(member()), Reason::Blob));
        assert!(!may_return(&mut nodes, Away::Slow(member()), Reason::Expired));
        assert!(!may_return(&mut nodes, Away::Refused(member()), Reason::NotApproved));
        assert!(!may_return(&mut nodes, Away::Refused(member()), Reason::Internal));
        assert!(!may_return(&mut nodes, Away::Out(Some(member())), Reason::Expired));
        assert!(nodes.may_return().is_empty());
    }

    #[test]
    fn nodes_of_a_breakpoint_that_are_not_there_are_gone() {
        let nodes = ["a", "b"].map(|node| (id(node), member())).into();
        let nodes = Membership::resumed(nodes, |node| node.as_str() == "a");
        assert_eq!((nodes.nodes(), nodes.gone()), (vec![id("a")], vec![id("b")]));
    }
}
