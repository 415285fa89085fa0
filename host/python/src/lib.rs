//! The module `fedwasm._native`: the rooms of the host, for the package `fedwasm` of Python.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "Python reads the stubs in fedwasm/_native.pyi; errors are exceptions of fedwasm.errors"
)]

mod contract;
mod drive;
mod eager;
mod tensor;
mod trace;

use pyo3::prelude::*;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::eager::PyPlan;

    #[pymodule_export]
    use crate::tensor::{Mistake, Module, Parameter, Tensor, begin, call, is_training};

    #[pymodule_export]
    use crate::trace::{encode, graph_text, inspect, number, splice};

    #[pymodule_export]
    use super::drive::{Array, Component, LocalJob, LocalResult, Params, PyExperiment, PyJob};
    #[pymodule_export]
    use super::drive::{Predictions, PyModel};
    #[pymodule_export]
    use super::drive::{
        compare, compare_svg, evaluate, history_svg, lines_svg, load_history, nodes, score_report,
        statistics,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::start_logging();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Warnings go to standard error, such as protections of plans that this machine lacks and lost
/// connections. `FEDWASM_LOG` sets the level.
fn start_logging() {
    let level = std::env::var("FEDWASM_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing::Level::WARN);
    let filter = Targets::new().with_default(tracing::Level::WARN).with_target("fedwasm", level);
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // A program that embeds Python may have its own.
    let _ = tracing_subscriber::registry().with(format.with_ansi(false)).with(filter).try_init();
}
