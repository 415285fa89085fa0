//! Fetches the inputs of a round, runs it off the async threads, stores its results.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_artifact::COMPONENT_BYTES_MAX;
use fedwasm_folder::Folder;
use fedwasm_protocol::{
    BlobRef, DataArgs, Digest, FederationId, FieldSelection, NodeId, NodeTiming, Participant,
    Progress, Reason, Refusal, RequestId, ResearcherId, RoundReply, RoundRequest, WrongPayload,
};
use fedwasm_sandbox::Cancel;
use fedwasm_transport::{Bytes, Repository, now_ms};
use fedwasm_trust::{Opening, Receipt};

use crate::approval::{Approvals, ApprovedPlan};
use crate::blocking::blocking;
use crate::carried::Written;
use crate::compiler::Compiler;
use crate::privacy::{Floor, Privacy, Terms};
use crate::receipt::{Receipts, Run};
use crate::refusal::{blob_refusal, check_size, refusal, unwritable};
use crate::round::{Fetched, Left, PlanSource, Preparation, Prepared, Workshop};
use crate::secagg::{Again, Demand, Sums, check_scheme};
use crate::trace::Trace;
use crate::train::{Outcome, hold, stepped, while_wanted};
use crate::{Database, Dataset};

/// Runs rounds.
pub(crate) struct Executor {
    pub(crate) node: NodeId,
    pub(crate) folder: Arc<Folder>,
    pub(crate) repository: Repository,
    pub(crate) workshop: Arc<Mutex<Workshop>>,
    pub(crate) compiler: Compiler,
    /// The parameters used last: a validated model is the next round's start.
    pub(crate) params: Mutex<Option<(Digest, Arc<Vec<u8>>)>>,
    /// The most bytes of parameters.
    pub(crate) params_bytes_max: u64,
    /// Which plans may run.
    pub(crate) approvals: Approvals,
    /// The receipts of runs.
    pub(crate) receipts: Receipts,
    pub(crate) federation: FederationId,
    /// Bytes of the disk that stay free.
    pub(crate) free_bytes_min: u64,
    /// What may leave.
    pub(crate) privacy: Privacy,
    /// The ledger of privacy.
    pub(crate) database: Database,
    /// The secure sums that it takes part in.
    pub(crate) sums: Sums,
    /// Whether rounds are under secure aggregation only.
    pub(crate) force_secagg: bool,
    /// The newest results for secure sums.
    pub(crate) masked: Again<Outcome>,
}

/// A round that may begin.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) request_id: RequestId,
    /// The digest of the request's header.
    pub(crate) request_sha256: Digest,
    /// How much time it has left.
    pub(crate) left: Duration,
    pub(crate) researcher: ResearcherId,
    pub(crate) request: RoundRequest,
    pub(crate) dataset: Dataset,
    pub(crate) cancel: Cancel,
    pub(crate) trace: Arc<Trace>,
}

/// The inputs of a round whose plan may run.
pub(crate) struct Inputs {
    /// The request as a receipt has it.
    pub(crate) sent: RoundRequest,
    /// The request with the names of its inputs.
    pub(crate) request: Arc<RoundRequest>,
    /// These names, if they came as a blob.
    names: Option<Vec<u8>>,
    pub(crate) approved: Arc<ApprovedPlan>,
    pub(crate) plan: PlanSource,
    pub(crate) fetched: Fetched,
    pub(crate) floor: Floor,
    /// Differential privacy; none in the clear.
    pub(crate) terms: Option<Terms>,
    /// Secure aggregation; none in the clear.
    pub(crate) demand: Option<Demand>,
    /// The shares for this node, with double masking.
    pub(crate) shares: Option<Vec<u8>>,
}

impl Executor {
    /// Runs one round. `say` gets progress.
    pub(crate) async fn run(
        &self,
        assignment: Assignment,
        say: impl Fn(Progress) + Send + 'static,
    ) -> Result<RoundReply, Refusal> {
        let mut timing = NodeTiming::default();
        self.make_room().await?;
        let start = Instant::now();
        let inputs = while_wanted(&assignment.cancel, self.fetch(&assignment)).await?;
        timing.download_ms = ms(start);

        let left = assignment.left.saturating_sub(start.elapsed());
        let start = Instant::now();
        let outcome = self.outcome(&assignment, &inputs, left, &mut timing, say).await;
        let terms = inputs.terms.clone();
        if let Some(terms) = &terms {
            hold(terms, start, &assignment.cancel).await;
        }
        let outcome = outcome?;

        let start = Instant::now();
        let written = self.write_receipt(&assignment, inputs, outcome).await?;
        assignment.trace.ran(Digest::of(&written.receipt));
        if assignment.cancel.is_cancelled() {
            return Err(refusal(Reason::Expired, "the round was cancelled".into()));
        }
        let upload = self.upload(&assignment, written);
        let mut reply = while_wanted(&assignment.cancel, upload).await?;
        timing.upload_ms = ms(start);
        reply.timing = match &terms {
            Some(terms) => stepped(terms, timing),
            None => timing,
        };
        Ok(reply)
    }

    /// Runs the round, unless it did: a result for a secure sum is masked once.
    async fn outcome(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
        left: Duration,
        timing: &mut NodeTiming,
        say: impl Fn(Progress) + Send + 'static,
    ) -> Result<Outcome, Refusal> {
        if inputs.demand.is_none() {
            return self.work(assignment, inputs, left, timing, say).await;
        }
        let researcher = &assignment.researcher;
        if let Some(known) = self.masked.get(researcher, &inputs.sent) {
            return Ok(Outcome::clone(&known));
        }
        let outcome = self.work(assignment, inputs, left, timing, say).await?;
        self.masked.put(researcher, &inputs.sent, Arc::new(outcome.clone()));
        Ok(outcome)
    }

    /// Fetches the blobs that the round names, once its plan may run.
    async fn fetch(&self, assignment: &Assignment) -> Result<Inputs, Refusal> {
        let Assignment { researcher, request, dataset, .. } = assignment;
        let names = self.fetch_inputs(&request.wide_inputs).await?;
        // A receipt is about the request as it was sent.
        let sent = Receipt::request(request);
        let shares = request.secagg.as_ref().and_then(|args| args.shares.as_ref());
        let shares = shares.map(|shares| {
            let wrong = |error: WrongPayload| refusal(Reason::BadRequest, error.to_string());
            shares.bytes().map_err(wrong)?.map(<[u8]>::to_vec).ok_or_else(|| {
                refusal(Reason::BadRequest, "`secagg.shares` are not in the message".into())
            })
        });
        let shares = shares.transpose()?;
        let request = with_inputs(request.clone(), names.as_deref())?;
        dataset.check_columns(&request.data)?;
        // Looked at for every round, so that revoking stops the next one.
        let (request, approvals) = (Arc::new(request), self.approvals.clone());
        let approved = {
            let (request, researcher) = (Arc::clone(&request), researcher.clone());
            blocking(move || approvals.approve(&request, &researcher, now_ms())).await?
        };
        let plan = self.fetch_plan(&request.plan).await?;
        let min_rows = approved.min_rows.unwrap_or(self.privacy.min_rows);
        let floors = self.privacy.floors_of(request.dataset_id.as_str());
        let terms = Terms::of(&floors, request.training.dp_args);
        let secagg = request.secagg.as_ref();
        check_scheme(&floors, self.force_secagg, secagg.map(|args| args.scheme))?;
        let demand = Demand::of(&floors, secagg, request.mode, terms.as_ref());
        let of = (&floors, terms.is_some(), demand.is_some());
        let floor = Floor::of(&self.privacy, min_rows, &request, of)?;
        let fetched = Fetched {
            params: self.fetch_params(&request).await?,
            aux_shared: self.fetch_aux(&request.aux_shared).await?,
            aux_own: self.fetch_aux(&request.aux_own).await?,
            scales: self.fetch_scales(&request.scales).await?,
        };
        let approved = Arc::new(approved);
        Ok(Inputs { sent, request, names, approved, plan, fetched, floor, terms, demand, shares })
    }

    /// Makes plan and rows ready.
    pub(crate) async fn prepare(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
    ) -> Result<Prepared, Refusal> {
        let (workshop, folder) = (Arc::clone(&self.workshop), Arc::clone(&self.folder));
        let (request, node) = (Arc::clone(&inputs.request), self.node.clone());
        let (approved, plan) = (Arc::clone(&inputs.approved), inputs.plan.clone());
        let Assignment { cancel, researcher, dataset, .. } = assignment;
        let (cancel, researcher, dataset) = (cancel.clone(), researcher.clone(), dataset.clone());
        let terms = inputs.terms.clone();
        let scales = inputs.fetched.scales.clone();
        blocking(move || {
            let mut workshop = workshop.lock().unwrap_or_else(PoisonError::into_inner);
            workshop.prepare(Preparation {
                request: &request,
                approved: &approved,
                plan,
                node: &node,
                researcher: &researcher,
                dataset: &dataset,
                folder: &folder,
                cancel: &cancel,
                terms: terms.as_ref(),
                scales: scales.as_deref(),
            })
        })
        .await
    }

    /// Writes the receipt of a round that ran. Without one nothing leaves.
    async fn write_receipt(
        &self,
        assignment: &Assignment,
        inputs: Inputs,
        outcome: Outcome,
    ) -> Result<Written, Refusal> {
        let Outcome { released, data, profile, limits, warnings, .. } = outcome;
        let (mut done, masked) = released.into_parts();
        let (aux, sums) = (done.aux.take(), done.sums.take());
        let (mut params, compressed) =
            (done.params.take().map(Bytes::from), done.compressed.take());
        let (mut encryption_factor, mut secagg, mut masks) = (None, None, None);
        if let Some(masked) = masked {
            (params, masks) = (Some(masked.vectors), Some(masked.masks));
            (encryption_factor, secagg) = (masked.encryption_factor, Some(masked.terms));
        }
        let left = Left {
            params: params.as_deref(),
            compressed: compressed.as_deref(),
            aux: aux.as_deref(),
            sums: sums.as_deref(),
        };
        let reply = RoundReply { encryption_factor, secagg, ..done.reply(left, warnings) };
        let receipts = self.receipts.clone();
        let (node, folder) = (Participant::node(&self.node), Arc::clone(&self.folder));
        let (federation, researcher) = (self.federation.clone(), assignment.researcher.clone());
        let (given, request_sha256) = (reply.clone(), assignment.request_sha256);
        let Inputs { sent, names, approved, plan, fetched, .. } = inputs;
        let receipt = blocking(move || {
            let write = || -> Result<Vec<u8>, crate::Error> {
                let state_in = done.state_in.as_deref();
                let opening = Opening::new(data, state_in.map(Digest::of), done.state_out)?
                    .with_masks(masks.as_deref().map(Digest::of));
                let others = [state_in, plan.fetched(), names.as_deref(), masks.as_deref()];
                let kept = fetched.blobs().into_iter().chain(others).flatten();
                receipts.keep_inputs(&folder, kept);
                receipts.write(Run {
                    node: &node,
                    researcher: Participant::researcher(&researcher),
                    federation,
                    request_sha256,
                    request: &sent,
                    approved_by: approved.by.clone(),
                    profile,
                    limits,
                    reply: &given,
                    used: done.used,
                    opening,
                    time_ms: now_ms(),
                })
            };
            write().map_err(|error| no_receipt(&error))
        });
        // An update travels once.
        let params = params.filter(|_| compressed.is_none());
        Ok(Written { receipt: receipt.await?, reply, params, compressed, aux, sums })
    }

    /// Keeps enough of the disk free for the log: the inputs of earlier runs go first, then rounds
    /// are refused before anything is fetched.
    async fn make_room(&self) -> Result<(), Refusal> {
        let (folder, receipts) = (Arc::clone(&self.folder), self.receipts.clone());
        let min = self.free_bytes_min;
        blocking(move || {
            let free = || folder.free_bytes().map_err(unwritable);
            if free()? < min {
                receipts.forget_inputs(&folder).map_err(unwritable)?;
            }
            match free()? {
                bytes if bytes < min => {
                    let (free, min) = (bytes >> 20, min >> 20);
                    let text = format!(
                        "the node's disk is full: {free} MiB are free and rounds must leave {min} \
                         free; its operator must free some space (`free_bytes_min` in node.toml)"
                    );
                    tracing::error!("{text}");
                    Err(refusal(Reason::Internal, text))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Ends workers of plans that no recent round used.
    pub(crate) async fn drop_unused(&self, time: Duration) {
        let workshop = Arc::clone(&self.workshop);
        let drop = move || {
            workshop.lock().unwrap_or_else(PoisonError::into_inner).drop_unused(time);
            Ok(())
        };
        let _ = blocking(drop).await;
    }

    /// Returns the plan, from the repository unless it is compiled already.
    async fn fetch_plan(&self, plan: &BlobRef) -> Result<PlanSource, Refusal> {
        // The workshop may be busy with a round that was cancelled.
        let (workshop, digest) = (Arc::clone(&self.workshop), plan.sha256);
        let known =
            move || Ok(workshop.lock().unwrap_or_else(PoisonError::into_inner).component(&digest));
        if let Some(component) = blocking(known).await? {
            return Ok(PlanSource::Known(component));
        }
        check_size("plan", plan, COMPONENT_BYTES_MAX)?;
        self.repository.get(plan).await.map(PlanSource::Fetched).map_err(blob_refusal)
    }
}

/// The refusal of a round whose receipt is not on the disk.
fn no_receipt(error: &crate::Error) -> Refusal {
    tracing::error!("the receipt could not be written: {error}");
    let text = "the node cannot write its receipt; its log says more".to_owned();
    refusal(Reason::Internal, text)
}

/// The request with the names of its inputs, if they came apart from it.
pub(crate) fn with_inputs(
    request: RoundRequest,
    names: Option<&[u8]>,
) -> Result<RoundRequest, Refusal> {
    let bad = |text: String| refusal(Reason::BadRequest, text);
    match (names, &request.data.inputs) {
        (None, _) => Ok(request),
        (Some(_), Some(_)) => {
            Err(bad("its inputs are named both in the request and in a blob".into()))
        }
        (Some(names), None) => {
            let inputs = Some(FieldSelection::decode(names).map_err(bad)?);
            Ok(RoundRequest { data: DataArgs { inputs, ..request.data }, ..request })
        }
    }
}

pub(crate) fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
