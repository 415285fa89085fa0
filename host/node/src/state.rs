//! What a node keeps from one round of an experiment to the next: the state of
//! the plan and the parameters local to the node (Fed-BioMed `node_state`).
//!
//! `experiments/ID/state/STATE.safetensors`. A state is never changed: each
//! round leaves a new one, so that a researcher that goes on from an earlier
//! round finds the one that belongs to it. The newest two are kept, the one
//! that a round started from and the one that it left.

use std::io;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, to_safetensors};
use fedwasm_protocol::{ExperimentId, Reason, Refusal, StateId};

use crate::round::refusal;

const EXPERIMENTS: &str = "experiments";
const STATE: &str = "state";

/// The states of one experiment.
#[derive(Debug)]
pub(crate) struct States {
    folder: Folder,
    bytes_max: u64,
}

impl States {
    /// Opens the states of an experiment; makes its directory if need be.
    pub(crate) fn open(
        node: &Folder,
        experiment: &ExperimentId,
        bytes_max: u64,
    ) -> Result<Self, Refusal> {
        let folder = || node.folder(EXPERIMENTS)?.folder(experiment.as_str())?.folder(STATE);
        Ok(Self { folder: folder().map_err(unwritable)?, bytes_max })
    }

    /// Reads a state.
    pub(crate) fn load(&self, id: &StateId) -> Result<Params, Refusal> {
        let name = file_name(id);
        if !self.folder.has(&name) {
            let message = format!("the node state {id} is not here; start a new experiment");
            return Err(refusal(Reason::State, message));
        }
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!("node state {id}: {error}");
            refusal(Reason::State, format!("the node state {id} cannot be read"))
        };
        let bytes = self.folder.read(&name, self.bytes_max).map_err(|error| damaged(&error))?;
        from_safetensors(&bytes).map_err(|error| damaged(&error))
    }

    /// Writes what a round left, and forgets all states but this one and the
    /// one that the round started from.
    pub(crate) fn store(&self, kept: &Params, from: Option<&StateId>) -> Result<StateId, Refusal> {
        let id = StateId::random().map_err(|error| unwritable(io::Error::other(error)))?;
        let bytes = to_safetensors(kept);
        let bytes = bytes.map_err(|error| refusal(Reason::Internal, error.to_string()))?;
        let stay = [Some(file_name(&id)), from.map(file_name)];
        let store = || -> io::Result<()> {
            self.folder.write(&file_name(&id), &bytes)?;
            let old = self.folder.names()?.into_iter();
            let mut old = old.filter(|name| !stay.iter().flatten().any(|stay| stay == name));
            old.try_for_each(|name| self.folder.remove(&name))
        };
        store().map_err(unwritable)?;
        Ok(id)
    }
}

fn file_name(id: &StateId) -> String {
    format!("{id}.safetensors")
}

fn unwritable(error: io::Error) -> Refusal {
    tracing::error!("node state: {error}");
    refusal(Reason::Internal, "the node cannot write its files".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_params::Tensor;

    fn params(value: f32) -> Params {
        let tensor = Tensor::from_f32(vec![1], &[value]).unwrap();
        Params::new(vec![("state/b".into(), tensor)]).unwrap()
    }

    #[test]
    fn the_start_and_the_end_of_a_round_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let node = Folder::open(dir.path()).unwrap();
        let states = States::open(&node, &"e".parse().unwrap(), 1 << 20).unwrap();
        let first = states.store(&params(1.0), None).unwrap();
        let second = states.store(&params(2.0), Some(&first)).unwrap();
        assert_eq!(states.load(&first).unwrap(), params(1.0));
        // The researcher went back to the first: the second is not needed any more.
        let other = states.store(&params(3.0), Some(&first)).unwrap();
        assert_eq!(states.load(&second).unwrap_err().reason, Reason::State);
        assert_eq!(states.load(&other).unwrap(), params(3.0));
        assert_eq!(states.folder.names().unwrap().len(), 2);
    }

    #[test]
    fn damaged_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let node = Folder::open(dir.path()).unwrap();
        let states = States::open(&node, &"e".parse().unwrap(), 1 << 20).unwrap();
        let id = states.store(&params(1.0), None).unwrap();
        states.folder.write(&file_name(&id), b"no").unwrap();
        assert_eq!(states.load(&id).unwrap_err().reason, Reason::State);
    }
}
