//! Where plans run.

use std::path::PathBuf;

use fedwasm_sandbox::{Error, Profile, Sandbox, WorkerOptions};

/// Workers of `program`, the one that the wheel carries. Without a cache they only start slower.
pub(crate) fn sandbox(program: PathBuf, is_strict: bool) -> Result<Sandbox, Error> {
    let options = WorkerOptions { program: Some(program), ..WorkerOptions::of_user() };
    let sandbox = match Sandbox::new(options.clone()) {
        Err(Error::Cache(_)) => Sandbox::new(WorkerOptions { cache: None, ..options }),
        result => result,
    };
    let profile = if is_strict { Profile::Strict } else { Profile::Standard };
    Ok(sandbox?.with_profile(profile))
}
