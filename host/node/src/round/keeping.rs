//! Where a round keeps the state that the next one starts from, and its scales: in the node's
//! directory, or in memory, where many nodes are simulated.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, to_safetensors};
use fedwasm_protocol::{
    Digest, ExperimentId, KEPT_STATES_MAX, NodeId, Reason, Refusal, ResearcherId, RoundRequest,
    StateId,
};
use fedwasm_training::Examples;

use super::workshop::Written;
use crate::Database;
use crate::experiments::{Owner, Room, claim, note_data};
use crate::refusal::{refusal, unwritable};
use crate::state::{self, States};

/// How inputs were scaled, beside the parameters.
const PREPROCESSING: &str = "preprocessing.json";

/// Where a round keeps what the next one needs.
#[derive(Debug)]
pub(crate) enum Keeping {
    Disk(OnDisk),
    Memory(InMemory),
}

/// In the directory of a node.
#[derive(Debug)]
pub(crate) struct OnDisk {
    pub(super) folder: Arc<Folder>,
    pub(super) researcher: ResearcherId,
    pub(super) state_bytes_max: u64,
    pub(super) room: Arc<Room>,
    pub(super) receipts: Option<Database>,
    /// The digest of the data.
    pub(super) dataset: Digest,
    /// The key of its scales, and the key under which they were last written.
    pub(super) written: ((ExperimentId, String), Written),
}

/// Of one of the nodes whose states are in memory. Scales are not kept: they follow from the rows.
#[derive(Debug)]
pub(crate) struct InMemory {
    pub(crate) node: NodeId,
    pub(crate) states: Arc<MemoryStates>,
}

/// The states of many nodes.
#[derive(Debug, Default)]
pub(crate) struct MemoryStates(Mutex<BTreeMap<NodeId, Vec<MemoryState>>>);

/// A state as safetensors.
type MemoryState = (StateId, Vec<u8>);

impl Keeping {
    /// The state that the round starts from, and its bytes.
    pub(super) fn load(
        &self,
        request: &RoundRequest,
        id: &StateId,
    ) -> Result<(Params, Vec<u8>), Refusal> {
        match self {
            Self::Disk(disk) => disk.states(request)?.load(id),
            Self::Memory(InMemory { node, states }) => states.load(node, id),
        }
    }

    /// Keeps the state that the round left.
    pub(super) fn store(
        &self,
        request: &RoundRequest,
        kept: &Params,
    ) -> Result<(StateId, Digest), Refusal> {
        let (from, needed) = (request.state_id.as_ref(), &request.kept_state_ids);
        match self {
            Self::Disk(disk) => {
                let (id, digest, bytes) = disk.states(request)?.store(kept, from, needed)?;
                disk.wrote(request, bytes)?;
                Ok((id, digest))
            }
            Self::Memory(InMemory { node, states }) => states.store(node, kept, (from, needed)),
        }
    }

    /// Keeps the scales of the round, unless they are kept: without them the parameters could not
    /// be used here. Nothing is written for a round that gave nothing.
    pub(super) fn store_scales(
        &self,
        request: &RoundRequest,
        examples: &Examples,
    ) -> Result<(), Refusal> {
        match self {
            Self::Disk(disk) => disk.store_scales(request, examples),
            Self::Memory(_) => Ok(()),
        }
    }
}

impl OnDisk {
    fn owner<'a>(&'a self, request: &'a RoundRequest) -> Owner<'a> {
        let (plan, dataset) = (&request.plan.sha256, &request.dataset_id);
        Owner { researcher: &self.researcher, plan, dataset }
    }

    /// The states of the experiment; nothing is made for plans without one.
    fn states(&self, request: &RoundRequest) -> Result<States, Refusal> {
        let owner = self.owner(request);
        let (bytes_max, receipts) = (self.state_bytes_max, self.receipts.clone());
        States::open(&self.folder, &request.experiment_id, &owner, bytes_max, receipts)
    }

    /// Counts the bytes written for the experiment.
    fn wrote(&self, request: &RoundRequest, bytes: u64) -> Result<(), Refusal> {
        let experiment = &request.experiment_id;
        self.room.wrote(&self.folder, &self.researcher, experiment, bytes).map_err(unwritable)
    }

    fn store_scales(&self, request: &RoundRequest, examples: &Examples) -> Result<(), Refusal> {
        let (of, last) = &self.written;
        if last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(of) {
            return Ok(());
        }
        let folder = claim(&self.folder, &request.experiment_id, &self.owner(request))?;
        note_data(&folder, &self.dataset)?;
        let bytes = store_preprocessing(&folder, examples)?;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(of.clone());
        self.wrote(request, bytes)
    }
}

impl MemoryStates {
    fn load(&self, node: &NodeId, id: &StateId) -> Result<(Params, Vec<u8>), Refusal> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = all.get(node).map_or(&[][..], Vec::as_slice);
        let Some((_, bytes)) = of_node.iter().find(|(known, _)| known == id) else {
            return Err(state::unknown(id));
        };
        let bytes = bytes.clone();
        drop(all);
        let params = from_safetensors(&bytes);
        let params = params.map_err(|error| refusal(Reason::State, error.to_string()))?;
        Ok((params, bytes))
    }

    /// Drops all states but this one, the one that the round started from, and the `needed` ones.
    fn store(
        &self,
        node: &NodeId,
        kept: &Params,
        (from, needed): (Option<&StateId>, &[StateId]),
    ) -> Result<(StateId, Digest), Refusal> {
        let id = StateId::random().map_err(|error| unwritable(io::Error::other(error)))?;
        let bytes = to_safetensors(kept);
        let bytes = bytes.map_err(|error| refusal(Reason::Internal, error.to_string()))?;
        let digest = Digest::of(&bytes);
        let needed = &needed[..needed.len().min(KEPT_STATES_MAX)];
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = all.entry(node.clone()).or_default();
        of_node.retain(|(known, _)| from == Some(known) || needed.contains(known));
        of_node.push((id.clone(), bytes));
        Ok((id, digest))
    }
}

/// Writes `experiments/ID/preprocessing.json`; returns its length.
fn store_preprocessing(experiment: &Folder, examples: &Examples) -> Result<u64, Refusal> {
    let store = || -> std::io::Result<u64> {
        let json = serde_json::to_vec_pretty(examples.preprocessing())?;
        let known = experiment.read(PREPROCESSING, json.len() as u64);
        if !known.is_ok_and(|known| known == json) {
            experiment.write(PREPROCESSING, &json)?;
        }
        Ok(json.len() as u64)
    };
    store().map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_params::Tensor;

    #[test]
    fn each_node_has_its_own_states_and_those_that_are_not_needed_go() {
        let states = MemoryStates::default();
        let params = |value: f32| {
            let tensor = Tensor::from_f32(vec![1], &[value]).unwrap();
            Params::new(vec![("state/b".into(), tensor)]).unwrap()
        };
        let [a, b]: [NodeId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
        let store = |node, value, from, needed: &[StateId]| {
            states.store(node, &params(value), (from, needed)).unwrap().0
        };
        let first = store(&a, 1.0, None, &[]);
        let second = store(&a, 2.0, Some(&first), &[]);
        assert_eq!(states.load(&a, &first).unwrap().0, params(1.0));
        assert_eq!(states.load(&b, &first).unwrap_err().reason, Reason::State);
        let third = store(&a, 3.0, Some(&second), std::slice::from_ref(&first));
        assert_eq!(states.load(&a, &first).unwrap().0, params(1.0));
        let fourth = store(&a, 4.0, Some(&third), &[]);
        assert_eq!(states.load(&a, &first).unwrap_err().reason, Reason::State);
        assert_eq!(states.load(&a, &fourth).unwrap().0, params(4.0));
    }
}
