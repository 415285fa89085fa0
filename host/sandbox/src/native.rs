//! Plans that are native code of this program, without a wall: a plan that its author writes and
//! debugs in the same process. They get the imports of the contract, with the same checks.

use std::cell::RefCell;
use std::rc::Rc;

use fedwasm_params::Tensor;
use fedwasm_protocol::{Arguments, Metrics};

use crate::batch::{Batch, Loader};
use crate::contract::{AccessError, PlanError, SlotName};
use crate::event::{Level, PlanEvent};
use crate::guest::{gave_up, processor_us, stopped};
use crate::host::{Host, Stop, Watch};
use crate::request::{Export, PlainReport, Request, Response, Said, Trouble};
use crate::{Declaration, FaultKind, Metadata, Report};

/// A plan that is native code of this program, which runs it with its own rights
/// ([`crate::Sandbox::native`]). The exports of the contract are its methods; results are checked as
/// those of components are.
pub trait NativePlan: Send + Sync {
    /// Describes itself.
    ///
    /// # Errors
    /// [`PlanError`].
    fn describe(&self) -> Result<Metadata, PlanError>;

    /// The shapes that follow from the arguments.
    ///
    /// # Errors
    /// [`PlanError`].
    fn declare(&self, arguments: &Arguments) -> Result<Declaration, PlanError>;

    /// Writes the initial parameters.
    ///
    /// # Errors
    /// [`PlanError`].
    fn init(&self, arguments: &Arguments, imports: &Imports) -> Result<(), PlanError>;

    /// Trains on all batches.
    ///
    /// # Errors
    /// [`PlanError`].
    fn train(&self, arguments: &Arguments, imports: &Imports) -> Result<Report, PlanError>;

    /// Emits scores for all batches.
    ///
    /// # Errors
    /// [`PlanError`].
    fn predict(&self, arguments: &Arguments, imports: &Imports) -> Result<(), PlanError>;

    /// Computes the loss and its own metrics on all batches.
    ///
    /// # Errors
    /// [`PlanError`].
    fn validate(&self, arguments: &Arguments, imports: &Imports) -> Result<Report, PlanError>;
}

/// The imports of one call, for a native plan. Cheap to clone; after the call every clone is
/// closed.
#[derive(Clone)]
pub struct Imports(Rc<RefCell<Open>>);

struct Open {
    /// None after the call.
    host: Option<Host>,
    /// Why the call had to end.
    stop: Option<Stop>,
}

impl std::fmt::Debug for Imports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imports").finish_non_exhaustive()
    }
}

impl Imports {
    /// Calls the host, unless the call must end.
    fn with<T>(
        &self,
        call: impl FnOnce(&mut Host) -> wasmtime::Result<Result<T, AccessError>>,
    ) -> Result<T, AccessError> {
        let mut open = self.0.try_borrow_mut().map_err(|_| AccessError::Closed)?;
        let Open { host, stop } = &mut *open;
        let host = host.as_mut().ok_or(AccessError::Closed)?;
        if stop.is_none() {
            *stop = host.watch.stop();
        }
        if stop.is_some() {
            return Err(AccessError::Cancelled);
        }
        call(host).unwrap_or_else(|error| {
            // The bound on calls is the only error that the imports here have.
            *stop = Some(error.downcast_ref().copied().unwrap_or(Stop::HostCalls));
            Err(AccessError::Cancelled)
        })
    }

    /// Returns `len` bytes of a tensor, from byte `offset` on; at most 16 MiB.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn read(
        &self,
        slot: SlotName,
        index: u32,
        offset: u64,
        len: u32,
    ) -> Result<Vec<u8>, AccessError> {
        self.with(|host| host.read_store(slot, index, offset, len))
    }

    /// Replaces bytes of a tensor, from byte `offset` on; at most 16 MiB.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn write(
        &self,
        slot: SlotName,
        index: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), AccessError> {
        self.with(|host| host.write_store(slot, index, offset, bytes))
    }

    /// Returns the next batch and its index from 0, or none after the last.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn next(&self) -> Result<Option<(u64, Batch)>, AccessError> {
        self.with(Host::next_batch)
    }

    /// Takes the scores of a batch, float32 [rows, columns].
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn emit(&self, index: u64, scores: Tensor) -> Result<(), AccessError> {
        let (dtype, shape, data) = scores.into_parts();
        self.with(|host| host.emit_scores(index, dtype, shape, data))
    }

    /// Takes numbers about the newest batch.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn scalars(&self, values: Vec<(String, f64)>) -> Result<(), AccessError> {
        self.with(|host| host.report_scalars(values))
    }

    /// Writes a line to the log.
    pub fn log(&self, level: Level, line: &str) {
        // A line that comes too late is lost.
        let _ = self.with(|host| host.log_line(level, line).map(Ok));
    }

    /// Returns the next `len` bytes of the call's stream; at most 16 MiB.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn random(&self, len: u32) -> Result<Vec<u8>, AccessError> {
        self.with(|host| host.random_bytes(len))
    }
}

/// Calls an export.
pub(crate) fn run(
    plan: &dyn NativePlan,
    request: Request,
    loader: Option<Box<dyn Loader>>,
    events: Box<dyn FnMut(PlanEvent) + Send>,
    watch: Watch,
) -> Result<Response, Trouble> {
    let (export, start) = (request.export, processor_us());
    let (host, arguments) = Host::of(request, loader, events, watch);
    let imports = Imports(Rc::new(RefCell::new(Open { host: Some(host), stop: None })));
    let said = match export {
        Export::Describe => plan.describe().map(Said::Metadata),
        Export::Declare => plan.declare(&arguments).map(Said::Declaration),
        Export::Init => plan.init(&arguments, &imports).map(|()| Said::Nothing),
        Export::Train => plan.train(&arguments, &imports).map(said),
        Export::Predict => plan.predict(&arguments, &imports).map(|()| Said::Nothing),
        Export::Validate => plan.validate(&arguments, &imports).map(said),
    };
    let (host, stop) = {
        let mut open = imports.0.borrow_mut();
        (open.host.take(), open.stop.take())
    };
    let closed = || Trouble::Plan(FaultKind::Crashed, "its imports are closed".into());
    let mut host = host.ok_or_else(closed)?;
    if let Some(stop) = stop {
        let (kind, detail) = stopped(&host, stop);
        return Err(Trouble::Plan(kind, detail));
    }
    if let Some(reason) = host.loader_error.take() {
        return Err(Trouble::Loader(reason));
    }
    let said = said.map_err(gave_up)?;
    Ok(host.respond(said, None, processor_us().saturating_sub(start)))
}

fn said(report: Report) -> Said {
    let Report { steps, rows, metrics } = report;
    let metrics = Metrics::into_iter(metrics).collect();
    Said::Report(PlainReport { steps, rows, metrics })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use fedwasm_artifact::Component;
    use fedwasm_params::DType;
    use fedwasm_protocol::Limits;

    use super::*;
    use crate::{Cancel, DataFacts, Error, Sandbox, Scope, Start, Task, TensorSpec};

    const PLAN: &[u8] = include_bytes!("../../../plugins/dist/logistic-regression.wasm");

    /// Counts rows into its only parameter, and keeps its imports if asked to.
    #[derive(Default)]
    struct Counter {
        gives_up: bool,
        keeps: AtomicBool,
    }

    std::thread_local! {
        static KEPT: RefCell<Option<Imports>> = const { RefCell::new(None) };
    }

    impl NativePlan for Counter {
        fn describe(&self) -> Result<Metadata, PlanError> {
            Ok(Metadata {
                name: "counter".into(),
                version: "1.0.0".into(),
                task: Task::Regression,
                arguments: Vec::new(),
                dependencies: Vec::new(),
            })
        }

        fn declare(&self, _: &Arguments) -> Result<Declaration, PlanError> {
            let (name, dtype, scope) = ("rows".into(), DType::Float32, Scope::Shared);
            let spec = TensorSpec { name, dtype, shape: vec![], trainable: true, scope };
            let [inputs, targets] = [Vec::new(), Vec::new()];
            let [aux_in, aux_out, state] = [Vec::new(), Vec::new(), Vec::new()];
            Ok(Declaration { inputs, targets, model: vec![spec], aux_in, aux_out, state })
        }

        fn init(&self, _: &Arguments, imports: &Imports) -> Result<(), PlanError> {
            imports.random(4).map_err(|_| PlanError::Cancelled)?;
            assert_eq!(imports.read(SlotName::Model, 0, 0, 4), Err(AccessError::Closed));
            assert_eq!(imports.next().unwrap_err(), AccessError::Closed);
            imports.write(SlotName::Model, 0, 0, &1.0f32.to_le_bytes()).unwrap();
            Ok(())
        }

        fn train(&self, _: &Arguments, imports: &Imports) -> Result<Report, PlanError> {
            if self.keeps.load(Ordering::Relaxed) {
                KEPT.set(Some(imports.clone()));
            }
            if self.gives_up {
                return Err(PlanError::BadData("class 7 of 2".into()));
            }
            let bytes = imports.read(SlotName::Model, 0, 0, 4).unwrap();
            let mut sum = f32::from_le_bytes(bytes.try_into().unwrap());
            let mut rows = 0;
            while let Some((index, batch)) = imports.next().map_err(|_| PlanError::Cancelled)? {
                let scores = Tensor::from_f32(vec![1, 1], &[0.0]).unwrap();
                assert!(imports.emit(index, scores).is_err());
                sum += batch.rows as f32;
                rows += u64::from(batch.rows);
            }
            imports.write(SlotName::Model, 0, 0, &sum.to_le_bytes()).unwrap();
            Ok(Report { steps: 2, rows, metrics: Metrics::new() })
        }

        fn predict(&self, _: &Arguments, _: &Imports) -> Result<(), PlanError> {
            Ok(())
        }

        fn validate(&self, _: &Arguments, _: &Imports) -> Result<Report, PlanError> {
            Err(PlanError::Internal("not here".into()))
        }
    }

    struct Rows(u32);

    impl Loader for Rows {
        fn next(&mut self) -> Result<Option<Batch>, String> {
            self.0 = self.0.saturating_sub(1);
            let (inputs, targets) = (Vec::new(), Vec::new());
            Ok((self.0 > 0).then_some(Batch { rows: self.0, inputs, targets }))
        }
    }

    fn session(plan: Counter, limits: Limits) -> crate::Session {
        let component = Component::admit(PLAN.to_vec()).unwrap();
        let sandbox = Sandbox::native(Arc::new(plan));
        let plan = sandbox.describe(&component, limits).unwrap();
        assert_eq!(
            (plan.plan().name.as_str(), plan.plan().digest),
            ("counter", component.digest())
        );
        let none = Arguments::new();
        let arguments = plan.metadata().arguments(&none, &DataFacts::default(), &[]).unwrap();
        plan.session(arguments).unwrap()
    }

    fn train(session: &crate::Session, cancel: &Cancel) -> Result<f32, Error> {
        let model = session.init([0; 32], cancel)?;
        let start = Start { model, ..Start::default() };
        let trained = session.train(start, [0; 32], Box::new(Rows(4)), Box::new(drop), cancel)?;
        let bytes = trained.model.tensor("rows").unwrap().data().to_vec();
        Ok(f32::from_le_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn native_code_has_the_imports_of_its_export() {
        let session = session(Counter::default(), Limits::default());
        assert_eq!(train(&session, &Cancel::new()).unwrap(), 7.0);
    }

    #[test]
    fn imports_are_closed_after_the_call() {
        let plan = Counter { keeps: true.into(), ..Counter::default() };
        train(&session(plan, Limits::default()), &Cancel::new()).unwrap();
        let kept = KEPT.take().unwrap();
        assert_eq!(kept.random(1), Err(AccessError::Closed));
        assert_eq!(kept.write(SlotName::Model, 0, 0, &[0; 4]), Err(AccessError::Closed));
    }

    #[test]
    fn faults_and_bounds_are_those_of_components() {
        let fault = |error: Error| match error {
            Error::Fault(fault) => (fault.kind, fault.detail),
            error => panic!("{error}"),
        };
        let plan = Counter { gives_up: true, ..Counter::default() };
        let error = train(&session(plan, Limits::default()), &Cancel::new()).unwrap_err();
        assert_eq!(fault(error), (FaultKind::BadData, "class 7 of 2".into()));
        let few = Limits { host_calls_max: 4, ..Limits::default() };
        let error = train(&session(Counter::default(), few), &Cancel::new()).unwrap_err();
        assert_eq!(fault(error).0, FaultKind::LimitExceeded);
        let (session, cancel) = (session(Counter::default(), Limits::default()), Cancel::new());
        cancel.cancel();
        let error = train(&session, &cancel).unwrap_err();
        assert_eq!(fault(error).0, FaultKind::Cancelled);
    }
}
