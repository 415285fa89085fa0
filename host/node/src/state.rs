//! The node state that stays from one round of an experiment to the next: the state of
//! the plan and the parameters local to the node (Fed-BioMed `node_state`).
//!
//! `experiments/ID/state/STATE.safetensors`. A state is never changed: each
//! round leaves a new one, so that a researcher that resumes from an earlier round finds the one
//! that belongs to it. The one that a round started from and the one that it left are kept, and
//! those that the researcher's breakpoints name.

use std::io;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, to_safetensors};
use fedwasm_protocol::{Digest, ExperimentId, KEPT_STATES_MAX, Reason, Refusal, StateId};

use crate::Database;
use crate::experiments::{self, Owner, claim};
use crate::refusal::{refusal, unwritable};

const STATE: &str = "state";

/// The states of one experiment.
#[derive(Debug)]
pub(crate) struct States {
    folder: Folder,
    bytes_max: u64,
    /// The receipts of the rounds that left them, unless they were put there to run one again.
    receipts: Option<Database>,
}

impl States {
    /// Opens the states of an experiment, and creates its directory if it is absent.
    pub(crate) fn open(
        node: &Folder,
        experiment: &ExperimentId,
        owner: &Owner,
        bytes_max: u64,
        receipts: Option<Database>,
    ) -> Result<Self, Refusal> {
        let folder = claim(node, experiment, owner)?.folder(STATE).map_err(unwritable)?;
        Ok(Self { folder, bytes_max, receipts })
    }

    /// Reads a state, which has the very bytes that a round left.
    pub(crate) fn load(&self, id: &StateId) -> Result<(Params, Vec<u8>), Refusal> {
        let name = file_name(id);
        if !self.folder.has(&name) {
            return Err(unknown(id));
        }
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!("node state {id}: {error}");
            refusal(Reason::State, format!("the node state {id} cannot be read"))
        };
        let bytes = self.folder.read(&name, self.bytes_max).map_err(|error| damaged(&error))?;
        if let Some(receipts) = &self.receipts
            && !receipts.left_state(&Digest::of(&bytes)).map_err(|error| damaged(&error))?
        {
            return Err(damaged(&"no round of this node wrote these bytes"));
        }
        let params = from_safetensors(&bytes).map_err(|error| damaged(&error))?;
        Ok((params, bytes))
    }

    /// Writes the state that a round left, and deletes all states but this one, the one
    /// that the round started from, and those that are `needed`. Returns its id, digest and length.
    pub(crate) fn store(
        &self,
        kept: &Params,
        from: Option<&StateId>,
        needed: &[StateId],
    ) -> Result<(StateId, Digest, u64), Refusal> {
        let id = StateId::random().map_err(|error| unwritable(io::Error::other(error)))?;
        let bytes = to_safetensors(kept);
        let bytes = bytes.map_err(|error| refusal(Reason::Internal, error.to_string()))?;
        let needed = needed.iter().take(KEPT_STATES_MAX);
        let stay: Vec<String> =
            [&id].into_iter().chain(from).chain(needed).map(file_name).collect();
        let store = || -> io::Result<()> {
            self.folder.write(&file_name(&id), &bytes)?;
            let old = self.folder.names()?.into_iter();
            let mut old = old.filter(|name| !stay.contains(name));
            old.try_for_each(|name| self.folder.remove(&name))
        };
        store().map_err(unwritable)?;
        Ok((id, Digest::of(&bytes), bytes.len() as u64))
    }
}

/// The refusal of a round that starts from a state that is not here.
pub(crate) fn unknown(id: &StateId) -> Refusal {
    let message = format!("this node does not have the node state {id}; start a new experiment");
    refusal(Reason::State, message)
}

/// Puts a state where a round that is run again looks for it.
pub(crate) fn place(
    node: &Folder,
    experiment: &ExperimentId,
    id: &StateId,
    bytes: &[u8],
) -> io::Result<()> {
    let folder = experiments::open(node, experiment)?.folder(STATE)?;
    folder.write(&file_name(id), bytes)
}

fn file_name(id: &StateId) -> String {
    format!("{id}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_params::Tensor;

    fn params(value: f32) -> Params {
        let tensor = Tensor::from_f32(vec![1], &[value]).unwrap();
        Params::new(vec![("state/b".into(), tensor)]).unwrap()
    }

    fn states_of(node: &Folder, researcher: &str, plan: &[u8]) -> Result<States, Refusal> {
        let (researcher, plan) = (&researcher.parse().unwrap(), &Digest::of(plan));
        let owner = Owner { researcher, plan, dataset: &"d".parse().unwrap() };
        States::open(node, &"e".parse().unwrap(), &owner, 1 << 20, None)
    }

    fn states(node: &Folder) -> States {
        states_of(node, "r", b"plan").unwrap()
    }

    #[test]
    fn what_a_round_or_a_breakpoint_needs_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let states = states(&Folder::open(dir.path()).unwrap());
        let (first, ..) = states.store(&params(1.0), None, &[]).unwrap();
        let (second, ..) = states.store(&params(2.0), Some(&first), &[]).unwrap();
        assert_eq!(states.load(&first).unwrap().0, params(1.0));
        // The researcher went back to the first: the second is not needed any more.
        let (other, ..) = states.store(&params(3.0), Some(&first), &[]).unwrap();
        assert_eq!(states.load(&second).unwrap_err().reason, Reason::State);
        assert_eq!(states.load(&other).unwrap().0, params(3.0));
        // A breakpoint still names the first.
        states.store(&params(4.0), Some(&other), std::slice::from_ref(&first)).unwrap();
        assert_eq!(states.load(&first).unwrap().0, params(1.0));
        assert_eq!(states.folder.names().unwrap().len(), 3);
    }

    #[test]
    fn states_of_another_researcher_or_plan_are_neither_read_nor_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let node = Folder::open(dir.path()).unwrap();
        let (id, ..) = states(&node).store(&params(1.0), None, &[]).unwrap();
        for (researcher, plan) in [("other", b"plan"), ("r", b"plum")] {
            let refused = states_of(&node, researcher, plan).unwrap_err();
            assert!(
                refused.message.contains("belongs to another researcher"),
                "{}",
                refused.message
            );
        }
        assert_eq!(states(&node).load(&id).unwrap().0, params(1.0));
    }

    #[test]
    fn damaged_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let states = states(&Folder::open(dir.path()).unwrap());
        let (id, ..) = states.store(&params(1.0), None, &[]).unwrap();
        states.folder.write(&file_name(&id), b"no").unwrap();
        assert_eq!(states.load(&id).unwrap_err().reason, Reason::State);
    }
}
