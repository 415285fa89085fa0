//! A plan as a component.

use std::path::{Path, PathBuf};

use fedwasm_artifact::LoadError;
use fedwasm_folder::read_file;
use fedwasm_trust::{BUNDLE_BYTES_MAX, bundles_beside};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::failure::raised;

/// A component that was admitted, with its signatures.
#[pyclass(module = "fedwasm._native", frozen)]
pub(crate) struct Component {
    pub(crate) component: fedwasm_artifact::Component,
    /// Sigstore bundles.
    pub(crate) signatures: Vec<Vec<u8>>,
    /// Where it was read from, or its name.
    pub(crate) label: PathBuf,
}

#[pymethods]
impl Component {
    /// Reads a component and the signatures beside it.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| {
            let component = fedwasm_artifact::load_plan(&path).map_err(raised)?;
            let mut signatures = Vec::new();
            for bundle in bundles_beside(&path).map_err(raised)? {
                signatures.push(read_file(&bundle, BUNDLE_BYTES_MAX).map_err(raised)?);
            }
            Ok(Self { component, signatures, label: path })
        })
    }

    /// Admits the bytes of a component, which errors call `label`.
    #[staticmethod]
    fn admit(py: Python<'_>, bytes: Vec<u8>, label: PathBuf) -> PyResult<Self> {
        let admitted = py.detach(|| fedwasm_artifact::Component::admit(bytes));
        let refused = |source| {
            let path = label.clone();
            raised(LoadError::Refused { path, source })
        };
        let component = admitted.map_err(refused)?;
        Ok(Self { component, signatures: Vec::new(), label })
    }

    /// The SHA-256 of its bytes.
    #[getter]
    fn digest(&self) -> String {
        self.component.digest().to_string()
    }

    #[getter]
    fn label(&self) -> &Path {
        &self.label
    }

    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.component.bytes())
    }
}
