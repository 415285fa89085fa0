//! Auxiliary variables: optimizer state that researcher and nodes exchange
//! (Fed-BioMed `upload_agg_optimizer_aux_var`,
//! `extract_received_optimizer_aux_var_from_round`).
//!
//! Those for all nodes and those for one node differ by type, so that no
//! shape of the data can turn one into the other.

use std::collections::BTreeMap;

use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::NodeId;

/// Auxiliary variables for the nodes of a round. A tensor is called
/// `module.name`, such as `scaffold.global.linear.weight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuxVars {
    /// For all nodes.
    pub shared: Params,
    /// For one node each, and for no other.
    pub by_node: BTreeMap<NodeId, Params>,
}

/// Auxiliary variables of a round's replies: module → node → tensors, whose
/// names no longer start with the module's.
pub type ReceivedAuxVars = BTreeMap<String, BTreeMap<NodeId, Params>>;

impl AuxVars {
    /// Returns the variables for `node` alone; may be empty.
    pub fn own(&self, node: &NodeId) -> Params {
        self.by_node.get(node).cloned().unwrap_or_default()
    }
}

/// Transposes replies (node → tensors) to module → node → tensors. A tensor
/// without a module is of the module of its own name.
///
/// # Errors
/// [`fedwasm_params::Error::Duplicate`] if two tensors get one name.
pub fn transpose(
    replies: &BTreeMap<NodeId, Params>,
) -> Result<ReceivedAuxVars, fedwasm_params::Error> {
    let mut modules: BTreeMap<String, BTreeMap<NodeId, Vec<(String, Tensor)>>> = BTreeMap::new();
    for (node, params) in replies {
        for (name, tensor) in params.iter() {
            let (module, rest) = name.split_once('.').unwrap_or((name, name));
            let of_module = modules.entry(module.to_owned()).or_default();
            let of_node = of_module.entry(node.clone()).or_default();
            of_node.push((rest.to_owned(), tensor.clone()));
        }
    }
    let params = |(node, tensors)| Ok((node, Params::new(tensors)?));
    let module = |(module, nodes): (String, BTreeMap<NodeId, Vec<(String, Tensor)>>)| {
        Ok((module, nodes.into_iter().map(params).collect::<Result<_, _>>()?))
    };
    modules.into_iter().map(module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensors(names: &[String], owner: f32) -> Params {
        let tensor = |name: &String| (name.clone(), Tensor::from_f32(vec![1], &[owner]).unwrap());
        Params::new(names.iter().map(tensor).collect()).unwrap()
    }

    fn owners(params: &Params) -> Vec<f64> {
        params.iter().flat_map(|(_, tensor)| tensor.floats().unwrap()).collect()
    }

    /// Names of tensors, of a few modules; any of them may be missing.
    fn names() -> impl Strategy<Value = Vec<String>> {
        let name = prop::sample::select(vec!["a.x", "a.y", "b.x", "b", "c.d.e"]);
        prop::collection::btree_set(name, 0..5)
            .prop_map(|names| names.into_iter().map(str::to_owned).collect())
    }

    proptest! {
        // Each number identifies its node: 0 is for all, n is for node n.
        #[test]
        fn a_node_gets_what_is_shared_and_its_own_whatever_the_shape(
            shared in names(),
            by_node in prop::collection::btree_map(1u8..6, names(), 0..5),
            asked in 1u8..6,
        ) {
            let id = |n: u8| format!("n{n}").parse::<NodeId>().unwrap();
            let aux = AuxVars {
                shared: tensors(&shared, 0.0),
                by_node: by_node
                    .iter()
                    .map(|(n, names)| (id(*n), tensors(names, f32::from(*n))))
                    .collect(),
            };
            prop_assert!(owners(&aux.shared).iter().all(|owner| *owner == 0.0));
            let own = owners(&aux.own(&id(asked)));
            prop_assert!(own.iter().all(|owner| *owner == f64::from(asked)));
            let expected = by_node.get(&asked).map_or(0, Vec::len);
            prop_assert_eq!(own.len(), expected);
        }
    }

    // Fed-BioMed's test_job.py, 25 and 26.
    #[test]
    fn replies_are_transposed_to_modules_and_none_to_none() {
        let id = |id: &str| id.parse::<NodeId>().unwrap();
        let names = ["module_a.key".to_owned(), "module_b.key".to_owned()];
        let replies = BTreeMap::from([
            (id("node-1"), tensors(&names, 1.0)),
            (id("node-2"), tensors(&names[..1], 2.0)),
        ]);
        let received = transpose(&replies).unwrap();
        assert_eq!(received.keys().collect::<Vec<_>>(), ["module_a", "module_b"]);
        assert_eq!(owners(&received["module_a"][&id("node-2")]), [2.0]);
        assert_eq!(received["module_a"][&id("node-1")].iter().next().unwrap().0, "key");
        assert_eq!(received["module_b"].len(), 1);
        let none = BTreeMap::from([(id("node-1"), Params::default())]);
        assert!(transpose(&none).unwrap().is_empty());
    }
}
