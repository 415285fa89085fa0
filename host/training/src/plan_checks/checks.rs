//! The checks, in the order in which they run.

use fedwasm_params::Params;
use fedwasm_protocol::Arguments;
use fedwasm_sandbox::{Error, FaultKind, Outcome, Profile, Task, TensorSpec};

use super::CheckVerdict::{Failed, NotApplicable, Passed, Warned};
use super::{CheckVerdict, Suite, elements, gradient, n_classes, writes};
use crate::error::not_announced;

/// A check of a plan; a fault of the plan fails it.
pub(super) type Run = fn(&Suite) -> Result<CheckVerdict, Error>;

/// How far predictions of a row may differ between batches, relative to the largest.
const ROW_TOLERANCE: f64 = 1e-5;

/// The rounding error of a loss in float32, relative to it.
const LOSS_ROUNDING: f64 = 1e-5;

const INIT: &str = "initial parameters have the declared shapes and are finite";
const TRAINS: &str = "training gives finite parameters and counts its rows";
const CHANGES: &str = "training changes every trainable parameter";
const TWICE: &str = "the same seed trains to the same bytes";
const ONE_ROW: &str = "training takes a batch of one row";
const PREDICTS: &str = "predictions are finite, one line a row";
const VALIDATES: &str = "validation counts its rows and gives the same twice";

/// All checks: the promise that each tests, and those without which it would only tell again what
/// is known. They come before it.
pub(super) const ALL: &[(&str, Run, &[&str])] = &[
    ("the same arguments declare the same shapes", declares_twice, &[]),
    (INIT, init_is_finite, &[]),
    ("the same seed gives the same initial parameters", init_twice, &[INIT]),
    ("another seed gives other initial parameters", init_of_another_seed, &[INIT]),
    (TRAINS, train_counts, &[INIT]),
    (CHANGES, train_changes, &[TRAINS]),
    (TWICE, train_twice, &[TRAINS]),
    ("the strict profile trains to the same bytes", train_strict, &[TWICE]),
    ("training without rows changes nothing", train_without_rows, &[TRAINS]),
    (ONE_ROW, train_one_row, &[TRAINS]),
    ("training takes a short last batch", train_short_batch, &[ONE_ROW]),
    ("declared state and auxiliary variables are written", writes::check, &[TRAINS]),
    (PREDICTS, predicts, &[TRAINS]),
    ("predictions of a row do not depend on its batch", predicts_by_row, &[PREDICTS]),
    (VALIDATES, validates, &[INIT]),
    ("the gradient is that of the loss", gradient::check, &[CHANGES, VALIDATES]),
];

/// The check of another build of the plan.
pub(super) const TWIN: (&str, Run, &[&str]) =
    ("the other build gives the same bytes", twin_is_same, &[TWICE, PREDICTS]);

fn twin_is_same(suite: &Suite) -> Result<CheckVerdict, Error> {
    let Some(twin) = &suite.options.twin else {
        return Ok(NotApplicable("there is no other build".into()));
    };
    let twin = suite.session_of(twin, Profile::Standard, Arguments::new())?;
    if twin.declaration() != suite.session.declaration() {
        return Ok(Failed("its shapes are others".into()));
    }
    let (seed, batches) = (suite.options.random_seed, suite.batches());
    let model = suite.init(seed)?;
    if twin.init(fedwasm_protocol::seed::init(seed), &suite.cancel)? != model {
        return Ok(Failed("its initial parameters are others".into()));
    }
    let own = suite.train(seed, &batches)?;
    let other = suite.train_in(&twin, model, seed, &batches)?;
    if (&own.model, &own.aux_out, &own.state) != (&other.model, &other.aux_out, &other.state) {
        return Ok(Failed("training gives other parameters".into()));
    }
    let predicted = suite.predict_in(&twin, own.model.clone(), &batches)?.predictions;
    Ok(if suite.predict(own.model, &batches)?.predictions == predicted {
        Passed(twin.described().plan().to_string())
    } else {
        Failed("predictions are others".into())
    })
}

fn declares_twice(suite: &Suite) -> Result<CheckVerdict, Error> {
    let again = suite.other(Profile::Standard, Arguments::new())?;
    let (first, second) = (suite.session.declaration(), again.declaration());
    let same = first == second
        && suite.plan().metadata().arguments == again.described().metadata().arguments;
    let n = first.model.len();
    Ok(if same {
        Passed(format!("{n} parameters, {} bytes", fedwasm_sandbox::n_bytes(&first.model)))
    } else {
        Failed("two calls of `describe` and `declare` differ; both must be pure".into())
    })
}

fn init_is_finite(suite: &Suite) -> Result<CheckVerdict, Error> {
    let params = suite.init(suite.options.random_seed)?;
    Ok(finite(&params).unwrap_or_else(|| Passed(String::new())))
}

fn init_twice(suite: &Suite) -> Result<CheckVerdict, Error> {
    let [first, second] = [0, 0].map(|more| suite.init(suite.options.random_seed + more));
    Ok(same(&first?, &second?, "use only the randomness that the host provides"))
}

fn init_of_another_seed(suite: &Suite) -> Result<CheckVerdict, Error> {
    let seed = suite.options.random_seed;
    let other = suite.init(seed.wrapping_add(1))?;
    Ok(if suite.init(seed)? == other {
        NotApplicable("the initial parameters do not depend on the seed".into())
    } else {
        Passed(String::new())
    })
}

fn train_counts(suite: &Suite) -> Result<CheckVerdict, Error> {
    let outcome = suite.train(suite.options.random_seed, &suite.batches())?;
    for params in [&outcome.model, &outcome.aux_out, &outcome.state] {
        if let Some(failed) = finite(params) {
            return Ok(failed);
        }
    }
    let usage = outcome.usage;
    let (mib, max) = (usage.memory_bytes >> 20, suite.options.limits.memory_bytes_max >> 20);
    Ok(counted(&outcome, suite.n_rows()).unwrap_or_else(|| {
        Passed(format!("{mib} MiB of {max} MiB of memory, {} calls of the host", usage.host_calls))
    }))
}

fn train_changes(suite: &Suite) -> Result<CheckVerdict, Error> {
    let before = suite.init(suite.options.random_seed)?;
    let after = suite.train(suite.options.random_seed, &suite.batches())?.model;
    let stays = |spec: &&TensorSpec| before.tensor(&spec.name) == after.tensor(&spec.name);
    let model = &suite.session.declaration().model;
    let trainable = || model.iter().filter(|spec| spec.trainable);
    let left: Vec<&str> = trainable().filter(stays).map(|spec| spec.name.as_str()).collect();
    let (n, names) = (trainable().count(), left.join("`, `"));
    if left.is_empty() {
        return Ok(Passed(format!("{n} of {}", model.len())));
    }
    // A plan that changes no parameter learns nothing, regardless of its loss.
    let mut has_no_gradient = left.len() < n;
    for name in &left {
        has_no_gradient = has_no_gradient && !loss_depends_on(suite, &before, name)?;
    }
    Ok(if has_no_gradient {
        Warned(format!(
            "training left `{names}` as it was, and the loss of training does not depend on it \
             here: its gradient is 0"
        ))
    } else {
        Failed(format!(
            "training left `{names}` as it was; declare it as not trainable, or let its gradient \
             reach the optimizer"
        ))
    })
}

/// Whether the loss of one batch of training depends on a parameter, at these values. Some have
/// no influence by mathematics (a bias before a softmax or before a normalisation), some none here:
/// a unit that no row reaches. True if the plan reports no loss.
fn loss_depends_on(suite: &Suite, params: &Params, name: &str) -> Result<bool, Error> {
    let batch = suite.one_batch();
    let loss = |params: Params| -> Result<Option<f64>, Error> {
        let outcome = suite.train_in(&suite.session, params, suite.options.random_seed, &batch)?;
        Ok(elements::loss(&outcome))
    };
    let Some(at) = loss(params.clone())? else { return Ok(true) };
    // Each element by another amount, so that nothing cancels.
    let shift = |index: usize| [0.5, -0.25, 0.125, -0.375, 0.25][index % 5];
    let moved = |by: f64| loss(elements::shifted(params, name, |index| by * shift(index))?);
    let rounding = LOSS_ROUNDING * at.abs().max(1e-3);
    // Far away first; where that changes the loss, central differences must be 0.
    let mut is_sloping = false;
    for by in [1.0, 0.25, 0.0625] {
        let (Some(up), Some(down)) = (moved(by)?, moved(-by)?) else { return Ok(true) };
        if (up - at).abs().max((down - at).abs()) <= rounding {
            return Ok(false);
        }
        is_sloping |= by < 1.0 && (up - down).abs() > rounding;
    }
    Ok(is_sloping)
}

fn train_twice(suite: &Suite) -> Result<CheckVerdict, Error> {
    let train = || suite.train(suite.options.random_seed, &suite.batches());
    let (first, second) = (train()?, train()?);
    if first.report != second.report {
        return Ok(Failed(
            "two runs report different metrics; add them up in a fixed order".into(),
        ));
    }
    Ok(same_outcome(&first, &second, "two runs differ; the order of a map may be the cause"))
}

fn train_strict(suite: &Suite) -> Result<CheckVerdict, Error> {
    let strict = suite.other(Profile::Strict, Arguments::new())?;
    let seed = suite.options.random_seed;
    let (model, batches) = (suite.init(seed)?, suite.batches());
    let first = suite.train_in(&strict, model, seed, &batches)?;
    let hint = "NaNs with a payload reach the parameters";
    Ok(match same_outcome(&first, &suite.train(seed, &batches)?, hint) {
        Passed(_) => Passed(format!("{} units of fuel", first.usage.fuel.unwrap_or_default())),
        verdict => verdict,
    })
}

fn train_without_rows(suite: &Suite) -> Result<CheckVerdict, Error> {
    let outcome = suite.train(suite.options.random_seed, &[])?;
    if let Some(failed) = counted(&outcome, 0) {
        return Ok(failed);
    }
    let before = suite.init(suite.options.random_seed)?;
    Ok(same(&before, &outcome.model, "the batches held nothing to learn from"))
}

fn train_one_row(suite: &Suite) -> Result<CheckVerdict, Error> {
    if refuses_one_row(suite)? {
        let text = "it refuses a batch of one row, as batch normalisation must; where rows leave \
                    a last batch of one, set `loader_args = { drop_last = true }`";
        return Ok(Warned(text.into()));
    }
    trains_on(suite, &[1])
}

/// Whether the plan refuses a batch of one row, and trains on larger ones.
fn refuses_one_row(suite: &Suite) -> Result<bool, Error> {
    let seed = suite.options.random_seed;
    match suite.train(seed, &[1]) {
        Err(Error::Fault(fault)) if fault.kind == FaultKind::BadData => {
            Ok(suite.train(seed, &suite.batches()).is_ok())
        }
        outcome => outcome.map(|_| false),
    }
}

fn train_short_batch(suite: &Suite) -> Result<CheckVerdict, Error> {
    let n = suite.n_rows();
    match n {
        0 | 1 => Ok(NotApplicable("the data have one row only".into())),
        4.. if refuses_one_row(suite)? => trains_on(suite, &[n - 2, 2]),
        _ => trains_on(suite, &[n - 1, 1]),
    }
}

fn trains_on(suite: &Suite, batches: &[usize]) -> Result<CheckVerdict, Error> {
    let outcome = suite.train(suite.options.random_seed, batches)?;
    let failed = finite(&outcome.model).or_else(|| counted(&outcome, batches.iter().sum()));
    Ok(failed.unwrap_or_else(|| Passed(String::new())))
}

/// With the arguments as they are, and with each switch of the plan turned on: state and auxiliary
/// variables often hang on one.
fn predicts(suite: &Suite) -> Result<CheckVerdict, Error> {
    if let Task::Other(task) = &suite.plan().metadata().task {
        return Ok(NotApplicable(format!(
            "the task is `{task}`, whose predictions are not checked"
        )));
    }
    let trained = suite.train(suite.options.random_seed, &suite.batches())?.model;
    let scores = suite.predict(trained, &suite.batches())?.predictions;
    if scores.iter().any(|tensor| !tensor.is_finite()) {
        return Ok(Failed("a prediction is not finite".into()));
    }
    let columns: Vec<u64> =
        scores.iter().filter_map(|tensor| tensor.shape().get(1).copied()).collect();
    let Some(first) = columns.first().copied() else {
        return Ok(Failed("there are no predictions".into()));
    };
    if columns.iter().any(|n| *n != first) {
        return Ok(Failed(format!("batches have {columns:?} columns, not all the same")));
    }
    let n_classes = n_classes(&suite.session).filter(|n| *n != first && first != 1);
    Ok(match (suite.plan().metadata().task == Task::Classification, n_classes) {
        (true, Some(n)) => Failed(format!(
            "predictions have {first} columns for {n} classes; return one score for each class"
        )),
        _ => Passed(format!("[{}, {first}]", suite.n_rows())),
    })
}

fn predicts_by_row(suite: &Suite) -> Result<CheckVerdict, Error> {
    let model = suite.init(suite.options.random_seed)?;
    let flat = |batches: &[usize]| -> Result<Vec<f64>, Error> {
        let scores = suite.predict(model.clone(), batches)?.predictions;
        Ok(scores.iter().filter_map(|tensor| tensor.floats()).flatten().collect())
    };
    let (whole, single) = (flat(&[suite.n_rows()])?, flat(&vec![1; suite.n_rows()])?);
    let most = whole.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let apart = whole.iter().zip(&single).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let is_same = apart <= ROW_TOLERANCE * most.max(1e-30) && whole.len() == single.len();
    Ok(if !is_same {
        Failed(format!(
            "scores of a row alone and among others differ by {apart:.3e}; predict from the \
             parameters and the row, not from statistics of its batch"
        ))
    } else if apart == 0.0 {
        Passed("bit for bit".into())
    } else {
        Passed(format!("to {apart:.1e}"))
    })
}

fn validates(suite: &Suite) -> Result<CheckVerdict, Error> {
    let model = suite.init(suite.options.random_seed)?;
    let validate = || suite.validate(model.clone(), &suite.batches());
    let (first, second) = (validate()?, validate()?);
    if let Some(failed) = counted(&first, suite.n_rows()) {
        return Ok(failed);
    }
    if first.report != second.report {
        return Ok(Failed(
            "two validations of the same rows differ; `validate` must only compute scores".into(),
        ));
    }
    let metrics = first.report.map(|report| report.metrics).unwrap_or_default();
    let names: Vec<String> = metrics.into_keys().collect();
    let metadata = suite.session.described().metadata();
    if let Some(name) = names.iter().find(|name| !metadata.may_report(name)) {
        return Ok(Failed(not_announced(name)));
    }
    Ok(Passed(if names.is_empty() { "no metrics".into() } else { names.join(", ") }))
}

fn finite(params: &Params) -> Option<CheckVerdict> {
    let (name, _) = params.iter().find(|(_, tensor)| !tensor.is_finite())?;
    Some(Failed(format!("`{name}` is not finite")))
}

/// The plan must report as many rows as it was given.
fn counted(outcome: &Outcome, wanted: usize) -> Option<CheckVerdict> {
    let wanted = wanted as u64;
    let said = outcome.report.as_ref().map_or(0, |report| report.rows);
    match (outcome.rows == wanted, said == wanted) {
        (true, true) => None,
        (false, _) => Some(Failed(format!(
            "it took {} rows of {wanted}; read batches until the loader returns none",
            outcome.rows
        ))),
        (true, false) => Some(Failed(format!("it reports {said} rows, but it was given {wanted}"))),
    }
}

fn same(first: &Params, second: &Params, hint: &str) -> CheckVerdict {
    let differs = |(name, tensor): &(&str, _)| second.tensor(name) != Some(*tensor);
    match first.iter().find(differs) {
        None => Passed(String::new()),
        Some((name, _)) => Failed(format!("`{name}` differs; {hint}")),
    }
}

fn same_outcome(first: &Outcome, second: &Outcome, hint: &str) -> CheckVerdict {
    [
        (&first.model, &second.model),
        (&first.aux_out, &second.aux_out),
        (&first.state, &second.state),
    ]
    .into_iter()
    .map(|(first, second)| same(first, second, hint))
    .find(|verdict| matches!(verdict, Failed(_)))
    .unwrap_or_else(|| Passed(String::new()))
}
