//! The place where plans run, and a plan that is ready to run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_artifact::Component;
use fedwasm_protocol::{Arguments, Digest, LimitArgs, Limits};
use wasmtime::OptLevel;

use crate::bench::{Bench, Compiler, Runner};
use crate::cache::Cache;
use crate::engine::{EngineOptions, PlanEngine, caught};
use crate::guest::Guest;
use crate::metadata::Metadata;
use crate::native::NativePlan;
use crate::request::{Export, Request, Said, Trouble};
use crate::session::Declared;
use crate::worker::{Failure, Protection, Worker, find_program};
use crate::{Cancel, Error, Fault, FaultKind, PlanName, Profile};

/// How plans are kept apart from the rest of the machine.
#[derive(Clone, Debug, Default)]
pub struct WorkerOptions {
    /// The program of workers; if none, this one if it is `fedwasm`, else the
    /// one beside it, else the one on `PATH`.
    pub program: Option<PathBuf>,
    /// Where compiled plans are kept: a directory of this user alone, created if it is absent.
    /// None: every worker compiles.
    pub cache: Option<PathBuf>,
}

impl WorkerOptions {
    /// The program that is found, and the user's own cache:
    /// `$XDG_CACHE_HOME/fedwasm/compiled` or `~/.cache/fedwasm/compiled`; none
    /// without a home.
    pub fn of_user() -> Self {
        let dir = |key| std::env::var_os(key).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache")));
        Self { program: None, cache: base.map(|base| base.join("fedwasm").join("compiled")) }
    }
}

/// How plans run in this process.
#[derive(Clone, Copy, Debug)]
pub struct InProcessOptions {
    /// Whether code is made well or quickly. It gives the same results.
    pub optimised: bool,
    /// Whether running code looks at the clock, which costs time in tight
    /// loops. Without it a call ends neither at its deadline nor when it is
    /// cancelled: for hosts that are killed themselves, as workers are.
    pub interruptible: bool,
}

impl Default for InProcessOptions {
    fn default() -> Self {
        Self { optimised: true, interruptible: true }
    }
}

/// Runs plans. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) place: Arc<Place>,
    profile: Profile,
    /// Ends describing and declaring.
    cancel: Cancel,
}

/// Where plans run.
pub(crate) enum Place {
    /// In workers of this program.
    Workers { program: PathBuf, cache: Option<Cache>, said: Mutex<Vec<Protection>> },
    /// In this process, as fast or as strict.
    Here { standard: PlanEngine, strict: PlanEngine },
    /// As native code of this program.
    Native(Arc<dyn NativePlan>),
}

impl Sandbox {
    /// Runs every plan in a process of its own, which has nothing but the plan and its inputs.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Cache`].
    pub fn new(options: WorkerOptions) -> Result<Self, Error> {
        let program = options.program.or_else(find_program).ok_or(Error::NoProgram)?;
        let cache = options.cache.as_deref().map(Cache::open).transpose().map_err(Error::Cache)?;
        let place = Arc::new(Place::Workers { program, cache, said: Mutex::default() });
        Ok(Self { place, profile: Profile::Standard, cancel: Cancel::new() })
    }

    /// Runs plans in this process: one wall instead of two, for tests and for
    /// hosts that are confined themselves.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn in_process() -> Result<Self, Error> {
        Self::in_process_with(InProcessOptions::default())
    }

    /// As [`Sandbox::in_process`], otherwise set up.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn in_process_with(options: InProcessOptions) -> Result<Self, Error> {
        let InProcessOptions { optimised, interruptible } = options;
        let opt_level = if optimised { OptLevel::Speed } else { OptLevel::None };
        let engine = |profile| {
            let options = EngineOptions { profile, interruptible, opt_level };
            PlanEngine::new(options).map_err(|error| Error::Engine { reason: format!("{error:#}") })
        };
        let (standard, strict) = (engine(Profile::Standard)?, engine(Profile::Strict)?);
        let place = Arc::new(Place::Here { standard, strict });
        Ok(Self { place, profile: Profile::Standard, cancel: Cancel::new() })
    }

    /// Runs native code of this program in the place of every component: no wall at all, for the
    /// author of a plan who debugs it.
    pub fn native(plan: Arc<dyn NativePlan>) -> Self {
        let place = Arc::new(Place::Native(plan));
        Self { place, profile: Profile::Standard, cancel: Cancel::new() }
    }

    /// How code is made here.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The same place with this profile.
    pub fn with_profile(&self, profile: Profile) -> Self {
        Self { profile, ..self.clone() }
    }

    /// The same place, where `cancel` also ends compiling, describing and
    /// declaring.
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Starts a worker and returns the protections that confine it,
    /// part by part; none if plans run in this process.
    ///
    /// # Errors
    /// [`Error::Worker`].
    pub fn protections(&self) -> Result<Vec<Protection>, Error> {
        match &*self.place {
            Place::Workers { program, .. } => {
                let worker = Worker::start(program, self.profile, &Limits::default(), false)?;
                self.say_missing(&worker.protections);
                Ok(worker.protections.clone())
            }
            Place::Here { .. } | Place::Native(_) => Ok(Vec::new()),
        }
    }

    /// The program that workers run; none if plans run in this process.
    pub fn program(&self) -> Option<&Path> {
        match &*self.place {
            Place::Workers { program, .. } => Some(program),
            Place::Here { .. } | Place::Native(_) => None,
        }
    }

    /// Reports the protections that the machine lacks, whenever they change.
    pub(crate) fn say_missing(&self, protections: &[Protection]) {
        let Place::Workers { said, .. } = &*self.place else { return };
        let missing = protections.iter().filter(|protection| protection.missing.is_some());
        let missing: Vec<Protection> = missing.cloned().collect();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == missing {
            return;
        }
        for Protection { name, missing } in &missing {
            let reason = missing.as_deref().unwrap_or_default();
            tracing::warn!("plans run without this protection: {name}: {reason}");
        }
        *said = missing;
    }

    /// Whether describing the plan of this digest needs no compiling, because the code is cached.
    pub fn is_compiled(&self, digest: &Digest, profile: Profile) -> bool {
        match &*self.place {
            Place::Workers { cache: Some(cache), .. } => cache.has(digest, profile),
            _ => false,
        }
    }

    /// Compiles a plan and caches the code, so that describing it takes no time afterwards. Does
    /// nothing without a cache. Blocks.
    ///
    /// # Errors
    /// [`Error::Fault`], [`Error::Worker`].
    pub fn compile(&self, component: &Component, limits: &Limits) -> Result<(), Error> {
        let Place::Workers { program, cache: Some(cache), .. } = &*self.place else {
            return Ok(());
        };
        let profile = if limits.fuel_max.is_some() { Profile::Strict } else { self.profile };
        if cache.get(component, profile).is_some() {
            return Ok(());
        }
        let digest = component.digest();
        let plan = PlanName { name: String::new(), version: String::new(), digest };
        let compiler = Compiler { program, cache: Some(cache), limits, profile };
        let compiled = compiler.compile(component, &plan, &self.cancel)?;
        compiled.map(drop).map_err(|failure| match failure {
            Failure::Gone(kind, detail) | Failure::Trouble(Trouble::Plan(kind, detail)) => {
                Fault { plan, kind, detail }.into()
            }
            Failure::Loader(reason) | Failure::Trouble(Trouble::Loader(reason)) => {
                Error::Loader { reason }
            }
        })
    }

    /// Compiles a plan and asks for its description. All later calls get `limits`.
    /// Takes tens of milliseconds; do not call it on an async thread.
    ///
    /// # Errors
    /// [`Error::Fault`], with [`FaultKind::Refused`] if the plan does not fit
    /// the contract or needs a feature that this host does not have; [`Error::Worker`].
    pub fn describe(&self, component: &Component, limits: Limits) -> Result<Described, Error> {
        let digest = component.digest();
        let plan = PlanName { name: String::new(), version: String::new(), digest };
        // Only one profile counts fuel.
        let profile = if limits.fuel_max.is_some() { Profile::Strict } else { self.profile };
        let sandbox = self.with_profile(profile);
        let runner = sandbox.runner(component, &limits, &plan)?;
        let request = Request::pure(Export::Describe, limits.of_describe(), Arguments::new());
        let answer = runner.run(&plan, request, None, Box::new(drop), &self.cancel)?;
        let fault = |kind, detail| Fault { plan: plan.clone(), kind, detail };
        let Said::Metadata(metadata) = answer.said else {
            return Err(fault(FaultKind::BadOutput, "it does not describe itself".into()).into());
        };
        let metadata = metadata.checked().map_err(|detail| fault(FaultKind::BadOutput, detail))?;
        let plan =
            PlanName { name: metadata.name.clone(), version: metadata.version.clone(), digest };
        metadata.check_dependencies().map_err(|need| Fault {
            plan: plan.clone(),
            kind: FaultKind::Refused,
            detail: format!("it needs {need}"),
        })?;
        let component = component.clone();
        let (runner, processor_us) = (Arc::new(runner), Arc::default());
        let (declared, cancel) = (Declared::default(), self.cancel.clone());
        Ok(Described { runner, component, plan, metadata, limits, processor_us, declared, cancel })
    }

    fn runner(
        &self,
        component: &Component,
        limits: &Limits,
        plan: &PlanName,
    ) -> Result<Runner, Error> {
        let engine = match (&*self.place, self.profile) {
            (Place::Here { standard, .. }, Profile::Standard) => standard,
            (Place::Here { strict, .. }, Profile::Strict) => strict,
            (Place::Native(plan), _) => return Ok(Runner::Native(Arc::clone(plan))),
            (Place::Workers { .. }, _) => {
                let sandbox = self.with_cancel(&Cancel::new());
                let bench = Bench::new(sandbox, component.clone(), limits.clone());
                return Ok(Runner::Worker(Box::new(bench)));
            }
        };
        let guest = caught(|| {
            let bytes = component.bytes();
            let compiled = wasmtime::component::Component::from_binary(&engine.engine, bytes)?;
            Guest::new(engine, component.contract(), &compiled)
        });
        guest.map(Runner::Here).map_err(|error| {
            let detail = fedwasm_protocol::printable(&error);
            Fault { plan: plan.clone(), kind: FaultKind::Refused, detail }.into()
        })
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("program", &self.program())
            .field("profile", &self.profile)
            .finish()
    }
}

/// A plan that was compiled and has described itself. Cheap to clone; clones
/// share their workers, each of which runs one call at a time.
#[derive(Clone)]
pub struct Described {
    pub(crate) runner: Arc<Runner>,
    component: Component,
    pub(crate) plan: PlanName,
    pub(crate) metadata: Metadata,
    pub(crate) limits: Limits,
    /// Of all calls that had an answer.
    pub(crate) processor_us: Arc<AtomicU64>,
    pub(crate) declared: Declared,
    /// Ends declaring.
    pub(crate) cancel: Cancel,
}

impl Described {
    /// The plan's description.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Name, version and digest.
    pub fn plan(&self) -> &PlanName {
        &self.plan
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Processor time, in milliseconds, of all calls of this plan and its clones
    /// that had an answer.
    pub fn processor_ms(&self) -> f64 {
        self.processor_us.load(Ordering::Relaxed) as f64 / 1e3
    }

    /// The same plan, where `cancel` ends declaring.
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// The fault if the calls of this plan must end.
    pub fn cancelled(&self) -> Option<Fault> {
        self.cancel.is_cancelled().then(|| self.fault(FaultKind::Cancelled, "before it began"))
    }

    /// The same plan within lower limits.
    pub fn with_limits(&self, asked: &LimitArgs) -> Self {
        Self { limits: self.limits.lowered(asked), ..self.clone() }
    }
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Described").field("plan", &self.plan).finish_non_exhaustive()
    }
}
