//! Callers of a plan: its code in this process, as a component or native, or workers that start when
//! they are needed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fedwasm_artifact::Component;
use fedwasm_protocol::Limits;

use crate::batch::Loader;
use crate::cache::Cache;
use crate::event::PlanEvent;
use crate::gate::Gate;
use crate::guest::Guest;
use crate::host::Watch;
use crate::native::{NativePlan, run};
use crate::request::{Export, Request, Response, Trouble};
use crate::sandbox::{Place, Sandbox};
use crate::worker::{Failure, Worker};
use crate::{Cancel, Error, Fault, FaultKind, PlanName, Profile};

/// The compiler of plans: a worker that does nothing else.
pub(crate) struct Compiler<'a> {
    pub(crate) program: &'a Path,
    /// The cache of compiled plans.
    pub(crate) cache: Option<&'a Cache>,
    pub(crate) limits: &'a Limits,
    pub(crate) profile: Profile,
}

impl Compiler<'_> {
    /// Has a worker compile a plan, and keeps the result.
    pub(crate) fn compile(
        &self,
        component: &Component,
        plan: &PlanName,
        cancel: &Cancel,
    ) -> Result<Result<Vec<u8>, Failure>, Error> {
        let Self { program, cache, limits, profile } = *self;
        // If the bytes of a plan break the compiler, they break a process that ends here.
        let mut compiler = Worker::start(program, profile, limits, true)?;
        let compiled = match compiler.compile(component, cancel) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(detail)) => {
                let plan = plan.clone();
                return Err(Fault { plan, kind: FaultKind::Refused, detail }.into());
            }
            Err(failure) => return Ok(Err(failure)),
        };
        // Without the entry the next host compiles again, which is slower but correct.
        if let Some(cache) = cache
            && let Err(error) = cache.put(component, profile, &compiled)
        {
            tracing::warn!("a compiled plan could not be cached: {error}");
        }
        Ok(Ok(compiled))
    }
}

/// The caller of a plan.
pub(crate) enum Runner {
    Here(Guest),
    Native(Arc<dyn NativePlan>),
    Worker(Box<Bench>),
}

/// The places of a plan's workers; a new worker replaces one that is gone.
pub(crate) struct Bench {
    sandbox: Sandbox,
    component: Component,
    limits: Limits,
    /// The compiled plan, from a worker that did nothing else.
    code: Mutex<Option<Arc<Vec<u8>>>>,
    /// A worker for calls before any data, one that sees targets, and one that does not: even if a
    /// plan takes its process over, shapes cannot depend on rows, nor predictions on targets.
    seats: [Mutex<Option<Worker>>; 3],
}

/// The worker of each place.
fn seat(export: Export) -> usize {
    match export {
        Export::Describe | Export::Declare | Export::Init => 0,
        Export::Train | Export::Validate => 1,
        Export::Predict => 2,
    }
}

/// Whether a call inside a worker can end like this. The host finds other kinds itself, and reports
/// them with more words.
fn is_of_a_call(kind: FaultKind) -> bool {
    use FaultKind as K;
    matches!(
        kind,
        K::Panicked
            | K::OutOfMemory
            | K::StackExhausted
            | K::Crashed
            | K::BadOutput
            | K::InvalidArgument
            | K::BadData
            | K::NotFinite
            | K::GaveUp
            | K::Cancelled
            | K::LimitExceeded
            | K::OutOfFuel
    )
}

impl Runner {
    /// Calls an export. `events` gets the plan's events, within their limits.
    pub(crate) fn run(
        &self,
        plan: &PlanName,
        request: Request,
        loader: Option<Box<dyn Loader>>,
        events: Box<dyn FnMut(PlanEvent) + Send>,
        cancel: &Cancel,
    ) -> Result<Response, Error> {
        let fault = |kind, detail| Fault { plan: plan.clone(), kind, detail }.into();
        let trouble = |trouble| match trouble {
            Trouble::Plan(FaultKind::Cancelled, _) if !cancel.is_cancelled() => fault(
                FaultKind::GaveUp,
                "it reports that it was asked to stop, but nothing asked it to".into(),
            ),
            Trouble::Plan(kind, detail) => fault(kind, fedwasm_protocol::printable(&detail)),
            Trouble::Loader(reason) => Error::Loader { reason },
        };
        let deadline = || Instant::now().checked_add(request.limits.time());
        let watch = || Watch { cancel: cancel.clone(), deadline: deadline() };
        match self {
            Self::Here(guest) => {
                let watch = watch();
                guest.run(request, loader, events, watch).map_err(trouble)
            }
            Self::Native(native) => {
                let watch = watch();
                run(&**native, request, loader, events, watch).map_err(trouble)
            }
            Self::Worker(bench) => {
                let mut gate = Gate::new(request.limits.clone(), events);
                match bench.run(plan, request, loader, &mut gate, cancel)? {
                    Ok(answer) => Ok(answer),
                    Err(Failure::Trouble(Trouble::Plan(kind, detail))) if !is_of_a_call(kind) => {
                        Err(fault(FaultKind::BadOutput, format!("{kind:?}? {detail}")))
                    }
                    Err(Failure::Trouble(what)) => Err(trouble(what)),
                    Err(Failure::Gone(kind, detail)) => Err(fault(kind, detail)),
                    Err(Failure::Loader(reason)) => Err(Error::Loader { reason }),
                }
            }
        }
    }
}

impl Bench {
    /// A place without a worker yet, in a sandbox of workers.
    pub(crate) fn new(sandbox: Sandbox, component: Component, limits: Limits) -> Self {
        let (code, seats) = (Mutex::new(None), Default::default());
        Self { sandbox, component, limits, code, seats }
    }

    fn run(
        &self,
        plan: &PlanName,
        request: Request,
        mut loader: Option<Box<dyn Loader>>,
        gate: &mut Gate,
        cancel: &Cancel,
    ) -> Result<Result<Response, Failure>, Error> {
        let seat = self.seats.get(seat(request.export)).ok_or(Error::NoProgram)?;
        let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = match seat.take().and_then(|mut worker| worker.is_fit().then_some(worker))
        {
            Some(worker) => worker,
            None => match self.start(plan, cancel)? {
                Ok(worker) => worker,
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let loader = loader.as_deref_mut().map(|loader| loader as &mut dyn Loader);
        let result = worker.run(request, loader, gate, cancel);
        // A worker that failed once is not used again.
        if result.is_ok() {
            *seat = Some(worker);
        }
        Ok(result)
    }

    /// Starts a worker with the plan in it.
    fn start(&self, plan: &PlanName, cancel: &Cancel) -> Result<Result<Worker, Failure>, Error> {
        let Self { sandbox, component, limits, .. } = self;
        let Place::Workers { program, cache, .. } = &*sandbox.place else {
            return Err(Error::NoProgram);
        };
        let profile = sandbox.profile();
        let start = |code: &Arc<Vec<u8>>| {
            let mut worker = Worker::start(program, profile, limits, false)?;
            sandbox.say_missing(&worker.protections);
            let stale = worker.load(component.contract(), code, cancel);
            Ok::<_, Error>(stale.map(|stale| (worker, stale)))
        };
        let mut code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match &*code {
            Some(code) => Some(Arc::clone(code)),
            None => cache.as_ref().and_then(|cache| cache.get(component, profile)).map(Arc::new),
        };
        if let Some(kept) = kept {
            match start(&kept)? {
                Ok((worker, None)) => {
                    *code = Some(kept);
                    return Ok(Ok(worker));
                }
                Ok((_, Some(reason))) => {
                    if let Some(cache) = cache {
                        cache.report(component, &reason);
                    }
                }
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let compiler = Compiler { program, cache: cache.as_ref(), limits, profile };
        let compiled = match compiler.compile(component, plan, cancel)? {
            Ok(compiled) => Arc::new(compiled),
            Err(failure) => return Ok(Err(failure)),
        };
        match start(&compiled)? {
            Ok((worker, None)) => {
                *code = Some(compiled);
                Ok(Ok(worker))
            }
            // The code is larger than its limits allow.
            Ok((_, Some(reason))) => Ok(Err(Failure::Gone(FaultKind::OutOfMemory, reason))),
            Err(failure) => Ok(Err(failure)),
        }
    }
}
