//! The inside of a worker: one plan, one call at a time, nothing else.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_artifact::Contract;
use rustix::event::{PollFd, PollFlags, poll};
use serde_bytes::ByteBuf;
use wasmtime::OptLevel;
use wasmtime::component::Component;

use super::confine::{close_inherited, confine, tensor_threads};
use super::frame::{self, FromWorker, Room, Setup, ToWorker, VERSION};
use crate::Cancel;
use crate::batch::{Batch, Loader};
use crate::engine::{EngineOptions, PlanEngine, caught};
use crate::event::PlanEvent;
use crate::guest::Guest;
use crate::host::Watch;
use crate::request::{Request, Trouble};
use crate::threads::Pool;

/// Buffers of the pipes.
const BUFFER_BYTES: usize = 256 << 10;
/// How long numbers may wait in the buffer while more come.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

/// Where messages come from.
struct Input {
    pipe: BufReader<File>,
    buffer: Vec<u8>,
}

impl Input {
    fn next(&mut self) -> io::Result<Option<ToWorker>> {
        // The host is trusted, so its messages have no bound.
        frame::read(&mut self.pipe, Room::BOUNDLESS, &mut self.buffer)
    }
}

/// Where messages go.
struct Output {
    pipe: BufWriter<File>,
    buffer: Vec<u8>,
    flushed: Instant,
}

impl Output {
    fn say(&mut self, message: &FromWorker, flush: bool) -> io::Result<()> {
        let flush = flush || self.flushed.elapsed() >= FLUSH_PAUSE;
        frame::write(&mut self.pipe, message, &mut self.buffer, flush)?;
        if flush {
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

/// The batches of a call, as they come.
struct PipeLoader {
    input: Arc<Mutex<Input>>,
    /// Whether the last one came.
    ended: Arc<Mutex<bool>>,
}

impl Loader for PipeLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let mut ended = lock(&self.ended);
        if *ended {
            return Ok(None);
        }
        match lock(&self.input).next() {
            Ok(Some(ToWorker::Batch(batch))) => {
                batch.try_into().map(Some).map_err(|error: fedwasm_params::Error| error.to_string())
            }
            Ok(Some(ToWorker::End)) => {
                *ended = true;
                Ok(None)
            }
            Ok(_) => {
                *ended = true;
                Err("the loader failed".into())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Serves the process that started this one, through standard input and
/// output, until it closes them. Call it first thing in `main`: it confines
/// the whole process for good.
///
/// # Errors
/// Those of the pipes, a host of another version, and limits on resources
/// that cannot be set.
pub fn serve_worker() -> io::Result<()> {
    let closed = close_inherited();
    let owned = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let pipe = BufReader::with_capacity(BUFFER_BYTES, owned(io::stdin().as_fd())?);
    let input = Arc::new(Mutex::new(Input { pipe, buffer: Vec::new() }));
    let pipe = BufWriter::with_capacity(BUFFER_BYTES, owned(io::stdout().as_fd())?);
    let output = Output { pipe, buffer: Vec::new(), flushed: Instant::now() };
    let output = Arc::new(Mutex::new(output));
    let setup = match lock(&input).next()? {
        Some(ToWorker::Setup(setup)) if setup.version == VERSION => setup,
        Some(ToWorker::Setup(Setup { version, .. })) => {
            let text = format!("the host is fedwasm {version}, this worker {VERSION}");
            return Err(io::Error::other(text));
        }
        Some(_) => return Err(io::Error::other("the first message is not a setup")),
        None => return Ok(()),
    };
    let mut threads = Ok(None);
    let protections = confine(&setup, closed, || threads = start_threads(&setup))?;
    let pool = threads?;
    let ready = FromWorker::Ready { version: VERSION.into(), protections };
    lock(&output).say(&ready, true)?;
    let engine = PlanEngine::new(EngineOptions {
        profile: setup.profile,
        interruptible: false,
        opt_level: OptLevel::Speed,
    });
    let mut engine = engine.map_err(|error| io::Error::other(format!("{error:#}")))?;
    engine.pool = pool;
    let mut guest = None;
    loop {
        let Some(message) = lock(&input).next()? else { return Ok(()) };
        let answer = match message {
            ToWorker::Compile(contract, bytes) => compile(&engine, contract, &bytes, &mut guest),
            ToWorker::Load(contract, bytes) => load(&engine, contract, &bytes, &mut guest),
            ToWorker::Run(request) => match &guest {
                Some(guest) => run(guest, *request, &input, &output)?,
                None => FromWorker::Refused("a call came before its plan".into()),
            },
            _ => return Err(io::Error::other("the message is not expected here")),
        };
        lock(&output).say(&answer, true)?;
    }
}

fn compile(
    engine: &PlanEngine,
    contract: Contract,
    bytes: &[u8],
    guest: &mut Option<Guest>,
) -> FromWorker {
    let compiled = caught(|| {
        let component = Component::from_binary(&engine.engine, bytes)?;
        Ok((Guest::new(engine, contract, &component)?, component.serialize()?))
    });
    match compiled {
        Ok((compiled, bytes)) => {
            *guest = Some(compiled);
            FromWorker::Compiled(ByteBuf::from(bytes))
        }
        Err(reason) => FromWorker::Refused(reason),
    }
}

fn load(
    engine: &PlanEngine,
    contract: Contract,
    bytes: &[u8],
    guest: &mut Option<Guest>,
) -> FromWorker {
    // SAFETY: the host authenticated these bytes as the output of a worker of this version,
    // and their effects stay in this process.
    #[expect(unsafe_code, reason = "loading machine code cannot be checked")]
    let component = unsafe { Component::deserialize(&engine.engine, bytes) };
    match component.and_then(|component| Guest::new(engine, contract, &component)) {
        Ok(loaded) => {
            *guest = Some(loaded);
            FromWorker::Loaded
        }
        Err(error) => FromWorker::Stale(format!("{error:#}")),
    }
}

fn run(
    guest: &Guest,
    request: Request,
    input: &Arc<Mutex<Input>>,
    output: &Arc<Mutex<Output>>,
) -> io::Result<FromWorker> {
    let ended = Arc::new(Mutex::new(false));
    let loader = PipeLoader { input: Arc::clone(input), ended: Arc::clone(&ended) };
    let events = {
        let output = Arc::clone(output);
        move |event| {
            // A host that is gone hears nothing; the thread below ends this process.
            let _ = match event {
                // The line before a plan hangs is the one that matters.
                PlanEvent::Log(level, line) => {
                    lock(&output).say(&FromWorker::Log(level, line), true)
                }
                PlanEvent::Scalars { step, values } => {
                    lock(&output).say(&FromWorker::Scalars(step, values), false)
                }
            };
        }
    };
    let watch = Watch { cancel: Cancel::new(), deadline: None };
    let mut result = guest.run(request, Some(Box::new(loader)), Box::new(events), watch);
    lock(output).say(&FromWorker::Enough, true)?;
    // Batches that the plan did not take precede the next request.
    while !*lock(&ended) {
        match lock(input).next()? {
            Some(ToWorker::Batch(_)) => {}
            Some(ToWorker::End) => break,
            Some(ToWorker::Failed) => {
                result = Err(Trouble::Loader("the loader failed".into()));
                break;
            }
            _ => return Err(io::Error::other("the batches do not end")),
        }
    }
    Ok(FromWorker::Done(result.map(Box::new)))
}

/// Threads that compile, threads for the operations of tensors, which are returned, and one that
/// ends the process when the host is gone: a plan in a loop would not notice.
fn start_threads(setup: &Setup) -> io::Result<Option<Arc<Pool>>> {
    if setup.compile_threads > 0 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(setup.compile_threads);
        pool.build_global().map_err(io::Error::other)?;
    }
    let n = tensor_threads(setup);
    let pool = if n > 1 { Some(Arc::new(Pool::start(n)?)) } else { None };
    let lifeline = || {
        let stdin = io::stdin();
        loop {
            let mut pipes = [PollFd::new(&stdin, PollFlags::empty())];
            let gone = PollFlags::HUP | PollFlags::ERR;
            if poll(&mut pipes, None).is_ok() && pipes[0].revents().intersects(gone) {
                std::process::abort();
            }
        }
    };
    std::thread::Builder::new().name("lifeline".into()).spawn(lifeline)?;
    Ok(pool)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
