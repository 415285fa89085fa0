//! The inputs of a round beside its plan, and its results after its receipt: in messages if they are
//! small, by the repository if they are not.

use std::sync::{Arc, PoisonError};

use fedwasm_protocol::{
    Body, COLUMNS_BYTES_MAX, INLINE_BYTES_MAX, Participant, Payload, Refusal, RoundReply,
    RoundRequest, SUMS_BYTES_MAX,
};
use fedwasm_transport::{Bytes, Repository};

use crate::executor::{Assignment, Executor};
use crate::refusal::{blob_refusal, check_size};

/// The most bytes of each payload beside the parameters that ride in a reply.
const PAYLOAD_BYTES_MAX: usize = INLINE_BYTES_MAX / 2;

/// A round whose receipt is written: it may leave.
pub(crate) struct Written {
    /// As it was signed.
    pub(crate) receipt: Vec<u8>,
    pub(crate) reply: RoundReply,
    pub(crate) params: Option<Bytes>,
    /// They travel instead of the parameters.
    pub(crate) compressed: Option<Vec<u8>>,
    pub(crate) aux: Option<Vec<u8>>,
    pub(crate) sums: Option<Vec<u8>>,
}

impl Executor {
    /// Stores the results of a round that do not ride in its reply, only after its receipt is
    /// written: otherwise they would leave without a trace.
    pub(crate) async fn upload(
        &self,
        of: &Assignment,
        written: Written,
    ) -> Result<RoundReply, Refusal> {
        let Written { receipt, mut reply, params, compressed, aux, sums } = written;
        let repository = self
            .repository
            .of_experiment(&of.request.experiment_id)
            .for_recipients(vec![Participant::researcher(&of.researcher)]);
        reply.compressed = put(&repository, compressed).await?;
        reply.aux = put(&repository, aux).await?;
        reply.sums = put(&repository, sums).await?;
        reply.receipt = put(&repository, Some(receipt)).await?;
        if let (Some(blob), Some(bytes)) = (reply.params, params) {
            match has_room(&reply, bytes.len()) {
                true => reply.params_inline = Some(bytes.into()),
                false => {
                    repository.put_as(blob, bytes).await.map_err(blob_refusal)?;
                }
            }
        }
        Ok(reply)
    }

    /// The parameters to start from. Those of the newest request by the repository are kept: a model
    /// that was scored is the next round's start.
    pub(crate) async fn fetch_params(
        &self,
        request: &RoundRequest,
    ) -> Result<Arc<Vec<u8>>, Refusal> {
        let (blob, inline) = (&request.params, request.params_inline.as_deref());
        let known = || self.params.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |digest: &_| inline.is_none() && *digest == blob.sha256;
        if let Some((_, bytes)) = known().as_ref().filter(|(digest, _)| is_known(digest)) {
            return Ok(Arc::clone(bytes));
        }
        check_size("parameters", blob, self.params_bytes_max)?;
        let bytes = self.repository.get_carried(blob, inline).await.map_err(blob_refusal)?;
        let bytes = Arc::new(bytes);
        if inline.is_none() {
            *known() = Some((blob.sha256, Arc::clone(&bytes)));
        }
        Ok(bytes)
    }

    pub(crate) async fn fetch_aux(
        &self,
        aux: &Option<Payload>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        self.fetch_payload("auxiliary variables", aux, self.params_bytes_max).await
    }

    /// Fetches the scales of a federation.
    pub(crate) async fn fetch_scales(
        &self,
        scales: &Option<Payload>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        self.fetch_payload("the scales", scales, SUMS_BYTES_MAX).await
    }

    /// Fetches the names of inputs that did not fit into the message.
    pub(crate) async fn fetch_inputs(
        &self,
        inputs: &Option<Payload>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        self.fetch_payload("the column names", inputs, COLUMNS_BYTES_MAX).await
    }

    async fn fetch_payload(
        &self,
        what: &str,
        payload: &Option<Payload>,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(payload) = payload else { return Ok(None) };
        check_size(what, &payload.blob, bytes_max)?;
        self.repository.get_payload(payload).await.map(Some).map_err(blob_refusal)
    }
}

/// Stores bytes that do not ride along.
async fn put(repository: &Repository, bytes: Option<Vec<u8>>) -> Result<Option<Payload>, Refusal> {
    let Some(bytes) = bytes else { return Ok(None) };
    let mut room = PAYLOAD_BYTES_MAX;
    repository.put_payload(bytes, &mut room).await.map(Some).map_err(blob_refusal)
}

/// Whether parameters ride in a reply: they are small, and the message is not full without them.
fn has_room(reply: &RoundReply, n_bytes: usize) -> bool {
    if n_bytes > INLINE_BYTES_MAX {
        return false;
    }
    let with = RoundReply { params_inline: Some(vec![0; n_bytes]), ..reply.clone() };
    Body::RoundReply(Box::new(with)).fits()
}
