//! A plan's class in this interpreter: its functions are Python's, everything else is the runtime of
//! traced plans, natively. So the SDK's optimizer, state and order of draws are those of a component.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_graph::{Graph, Role, Value};
use fedwasm_protocol::Arguments;
use fedwasm_sandbox as host;
use fedwasm_sandbox::{Imports, NativePlan};
use fedwasm_sdk::native::Guest as _;
use fedwasm_sdk::{Batch, PlanError, Result, Tensor};
use fedwasm_traced::Member;
use fedwasm_traced::native::{Author, Exports, Functions, with_graph};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::contract;
use crate::tensor;

/// A plan's class with its graph.
#[pyclass(frozen, module = "fedwasm._native")]
pub(crate) struct PyPlan(Eager);

impl PyPlan {
    /// For [`host::Sandbox::native`].
    pub(crate) fn native(&self) -> Arc<dyn NativePlan> {
        Arc::new(self.0.clone())
    }

    /// The exception that ended its last call.
    pub(crate) fn take_exception(&self) -> Option<PyErr> {
        self.0.0.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl PyPlan {
    /// `running` is called with arguments by name and members by path, and returns what has
    /// `call(role, names, inputs, targets)`.
    #[new]
    fn new(graph: Vec<u8>, running: Py<PyAny>) -> PyResult<Self> {
        let decoded = fedwasm_graph::decode_without_values(&graph);
        let decoded = decoded.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let raised = Mutex::new(None);
        Ok(Self(Eager(Arc::new(Inner { graph, decoded, running, raised }))))
    }
}

#[derive(Clone)]
struct Eager(Arc<Inner>);

struct Inner {
    graph: Vec<u8>,
    decoded: Graph,
    running: Py<PyAny>,
    raised: Mutex<Option<PyErr>>,
}

type Answer<T> = std::result::Result<T, host::PlanError>;

impl NativePlan for Eager {
    fn describe(&self) -> Answer<host::Metadata> {
        Ok(contract::metadata(self.run(None, Exports::describe)))
    }

    fn declare(&self, arguments: &Arguments) -> Answer<host::Declaration> {
        let declared = self.run(None, || Exports::declare(contract::arguments(arguments)));
        declared.map(contract::declaration).map_err(contract::plan_error)
    }

    fn init(&self, arguments: &Arguments, imports: &Imports) -> Answer<()> {
        let init = || Exports::init(contract::arguments(arguments));
        self.run(Some(imports), init).map_err(contract::plan_error)
    }

    fn train(&self, arguments: &Arguments, imports: &Imports) -> Answer<host::Report> {
        let train = || Exports::train(contract::arguments(arguments));
        self.run(Some(imports), train).map(contract::report).map_err(contract::plan_error)
    }

    fn predict(&self, arguments: &Arguments, imports: &Imports) -> Answer<()> {
        let predict = || Exports::predict(contract::arguments(arguments));
        self.run(Some(imports), predict).map_err(contract::plan_error)
    }

    fn validate(&self, arguments: &Arguments, imports: &Imports) -> Answer<host::Report> {
        let validate = || Exports::validate(contract::arguments(arguments));
        self.run(Some(imports), validate).map(contract::report).map_err(contract::plan_error)
    }
}

impl Eager {
    /// Runs an export of the plan.
    fn run<T>(&self, imports: Option<&Imports>, export: impl FnOnce() -> T) -> T {
        let run =
            || with_graph(self.0.graph.as_slice().into(), Some(Rc::new(self.clone())), export);
        match imports {
            Some(imports) => contract::with_imports(imports, run),
            None => run(),
        }
    }

    /// Calls Python. An exception is the plan's error, and kept for the caller as it is.
    fn attach<T>(&self, f: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| {
            f(py).map_err(|error| {
                let text = text_of(py, &error);
                let mut raised = self.0.raised.lock().unwrap_or_else(PoisonError::into_inner);
                raised.get_or_insert(error);
                PlanError::Internal(text)
            })
        })
    }
}

/// The exception as Python shows it, in one line.
fn text_of(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    let name = value.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
    format!("{name}: {value}")
}

impl Author for Eager {
    fn functions(
        &self,
        arguments: &[Value],
        members: &[(String, Member)],
    ) -> Result<Rc<dyn Functions>> {
        let running = self.attach(|py| {
            let given = PyDict::new(py);
            for (argument, value) in self.0.decoded.arguments.iter().zip(arguments) {
                given.set_item(&argument.name, object(py, value)?)?;
            }
            let parts = PyList::empty(py);
            for (path, member) in members {
                let part = match member {
                    Member::Module(module) => {
                        Bound::new(py, tensor::Module(Rc::clone(module)))?.into_any()
                    }
                    Member::Parameter(one) => {
                        Bound::new(py, tensor::Parameter(one.clone()))?.into_any()
                    }
                };
                parts.append((path, part))?;
            }
            self.0.running.call1(py, (given, parts))
        })?;
        Ok(Rc::new(Running { eager: self.clone(), running }))
    }
}

/// A value as an object of Python.
pub(crate) fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Real(value) => value.into_pyobject(py)?.into_any(),
        Value::Boolean(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Text(value) => value.into_pyobject(py)?.into_any(),
        Value::Integers(values) => values.into_pyobject(py)?.into_any(),
        Value::Reals(values) => values.into_pyobject(py)?.into_any(),
        Value::Texts(values) => values.into_pyobject(py)?.into_any(),
    })
}

/// A plan of the class with arguments and members.
struct Running {
    eager: Eager,
    running: Py<PyAny>,
}

impl Functions for Running {
    fn call(&self, role: Role, names: &[String], batch: &Batch) -> Result<Vec<Tensor>> {
        let graph = &self.eager.0.decoded;
        self.eager.attach(|py| {
            let (inputs, targets) = (PyDict::new(py), PyDict::new(py));
            for input in &graph.inputs {
                inputs.set_item(&input.name, tensor::Tensor(batch.input(&input.name)))?;
            }
            if role != Role::Predict {
                for target in &graph.targets {
                    targets.set_item(&target.name, tensor::Tensor(batch.target(&target.name)))?;
                }
            }
            let call = |given| self.running.call_method1(py, "call", given);
            let given = (role.name(), names.to_vec(), inputs, targets);
            let made = tensor::recording(|| call(given))?;
            let made: Vec<PyRef<'_, tensor::Tensor>> = made.extract(py)?;
            Ok(made.iter().map(|one| one.0.clone()).collect())
        })
    }
}
