//! A process of its own for every plan: the wall behind the sandbox. It is
//! given one plan, and for each call the tensors and the batches as the plan
//! takes them; it has no keys, no files, no network and no environment. Its
//! answers are checked as a stranger's.

mod confine;
mod executable;
mod frame;
mod inside;
mod pipe;

use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use fedwasm_artifact::{Component, Contract};
use fedwasm_protocol::{Limits, printable};
use serde_bytes::ByteBuf;

pub(crate) use executable::find_program;
pub use frame::Protection;
pub use inside::serve_worker;

use crate::batch::Loader;
use crate::engine::Profile;
use crate::gate::Gate;
use crate::request::{Export, Request, Response, Trouble};
use crate::{Cancel, Error, FaultKind};
use frame::{FromWorker, Room, Setup, ToWorker, VERSION};
use pipe::{Deadlined, Ended};

/// How long a worker may take to be ready.
const READY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a worker that closed its pipe may take to end.
const END_TIME_MAX: Duration = Duration::from_millis(200);
/// How long a worker may take to read the batches that it did not take during a call.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// Beside tensors: the most of a message.
const MESSAGE_BYTES_MAX: u64 = 8 << 20;
/// The size of a buffer that an idle worker keeps.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// The most of a compiled plan.
const COMPILED_BYTES_MAX: u64 = 1 << 30;
/// The most bytes of a worker's standard error.
const LAST_WORDS_BYTES_MAX: u64 = 4 << 10;
/// The bytes that a pipe may hold; the system's own bound for every user.
const PIPE_BYTES: usize = 1 << 20;
/// The most threads that compile.
const COMPILE_THREADS_MAX: usize = 8;

/// The argument that makes the program a worker.
pub const WORKER_ARGUMENT: &str = "__worker";

/// How a call in a worker ended without an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The worker lives, and can be asked again.
    Trouble(Trouble),
    /// The worker is gone.
    Gone(FaultKind, String),
    /// The data.
    Loader(String),
}

/// A running worker. Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<Deadlined<ChildStdout>>,
    stderr: Deadlined<ChildStderr>,
    /// Reused for messages.
    buffers: (Vec<u8>, Vec<u8>),
    /// The protections that the machine gives it.
    pub(crate) protections: Vec<Protection>,
    limits: Limits,
    /// Time in calls so far; the processor time that it may use is bounded.
    spent: Duration,
}

impl Worker {
    /// Starts a worker that is confined and waits. `compiles` tells whether it has to compile.
    ///
    /// # Errors
    /// [`Error::Worker`].
    pub(crate) fn start(
        program: &Path,
        profile: Profile,
        limits: &Limits,
        compiles: bool,
    ) -> Result<Self, Error> {
        let failed = |reason| Error::Worker { program: program.to_owned(), reason };
        let mut command = Command::new(program);
        // A process group of its own: a terminal's signals reach the host, which passes them on.
        command.arg(WORKER_ARGUMENT).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.into()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no pipes".into()));
        };
        // A smaller pipe is a slower one, and does.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIPE_BYTES);
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        let mut worker = Self {
            child,
            input: BufWriter::with_capacity(256 << 10, stdin),
            output: BufReader::with_capacity(256 << 10, Deadlined::new(stdout)),
            stderr: Deadlined::new(stderr),
            buffers: (Vec::new(), Vec::new()),
            protections: Vec::new(),
            limits: limits.clone(),
            spent: Duration::ZERO,
        };
        let n = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let compile_threads = if compiles { n.min(COMPILE_THREADS_MAX) } else { 0 };
        let (version, limits) = (VERSION.to_owned(), limits.clone());
        let setup = ToWorker::Setup(Setup { version, profile, limits, compile_threads });
        let feed = |say: &mut Say<'_>, _: &AtomicBool| say(&setup);
        let room = Room::message(MESSAGE_BYTES_MAX);
        let ready = worker.during(READY_TIME_MAX, &Cancel::new(), drop, feed, room);
        match ready {
            Ok(FromWorker::Ready { version, protections }) if version == VERSION => {
                worker.protections = protections;
                Ok(worker)
            }
            Ok(FromWorker::Ready { version, .. }) => Err(failed(
                format!("the worker is fedwasm {version}, this program is {VERSION}").into(),
            )),
            Ok(_) => Err(failed("its first message does not report that it is ready".into())),
            Err(error) => {
                let (_, reason) = worker.obituary(&error);
                Err(failed(reason.into()))
            }
        }
    }

    /// Whether this worker can take another call: it lives, and has processor
    /// time left.
    pub(crate) fn is_fit(&mut self) -> bool {
        self.spent <= self.limits.time() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Compiles a component; the inner error is the engine's, which refuses it.
    pub(crate) fn compile(
        &mut self,
        component: &Component,
        cancel: &Cancel,
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        let bytes = ByteBuf::from(component.bytes());
        match self.hand_over(&ToWorker::Compile(component.contract(), bytes), cancel)? {
            FromWorker::Compiled(code) => Ok(Ok(code.into_vec())),
            FromWorker::Refused(reason) => Ok(Err(printable(&reason))),
            _ => Err(self.confused()),
        }
    }

    /// Loads code that another worker compiled; returns the reason if it does not fit here.
    pub(crate) fn load(
        &mut self,
        contract: Contract,
        code: &[u8],
        cancel: &Cancel,
    ) -> Result<Option<String>, Failure> {
        match self.hand_over(&ToWorker::Load(contract, ByteBuf::from(code)), cancel)? {
            FromWorker::Loaded => Ok(None),
            FromWorker::Stale(reason) => Ok(Some(printable(&reason))),
            _ => Err(self.confused()),
        }
    }

    fn hand_over(&mut self, message: &ToWorker, cancel: &Cancel) -> Result<FromWorker, Failure> {
        let time = self.limits.compile_time();
        let feed = |say: &mut Say<'_>, _: &AtomicBool| say(message);
        let heard = self.during(time, cancel, drop, feed, Room::message(COMPILED_BYTES_MAX));
        // Compiling has a share of processor time of its own.
        self.spent = Duration::ZERO;
        heard.map_err(|error| match self.obituary(&error) {
            (FaultKind::DeadlineExceeded, _) => {
                let max = self.limits.compile_ms_max;
                let text = format!("compiling it took longer than {max} ms (`compile_ms_max`)");
                Failure::Gone(FaultKind::DeadlineExceeded, text)
            }
            (FaultKind::OutOfMemory, _) => {
                let max = self.limits.compile_bytes_max;
                let text = format!("compiling it took more than {max} bytes (`compile_bytes_max`)");
                Failure::Gone(FaultKind::OutOfMemory, text)
            }
            (FaultKind::Cancelled, text) => Failure::Gone(FaultKind::Cancelled, text),
            (kind, text) => Failure::Gone(kind, format!("compiling it: {text}")),
        })
    }

    /// Calls an export.
    pub(crate) fn run(
        &mut self,
        request: Request,
        loader: Option<&mut dyn Loader>,
        gate: &mut Gate,
        cancel: &Cancel,
    ) -> Result<Response, Failure> {
        let limits = &request.limits;
        let (time, time_ms_max) = (limits.time(), limits.time_ms_max);
        let export = request.export;
        let own = request.answer_bytes_max();
        let room = match export {
            // Predictions are part of their message.
            Export::Predict => Room::message(MESSAGE_BYTES_MAX.saturating_add(own)),
            _ => Room { message: MESSAGE_BYTES_MAX, tail: own },
        };
        let mut loader_error = None;
        let event = |message| match message {
            FromWorker::Log(level, line) => drop(gate.log(level, &line)),
            FromWorker::Scalars(step, values) => drop(gate.scalars(step, values)),
            _ => {}
        };
        let message = ToWorker::Run(Box::new(request));
        let feed = |say: &mut Say<'_>, done: &AtomicBool| {
            say(&message)?;
            // The worker has the parameters now; two need not hold them.
            drop(message);
            let Some(loader) = loader else { return say(&ToWorker::End) };
            while !done.load(Ordering::Relaxed) {
                match loader.next() {
                    Ok(Some(batch)) => say(&ToWorker::Batch(batch.into()))?,
                    Ok(None) => break,
                    Err(reason) => {
                        loader_error = Some(reason);
                        return say(&ToWorker::Failed);
                    }
                }
            }
            say(&ToWorker::End)
        };
        let heard = self.during(time, cancel, event, feed, room);
        match heard {
            Ok(FromWorker::Done(Ok(answer))) => Ok(*answer),
            Ok(FromWorker::Done(Err(trouble))) => match (trouble, loader_error) {
                (Trouble::Loader(_), Some(reason)) => Err(Failure::Loader(reason)),
                (Trouble::Loader(reason), None) => Err(Failure::Gone(FaultKind::Killed, reason)),
                (trouble, _) => Err(Failure::Trouble(trouble)),
            },
            Ok(_) => Err(self.confused()),
            Err(error) => match self.obituary(&error) {
                (FaultKind::DeadlineExceeded, _) => {
                    let call = format!("{export:?}").to_lowercase();
                    let setting = export.time_setting(time_ms_max);
                    let text = format!("`{call}` took longer than {time_ms_max} ms ({setting})");
                    Err(Failure::Gone(FaultKind::DeadlineExceeded, text))
                }
                (kind, text) => Err(Failure::Gone(kind, text)),
            },
        }
    }

    /// Talks for at most `time`: `feed` sends on a thread of its own, while `event` gets the
    /// messages before the answer, which is returned. After an error the worker is dead.
    fn during(
        &mut self,
        time: Duration,
        cancel: &Cancel,
        mut event: impl FnMut(FromWorker),
        feed: impl FnOnce(&mut Say<'_>, &AtomicBool) -> io::Result<()> + Send,
        room: Room,
    ) -> io::Result<FromWorker> {
        let start = Instant::now();
        let Self { child, input, output, buffers: (out, back), .. } = self;
        output.get_mut().until(time, cancel);
        let done = AtomicBool::new(false);
        let heard = std::thread::scope(|scope| {
            let feed = || {
                let mut is_first = true;
                let mut say = |message: &ToWorker| {
                    // Small batches travel together; the plan starts with the first.
                    let is_batch = matches!(message, ToWorker::Batch(_));
                    let flush = !is_batch || std::mem::take(&mut is_first);
                    frame::write(input, message, out, flush)
                };
                feed(&mut say, &done)
            };
            let feeder =
                std::thread::Builder::new().name("worker-feed".into()).spawn_scoped(scope, feed)?;
            let mut listen = || loop {
                match frame::read(output, room, back)? {
                    Some(message @ (FromWorker::Log(..) | FromWorker::Scalars(..))) => {
                        event(message);
                    }
                    // The plan wants no more batches: the rest need not be sent.
                    Some(FromWorker::Enough) => done.store(true, Ordering::Relaxed),
                    Some(message) => return Ok(message),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            };
            let heard = listen();
            done.store(true, Ordering::Relaxed);
            let heard = heard.and_then(|answer| {
                if taken(&feeder, DRAIN_TIME_MAX) {
                    Ok(answer)
                } else {
                    Err(io::Error::other("it stopped reading its batches"))
                }
            });
            if heard.is_err() {
                // Now the feeder cannot wait for it any longer, either.
                let _ = child.kill();
            }
            heard
        });
        self.spent += start.elapsed();
        for buffer in [out, back] {
            if buffer.capacity() > BUFFER_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
        heard
    }

    /// It sent a message that does not answer the request.
    fn confused(&mut self) -> Failure {
        let _ = self.child.kill();
        Failure::Gone(FaultKind::Killed, "its answer does not fit the request".into())
    }

    /// Why a worker is gone: our own doing, or its death.
    fn obituary(&mut self, error: &io::Error) -> (FaultKind, String) {
        let ended = error.get_ref().and_then(|inner| inner.downcast_ref::<Ended>());
        match ended {
            Some(Ended::Deadline) => return (FaultKind::DeadlineExceeded, error.to_string()),
            Some(Ended::Cancelled) => return (FaultKind::Cancelled, "asked to stop".into()),
            None => {}
        }
        // The conversation is over in every case: nothing may wait for a worker that lives on.
        let _ = self.child.kill();
        if error.kind() == io::ErrorKind::Other {
            return (FaultKind::Killed, error.to_string());
        }
        if error.kind() == io::ErrorKind::FileTooLarge {
            return (FaultKind::BadOutput, format!("its answer is too large: {error}"));
        }
        if error.kind() == io::ErrorKind::InvalidData {
            return (
                FaultKind::Killed,
                format!("it sent an unreadable message: {}", printable(&error.to_string())),
            );
        }
        let status = self.child.wait();
        let mut words = Vec::new();
        self.stderr.until(END_TIME_MAX, &Cancel::new());
        // The bytes that arrived are enough.
        let _ = (&mut self.stderr).take(LAST_WORDS_BYTES_MAX).read_to_end(&mut words);
        let words = String::from_utf8_lossy(&words);
        let words = match words.trim() {
            "" => String::new(),
            words => format!(": {}", printable(words)),
        };
        match status.ok().map(|status| (status.signal(), status.code())) {
            Some((Some(XCPU), _)) => {
                (FaultKind::DeadlineExceeded, "its processor time is used up".into())
            }
            // Rust's message when the process's own limit was reached.
            Some((Some(ABRT), _)) if words.contains("memory allocation of") => {
                (FaultKind::OutOfMemory, format!("its process could not get more memory{words}"))
            }
            Some((Some(signal), _)) => {
                (FaultKind::Killed, format!("its process died of {}{words}", signal_name(signal)))
            }
            Some((None, Some(code))) => {
                (FaultKind::Killed, format!("its process ended with code {code}{words}"))
            }
            _ => (FaultKind::Killed, format!("its process is gone{words}")),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("id", &self.child.id()).finish_non_exhaustive()
    }
}

/// Whether everything is sent within `time`. A worker could answer and read no
/// further, and its writer would wait for ever.
fn taken<T>(feeder: &ScopedJoinHandle<'_, T>, time: Duration) -> bool {
    let start = Instant::now();
    while !feeder.is_finished() {
        if start.elapsed() > time {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    true
}

/// Sends one message.
type Say<'a> = dyn FnMut(&ToWorker) -> io::Result<()> + 'a;

const ABRT: i32 = rustix::process::Signal::ABORT.as_raw();
const XCPU: i32 = rustix::process::Signal::XCPU.as_raw();

fn signal_name(signal: i32) -> String {
    use rustix::process::Signal;
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::KILL) => {
            "SIGKILL (sent by a person, or by the kernel because the machine ran out of memory)"
        }
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::SYS) => "SIGSYS (a forbidden system call)",
        Some(Signal::TERM) => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
