//! Parameters, whose elements NumPy sees without a copy.

use std::path::PathBuf;

use fedwasm_params::{DType, Tensor, mpk};
use fedwasm_record::{load_params, params_digest};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::failure::{mistake, raised};

/// Named tensors. Cheap to clone: clones share their elements.
#[pyclass(module = "fedwasm._native", frozen, from_py_object)]
#[derive(Clone)]
pub(crate) struct Params(pub(crate) fedwasm_params::Params);

/// The elements of a tensor, read-only.
#[pyclass(module = "fedwasm._native", frozen)]
pub(crate) struct Array(Tensor);

/// An element type in NumPy's letters; NumPy has no bfloat16.
fn letters(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Boolean => "|b1",
        DType::UInt8 => "|u1",
        DType::Int8 => "|i1",
        DType::Int16 => "<i2",
        DType::Int32 => "<i4",
        DType::Int64 => "<i8",
        DType::Float16 => "<f2",
        DType::Float32 => "<f4",
        DType::Float64 => "<f8",
        DType::BFloat16 => return None,
    })
}

#[pymethods]
impl Array {
    /// What `numpy.asarray` reads: the array that it makes is read-only, and keeps this object.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Self(tensor) = self;
        let dtype = tensor.dtype();
        let letters = letters(dtype)
            .ok_or_else(|| mistake(format!("NumPy has no element type {}", dtype.name())))?;
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", PyTuple::new(py, tensor.shape())?)?;
        interface.set_item("typestr", letters)?;
        interface.set_item("data", (tensor.data().as_ptr() as usize, true))?;
        Ok(interface)
    }
}

#[pymethods]
impl Params {
    /// Makes parameters of (name, element type, shape, little-endian bytes).
    #[new]
    fn new(tensors: Vec<(String, String, Vec<u64>, Vec<u8>)>) -> PyResult<Self> {
        let tensor = |(name, dtype, shape, bytes): (String, String, Vec<u64>, Vec<u8>)| {
            let Some(dtype) = DType::from_name(&dtype) else {
                return Err(mistake(format!("`{name}` has the element type {dtype}")));
            };
            let tensor = Tensor::new(dtype, shape, bytes);
            let tensor = tensor.map_err(|error| mistake(format!("`{name}`: {error}")))?;
            Ok((name, tensor))
        };
        let tensors = tensors.into_iter().map(tensor).collect::<PyResult<_>>()?;
        fedwasm_params::Params::new(tensors).map(Self).map_err(mistake)
    }

    /// Reads a file: safetensors by its name, otherwise Fed-BioMed's .mpk.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| load_params(&path)).map(Self).map_err(raised)
    }

    /// Writes a file: safetensors by its name, otherwise Fed-BioMed's .mpk.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| {
            let bytes = match path.extension().is_some_and(|ext| ext == "safetensors") {
                true => params_digest(&self.0).map_err(raised)?.1,
                false => mpk::write_params("fedwasm", &self.0).map_err(mistake)?,
            };
            fedwasm_folder::write_file(&path, &bytes).map_err(raised)
        })
    }

    /// The SHA-256 of their safetensors bytes.
    #[getter]
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| params_digest(&self.0)).map(|(digest, _)| digest.to_string()).map_err(raised)
    }

    /// Bytes of all elements.
    #[getter]
    fn n_bytes(&self) -> usize {
        self.0.iter().map(|(_, tensor)| tensor.data().len()).sum()
    }

    /// Their names, in order.
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name).collect()
    }

    fn __getitem__(&self, name: &str) -> PyResult<Array> {
        let tensor = self.0.tensor(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        Ok(Array(tensor.clone()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}
