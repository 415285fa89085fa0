//! The state from which each node continues (Fed-BioMed `NodeStateAgent`).

use std::collections::BTreeMap;

use fedwasm_protocol::{NodeId, StateId};
use serde::{Deserialize, Serialize};

/// The newest state of each node, as the node named it. The state itself
/// never leaves the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeStates(BTreeMap<NodeId, Option<StateId>>);

impl NodeStates {
    /// The state from which a node continues; none if it starts afresh.
    pub fn state(&self, node: &NodeId) -> Option<&StateId> {
        self.0.get(node)?.as_ref()
    }

    /// Follows the nodes of the experiment: new ones start afresh, those that
    /// are no longer among them are forgotten.
    pub fn sync<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        let mut old = std::mem::take(&mut self.0);
        let entry = |node: &NodeId| (node.clone(), old.remove(node).flatten());
        self.0 = nodes.into_iter().map(entry).collect();
    }

    /// Takes the state that a node's reply names. A node that is not in the
    /// experiment is ignored.
    pub fn update(&mut self, node: &NodeId, state: Option<StateId>) {
        if let Some(known) = self.0.get_mut(node) {
            *known = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id<T: std::str::FromStr>(text: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        text.parse().unwrap()
    }

    #[test]
    fn states_follow_the_nodes_of_the_experiment() {
        let mut states = NodeStates::default();
        let (a, b, c): (NodeId, NodeId, NodeId) = (id("a"), id("b"), id("c"));
        states.sync([&a, &b]);
        states.update(&a, Some(id("s1")));
        states.update(&c, Some(id("s2")));
        assert_eq!(
            (states.state(&a), states.state(&b), states.state(&c)),
            (Some(&id("s1")), None, None)
        );
        states.sync([&a, &c]);
        assert_eq!(states.state(&a), Some(&id("s1")));
        // A node that left and came back starts afresh.
        states.sync([&c]);
        states.sync([&a, &c]);
        assert_eq!(states.state(&a), None);
    }

    #[test]
    fn breakpoint_holds_all_of_it() {
        let mut states = NodeStates::default();
        states.sync([&id("a"), &id("b")]);
        states.update(&id("a"), Some(id("s1")));
        let json = serde_json::to_string(&states).unwrap();
        assert_eq!(json, r#"{"a":"s1","b":null}"#);
        assert_eq!(serde_json::from_str::<NodeStates>(&json).unwrap(), states);
    }
}
