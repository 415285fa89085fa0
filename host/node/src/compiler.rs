//! Compiles plans beside the rounds. Compiling that takes longer than a round's deadline continues
//! after it, and its result is kept, so that the researcher who asks again finds it done. One plan
//! at a time; decides nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_protocol::{Digest, Reason, Refusal, ResearcherId, RoundRequest};
use fedwasm_sandbox::{Cancel, Limits, Profile, Sandbox, WorkerOptions};
use tokio::sync::{Semaphore, watch};

use crate::blocking::blocking;
use crate::refusal::{compiler_refusal, refusal};
use crate::{Error, NodeConfig};

/// Compiled plans, in the node's directory.
const CACHE: &str = "compiled";
/// Plans that are compiled or wait for it, and those of one researcher.
const PLANS_MAX: usize = 16;
const PLANS_OF_ONE_MAX: usize = 2;
/// How long a round waits for its plan before the others have their turn.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The sandbox of a node's plans: workers, with compiled plans in the node's own directory.
///
/// # Errors
/// [`Error::Sandbox`].
pub(crate) fn sandbox(config: &NodeConfig, dir: &Path) -> Result<Sandbox, Error> {
    // A path is relative to the directory of the configuration.
    let program = config.worker.as_ref().map(|program| dir.join(program));
    let program = program.map(std::path::absolute).transpose()?;
    let sandbox = Sandbox::new(WorkerOptions { program, cache: Some(dir.join(CACHE)) })?;
    Ok(sandbox.with_profile(profile(config)))
}

/// The profile of a node's plans.
pub(crate) fn profile(config: &NodeConfig) -> Profile {
    if config.strict { Profile::Strict } else { Profile::Standard }
}

/// Compiles a plan for the node in `dir` and keeps it there, so that the first round with it need
/// not wait. Blocks.
///
/// # Errors
/// [`Error::Sandbox`].
pub fn compile(config: &NodeConfig, dir: &Path, component: &Component) -> Result<(), Error> {
    Ok(sandbox(config, dir)?.compile(component, &config.limits)?)
}

/// Compiles plans, each once for all researchers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    sandbox: Sandbox,
    limits: Limits,
    plans: Arc<Mutex<HashMap<Key, Compilation>>>,
    /// One compiles, the others wait.
    turn: Arc<Semaphore>,
    cancel: Cancel,
}

/// A plan with the time and memory to compile it: a researcher who lowers these lowers them for no
/// other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    plan: Digest,
    profile: Profile,
    compile_ms_max: u64,
    compile_bytes_max: u64,
}

/// A plan that is compiled, or waits for it.
#[derive(Clone, Debug)]
struct Compilation {
    /// The researcher who asked first.
    of: ResearcherId,
    /// When its compiling began; none while it waits for other plans.
    since: Arc<OnceLock<Instant>>,
    compile_ms_max: u64,
    done: watch::Receiver<Option<Result<(), Refusal>>>,
}

impl Compiler {
    /// Compiles in `sandbox`, of the node's own profile.
    pub(crate) fn new(sandbox: Sandbox, limits: Limits) -> Self {
        let cancel = Cancel::new();
        let sandbox = sandbox.with_cancel(&cancel);
        let (plans, turn) = (Arc::default(), Arc::new(Semaphore::new(1)));
        Self { sandbox, limits, plans, turn, cancel }
    }

    /// Waits until the plan of a round, with these bytes, is compiled; for a part of the time that
    /// is `left` for the round.
    ///
    /// # Errors
    /// [`Reason::Compiling`] if it takes longer, in which case compiling continues. The compiler's
    /// error about the plan.
    pub(crate) async fn ready(
        &self,
        plan: &[u8],
        researcher: &ResearcherId,
        request: &RoundRequest,
        left: Duration,
    ) -> Result<(), Refusal> {
        let limits = self.limits.lowered(&request.limits);
        let counts_fuel = limits.fuel_max.is_some();
        let profile = if request.strict || counts_fuel { Profile::Strict } else { self.profile() };
        let digest = request.plan.sha256;
        let Some(mut compilation) = self.begin(researcher, plan, digest, profile, &limits)? else {
            return Ok(());
        };
        // The answer also has to arrive in time.
        let wait = WAIT_MAX.min(left - left / 4);
        let done = tokio::time::timeout(wait, compilation.done.wait_for(Option::is_some)).await;
        match done.map(|done| done.map(|done| done.clone())) {
            Ok(Ok(Some(done))) => done,
            Ok(_) => Err(refusal(Reason::Internal, "compiling the plan ended early".into())),
            Err(_) => Err(compilation.unfinished()),
        }
    }

    /// Begins to compile a plan that a researcher will ask for.
    pub(crate) fn expect(&self, researcher: &ResearcherId, plan: &[u8], digest: Digest) {
        // A failure is reported when the round is requested.
        let _ = self.begin(researcher, plan, digest, self.profile(), &self.limits);
    }

    /// Whether the plan need not be compiled, or is already.
    pub(crate) fn knows(&self, digest: &Digest) -> bool {
        let profile = self.profile();
        let is_it = |key: &Key| key.plan == *digest && key.profile == profile;
        self.sandbox.is_compiled(digest, profile) || self.plans().keys().any(is_it)
    }

    /// Ends compiling.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }

    fn profile(&self) -> Profile {
        match self.limits.fuel_max {
            Some(_) => Profile::Strict,
            None => self.sandbox.profile(),
        }
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<Key, Compilation>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles a plan; none if there is nothing to do.
    fn begin(
        &self,
        researcher: &ResearcherId,
        plan: &[u8],
        digest: Digest,
        profile: Profile,
        limits: &Limits,
    ) -> Result<Option<Compilation>, Refusal> {
        let &Limits { compile_ms_max, compile_bytes_max, .. } = limits;
        let key = Key { plan: digest, profile, compile_ms_max, compile_bytes_max };
        let mut plans = self.plans();
        // Read under the lock, so that no plan can finish and leave the list in between.
        if self.sandbox.is_compiled(&digest, profile) {
            return Ok(None);
        }
        if let Some(compilation) = plans.get(&key) {
            return Ok(Some(compilation.clone()));
        }
        let own = plans.values().filter(|compilation| compilation.of == *researcher).count();
        if plans.len() >= PLANS_MAX || own >= PLANS_OF_ONE_MAX {
            let text = "too many other plans are waiting to be compiled; try again later";
            return Err(refusal(Reason::Busy, text.into()));
        }
        let (say, done) = watch::channel(None);
        let (of, since) = (researcher.clone(), Arc::default());
        let compilation = Compilation { of, since, compile_ms_max, done };
        plans.insert(key.clone(), compilation.clone());
        drop(plans);
        let (this, since, limits) = (self.clone(), Arc::clone(&compilation.since), limits.clone());
        let plan = plan.to_vec();
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _turn = this.turn.acquire().await;
            let _ = since.set(Instant::now());
            let sandbox = this.sandbox.with_profile(profile);
            let done = blocking(move || {
                let component = Component::admit_as(plan, &digest)
                    .map_err(|error| refusal(Reason::PlanRefused, error.to_string()))?;
                sandbox.compile(&component, &limits).map_err(|error| compiler_refusal(&error))
            });
            let done = done.await;
            this.plans().remove(&key);
            let _ = say.send(Some(done));
        });
        Ok(Some(compilation))
    }
}

impl Compilation {
    /// It takes longer than a round can wait.
    fn unfinished(&self) -> Refusal {
        let text = match self.since.get() {
            Some(since) => format!(
                "the plan is still being compiled, for {} s so far of at most {} s \
                 (`compile_ms_max`); that continues",
                since.elapsed().as_secs(),
                self.compile_ms_max / 1_000
            ),
            None => "the plan is waiting to be compiled after another one".to_owned(),
        };
        refusal(Reason::Compiling, text)
    }
}
