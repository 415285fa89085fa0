//! Parameters, and modules of the table of modules.

use fedwasm_graph::ModuleKind;
use fedwasm_sdk::{Init, Module as _, Random};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Tensor, noting, raised, values_of};

/// A parameter of the SDK.
#[pyclass(unsendable, module = "fedwasm._native")]
pub(crate) struct Parameter(pub(crate) fedwasm_sdk::Parameter);

#[pymethods]
impl Parameter {
    /// A parameter that starts from one value (`full`), U(-scale, scale) (`uniform`), or the normal
    /// distribution around 0 with this deviation (`normal`). It has no value before it is drawn.
    #[new]
    fn new(shape: Vec<usize>, kind: &str, scale: f64, is_buffer: bool) -> PyResult<Self> {
        let init = match kind {
            "full" => Init::Full(scale),
            "uniform" => Init::Uniform(scale),
            "normal" => Init::Normal(scale),
            other => return Err(PyValueError::new_err(format!("there is no start `{other}`"))),
        };
        noting(|| match is_buffer {
            true => fedwasm_sdk::Parameter::buffer(&shape, init),
            false => fedwasm_sdk::Parameter::new(&shape, init),
        })
        .map(Self)
    }

    /// The sizes of the axes.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.0.shape()
    }

    /// Whether no gradient moves it.
    #[getter]
    fn is_buffer(&self) -> bool {
        self.0.is_buffer()
    }

    /// What it is now.
    fn tensor(&self) -> PyResult<Tensor> {
        noting(|| self.0.tensor()).map(Tensor)
    }

    /// Replaces its value.
    fn set(&self, value: &Tensor) -> PyResult<()> {
        noting(|| self.0.set(&value.0))
    }

    /// Draws its first value.
    fn draw(&self) -> PyResult<()> {
        noting(|| self.0.draw(&mut Random::new()))?.map_err(|mistake| raised(&mistake))
    }

    /// Leaves it as it is.
    fn freeze(&self) {
        self.0.freeze();
    }

    /// Keeps it at the node.
    fn keep_local(&self) {
        self.0.keep_local();
    }
}

/// A module of the SDK.
#[pyclass(unsendable, module = "fedwasm._native")]
pub(crate) struct Module(pub(crate) std::rc::Rc<dyn fedwasm_interpreter::Callable>);

#[pymethods]
impl Module {
    /// A module of the table with attributes by name.
    #[new]
    fn new(kind: &str, attributes: &Bound<'_, PyDict>) -> PyResult<Self> {
        let kind = ModuleKind::by_name(kind)
            .ok_or_else(|| PyValueError::new_err(format!("there is no module `{kind}`")))?;
        let values = values_of(kind.signature(), attributes)?;
        let made = noting(|| fedwasm_interpreter::module(kind, &values))?;
        Ok(Self(made.map_err(|mistake| raised(&mistake))?.into()))
    }

    /// Its parameters by name.
    fn parameters(&self) -> Vec<(String, Parameter)> {
        let all = self.0.parameters().into_iter();
        all.map(|(name, parameter)| (name, Parameter(parameter))).collect()
    }

    /// Calls it.
    fn call(&self, tensors: Vec<PyRef<'_, Tensor>>) -> PyResult<Vec<Tensor>> {
        let tensors: Vec<fedwasm_sdk::Tensor> = tensors.iter().map(|one| one.0.clone()).collect();
        let tensors: Vec<&fedwasm_sdk::Tensor> = tensors.iter().collect();
        let made = noting(|| self.0.call(&tensors))?.map_err(|mistake| raised(&mistake))?;
        Ok(made.into_iter().map(Tensor).collect())
    }

    /// Draws the first values of its parameters.
    fn draw(&self) -> PyResult<()> {
        noting(|| self.0.draw(&mut Random::new()))?.map_err(|mistake| raised(&mistake))
    }

    /// Leaves it as it is.
    fn freeze(&self) {
        self.0.freeze();
    }

    /// Keeps its parameters at the node.
    fn keep_local(&self) {
        self.0.keep_local();
    }
}
