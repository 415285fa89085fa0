//! Tensors and modules of the SDK for Python, in this process.

mod module;

use std::cell::Cell;

use fedwasm_graph::{FunctionKind, Signature, Value};
use fedwasm_sdk::{Dtype, PlanError, Source, native, no_grad};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

pub(crate) use module::{Module, Parameter};

create_exception!(
    fedwasm._native,
    Mistake,
    PyValueError,
    "A mistake that the library finds in a call."
);

/// In the place of a source, which Python knows.
const PLACE: &str = "python";

thread_local! {
    /// Whether operations are recorded, for gradients.
    static IS_RECORDING: Cell<bool> = const { Cell::new(false) };
}

/// Records operations while `f` runs, as the SDK says.
pub(crate) fn recording<T>(f: impl FnOnce() -> T) -> T {
    let before = IS_RECORDING.replace(true);
    let done = f();
    IS_RECORDING.set(before);
    done
}

/// Does something with the library, and raises its first mistake.
pub(crate) fn noting<T>(f: impl FnOnce() -> T) -> PyResult<T> {
    let source = Source { place: PLACE.into(), module: "".into() };
    let done = match IS_RECORDING.get() {
        true => source.within(f),
        false => source.within(|| no_grad(f)),
    };
    native::take_mistake().map_or(Ok(done), |mistake| Err(raised(&mistake)))
}

/// The mistake without the place, which Python knows better.
pub(crate) fn raised(mistake: &PlanError) -> PyErr {
    let text = match mistake {
        PlanError::Cancelled => "the round was called off",
        PlanError::InvalidArgument(text)
        | PlanError::BadData(text)
        | PlanError::NonFinite(text)
        | PlanError::Unsupported(text)
        | PlanError::Internal(text) => text,
    };
    let prefix = format!("{PLACE}: ");
    Mistake::new_err(text.strip_prefix(&prefix).unwrap_or(text).to_owned())
}

/// A tensor of the SDK.
#[pyclass(unsendable, module = "fedwasm._native")]
pub(crate) struct Tensor(pub(crate) fedwasm_sdk::Tensor);

#[pymethods]
impl Tensor {
    /// Of a contiguous NumPy array of float32, float64, int64 or bool.
    #[new]
    fn new(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        let dtype: String = array.getattr("dtype")?.getattr("name")?.extract()?;
        let bytes = bytes_of(array)?;
        let tensor = noting(|| match dtype.as_str() {
            "float32" => Some(of_bytes(&bytes, &shape, f32::from_le_bytes)),
            "float64" => Some(of_bytes(&bytes, &shape, f64::from_le_bytes)),
            "int64" => Some(of_bytes(&bytes, &shape, i64::from_le_bytes)),
            "bool" => Some(of_bytes(&bytes, &shape, |[byte]| byte != 0)),
            _ => None,
        })?;
        tensor.map(Self).ok_or_else(|| PyValueError::new_err(format!("a tensor of {dtype}")))
    }

    /// The type of the elements.
    #[getter]
    fn dtype(&self) -> &'static str {
        match self.0.dtype() {
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::I64 => "int64",
            Dtype::Bool => "bool",
        }
    }

    /// The sizes of the axes.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
        pyo3::types::PyTuple::new(py, self.0.shape())
    }

    /// Elements, row-major and little-endian.
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = noting(|| elements(&self.0))?.map_err(|mistake| raised(&mistake))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

fn elements(tensor: &fedwasm_sdk::Tensor) -> fedwasm_sdk::Result<Vec<u8>> {
    Ok(match tensor.dtype() {
        Dtype::F32 => tensor.to_vec::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        Dtype::F64 => tensor.to_vec::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
        Dtype::I64 => tensor.to_vec::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect(),
        Dtype::Bool => tensor.to_vec::<bool>()?.into_iter().map(u8::from).collect(),
    })
}

fn of_bytes<const N: usize, T: fedwasm_sdk::Element>(
    bytes: &[u8],
    shape: &[usize],
    read: fn([u8; N]) -> T,
) -> fedwasm_sdk::Tensor {
    let (elements, _) = bytes.as_chunks::<N>();
    let elements: Vec<T> = elements.iter().map(|element| read(*element)).collect();
    fedwasm_sdk::Tensor::from_slice(&elements, shape)
}

/// The bytes of a NumPy array, row-major.
pub(crate) fn bytes_of(array: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    array.call_method0("tobytes")?.extract()
}

/// Attributes by name in the order of the table, as values.
pub(crate) fn values_of(
    signature: &Signature,
    given: &Bound<'_, PyDict>,
) -> PyResult<Vec<Option<Value>>> {
    for name in given.keys() {
        let name: String = name.extract()?;
        if signature.attributes.iter().all(|one| one.name != name) {
            let text = format!("`{}` has no attribute `{name}`", signature.name);
            return Err(PyValueError::new_err(text));
        }
    }
    let mut values = Vec::new();
    for one in signature.attributes {
        let value = given.get_item(one.name)?;
        values.push(value.map(|value| crate::trace::plain(one.kind, &value)).transpose()?);
    }
    Ok(values)
}

/// Does a function of the table at once.
///
/// # Errors
/// [`Mistake`], in the words of the library.
#[pyfunction]
pub(crate) fn call(
    name: &str,
    tensors: Vec<PyRef<'_, Tensor>>,
    attributes: &Bound<'_, PyDict>,
) -> PyResult<Vec<Tensor>> {
    let kind = FunctionKind::by_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("there is no function `{name}`")))?;
    let values = values_of(kind.signature(), attributes)?;
    let tensors: Vec<fedwasm_sdk::Tensor> = tensors.iter().map(|one| one.0.clone()).collect();
    let tensors: Vec<&fedwasm_sdk::Tensor> = tensors.iter().collect();
    let made = noting(|| fedwasm_interpreter::call(kind, &tensors, &values))?;
    let made = made.map_err(|mistake| raised(&mistake))?;
    Ok(made.into_iter().map(Tensor).collect())
}

/// Forgets mistakes, and says whether modules compute as in training.
#[pyfunction]
pub(crate) fn begin(is_training: bool) {
    let _forgotten = native::take_mistake();
    native::set_training(is_training);
}

/// Whether modules compute as in training.
#[pyfunction]
pub(crate) fn is_training() -> bool {
    fedwasm_sdk::Mode::default().is_training()
}
