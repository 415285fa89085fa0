//! The start of a local run.

use std::path::{Path, PathBuf};

use fedwasm_params::Params;
use fedwasm_record::{load_init, load_params};

use crate::command_error::CommandError;

/// The parameters that a run starts from.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Parameters to start from (.mpk or .safetensors) [default: the plan's initial parameters].
    #[arg(long)]
    params: Option<PathBuf>,
    /// A model of an earlier run, or a file of parameters, to start from [default: `init` in
    /// --args].
    #[arg(long, value_name = "MODEL", conflicts_with = "params")]
    init: Option<PathBuf>,
    /// The parameters that start so, such as `net.0.*`; the plan draws the others [default: those
    /// of `init_only` in --args, or all].
    #[arg(long, value_name = "PATTERN", requires = "init")]
    init_only: Vec<String>,
}

impl Start {
    /// The parameters, and the patterns of those that start so: of the flags, or of the file.
    pub(crate) fn params(
        &self,
        init: Option<&Path>,
        init_only: Vec<String>,
    ) -> Result<(Option<Params>, Vec<String>), CommandError> {
        Ok(match (&self.params, &self.init, init) {
            (Some(params), ..) => (Some(load_params(params)?), Vec::new()),
            (None, Some(init), _) => (Some(load_init(init)?.0), self.init_only.clone()),
            (None, None, Some(init)) => (Some(load_init(init)?.0), init_only),
            (None, None, None) => (None, Vec::new()),
        })
    }
}
