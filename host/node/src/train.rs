//! Prepares and runs the plan of a round, from its entry in the ledger to the result that may leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Digest, Mode, NodeTiming, Progress, Reason, Refusal};
use fedwasm_sandbox::{Cancel, Limits, Profile};
use fedwasm_transport::now_ms;

use crate::blocking::blocking;
use crate::demands;
use crate::executor::{Assignment, Executor, Inputs, ms};
use crate::privacy::{self, Beginning, Begun, Released, Terms};
use crate::progress::Teller;
use crate::refusal::refusal;
use crate::round::Prepared;
use crate::secagg::{Part, Rows};

/// How often a round that is held looks whether it was cancelled.
const CANCEL_LOOK: Duration = Duration::from_millis(100);

/// A round that ran.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) released: Released,
    /// The digest of the dataset.
    pub(crate) data: Digest,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    pub(crate) warnings: Vec<String>,
    pub(crate) process_ms: f64,
}

impl Executor {
    /// Prepares and runs a round.
    pub(crate) async fn work(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
        left: Duration,
        timing: &mut NodeTiming,
        say: impl Fn(Progress) + Send + 'static,
    ) -> Result<Outcome, Refusal> {
        let start = Instant::now();
        if inputs.request.mode == Mode::Statistics {
            return self.tell(assignment, inputs).await;
        }
        let Assignment { researcher, .. } = assignment;
        if let Some(plan) = inputs.plan.fetched() {
            self.compiler.ready(plan, researcher, &inputs.request, left).await?;
        }
        let prepared = match self.prepare(assignment, inputs).await {
            Err(refused) if inputs.terms.is_some() && refused.reason == Reason::Dataset => {
                // It follows from rows: it counts as a round, and the reason stays here.
                self.begin(assignment, inputs, None).await?;
                return Err(privacy::failed(refused));
            }
            prepared => prepared?,
        };
        timing.prepare_ms = ms(start);
        // All of it follows from messages.
        let part = match &inputs.demand {
            Some(demand) => {
                let sent = (&inputs.sent, inputs.shares.as_deref());
                let numbers = prepared.numbers(&inputs.request)?;
                let of = (demand, numbers.as_ref());
                Some(self.sums.part(researcher, sent, prepared.declaration(), of)?)
            }
            None => None,
        };
        // Once rows were read, every outcome tells of them, also that of the checks below.
        let begun = self.begin(assignment, inputs, Some(&prepared)).await?;
        if inputs.request.mode == Mode::Train {
            inputs.approved.check_length(&prepared.length())?;
        }
        privacy::check(&prepared, &inputs.request, inputs.floor)?;
        if inputs.request.mode == Mode::Scale {
            self.choose_rows(&prepared, inputs.floor.min_rows).await?;
        }

        let start = Instant::now();
        let outcome = self.train((begun, part), assignment, inputs, prepared, say).await?;
        (timing.train_ms, timing.process_ms) = (ms(start), outcome.process_ms);
        Ok(outcome)
    }

    /// Writes down which training rows sums are told of.
    async fn choose_rows(&self, prepared: &Prepared, min_rows: u64) -> Result<(), Refusal> {
        let (content, training) = (prepared.dataset, prepared.training_rows().to_vec());
        let database = self.database.clone();
        blocking(move || {
            let chosen = database.choose_rows(&content, &training, min_rows);
            chosen.unwrap_or_else(|error| {
                tracing::error!("the sums could not be written down: {error}");
                let text = "the node cannot write down what it tells; its log says more";
                Err(refusal(Reason::Internal, text.into()))
            })
        })
        .await
    }

    /// Writes the round into the ledger, if it is to have noise.
    async fn begin(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
        prepared: Option<&Prepared>,
    ) -> Result<Begun, Refusal> {
        let Some(terms) = inputs.terms.clone() else { return Ok(Begun::Clear) };
        let request = Arc::clone(&inputs.request);
        let n_values = prepared.map_or(0, |prepared| privacy::n_values(prepared.declaration()));
        let content = prepared.map(|prepared| prepared.dataset);
        let (database, researcher) = (self.database.clone(), assignment.researcher.clone());
        let request_sha256 = assignment.request_sha256;
        blocking(move || {
            let beginning = Beginning {
                request: &request,
                request_sha256: &request_sha256,
                researcher: &researcher,
                content: content.as_ref(),
                n_values,
                time_ms: now_ms(),
            };
            Begun::begin(Some(terms), &database, beginning)
        })
        .await
    }

    /// Runs the plan.
    async fn train(
        &self,
        (begun, part): (Begun, Option<Part>),
        assignment: &Assignment,
        inputs: &Inputs,
        prepared: Prepared,
        say: impl Fn(Progress) + Send + 'static,
    ) -> Result<Outcome, Refusal> {
        let Inputs { request, floor, .. } = inputs;
        let mut warnings = demands::warnings(request);
        match begun.terms() {
            Some(terms) => warnings.push(terms.warning(request.mode)),
            None if part.is_some() => {}
            None => {
                warnings.extend(privacy::warning(request, *floor));
                warnings.extend(prepared.warnings(floor.min_rows));
                let told = prepared.done().told(floor.min_rows).filter(|_| floor.cells);
                warnings.extend(told.map(|text| format!("rules of columns: {text}")));
            }
        }
        let (data, profile, limits) = (prepared.dataset, prepared.profile, prepared.limits.clone());
        let (request, fetched) = (Arc::clone(request), inputs.fetched.clone());
        let (trace, cancel) = (Arc::clone(&assignment.trace), assignment.cancel.clone());
        let id = assignment.request_id.clone();
        let floor = *floor;
        let mut teller = Teller::new(id, floor, Arc::clone(&trace), say);
        let (is_private, sums) = (begun.terms().is_some(), self.sums.clone());
        let ran = blocking(move || {
            trace.start(prepared.done())?;
            let start = prepared.processor_ms();
            let events = move |event| teller.take(event);
            let received = Arc::clone(&fetched.params);
            let mut done = prepared.run(&request, fetched, Box::new(events), &cancel)?;
            if !floor.score_sums {
                done.without_sums();
            }
            let failed =
                |error: fedwasm_privacy::Error| refusal(Reason::PlanFailed, error.to_string());
            let declaration = prepared.declaration();
            let process_ms = prepared.processor_ms() - start;
            let Some(part) = part else {
                let travels = prepared.compressing(&request);
                let released = begun.release(done, &received, declaration, &request, travels);
                return Ok((Ok(released.map_err(failed)?), Vec::new(), process_ms));
            };
            let summand = begun.sum(done, &received, declaration, &request, &part.rules);
            let mut summand = summand.map_err(failed)?;
            let vectors = std::mem::take(&mut summand.vectors);
            let warnings = std::mem::take(&mut summand.warnings);
            let summed = (request.mode == Mode::Scale).then(|| prepared.training_rows());
            let (dataset, content) = (&request.dataset_id, &prepared.dataset);
            let rows = Rows { dataset, content, summed };
            // Why a pad is not used follows from messages, so it is told under any terms.
            let released = sums.mask(part, vectors, rows).map(|masked| summand.masked(masked));
            Ok((released, warnings, process_ms))
        });
        let (released, more, process_ms) = match ran.await {
            Err(refused) if is_private => return Err(privacy::failed(refused)),
            ran => ran?,
        };
        warnings.extend(more);
        Ok(Outcome { released: released?, data, profile, limits, warnings, process_ms })
    }
}

/// Transfers for a round: they are tried again while it has time, unless it is called off.
pub(crate) async fn while_wanted<T>(
    cancel: &Cancel,
    transfers: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let called_off = async {
        while !cancel.is_cancelled() {
            tokio::time::sleep(CANCEL_LOOK).await;
        }
    };
    tokio::select! {
        done = transfers => done,
        () = called_off => Err(refusal(Reason::Expired, "the round was cancelled".into())),
    }
}

/// Waits until a whole number of steps has passed since `start`, so that the time of an answer tells
/// little.
pub(crate) async fn hold(terms: &Terms, start: Instant, cancel: &Cancel) {
    let elapsed = start.elapsed();
    let until = terms.stepped_ms(elapsed.as_secs_f64() * 1e3) / 1e3;
    let until = Duration::try_from_secs_f64(until).unwrap_or(elapsed);
    while let Some(left) = until.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        if cancel.is_cancelled() {
            return;
        }
        tokio::time::sleep(left.min(CANCEL_LOOK)).await;
    }
}

/// Times in whole steps.
pub(crate) fn stepped(terms: &Terms, timing: NodeTiming) -> NodeTiming {
    NodeTiming {
        download_ms: terms.stepped_ms(timing.download_ms),
        prepare_ms: terms.stepped_ms(timing.prepare_ms),
        train_ms: terms.stepped_ms(timing.train_ms),
        process_ms: terms.stepped_ms(timing.process_ms),
        upload_ms: terms.stepped_ms(timing.upload_ms),
    }
}
