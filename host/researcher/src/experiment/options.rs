//! The inputs of an experiment beside its file.

use std::path::PathBuf;

use fedwasm_artifact::Component;
use fedwasm_params::Params;
use fedwasm_sandbox::Sandbox;

use crate::ExperimentFile;

/// The inputs of an experiment beside its file.
#[derive(Clone, Debug)]
pub struct ExperimentOptions {
    /// The contents of `experiment.toml`.
    pub file: ExperimentFile,
    /// The plan.
    pub component: Component,
    /// Its signatures, Sigstore bundles as JSON.
    pub signatures: Vec<Vec<u8>>,
    /// Where the researcher asks it for its shapes and initial parameters.
    pub sandbox: Sandbox,
    /// Where all randomness comes from; a breakpoint's own wins.
    pub random_seed: u64,
    /// Where files go; none are written if none.
    pub out: Option<PathBuf>,
    /// Whether to resume from the newest breakpoint in `out`, if there is one.
    pub resume: bool,
    /// Whether training arguments, aggregator and strategy may be others than those of the
    /// breakpoint; each that is goes into the history.
    pub change: bool,
    /// Whether to write over the results of an earlier run in `out`.
    pub force: bool,
    /// The parameters that the first round starts from, instead of those in the file that `file`
    /// names; drawn by the plan if there are neither.
    pub params: Option<Params>,
}
