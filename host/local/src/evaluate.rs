//! Scores of parameters on files.

use std::path::PathBuf;

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format, Renames, Volumes};
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, Evaluation};
use fedwasm_record::combine;
use fedwasm_sandbox::{Cancel, LimitArgs, Limits, Sandbox};
use fedwasm_training::{Examples, Preprocessing, facts};

use crate::Error;

/// The plan, the parameters and the data to score.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The plan.
    pub component: Component,
    /// Where the plan runs.
    pub sandbox: Sandbox,
    /// Limits instead of the standard ones.
    pub limits: LimitArgs,
    /// The parameters.
    pub params: Params,
    /// Which columns; `standardize` does not matter.
    pub data: DataArgs,
    /// Model arguments.
    pub model: Arguments,
    /// The format of the files; found by their content if none.
    pub format: Option<Format>,
    /// How their volumes are read.
    pub volumes: Volumes,
    /// The names of their columns, by those that the files have, where they differ.
    pub renames: Renames,
    /// The files, each with the scales of its columns. All rows are scored.
    pub parts: Vec<(PathBuf, Option<Preprocessing>)>,
}

/// Scores parameters on all rows of all files together. Blocks.
///
/// # Errors
/// [`Error`].
pub fn evaluate(options: &EvaluateOptions, cancel: &Cancel) -> Result<Evaluation, Error> {
    let limits = Limits::default().with(&options.limits);
    let plan = options.sandbox.with_cancel(cancel).describe(&options.component, limits)?;
    let mut evaluations = Vec::new();
    for (path, preprocessing) in &options.parts {
        let file = Dataset::open_with(path, options.format, &options.volumes)?;
        let file = file.renamed(&options.renames)?;
        let facts = facts(&file, &options.data, plan.metadata(), &options.model)?;
        let evaluation = fedwasm_training::evaluate(
            &plan,
            &options.model,
            &facts,
            &options.params,
            |declaration| {
                let data = &options.data;
                Examples::read_held_out(&file, data, &plan, declaration, preprocessing.as_ref())
            },
            cancel,
        )?;
        evaluations.push(evaluation);
    }
    let all: Vec<&Evaluation> = evaluations.iter().collect();
    combine(&all).ok_or_else(|| Error::Internal { reason: "the data have no rows to score".into() })
}
