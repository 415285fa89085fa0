//! Reading of components from files.

use std::path::{Path, PathBuf};

use crate::{AdmissionError, COMPONENT_BYTES_MAX, Component};

/// Why a file is not a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It names a directory.
    #[error(
        "{} is a directory; build the component with `fedwasm plan build {}`",
        path.display(),
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The plan is not admitted.
    #[error("{}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: AdmissionError,
    },
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads and admits a component.
///
/// # Errors
/// [`LoadError`].
pub fn load_plan(path: &Path) -> Result<Component, LoadError> {
    if path.is_dir() {
        return Err(LoadError::Directory { path: path.to_owned() });
    }
    // One byte more than is admitted, so that admission refuses it.
    let bytes = fedwasm_folder::read_file(path, COMPONENT_BYTES_MAX + 1)?;
    Component::admit(bytes).map_err(|source| LoadError::Refused { path: path.to_owned(), source })
}
