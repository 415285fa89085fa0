//! Driving from Python: local jobs, experiments, nodes. Thin over `fedwasm-local` and
//! `fedwasm-researcher`: values of Python become the values that files in TOML give, and errors are
//! told in the words of the command line.

mod aggregator;
mod ask;
mod attend;
mod component;
mod experiment;
mod failure;
mod job;
mod local;
mod model;
mod params;
mod place;
mod slot;
mod values;

pub(crate) use ask::{
    compare, compare_svg, evaluate, history_svg, lines_svg, load_history, nodes, score_report,
    statistics,
};
pub(crate) use component::Component;
pub(crate) use experiment::PyExperiment;
pub(crate) use job::PyJob;
pub(crate) use local::{LocalJob, LocalResult};
pub(crate) use model::{Predictions, PyModel};
pub(crate) use params::{Array, Params};
