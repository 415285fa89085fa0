//! A compiled plan, and one call of it in this process.

use fedwasm_artifact::Contract;
use fedwasm_protocol::printable;
use wasmtime::component::Component;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::FaultKind;
use crate::batch::Loader;
use crate::contract::{Linked, PlanError};
use crate::engine::{PlanEngine, Profile};
use crate::event::PlanEvent;
use crate::host::{Host, Stop, Watch};
use crate::meter::Refused;
use crate::request::{Request, Response, Trouble};

/// A bound of the engine that a plan has reached. The engine's errors for these have no public
/// type, so they are told apart by their words, here and nowhere else; the guests of
/// `tests/guests/hostile` reach each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Bytes that are passed at once.
    HostCallBytes,
    /// Handles.
    Handles,
    /// Instances, memories or tables.
    Instances,
}

impl Bound {
    /// How wasmtime words them.
    const WORDS: [(&str, Self); 3] = [
        ("fuel allocated for hostcalls", Self::HostCallBytes),
        ("handle limit exceeded", Self::Handles),
        ("resource limit exceeded", Self::Instances),
    ];

    fn of(text: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(words, _)| text.contains(words)).map(|(_, bound)| bound)
    }
}

/// A compiled plan. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guest {
    engine: PlanEngine,
    plan: Linked,
}

impl Guest {
    /// Makes a compiled component ready to be called.
    ///
    /// # Errors
    /// A component that does not fit the contract.
    pub(crate) fn new(
        engine: &PlanEngine,
        contract: Contract,
        component: &Component,
    ) -> wasmtime::Result<Self> {
        let plan = Linked::new(contract, &engine.linker, component)?;
        Ok(Self { engine: engine.clone(), plan })
    }

    /// Instantiates the plan in a fresh store, calls one export, and returns its result. The store
    /// is dropped afterwards: a plan keeps nothing, and a trapped instance is never entered again.
    pub(crate) fn run(
        &self,
        request: Request,
        loader: Option<Box<dyn Loader>>,
        events: Box<dyn FnMut(PlanEvent) + Send>,
        watch: Watch,
    ) -> Result<Response, Trouble> {
        let export = request.export;
        let (mut host, arguments) = Host::of(request, loader, events, watch);
        host.pool = self.engine.pool.clone();
        host.counts_fuel = self.engine.options.profile == Profile::Strict;
        let mut store = self.store(host).map_err(|error| crashed(&error))?;
        let (fuel, start) = (store.get_fuel().ok(), processor_us());
        let result = self.plan.call(&mut store, export, arguments);
        let fuel = fuel.zip(store.get_fuel().ok()).map(|(before, after)| before - after);
        let mut host = store.into_data();
        if let Some(reason) = host.loader_error.take() {
            return Err(Trouble::Loader(reason));
        }
        let said = match result {
            Ok(said) => said.map_err(gave_up)?,
            Err(error) => return Err(trouble(&host, &error)),
        };
        Ok(host.respond(said, fuel, processor_us().saturating_sub(start)))
    }

    /// A store with its limits.
    fn store(&self, host: Host) -> wasmtime::Result<Store<Host>> {
        let limits = host.limits.clone();
        let mut store = Store::new(&self.engine.engine, host);
        store.limiter(|host| host);
        store.set_hostcall_fuel(limits.host_call_bytes_max);
        store.set_max_component_handles(limits.handles_max);
        if store.data().counts_fuel {
            // The engine stops when nothing is left; a limit may be reached.
            store.set_fuel(limits.fuel_max.unwrap_or(u64::MAX).saturating_add(1))?;
        }
        if self.engine.options.interruptible {
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|store| {
                store
                    .data()
                    .watch
                    .stop()
                    .map_or(Ok(UpdateDeadline::Continue(1)), |stop| Err(stop.into()))
            });
        }
        Ok(store)
    }
}

/// Processor time of this thread, in microseconds.
pub(crate) fn processor_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Names the error of the engine.
fn trouble(host: &Host, error: &wasmtime::Error) -> Trouble {
    let (kind, detail) = match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
        (Some(stop), _) => stopped(host, *stop),
        (None, Some(trap)) => trapped(host, *trap),
        (None, None) => failed(host, &error.root_cause().to_string()),
    };
    Trouble::Plan(kind, detail)
}

/// The host ended the call.
pub(crate) fn stopped(host: &Host, stop: Stop) -> (FaultKind, String) {
    match stop {
        Stop::Deadline => {
            let max = host.limits.time_ms_max;
            let setting = host.export.time_setting(max);
            (FaultKind::DeadlineExceeded, format!("the call took longer than {max} ms ({setting})"))
        }
        Stop::Cancelled => (FaultKind::Cancelled, "asked to stop".into()),
        Stop::HostCalls => {
            let max = host.limits.host_calls_max;
            (
                FaultKind::LimitExceeded,
                format!("it made more than {max} calls to the host (`host_calls_max`)"),
            )
        }
        Stop::Memory => out_of_memory(host).unwrap_or((FaultKind::OutOfMemory, stop.to_string())),
    }
}

/// The plan trapped.
fn trapped(host: &Host, trap: Trap) -> (FaultKind, String) {
    match trap {
        Trap::OutOfFuel => {
            let budget = host.limits.fuel_max.unwrap_or_default();
            (FaultKind::OutOfFuel, format!("its budget is {budget} (`fuel_max`)"))
        }
        Trap::StackOverflow => (FaultKind::StackExhausted, "it may recurse without end".into()),
        // A plan that got no memory panics, and a panic is this trap.
        Trap::UnreachableCodeReached => out_of_memory(host).unwrap_or_else(|| {
            let message = host.last_error.clone();
            (FaultKind::Panicked, message.unwrap_or_else(|| "without a message".into()))
        }),
        trap => (FaultKind::Crashed, trap.to_string()),
    }
}

/// The engine gave up.
fn failed(host: &Host, text: &str) -> (FaultKind, String) {
    let limits = &host.limits;
    let detail = match Bound::of(text) {
        Some(Bound::HostCallBytes) => {
            let max = limits.host_call_bytes_max;
            format!("it passed more than {max} bytes at once (`host_call_bytes_max`)")
        }
        Some(Bound::Handles) => {
            format!("it holds more than {} handles (`handles_max`)", limits.handles_max)
        }
        Some(Bound::Instances) => printable(text),
        None => {
            let crashed = || (FaultKind::Crashed, printable(text));
            return out_of_memory(host).unwrap_or_else(crashed);
        }
    };
    (FaultKind::LimitExceeded, detail)
}

/// The fault if a memory or table was refused to grow.
fn out_of_memory(host: &Host) -> Option<(FaultKind, String)> {
    let detail = match host.meter.refused? {
        Refused::Memory => {
            let max = host.limits.memory_bytes_max;
            format!("its memory may have {max} bytes ({})", host.export.memory_setting(max))
        }
        Refused::Tensors => {
            let max = host.limits.memory_bytes_max;
            let setting = host.export.memory_setting(max);
            format!("its memory and its tensors may have {max} bytes together ({setting})")
        }
        Refused::Table => {
            let max = host.limits.table_elements_max;
            format!("its tables may have {max} elements (`table_elements_max`)")
        }
    };
    Some((FaultKind::OutOfMemory, detail))
}

fn crashed(error: &wasmtime::Error) -> Trouble {
    Trouble::Plan(FaultKind::Crashed, printable(&format!("{error:#}")))
}

/// The plan's own words for why it has no result.
pub(crate) fn gave_up(error: PlanError) -> Trouble {
    let (kind, detail) = match error {
        PlanError::Cancelled => (FaultKind::Cancelled, "asked to stop".to_owned()),
        PlanError::InvalidArgument(text) => (FaultKind::InvalidArgument, text),
        PlanError::BadData(text) => (FaultKind::BadData, text),
        PlanError::NonFinite(text) => {
            let hint = "try a smaller learning rate or standardised inputs";
            (FaultKind::NotFinite, format!("{}; {hint}", printable(&text)))
        }
        PlanError::Unsupported(text) => (FaultKind::GaveUp, format!("unsupported: {text}")),
        PlanError::Internal(text) => (FaultKind::GaveUp, text),
    };
    Trouble::Plan(kind, printable(&detail))
}
