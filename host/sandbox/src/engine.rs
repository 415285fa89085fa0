//! The engine, its clock and its linker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel, Strategy};

use crate::Error;
use crate::bindings::TrainingPlan;
use crate::host::Host;

/// How often running plans are checked for their deadline and for
/// cancellation.
const TICK: Duration = Duration::from_millis(10);

/// Stack of a plan. Below the 2 MiB of the threads that run it, so that
/// recursion ends in a fault of the plan.
const STACK_BYTES: usize = 512 << 10;

/// An engine that grants plans the contract and nothing else. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) linker: Arc<Linker<Host>>,
}

impl Sandbox {
    /// Sets the engine up and starts its clock.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn new() -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::Engine { reason: format!("{error:#}") };
        let engine = Engine::new(&config()).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        TrainingPlan::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host).map_err(failed)?;
        start_clock(&engine).map_err(|error| Error::Engine { reason: error.to_string() })?;
        Ok(Self { engine, linker: Arc::new(linker) })
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sandbox")
    }
}

/// WebAssembly 2.0 with extended constant expressions, as
/// [`fedwasm_artifact::FEATURES`] says; everything else is off by name, since
/// defaults change between versions.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_component_model(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_extended_const(true)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false)
        .concurrency_support(false);
    config
}

/// Advances the engine's epoch until the last user of the engine is gone.
fn start_clock(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        loop {
            std::thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    std::thread::Builder::new().name("sandbox-clock".into()).spawn(tick).map(drop)
}

/// Stops a run from outside: within a tick if the plan computes, at its next
/// batch otherwise. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Returns a handle that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the run.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nobody else holds this handle any more: the run is over.
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether the run is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
