//! The host's side of the contract: every import a plan can call.

use std::time::Instant;

use fedwasm_params::{DType, Tensor};
use fedwasm_protocol::Limits;
use wasmtime::Result;

use crate::Cancel;
use crate::batch::{Batch, Loader};
use crate::bindings::types::{self, AccessError};
use crate::bindings::{loader, monitor, predictions, random, store};
use crate::event::{Event, Level};
use crate::gate::Gate;
use crate::meter::Meter;
use crate::request::Export;
use crate::store::{CHUNK_BYTES_MAX, Slot};
use crate::stream::Stream;

/// The state behind the imports of one call.
pub(crate) struct Host {
    pub(crate) export: Export,
    pub(crate) model: Slot,
    pub(crate) aux_in: Slot,
    pub(crate) aux_out: Slot,
    pub(crate) state: Slot,
    pub(crate) loader: Option<Box<dyn Loader>>,
    /// Why the loader failed, if it did.
    pub(crate) loader_error: Option<String>,
    /// Batches handed out.
    pub(crate) n_batches: u64,
    /// Rows of each batch handed out for predictions.
    pub(crate) batch_rows: Vec<u32>,
    /// Scores of each batch, by its index.
    pub(crate) predictions: Vec<Option<Tensor>>,
    prediction_bytes: usize,
    pub(crate) random: Stream,
    gate: Gate,
    /// Calls of the imports.
    pub(crate) calls: u64,
    /// The newest line of level error: the message of a panic.
    pub(crate) last_error: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) meter: Meter,
    pub(crate) watch: Watch,
}

/// Who may end a call from outside. A worker has nobody: it is killed.
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
    #[error("too many calls of the host")]
    HostCalls,
}

impl Host {
    pub(crate) fn new(
        export: Export,
        limits: Limits,
        random: Stream,
        watch: Watch,
        events: Box<dyn FnMut(Event) + Send>,
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
    fn enter(&mut self) -> Result<()> {
        self.calls += 1;
        if self.calls > self.limits.host_calls_max {
            return Err(Stop::HostCalls.into());
        }
        Ok(())
    }

    fn slot(&mut self, slot: store::Slot) -> &mut Slot {
        match slot {
            store::Slot::Model => &mut self.model,
            store::Slot::AuxIn => &mut self.aux_in,
            store::Slot::AuxOut => &mut self.aux_out,
            store::Slot::State => &mut self.state,
        }
    }

    fn take_batch(&mut self) -> Result<Option<loader::Batch>, AccessError> {
        if !matches!(self.export, Export::Train | Export::Predict | Export::Validate) {
            return Err(AccessError::Closed);
        }
        if self.watch.cancel.is_cancelled() {
            return Err(AccessError::Cancelled);
        }
        if self.loader_error.is_some() {
            return Err(AccessError::Unavailable);
        }
        let loader = self.loader.as_mut().ok_or(AccessError::Closed)?;
        let batch = match loader.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(None),
            Err(reason) => {
                self.loader_error = Some(reason);
                return Err(AccessError::Unavailable);
            }
        };
        let index = self.n_batches;
        self.n_batches += 1;
        let cross = |tensors: Vec<(String, Tensor)>| -> Vec<(String, types::Tensor)> {
            tensors.into_iter().map(|(name, tensor)| (name, tensor.into())).collect()
        };
        if self.export == Export::Predict {
            self.batch_rows.push(batch.rows);
        }
        let Batch { rows, inputs, targets } = batch;
        Ok(Some(loader::Batch { index, rows, inputs: cross(inputs), targets: cross(targets) }))
    }

    fn take_scores(&mut self, index: u64, scores: types::Tensor) -> Result<(), AccessError> {
        if self.export != Export::Predict {
            return Err(AccessError::Closed);
        }
        if scores.data.len() > CHUNK_BYTES_MAX {
            return Err(AccessError::TooLarge);
        }
        let index = usize::try_from(index).map_err(|_| AccessError::Mismatch)?;
        let rows = *self.batch_rows.get(index).ok_or(AccessError::Mismatch)?;
        let scores = Tensor::try_from(scores).map_err(|_| AccessError::Mismatch)?;
        if !are_scores(&scores, rows) {
            return Err(AccessError::Mismatch);
        }
        self.prediction_bytes = self.prediction_bytes.saturating_add(scores.data().len());
        if self.prediction_bytes > self.limits.prediction_bytes_max {
            return Err(AccessError::Exhausted);
        }
        self.predictions.resize(self.batch_rows.len(), None);
        let slot = self.predictions.get_mut(index).ok_or(AccessError::Mismatch)?;
        if slot.is_some() {
            return Err(AccessError::Mismatch);
        }
        *slot = Some(scores);
        Ok(())
    }
}

/// Whether this is what `emit` takes for a batch of `rows` rows.
pub(crate) fn are_scores(scores: &Tensor, rows: u32) -> bool {
    let is_table =
        matches!(scores.shape(), [got, columns] if *got == u64::from(rows) && *columns > 0);
    scores.dtype() == DType::Float32 && is_table && scores.is_finite()
}

impl types::Host for Host {}

impl store::Host for Host {
    fn read(
        &mut self,
        slot: store::Slot,
        index: u32,
        offset: u64,
        len: u32,
    ) -> Result<Result<Vec<u8>, AccessError>> {
        self.enter()?;
        let open = match self.export {
            Export::Train => true,
            Export::Predict | Export::Validate => slot == store::Slot::Model,
            Export::Describe | Export::Declare | Export::Init => false,
        };
        Ok(if open { self.slot(slot).read(index, offset, len) } else { Err(AccessError::Closed) })
    }

    fn write(
        &mut self,
        slot: store::Slot,
        index: u32,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Result<(), AccessError>> {
        self.enter()?;
        Ok(match (self.export, slot) {
            (Export::Init, store::Slot::Model) => self.model.write(index, offset, &data, true),
            (Export::Train, store::Slot::AuxIn) => Err(AccessError::ReadOnly),
            (Export::Train, slot) => self.slot(slot).write(index, offset, &data, false),
            _ => Err(AccessError::Closed),
        })
    }
}

impl loader::Host for Host {
    fn next(&mut self) -> Result<Result<Option<loader::Batch>, AccessError>> {
        self.enter()?;
        Ok(self.take_batch())
    }
}

impl predictions::Host for Host {
    fn emit(&mut self, index: u64, scores: types::Tensor) -> Result<Result<(), AccessError>> {
        self.enter()?;
        Ok(self.take_scores(index, scores))
    }
}

impl monitor::Host for Host {
    fn log(&mut self, level: monitor::Level, message: String) -> Result<()> {
        self.enter()?;
        let level = match level {
            monitor::Level::Debug => Level::Debug,
            monitor::Level::Info => Level::Info,
            monitor::Level::Warn => Level::Warn,
            monitor::Level::Error => Level::Error,
        };
        let line = self.gate.log(level, &message);
        if level == Level::Error {
            self.last_error = Some(line);
        }
        Ok(())
    }

    fn scalars(&mut self, values: Vec<(String, f64)>) -> Result<Result<(), AccessError>> {
        self.enter()?;
        if !matches!(self.export, Export::Train | Export::Validate) {
            return Ok(Err(AccessError::Closed));
        }
        Ok(self.gate.scalars(self.n_batches, values).then_some(()).ok_or(AccessError::Exhausted))
    }
}

impl random::Host for Host {
    fn bytes(&mut self, len: u32) -> Result<Result<Vec<u8>, AccessError>> {
        self.enter()?;
        if matches!(self.export, Export::Describe | Export::Declare) {
            return Ok(Err(AccessError::Closed));
        }
        if len as usize > CHUNK_BYTES_MAX {
            return Ok(Err(AccessError::TooLarge));
        }
        let mut bytes = vec![0; len as usize];
        self.random.fill(&mut bytes);
        Ok(Ok(bytes))
    }
}
