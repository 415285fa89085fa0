//! Errors of the rooms as exceptions of `fedwasm.errors`.

use fedwasm_explain::{Explained, Kind};
use pyo3::prelude::*;

/// The exception of a failure.
pub(crate) fn raised(error: impl Into<Explained>) -> PyErr {
    let Explained { kind, message, place, help, file, .. } = error.into();
    let message = match &file {
        // Its lines are those of a text that the caller never saw.
        Some(file) => {
            let found: Vec<&str> = file.found().iter().map(|f| f.message.as_str()).collect();
            let more = match file.n_more() {
                0 => String::new(),
                n => format!("\n  and {n} more"),
            };
            match found[..] {
                [only] => only.to_owned(),
                _ => format!(
                    "{} mistakes:\n  {}{more}",
                    found.len() + file.n_more(),
                    found.join("\n  ")
                ),
            }
        }
        None => message,
    };
    let message = match place {
        Some(place) => format!("{message}\nat {place}"),
        None => message,
    };
    Python::attach(|py| {
        exception(py, kind, &message, help.as_deref()).unwrap_or_else(|error| error)
    })
}

/// A mistake of the caller.
pub(crate) fn mistake(message: impl std::fmt::Display) -> PyErr {
    raised(Explained::new(Kind::Usage, message))
}

fn exception(py: Python<'_>, kind: Kind, message: &str, help: Option<&str>) -> PyResult<PyErr> {
    let name = match kind {
        Kind::Failed => "Error",
        Kind::Usage => "ConfigurationError",
        Kind::PlanRefused => "PlanRefused",
        Kind::PlanFailed => "PlanFailed",
        Kind::Nodes => "NotEnoughNodes",
    };
    let class = py.import("fedwasm.errors")?.getattr(name)?;
    Ok(PyErr::from_value(class.call1((message, help))?))
}
