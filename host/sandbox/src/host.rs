//! The state behind the imports of one call. The functions themselves are in
//! [`crate::imports`].

use std::time::Instant;

use fedwasm_params::Tensor;
use fedwasm_protocol::Limits;
use wasmtime::Result;

use crate::Cancel;
use crate::batch::Loader;
use crate::event::PlanEvent;
use crate::gate::Gate;
use crate::meter::Meter;
use crate::request::Export;
use crate::slot::Slot;
use crate::stream::Stream;

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
    pub(crate) watch: Watch,
}

/// The handle that may end a call from outside. A worker has none: it is killed.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) cancel: Cancel,
    pub(crate) deadline: Option<Instant>,
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
            watch,
            limits,
        }
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
