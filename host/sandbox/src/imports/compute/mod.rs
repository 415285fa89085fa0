//! `compute`: tensors that the host holds, and operations on them. A call of a plan has a session
//! of its own, from the first use on; numbers of tensors are those of this session.
//!
//! A session's bytes and the plan's memories together are bounded by `memory_bytes_max`, and in the
//! strict profile its work is taken off the plan's fuel, unit by unit ([`fedwasm_compute::work()`]).
//! Beyond these bounds the plan ends; any other mistake is a value.

pub(crate) mod elements;
mod rows;
pub(crate) mod train;

use std::sync::Arc;

pub(crate) use rows::HostBatch;

use fedwasm_compute::kernels::{OneThread, Parallel};
use fedwasm_compute::{Apply as _, CALL, Dtype, Id, Kind, Mistake, Op, Rule, Session, Shape};
use fedwasm_params::DType;
use wasmtime::{Result, StoreContextMut, Trap};

use crate::contract::AccessError;
use crate::host::{Host, Stop};
use crate::meter::Refused;
use crate::request::Export;
use crate::threads::{Pool, Threads};

/// Why a call was not done, in the contract's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ComputeError {
    /// For the reasons of all interfaces.
    Access(AccessError),
    /// The operation's mistake, in words.
    Mistake(String),
    /// An element that is out of range, in words.
    BadData(String),
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) enum Failed {
    Access(AccessError),
    /// The library's words, or the end of the plan.
    Library(Mistake),
    /// The host's words.
    Mistake(String),
}

impl From<Mistake> for Failed {
    fn from(mistake: Mistake) -> Self {
        Self::Library(mistake)
    }
}

impl From<AccessError> for Failed {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

/// The outcome of a call, before it is known whether the plan goes on.
pub(crate) type Done<T> = std::result::Result<T, Failed>;

/// Does a call on the session of this call of the plan: counts it, checks that it is open, bounds
/// its work by what fuel is left and takes it off.
pub(crate) fn call<T>(
    store: &mut StoreContextMut<'_, Host>,
    run: impl FnOnce(&mut Session, &mut Host) -> Done<T>,
) -> Result<std::result::Result<T, ComputeError>> {
    let fuel = if store.data().counts_fuel { Some(store.get_fuel()?) } else { None };
    let host = store.data_mut();
    host.enter()?;
    if matches!(host.export, Export::Describe | Export::Declare) {
        return Ok(Err(ComputeError::Access(AccessError::Closed)));
    }
    let mut session = match host.session.take() {
        Some(session) => session,
        None => Box::new(host.open_session()),
    };
    let before = session.work();
    if let Some(fuel) = fuel {
        // The engine stops when nothing is left.
        session.set_work_max(before.saturating_add(fuel.saturating_sub(1)));
    }
    let done = run(&mut session, host);
    let work = session.work() - before;
    host.session = Some(session);
    let outcome = match done {
        Ok(value) => Ok(Ok(value)),
        Err(failed) => host.failed(failed).map(Err),
    };
    if let Some(fuel) = fuel {
        store.set_fuel(fuel.saturating_sub(work))?;
    }
    outcome
}

impl Host {
    fn open_session(&mut self) -> Session {
        let bytes_max = self.limits.memory_bytes_max;
        let mut session = Session::with_threads(bytes_max, self.threads());
        // The meter keeps to the same bound, so this fits.
        let _ = session.charge_bytes(self.meter.memory_bytes);
        // Within a worker nothing looks at the clock: it is killed.
        if self.watch.deadline.is_some() {
            let watch = self.watch.clone();
            session.set_stop(Box::new(move || watch.stop().is_some()));
        }
        session
    }

    /// The worker's threads, or new ones in a process that may start them.
    fn threads(&mut self) -> Box<dyn Parallel + Send> {
        let n = self.limits.threads();
        if n > 1 && self.pool.is_none() {
            self.pool = Pool::start(n).map(Arc::new).ok();
        }
        match &self.pool {
            Some(pool) if n > 1 => Box::new(Threads { pool: Arc::clone(pool), n }),
            _ => Box::new(OneThread),
        }
    }

    /// The answer to the plan, or its end.
    #[cold]
    fn failed(&mut self, failed: Failed) -> Result<ComputeError> {
        let mistake = match failed {
            Failed::Access(error) => return Ok(ComputeError::Access(error)),
            Failed::Mistake(text) => return Ok(ComputeError::Mistake(text)),
            Failed::Library(mistake) => mistake,
        };
        match mistake.rule {
            Rule::Memory { .. } => {
                self.meter.refused = Some(Refused::Tensors);
                Err(Stop::Memory.into())
            }
            Rule::Work { .. } => Err(Trap::OutOfFuel.into()),
            Rule::Stopped => Err(self.watch.stop().unwrap_or(Stop::Deadline).into()),
            Rule::Index { .. } => Ok(ComputeError::BadData(mistake.to_string())),
            _ => Ok(ComputeError::Mistake(mistake.to_string())),
        }
    }
}

/// Applies the operation that `bytes` say.
pub(crate) fn read_op(mut bytes: &[u8]) -> std::result::Result<Op, &'static str> {
    match Op::read(&mut bytes) {
        Ok(op) if bytes.is_empty() => Ok(op),
        Ok(_) => Err("the bytes of an operation must end with it"),
        Err(Rule::Attribute(text) | Rule::Rank(text)) => Err(text),
        Err(_) => Err("a shape has at most 2^28 elements"),
    }
}

/// Does an operation on tensors.
pub(crate) fn apply(
    session: &mut Session,
    op: std::result::Result<Op, &'static str>,
    inputs: &[Id],
) -> Done<Id> {
    let op = op.map_err(|text| Failed::Mistake(format!("operation: {text}")))?;
    Ok(session.apply(op, inputs)?)
}

/// The work of a copy of so many elements.
fn copy_work(elements: usize) -> u64 {
    CALL.saturating_add(elements as u64)
}

/// The library's name for a type of elements.
fn dtype_of(dtype: DType) -> Done<Dtype> {
    match dtype {
        DType::Boolean => Ok(Dtype::Bool),
        DType::Int64 => Ok(Dtype::I64),
        DType::Float32 => Ok(Dtype::F32),
        DType::Float64 => Ok(Dtype::F64),
        other => Err(Failed::Mistake(format!(
            "a tensor of {}: compute has bool, int64, float32 and float64",
            other.name()
        ))),
    }
}

/// The contract's name for a type of elements.
pub(crate) fn name_of(dtype: Dtype) -> DType {
    match dtype {
        Dtype::Bool => DType::Boolean,
        Dtype::I64 => DType::Int64,
        Dtype::F32 => DType::Float32,
        Dtype::F64 => DType::Float64,
    }
}

/// The kind of a tensor of the store or of a batch.
fn kind_of(dtype: DType, shape: &[u64]) -> Done<Kind> {
    let dtype = dtype_of(dtype)?;
    let sizes: Vec<usize> =
        shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
    let wrong = |rule| Failed::Mistake(format!("a tensor of {shape:?}: {rule}"));
    Ok(Kind { dtype, shape: Shape::new(&sizes).map_err(wrong)? })
}

/// The sizes of the axes, as tensors that cross have them.
fn sizes(kind: &Kind) -> Vec<u64> {
    kind.shape.sizes().map(|size| size as u64).collect()
}
