//! The sum: masked vectors are fetched one after the other and added; results come out of the whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_aggregate::RoundSum;
use fedwasm_params::{Params, from_shared_safetensors};
use fedwasm_privacy::{
    Decoded, Layout, Parties, Steps, Summand, Transcript, Upload, Vectors, moved_where, tensors_of,
    vectors_of_node,
};
use fedwasm_protocol::{Digest, Mode, NodeId, Reason, RoundReply, printable};
use fedwasm_record::{Reply, SecaggRecord, numbers_sha256};
use fedwasm_sandbox::Declaration;
use futures_util::StreamExt as _;

use super::Demand;
use super::demand::specs;
use crate::job::fetch::{AHEAD_BYTES, AHEAD_MAX};
use crate::job::replies::HEADER_BYTES_MAX;
use crate::phases::{Replies, Uploaded};
use crate::{Error, Job};

/// Bytes of a lane.
const LANE_BYTES: u64 = 8;

/// Keeps bytes under their digest.
type KeepBytes<'a> = &'a mut (dyn FnMut(&Digest, &[u8]) -> Result<(), Error> + Send);

/// The files that are written while a sum is made.
pub(crate) struct Files<'a> {
    /// Writes down who is asked, before the requests leave.
    pub(crate) asked: &'a mut (dyn FnMut(&Parties) -> Result<(), Error> + Send),
    /// Keeps masked vectors.
    pub(crate) upload: KeepBytes<'a>,
}

/// Where the time of a sum went, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) agree_ms: f64,
    pub(crate) send_ms: f64,
    pub(crate) download_ms: f64,
    pub(crate) unmask_ms: f64,
}

/// Replies, each with the time that it took.
pub(crate) type ByNode = BTreeMap<NodeId, (RoundReply, Duration)>;

/// The results of a round of which only the sum is known.
#[derive(Debug)]
pub(crate) struct Summed {
    pub(crate) mode: Mode,
    pub(crate) demand: Demand,
    /// The nodes whose masks are in it.
    pub(crate) parties: Parties,
    /// Of the nodes whose parts are in it.
    pub(crate) replies: ByNode,
    pub(crate) decoded: Decoded,
    /// The messages that it was made by.
    pub(crate) steps: Steps,
    pub(crate) times: Times,
}

impl Summed {
    /// The sum for the aggregator: parameters that training may not write stay as they were sent.
    ///
    /// # Errors
    /// [`Error::Secagg`] if the mean leaves the range of numbers or counts no row.
    pub(crate) fn for_aggregator(
        &self,
        declaration: &Declaration,
        received: &Params,
    ) -> Result<RoundSum, Error> {
        let (params, aux) = specs(declaration, Mode::Train);
        let params = moved_where(received, &params, &self.decoded.mean)?;
        if self.decoded.n_samples == 0 {
            return Err(fedwasm_privacy::Error::NoWeight.into());
        }
        let nodes = self.replies.keys().cloned().collect();
        let aux = tensors_of(&aux, &self.decoded.aux)?;
        Ok(RoundSum { nodes, n_samples: self.decoded.n_samples, params, aux })
    }

    /// All that it was made of but the masked vectors.
    pub(crate) fn transcript(&self, declaration: &Declaration) -> Transcript {
        let (params, aux) = specs(declaration, self.mode);
        let upload = |(node, (reply, _)): (&NodeId, &(RoundReply, Duration))| {
            let (sha256, check) = (reply.params?.sha256, reply.encryption_factor.clone());
            Some((node.clone(), Upload { sha256, check }))
        };
        Transcript {
            args: self.demand.args.clone(),
            params: params.iter().map(Summand::from).collect(),
            aux: aux.iter().map(Summand::from).collect(),
            numbers: self.demand.numbers,
            uploads: self.replies.iter().filter_map(upload).collect(),
            steps: self.steps.clone(),
        }
    }

    /// Its record.
    pub(crate) fn record(&self, transcript: Option<Digest>) -> SecaggRecord {
        let Decoded { n_samples, n_steps, train_loss, evaluation, numbers, .. } = &self.decoded;
        let args = self.demand.args.clone();
        SecaggRecord {
            scheme: args.scheme,
            sum_id: args.sum_id,
            parties: self.parties.iter().cloned().collect(),
            sum_of: self.replies.keys().cloned().collect(),
            n_samples: *n_samples,
            n_steps: *n_steps,
            train_loss: *train_loss,
            evaluation: evaluation.clone(),
            numbers_sha256: numbers_sha256(numbers),
            args,
            transcript,
        }
    }

    /// The replies of its nodes: masked uploads, and no result of a single one.
    pub(crate) fn into_replies(self) -> Replies {
        let Times { send_ms, download_ms, .. } = self.times;
        let mut replies = Replies { send_ms, download_ms, ..Replies::default() };
        for (node, (reply, time)) in self.replies {
            let Some(upload) = Uploaded::of(reply.clone()) else { continue };
            let sha256 = upload.blob.sha256;
            replies.uploads.insert(node.clone(), upload);
            let reply = Reply {
                params: None,
                aux: Params::default(),
                upload: sha256,
                upload_aux: None,
                state_id: reply.state_id,
                n_samples: 0,
                n_steps: 0,
                train_loss: None,
                evaluation: None,
                optimizer_args: [].into(),
                device: printable(&reply.device),
                warnings: reply.warnings.iter().map(|warning| printable(warning)).collect(),
                timing: reply.timing,
                total_ms: time.as_secs_f64() * 1e3,
            };
            replies.by_node.insert(node, reply);
        }
        replies
    }
}

/// A node's masked vectors, fetched, with their bytes.
pub(crate) struct Masked {
    pub(crate) vectors: Vectors<u64>,
    pub(crate) digest: Digest,
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl Job {
    /// Fetches a node's masked vectors, until `end` at most.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; the node's mistake inside.
    async fn masked(
        &self,
        reply: &RoundReply,
        layout: &Layout,
        end: Option<Instant>,
    ) -> Result<Result<Masked, (Reason, String)>, Error> {
        let Some(blob) = reply.params else {
            return Ok(Err((Reason::Internal, "it sent no masked vectors".into())));
        };
        let lanes = layout.lengths().fold(0u64, |sum, (_, n)| sum.saturating_add(n as u64));
        if blob.size > lanes.saturating_mul(LANE_BYTES).saturating_add(HEADER_BYTES_MAX) {
            let text = format!("its masked vectors have {} bytes, which is too large", blob.size);
            return Ok(Err((Reason::Internal, text)));
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let fetch = self.repository.get_carried(&blob, reply.params_inline.as_deref());
        let fetch = self.within_deadline(fetch);
        let fetched = tokio::time::timeout(left.unwrap_or(self.transfer_time()), fetch).await;
        let bytes = match fetched {
            Ok(Ok(bytes)) => Arc::new(bytes),
            Ok(Err(Error::Cancelled)) => return Err(Error::Cancelled),
            Ok(Err(error)) => return Ok(Err((Reason::Blob, error.to_string()))),
            Err(_) => {
                let text = "its masked vectors did not arrive in time";
                return Ok(Err((Reason::Blob, text.into())));
            }
        };
        let read = from_shared_safetensors(&bytes).map_err(fedwasm_privacy::Error::from);
        let check = reply.encryption_factor.as_deref();
        let read = read.and_then(|params| vectors_of_node(params, check, layout));
        let wrong = |error: fedwasm_privacy::Error| {
            (Reason::Internal, format!("its masked vectors: {error}"))
        };
        let digest = blob.sha256;
        Ok(read.map(|vectors| Masked { vectors, digest, bytes }).map_err(wrong))
    }

    /// Fetches the masked vectors of all nodes, in ascending order of ids and few at a time, and hands
    /// each to `take`, which drops it. Returns the nodes whose vectors cannot be taken, and why.
    ///
    /// # Errors
    /// Those of `take`, and [`Error::Cancelled`].
    pub(crate) async fn each_masked(
        &self,
        replies: &ByNode,
        layout: &Layout,
        take: &mut (dyn FnMut(&NodeId, Masked) -> Result<(), Error> + Send),
    ) -> Result<Vec<(NodeId, (Reason, String))>, Error> {
        let (end, mut failed) = (self.fetch_end(), Vec::new());
        let bytes = layout.lengths().fold(1u64, |sum, (_, n)| sum.saturating_add(n as u64 * 8));
        let ahead = usize::try_from(AHEAD_BYTES / bytes).unwrap_or(AHEAD_MAX);
        let fetch = replies.iter().map(async |(node, (reply, _))| {
            let masked = self.masked(reply, layout, end).await;
            (node, masked)
        });
        let fetch = futures_util::stream::iter(fetch).buffered(ahead.clamp(1, AHEAD_MAX));
        let mut fetch = std::pin::pin!(fetch);
        while let Some((node, masked)) = fetch.next().await {
            match masked? {
                Ok(masked) => take(node, masked)?,
                Err(why) => failed.push((node.clone(), why)),
            }
        }
        Ok(failed)
    }

    /// Drops a node whose vectors could not be taken.
    pub(crate) fn drop_masked(
        &mut self,
        node: &NodeId,
        round: u32,
        (reason, text): (Reason, String),
        events: crate::Events<'_>,
    ) {
        let away = self.nodes.away_because(node, reason);
        self.drop_node(node.clone(), round, reason, text, away, events);
    }

    /// When the vectors of a round must all be here: after twice the time of a transfer, as updates in the clear.
    fn fetch_end(&self) -> Option<Instant> {
        Instant::now().checked_add(self.transfer_time().saturating_mul(2))
    }
}
