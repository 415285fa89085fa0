//! Scores of parameters on held-out rows: the plan's own metrics, and the host's own, from its
//! predictions.

use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Evaluation};
use fedwasm_sandbox::{Cancel, DataFacts, Declaration, Described, Session, Task};

use crate::Error;
use crate::examples::Examples;
use crate::layout::{Layout, PartKind};
use crate::loader::{Recorder, TestLoader};
use crate::metrics::{Labels, Scores};
use crate::report::{bad, check_names, check_rows};
use crate::round::session;

/// The most rows of a dataset that is not in memory whose predictions are kept
/// at once.
const PREDICTED_ROWS_MAX: u64 = 1 << 18;

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
    score(&session, &examples, params.clone(), 0, cancel)
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
    let mut metrics = report.metrics;
    let wanted = standard(&source.converter().layout);
    if let (false, Some(mut scores)) = (matches!(plan.metadata().task, Task::Other(_)), wanted) {
        for piece in source.pieces(PREDICTED_ROWS_MAX) {
            let given = piece.n_rows();
            if given == 0 {
                continue;
            }
            let (loader, targets) = Recorder::new(TestLoader::new(piece, batch_size));
            let said = session.predict(params.clone(), seed, Box::new(loader), cancel)?;
            all(said.rows, given)?;
            let targets = targets.take(matches!(scores, Scores::Classes(_)));
            scores.add(&said.predictions, &targets).map_err(|error| bad(plan, error))?;
        }
        // The host's own numbers win over a plan that uses their names.
        metrics.extend(scores.finish());
    }
    Ok(Evaluation { n_rows, metrics })
}

/// The targets of a plan in the form that metrics use: one class, or reals that are joined in the
/// order of the plan's targets. Others have no standard metrics.
fn standard(layout: &Layout) -> Option<Scores> {
    match &layout.targets[..] {
        [target] if target.kind == PartKind::Class => Some(Scores::Classes(Labels::default())),
        targets if targets.iter().any(|target| target.kind != PartKind::Real) => None,
        [] => None,
        targets => Some(Scores::reals(targets.iter().map(|target| target.width).sum())),
    }
}
