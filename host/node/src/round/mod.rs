//! A round at a node, without the network. Blocks.

mod data;
mod keeping;
mod own_aux;
mod prepared;
mod workshop;

use std::sync::Arc;

use fedwasm_params::Params;
use fedwasm_protocol::{BlobRef, Digest, Evaluation, Metrics, Payload, RoundReply, StateId};

pub(crate) use self::data::{data_digest, dataset_digest, file_digest};
pub(crate) use self::keeping::{InMemory, Keeping, MemoryStates};
pub(crate) use self::prepared::Prepared;
pub(crate) use self::workshop::{PlanSource, Preparation, Workshop};

/// The device that plans run on, as replies name it.
const DEVICE: &str = "cpu";

/// The result of a round, before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The trained parameters as safetensors.
    pub(crate) params: Option<Vec<u8>>,
    /// The update in the form in which it travels, if that is not the parameters.
    pub(crate) compressed: Option<Vec<u8>>,
    /// Auxiliary variables for the researcher as safetensors.
    pub(crate) aux: Option<Vec<u8>>,
    /// Those that stay at the node, as they were before.
    pub(crate) aux_before: Option<Params>,
    pub(crate) state_id: Option<StateId>,
    /// The state that it started from, and the digest of the one that it left.
    pub(crate) state_in: Option<Vec<u8>>,
    pub(crate) state_out: Option<Digest>,
    pub(crate) used: Used,
    pub(crate) optimizer_args: Metrics,
    pub(crate) n_samples: u64,
    pub(crate) n_steps: u64,
    pub(crate) train_loss: Option<f64>,
    pub(crate) evaluation: Option<Evaluation>,
    /// The sums of the input columns, encoded.
    pub(crate) sums: Option<Vec<u8>>,
    /// The same as the numbers of a secure sum; empty without one.
    pub(crate) numbers: Vec<u64>,
}

/// The blobs of a result, which leave beside its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left<'a> {
    pub(crate) params: Option<&'a [u8]>,
    pub(crate) compressed: Option<&'a [u8]>,
    pub(crate) aux: Option<&'a [u8]>,
    pub(crate) sums: Option<&'a [u8]>,
}

impl Done {
    /// The reply that tells of it, without its receipt.
    ///
    /// * `left` — the bytes that leave beside it: parameters, auxiliary variables, sums.
    pub(crate) fn reply(
        &self,
        Left { params, compressed, aux, sums }: Left<'_>,
        warnings: Vec<String>,
    ) -> RoundReply {
        // The receipt does not depend on how the result travels.
        let stored = |bytes| Payload::stored(BlobRef::of(bytes));
        RoundReply {
            params: params.map(BlobRef::of),
            compressed: compressed.map(stored),
            aux: aux.map(stored),
            sums: sums.map(stored),
            state_id: self.state_id.clone(),
            optimizer_args: self.optimizer_args.clone(),
            device: DEVICE.to_owned(),
            warnings,
            n_samples: self.n_samples,
            n_steps: self.n_steps,
            train_loss: self.train_loss,
            evaluation: self.evaluation.clone(),
            ..RoundReply::default()
        }
    }

    /// Leaves the sums of scores at the node: metrics leave alone.
    pub(crate) fn without_sums(&mut self) {
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.sums = None;
        }
    }
}

/// Memory and fuel of training, each rounded up to a power of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) fuel: Option<u64>,
}

impl Used {
    fn rounded(memory_bytes: u64, fuel: Option<u64>) -> Self {
        let rounded = |n: u64| n.checked_next_power_of_two().unwrap_or(u64::MAX);
        Self { memory_bytes: Some(rounded(memory_bytes)), fuel: fuel.map(rounded) }
    }
}

/// The blobs that were fetched for a round; their digests were checked.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) params: Arc<Vec<u8>>,
    pub(crate) aux_shared: Option<Vec<u8>>,
    pub(crate) aux_own: Option<Vec<u8>>,
    /// The scales of a federation, as JSON.
    pub(crate) scales: Option<Vec<u8>>,
}

impl Fetched {
    /// All that were fetched.
    pub(crate) fn blobs(&self) -> [Option<&[u8]>; 4] {
        let Self { params, aux_shared, aux_own, scales } = self;
        [Some(params.as_slice()), aux_shared.as_deref(), aux_own.as_deref(), scales.as_deref()]
    }
}
