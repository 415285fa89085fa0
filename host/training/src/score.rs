//! Scores of parameters on held-out rows: the plan's own metrics, and the host's own, from its
//! predictions.

use std::collections::BTreeSet;

use fedwasm_params::{DType, Params};
use fedwasm_protocol::{Arguments, Evaluation, prefix};
use fedwasm_sandbox::{
    Cancel, DataFacts, DataSpec, Declaration, Described, Metadata, Session, Task,
};

use crate::Error;
use crate::examples::Examples;
use crate::foreign_params::fitted;
use crate::layout::{Layout, PartKind};
use crate::loader::{Piece, Recorder, Source, TestLoader};
use crate::metrics::{Scores, of_classes, of_masks, of_reals};
use crate::report::{bad, check_names, check_rows};
use crate::round::session;

/// The most rows whose predictions are kept at once.
const PREDICTED_ROWS_MAX: u64 = 1 << 18;
/// The most numbers of targets in these rows, if a row has several: as many predictions as a plan may
/// give in one call have 64 scores for each.
const PREDICTED_NUMBERS_MAX: u64 = 1 << 20;
/// The task of plans whose target is a mask.
const SEGMENTATION: &str = "segmentation";

/// The most outputs whose scores have names: a sum of scores takes fewer.
const OUTPUTS_MAX: u64 = 256;

/// Scores parameters on the held-out part, without training arguments.
///
/// # Errors
/// Any [`Error`].
pub fn evaluate(
    plan: &Described,
    model: &Arguments,
    facts: &DataFacts,
    params: &Params,
    read: impl FnOnce(&Declaration) -> Result<Examples, Error>,
    cancel: &Cancel,
) -> Result<Evaluation, Error> {
    let session = session(plan, model, facts)?;
    let examples = read(session.declaration())?;
    let params = fitted(session.declaration(), params.clone());
    let params = params.map_err(|source| Error::Tensors { what: "the parameters", source })?;
    score(&session, &examples, params, 0, cancel)
}

pub(crate) fn score(
    session: &Session,
    examples: &Examples,
    params: Params,
    batch_size: u32,
    cancel: &Cancel,
) -> Result<Evaluation, Error> {
    let source = &examples.test;
    let n_rows = source.n_rows();
    if n_rows == 0 {
        return Err(Error::NothingHeldOut);
    }
    // Scores must not depend on the researcher or the round: one seed for all.
    let seed = [0; 32];
    let plan = session.described();
    let all = |seen: u64, given: u64| {
        if seen == given {
            Ok(())
        } else {
            // A plan must not choose the rows that it is scored on.
            Err(bad(plan, format!("it read {seen} rows of {given}")))
        }
    };
    let loader = Box::new(TestLoader::new(source.clone(), batch_size));
    let own = session.validate(params.clone(), seed, loader, cancel)?;
    all(own.rows, n_rows)?;
    let report = check_rows(plan, own.report, own.rows)?;
    check_names(plan, &report)?;
    let (mut metrics, mut sums) = (report.metrics, None);
    if let Some(mut scores) = standard(&plan.metadata().task, &source.converter().layout) {
        for piece in pieces(source, session.declaration()) {
            let given = piece.n_rows();
            let (loader, targets) = Recorder::new(TestLoader::of(piece, batch_size));
            let said = session.predict(params.clone(), seed, Box::new(loader), cancel)?;
            all(said.rows, given)?;
            let targets = targets.take(scores.kind());
            scores.add(&said.predictions, &targets).map_err(|error| bad(plan, error))?;
        }
        // The host's own numbers win over a plan that uses their names.
        let (own, of_rows) = scores.finish();
        metrics.extend(own);
        sums = of_rows;
    }
    Ok(Evaluation { n_rows, metrics, sums })
}

/// Cuts a part into pieces whose predictions fit into memory.
pub(crate) fn pieces(source: &Source, declaration: &Declaration) -> Vec<Piece> {
    let width = |spec: &DataSpec| spec.shape.iter().fold(1, |n: u64, axis| n.saturating_mul(*axis));
    let widest = declaration.targets.iter().map(width).max().unwrap_or(1).max(1);
    source.pieces(PREDICTED_ROWS_MAX.min(PREDICTED_NUMBERS_MAX / widest).max(1))
}

/// The names of all scores that a plan and the host can give, in ascending order: what sums of
/// scores are agreed upon before a row is scored. A node may lack some of them.
pub fn score_names(plan: &Metadata, declaration: &Declaration) -> Vec<String> {
    let own = plan.reported().filter(|name| !name.starts_with(prefix::OPTIMIZER));
    let mut names: BTreeSet<String> = own.map(str::to_owned).collect();
    let targets = &declaration.targets;
    let is_class = |spec: &DataSpec| spec.dtype == DType::Int64 && spec.shape.is_empty();
    match &targets[..] {
        [target] if is_segmentation(&plan.task) && is_mask(target) => names.extend(of_masks()),
        _ if matches!(plan.task, Task::Other(_)) => {}
        [target] if is_class(target) => names.extend(of_classes()),
        targets if targets.iter().all(|target| target.dtype == DType::Float32) => {
            let width = |spec: &DataSpec| spec.shape.iter().product::<u64>();
            // Shapes are bounded where they are declared.
            let n = targets.iter().map(width).fold(0, u64::saturating_add);
            names.extend(of_reals(n.min(OUTPUTS_MAX) as usize));
        }
        _ => {}
    }
    names.into_iter().collect()
}

fn is_segmentation(task: &Task) -> bool {
    matches!(task, Task::Other(name) if name == SEGMENTATION)
}

fn is_mask(spec: &DataSpec) -> bool {
    spec.dtype == DType::Int64 && !spec.shape.is_empty()
}

/// The targets of a plan in the form that metrics use: one class, reals that are joined in the order
/// of the plan's targets, or one mask. Others have no standard metrics.
fn standard(task: &Task, layout: &Layout) -> Option<Scores> {
    match &layout.targets[..] {
        [target] if is_segmentation(task) && target.kind == PartKind::Whole => {
            Some(Scores::masks(target.width))
        }
        _ if matches!(task, Task::Other(_)) => None,
        [target] if target.kind == PartKind::Class => Some(Scores::classes()),
        targets if targets.iter().any(|target| target.kind != PartKind::Real) => None,
        [] => None,
        targets => Some(Scores::reals(targets.iter().map(|target| target.width).sum())),
    }
}
