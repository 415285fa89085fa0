//! The engine, its profiles and its linker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, OptLevel, Strategy};

use crate::contract;
use crate::host::Host;
use crate::threads::Pool;

/// How often running plans are checked for their deadline and for
/// cancellation, where the process itself has to do that.
const TICK: Duration = Duration::from_millis(10);

/// Stack of a plan. Below the 2 MiB of the threads that run it, so that
/// recursion ends in a fault of the plan.
const STACK_BYTES: usize = 512 << 10;

/// How code is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Full speed. Results are the same on every machine as long as no NaN
    /// is made whose bits the plan looks at.
    #[default]
    Standard,
    /// NaNs have one form and fuel is counted: the same results on every
    /// machine for every plan. Costs up to three times the time.
    Strict,
}

/// Further settings of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineOptions {
    pub(crate) profile: Profile,
    /// Whether running code looks at the clock. Costs time in tight loops; a
    /// worker is killed instead.
    pub(crate) interruptible: bool,
    /// Whether compiled code is made well or quickly.
    pub(crate) opt_level: OptLevel,
}

/// An engine that grants plans the contract and nothing else. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PlanEngine {
    pub(crate) engine: Engine,
    pub(crate) linker: Arc<Linker<Host>>,
    pub(crate) options: EngineOptions,
    /// Threads for the operations of tensors, where a call cannot start its own.
    pub(crate) pool: Option<Arc<Pool>>,
}

impl PlanEngine {
    /// Sets the engine up and starts its clock if it needs one.
    pub(crate) fn new(options: EngineOptions) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(&options))?;
        let mut linker = Linker::new(&engine);
        contract::add_to_linker(&mut linker)?;
        if options.interruptible {
            start_clock(&engine)?;
        }
        Ok(Self { engine, linker: Arc::new(linker), options, pool: None })
    }
}

/// WebAssembly 2.0 with extended constant expressions, as
/// [`fedwasm_artifact::FEATURES`] says; everything else is off by name, since
/// defaults change between versions. But for memories: where parts of a plan call
/// each other, the engine joins them by modules of its own, which see the memories
/// of both. A plan's own modules have one each, which admission sees to.
fn config(options: &EngineOptions) -> Config {
    let is_strict = options.profile == Profile::Strict;
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(options.opt_level)
        .cranelift_nan_canonicalization(is_strict)
        .consume_fuel(is_strict)
        .epoch_interruption(options.interruptible)
        // Data of memories would lie in anonymous files, which a bound on the process does not
        // count; and fuel would depend on whether the system has such files.
        .memory_init_cow(false)
        .max_wasm_stack(STACK_BYTES)
        .wasm_component_model(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .wasm_extended_const(true)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false)
        .concurrency_support(false);
    config
}

/// Runs work in which the compiler may panic. No half-made value of a panic is used again, since no
/// result comes out of it.
pub(crate) fn caught<T>(work: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, String> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let panic = match result {
        Ok(result) => return result.map_err(|error| format!("{error:#}")),
        Err(panic) => panic,
    };
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Err(format!("the compiler panicked, which is a bug in the compiler: {words}"))
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

/// Stops a run from outside, within 10 ms for every plan. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Returns an unused handle.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the run.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run must stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_compiler_is_a_refusal() {
        assert_eq!(caught(|| Ok(7)), Ok(7));
        let refused = caught::<()>(|| Err(wasmtime::Error::msg("no")));
        assert_eq!(refused, Err("no".into()));
        let refused = caught::<()>(|| panic!("multiple memories at {}", 579)).unwrap_err();
        assert!(refused.contains("a bug in the compiler: multiple memories at 579"), "{refused}");
    }
}
