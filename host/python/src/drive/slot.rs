//! What lives over several calls of Python: it is held here between them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fedwasm_explain::{Explained, Kind};
use fedwasm_researcher::{Error, Event};
use pyo3::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::attend::{Attended, Sink, Stop, attend};
use super::experiment::tell;
use super::failure::raised;

/// The module's own runtime: it lives as long as the interpreter.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let failed = |error| raised(Explained::new(Kind::Failed, error));
    RUNTIME.get_or_init(build).as_ref().map_err(failed)
}

/// A place for an experiment or a job, and the signal that ends its calls.
pub(crate) struct Slot<T> {
    /// None before its start, after its end, and while a call runs.
    held: Mutex<Option<T>>,
    stop: watch::Sender<bool>,
}

impl<T: Send + 'static> Slot<T> {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::new(None), stop: watch::channel(false).0 }
    }

    /// Turns true when a call must end.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Takes it out.
    pub(crate) fn take(&self) -> PyResult<T> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.ok_or_else(|| {
            let text = "it has not started, has ended, or runs in another thread";
            raised(Explained::new(Kind::Usage, text))
        })
    }

    /// Puts it in.
    pub(crate) fn put(&self, held: T) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// Does work that Ctrl-C ends, with a function for events.
    pub(crate) fn attend_alone<R: Send + 'static>(
        &self,
        py: Python<'_>,
        on_event: Py<PyAny>,
        work: impl FnOnce(&'static Runtime, &mut (dyn FnMut(Event) + Send)) -> R + Send + 'static,
    ) -> PyResult<Attended<R>> {
        let (runtime, stop) = (runtime()?, self.stop.clone());
        let on_stop: Stop = Arc::new(move |_| {
            stop.send_replace(true);
        });
        let work = move |sink: Sink| work(runtime, &mut |event| tell(&sink, event));
        let done = attend(py, on_event, on_stop, work);
        self.stop.send_replace(false);
        done
    }

    /// The same on what is held.
    pub(crate) fn attend<R: Send + 'static>(
        &self,
        py: Python<'_>,
        on_event: Py<PyAny>,
        work: impl FnOnce(&'static Runtime, &mut T, &mut (dyn FnMut(Event) + Send)) -> R
        + Send
        + 'static,
    ) -> PyResult<Attended<R>> {
        let mut held = self.take()?;
        let ((held, done), interrupted) = self.attend_alone(py, on_event, |runtime, events| {
            let done = work(runtime, &mut held, events);
            (held, done)
        })?;
        self.put(held);
        Ok((done, interrupted))
    }

    /// Does something short with what is held.
    pub(crate) fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Runtime, &mut T) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        let (runtime, mut held) = (runtime()?, self.take()?);
        let (held, done) = py.detach(move || {
            let done = work(runtime, &mut held);
            (held, done)
        });
        self.put(held);
        done.map_err(raised)
    }
}
