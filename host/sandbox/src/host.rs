//! The state behind the imports of one call. The functions themselves are in
//! [`crate::imports`].

use std::sync::Arc;
use std::time::Instant;

use fedwasm_compute::Session;
use fedwasm_params::Tensor;
use fedwasm_protocol::{Arguments, Limits};
use wasmtime::{ResourceLimiter, Result};

use crate::Cancel;
use crate::batch::Loader;
use crate::event::PlanEvent;
use crate::gate::Gate;
use crate::meter::{Meter, Refused};
use crate::request::{Export, Request, Response, Said, Usage};
use crate::slot::Slot;
use crate::stream::Stream;
use crate::threads::Pool;

/// The state behind the imports of one call.
pub(crate) struct Host {
    pub(crate) export: Export,
    pub(crate) model: Slot,
    pub(crate) aux_in: Slot,
    pub(crate) aux_out: Slot,
    pub(crate) state: Slot,
    pub(crate) loader: Option<Box<dyn Loader>>,
    /// The loader's error, if it failed.
    pub(crate) loader_error: Option<String>,
    /// Batches given.
    pub(crate) n_batches: u64,
    /// Rows of each batch given for predictions.
    pub(crate) batch_rows: Vec<u32>,
    /// Scores of each batch, by its index.
    pub(crate) predictions: Vec<Option<Tensor>>,
    pub(crate) prediction_bytes: usize,
    pub(crate) random: Stream,
    pub(crate) gate: Gate,
    /// Calls of the imports.
    pub(crate) calls: u64,
    /// The newest line of level error: the message of a panic.
    pub(crate) last_error: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) meter: Meter,
    /// The plan's tensors, from its first use of them on.
    pub(crate) session: Option<Box<Session>>,
    /// Threads for their operations.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Whether the plan's instructions and operations are counted.
    pub(crate) counts_fuel: bool,
    pub(crate) watch: Watch,
}

/// The handle that may end a call from outside. A worker has none: it is killed.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) cancel: Cancel,
    pub(crate) deadline: Option<Instant>,
}

impl Watch {
    /// Why the call must end now, if it must.
    pub(crate) fn stop(&self) -> Option<Stop> {
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match self.cancel.is_cancelled() {
            true => Some(Stop::Cancelled),
            false => is_late().then_some(Stop::Deadline),
        }
    }
}

/// Ends a call from within; wasmtime hands it back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline passed")]
    Deadline,
    #[error("cancelled")]
    Cancelled,
    #[error("too many calls to the host")]
    HostCalls,
    #[error("too many bytes of tensors")]
    Memory,
}

impl Host {
    pub(crate) fn new(
        export: Export,
        limits: Limits,
        random: Stream,
        watch: Watch,
        events: Box<dyn FnMut(PlanEvent) + Send>,
    ) -> Self {
        Self {
            export,
            model: Slot::default(),
            aux_in: Slot::default(),
            aux_out: Slot::default(),
            state: Slot::default(),
            loader: None,
            loader_error: None,
            n_batches: 0,
            batch_rows: Vec::new(),
            predictions: Vec::new(),
            prediction_bytes: 0,
            random,
            gate: Gate::new(limits.clone(), events),
            calls: 0,
            last_error: None,
            meter: Meter::new(&limits),
            session: None,
            pool: None,
            counts_fuel: false,
            watch,
            limits,
        }
    }

    /// The host of a call, and the call's arguments.
    pub(crate) fn of(
        request: Request,
        loader: Option<Box<dyn Loader>>,
        events: Box<dyn FnMut(PlanEvent) + Send>,
        watch: Watch,
    ) -> (Self, Arguments) {
        let Request { export, arguments, limits, seed, drawn, model, aux_in, aux_out, state } =
            request;
        let mut host = Self::new(export, limits, Stream::new(seed, drawn), watch, events);
        host.model = Slot::new(model);
        host.aux_in = Slot::new(aux_in);
        host.aux_out = Slot::new(aux_out);
        host.state = Slot::new(state);
        host.loader = loader;
        (host, arguments)
    }

    /// The results of a call that said this and used `fuel` and so much processor time.
    pub(crate) fn respond(mut self, said: Said, fuel: Option<u64>, processor_us: u64) -> Response {
        let usage = Usage {
            memory_bytes: self.memory_peak() as u64,
            host_calls: self.calls,
            fuel,
            random_bytes: self.random.position(),
            processor_us,
        };
        let n_batches = self.n_batches;
        let mut predictions = std::mem::take(&mut self.predictions);
        predictions.resize(self.batch_rows.len(), None);
        // Tensors that the call could not write need not come back.
        let (model, aux_out, state) = match self.export {
            Export::Init => (self.model.returned(true), Vec::new(), Vec::new()),
            Export::Train => {
                let Self { model, aux_out, state, .. } = self;
                (model.returned(false), aux_out.returned(false), state.returned(false))
            }
            _ => (Vec::new(), Vec::new(), Vec::new()),
        };
        let predictions = predictions.into_iter().map(|scores| scores.map(Into::into)).collect();
        Response { said, model, aux_out, state, predictions, n_batches, usage }
    }

    /// The most bytes of memories and tensors so far.
    pub(crate) fn memory_peak(&self) -> usize {
        let memories = self.meter.memory_bytes;
        self.session.as_ref().map_or(memories, |session| session.buffers().bytes_peak())
    }

    /// Counts a call of an import.
    pub(crate) fn enter(&mut self) -> Result<()> {
        self.calls += 1;
        if self.calls > self.limits.host_calls_max {
            return Err(Stop::HostCalls.into());
        }
        Ok(())
    }
}

/// Memories and tensors together: what a memory grows by is charged to the session.
impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let more = desired.saturating_sub(current);
        if self.session.as_mut().is_some_and(|session| session.charge_bytes(more).is_err()) {
            self.meter.refused = Some(Refused::Tensors);
            return Ok(false);
        }
        self.meter.memory_growing(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.meter.table_growing(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.meter.memory_grow_failed(error)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.meter.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.meter.instances()
    }

    fn memories(&self) -> usize {
        self.meter.memories()
    }

    fn tables(&self) -> usize {
        self.meter.tables()
    }
}
