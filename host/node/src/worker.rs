//! Fetches what a round needs, runs it off the async threads, stores what it
//! gave. One round at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_artifact::COMPONENT_BYTES_MAX;
use fedwasm_folder::Folder;
use fedwasm_protocol::{
    BlobRef, Digest, NodeId, NodeTiming, Progress, Reason, Refusal, RequestId, RoundReply,
    RoundRequest,
};
use fedwasm_sandbox::Cancel;
use fedwasm_training::Event;
use fedwasm_transport::Repository;

use crate::Dataset;
use crate::round::{Workshop, refusal};

/// How often a researcher hears of progress, at most.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Runs rounds.
pub(crate) struct Worker {
    pub(crate) node: NodeId,
    pub(crate) folder: Arc<Folder>,
    pub(crate) repository: Repository,
    pub(crate) workshop: Arc<Mutex<Workshop>>,
    /// The parameters used last: a validated model is the next round's start.
    pub(crate) params: Option<(Digest, Arc<Vec<u8>>)>,
    /// The most bytes of parameters.
    pub(crate) params_bytes_max: u64,
}

impl Worker {
    /// Runs one round. `say` gets progress.
    pub(crate) async fn run(
        &mut self,
        request_id: RequestId,
        request: RoundRequest,
        dataset: Dataset,
        cancel: Cancel,
        say: impl Fn(Progress) + Send + 'static,
    ) -> Result<RoundReply, Refusal> {
        let mut timing = NodeTiming::default();
        let start = Instant::now();
        let plan = self.fetch_plan(&request.plan).await?;
        let params = self.fetch_params(&request.params).await?;
        timing.download_ms = ms(start);

        let start = Instant::now();
        let request = Arc::new(request);
        let prepared = {
            let (workshop, folder) = (Arc::clone(&self.workshop), Arc::clone(&self.folder));
            let request = Arc::clone(&request);
            blocking(move || {
                let mut workshop = workshop.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(plan) = plan {
                    workshop.add_plan(plan)?;
                }
                workshop.prepare(&request, &dataset, &folder)
            })
            .await?
        };
        timing.prepare_ms = ms(start);

        let start = Instant::now();
        let node = self.node.clone();
        let done = blocking(move || {
            let events = progress(request_id, say);
            prepared.run(&request, &node, &params, Box::new(events), &cancel)
        })
        .await?;
        timing.train_ms = ms(start);

        let start = Instant::now();
        let params = match done.params {
            Some(bytes) => Some(self.repository.put(bytes).await.map_err(blob_refusal)?),
            None => None,
        };
        timing.upload_ms = ms(start);
        Ok(RoundReply {
            params,
            n_samples: done.n_samples,
            n_steps: done.n_steps,
            train_loss: done.train_loss,
            evaluation: done.evaluation,
            timing,
        })
    }

    /// Returns the plan's bytes, or none if it is compiled already.
    async fn fetch_plan(&self, plan: &BlobRef) -> Result<Option<Vec<u8>>, Refusal> {
        // The workshop may be busy with a round that was called off.
        let (workshop, digest) = (Arc::clone(&self.workshop), plan.sha256);
        let has_plan =
            move || Ok(workshop.lock().unwrap_or_else(PoisonError::into_inner).has_plan(&digest));
        if blocking(has_plan).await? {
            return Ok(None);
        }
        check_size("plan", plan, COMPONENT_BYTES_MAX)?;
        self.repository.get(plan).await.map(Some).map_err(blob_refusal)
    }

    async fn fetch_params(&mut self, params: &BlobRef) -> Result<Arc<Vec<u8>>, Refusal> {
        if let Some((_, bytes)) = self.params.as_ref().filter(|(known, _)| *known == params.sha256)
        {
            return Ok(Arc::clone(bytes));
        }
        check_size("parameters", params, self.params_bytes_max)?;
        let bytes = Arc::new(self.repository.get(params).await.map_err(blob_refusal)?);
        self.params = Some((params.sha256, Arc::clone(&bytes)));
        Ok(bytes)
    }
}

fn check_size(what: &str, blob: &BlobRef, max: u64) -> Result<(), Refusal> {
    match blob.size > max {
        true => {
            let message = format!("{what} of {} bytes, at most {max} are accepted", blob.size);
            Err(refusal(Reason::BadRequest, message))
        }
        false => Ok(()),
    }
}

fn blob_refusal(error: fedwasm_transport::Error) -> Refusal {
    refusal(Reason::Blob, error.to_string())
}

/// Turns a plan's events into log lines and, now and then, into progress.
fn progress(
    request_id: RequestId,
    say: impl Fn(Progress) + Send + 'static,
) -> impl FnMut(Event) + Send {
    let (mut said, mut said_all): (Option<Instant>, bool) = (None, false);
    move |event| match event {
        Event::Log(level, line) => tracing::info!("plan ({level:?}): {line}"),
        Event::Step { step, steps_max, loss } => {
            let is_last = step == steps_max && !said_all;
            if !is_last && said.is_some_and(|at| at.elapsed() < PROGRESS_PAUSE) {
                return;
            }
            said_all |= is_last;
            said = Some(Instant::now());
            say(Progress { request_id: request_id.clone(), steps: step, steps_max, loss });
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("a round broke off: {error}");
            Err(refusal(Reason::Internal, "the round broke off".into()))
        }
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
