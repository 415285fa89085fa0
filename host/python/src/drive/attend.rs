//! Work that Python waits for: the GIL is free while it runs, its events go to a function of Python,
//! and Ctrl-C stops it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedwasm_explain::{Explained, Kind};
use pyo3::prelude::*;
use serde_json::Value;

use super::failure::raised;

/// How long Ctrl-C may go unheard.
const SIGNALS_PAUSE: Duration = Duration::from_millis(50);
/// The events that wait for Python.
const EVENTS_MAX: usize = 1_024;

/// Stops work: softly at the first interruption, at once at the second.
pub(crate) type Stop = Arc<dyn Fn(u32) + Send + Sync>;

/// Where events go.
#[derive(Clone)]
pub(crate) enum Sink {
    /// To the thread that waits.
    Waiting(SyncSender<Value>),
    /// To Python at once: the work runs on the thread of the caller.
    Here(Arc<Here>),
}

/// A function of Python that takes events as JSON, and the interruption that it or a signal raised.
pub(crate) struct Here {
    on_event: Py<PyAny>,
    stop: Stop,
    raised: Mutex<(u32, Option<PyErr>)>,
}

impl Here {
    fn tell(&self, event: &Value) {
        Python::attach(|py| {
            let told = self.on_event.call1(py, (event.to_string(),));
            self.note(told.map(drop).and_then(|()| py.check_signals()));
        });
    }

    /// Stops the work if an exception was raised.
    fn note(&self, result: PyResult<()>) {
        let Err(error) = result else { return };
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.0 += 1;
        raised.1.get_or_insert(error);
        (self.stop)(raised.0);
    }
}

impl Sink {
    /// Passes an event on.
    pub(crate) fn tell(&self, event: Value) {
        match self {
            // The other end is there as long as the work runs.
            Self::Waiting(sender) => drop(sender.send(event)),
            Self::Here(here) => here.tell(&event),
        }
    }

    /// Passes an event on, unless Python is busy: the next one says more.
    pub(crate) fn tell_if_free(&self, event: Value) {
        match self {
            Self::Waiting(sender) => drop(sender.try_send(event)),
            Self::Here(here) => here.tell(&event),
        }
    }
}

/// The result of work, and the exception that interrupted it.
pub(crate) type Attended<T> = (T, Option<PyErr>);

/// Does work on a thread of its own.
pub(crate) fn attend<T: Send + 'static>(
    py: Python<'_>,
    on_event: Py<PyAny>,
    stop: Stop,
    work: impl FnOnce(Sink) -> T + Send + 'static,
) -> PyResult<Attended<T>> {
    let here = Here { on_event, stop, raised: Mutex::default() };
    let (sender, receiver) = sync_channel(EVENTS_MAX);
    let thread = std::thread::Builder::new().name("fedwasm".into());
    let thread = thread.spawn(move || work(Sink::Waiting(sender))).map_err(raised)?;
    let done = py.detach(|| {
        listen(&here, receiver);
        thread.join()
    });
    let internal = |_| raised(Explained::new(Kind::Failed, "internal error: the work broke off"));
    let done = done.map_err(internal)?;
    let raised = here.raised.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((done, raised.1))
}

fn listen(here: &Here, receiver: Receiver<Value>) {
    loop {
        match receiver.recv_timeout(SIGNALS_PAUSE) {
            Ok(event) => here.tell(&event),
            Err(RecvTimeoutError::Timeout) => {
                Python::attach(|py| here.note(py.check_signals()));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Does work on this thread, for a plan in Python that prints and stops in a debugger.
pub(crate) fn attend_here<T: Send>(
    py: Python<'_>,
    on_event: Py<PyAny>,
    stop: Stop,
    work: impl FnOnce(Sink) -> T + Send,
) -> Attended<T> {
    let here = Arc::new(Here { on_event, stop, raised: Mutex::default() });
    let done = py.detach(|| work(Sink::Here(Arc::clone(&here))));
    let raised = here.raised.lock().unwrap_or_else(PoisonError::into_inner).1.take();
    (done, raised)
}
