//! Losses.

use super::{binary, mistake, reduce, reduce_all, unary};
use crate::apply::{Apply, Id};
use crate::error::{Mistake, Rule};
use crate::op::{Binary, ClassLoss, Op, Reduce, Reduction, Unary};

/// All losses, their sum or their mean.
fn reduced(apply: &mut dyn Apply, losses: Id, reduction: Reduction) -> Result<Id, Mistake> {
    match reduction {
        Reduction::None => Ok(losses),
        Reduction::Sum => reduce_all(apply, Reduce::Sum, losses),
        Reduction::Mean => reduce_all(apply, Reduce::Mean, losses),
    }
}

/// Outputs and targets of one shape.
fn alike(apply: &dyn Apply, name: &'static str, a: Id, b: Id) -> Result<(), Mistake> {
    if apply.kind(a)?.shape != apply.kind(b)?.shape {
        let rule = Rule::Sizes("targets must have the shape of the outputs");
        return Err(mistake(apply, name, &[a, b], rule));
    }
    Ok(())
}

/// Cross entropy of scores [n, classes, ..] against classes [n, ..], as
/// `torch.nn.functional.cross_entropy`: with a weight for each class and a class that does not
/// count, if they are there.
pub fn cross_entropy(
    apply: &mut dyn Apply,
    scores: Id,
    classes: Id,
    weights: Option<Id>,
    ignored: Option<i64>,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    let loss = ClassLoss { is_log: false, ignored, reduction };
    let all = [scores, classes, weights.unwrap_or_default()];
    apply.apply(Op::ClassLoss(loss), &all[..2 + usize::from(weights.is_some())])
}

/// As [`cross_entropy`] for log-probabilities, as `torch.nn.functional.nll_loss`.
pub fn nll(
    apply: &mut dyn Apply,
    log_probabilities: Id,
    classes: Id,
    weights: Option<Id>,
    ignored: Option<i64>,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    let loss = ClassLoss { is_log: true, ignored, reduction };
    let all = [log_probabilities, classes, weights.unwrap_or_default()];
    apply.apply(Op::ClassLoss(loss), &all[..2 + usize::from(weights.is_some())])
}

/// Binary cross entropy of logits against targets in [0, 1], as
/// `torch.nn.functional.binary_cross_entropy_with_logits`.
pub fn bce_with_logits(
    apply: &mut dyn Apply,
    logits: Id,
    targets: Id,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    alike(apply, "binary cross entropy", logits, targets)?;
    let losses = binary(apply, Binary::Bce, logits, targets)?;
    reduced(apply, losses, reduction)
}

/// The squared error, as `torch.nn.functional.mse_loss`.
pub fn mse(
    apply: &mut dyn Apply,
    outputs: Id,
    targets: Id,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    alike(apply, "squared error", outputs, targets)?;
    let errors = binary(apply, Binary::Sub, outputs, targets)?;
    let losses = unary(apply, Unary::Square, errors)?;
    reduced(apply, losses, reduction)
}

/// The absolute error, as `torch.nn.functional.l1_loss`.
pub fn mae(
    apply: &mut dyn Apply,
    outputs: Id,
    targets: Id,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    alike(apply, "absolute error", outputs, targets)?;
    let errors = binary(apply, Binary::Sub, outputs, targets)?;
    let losses = unary(apply, Unary::Abs, errors)?;
    reduced(apply, losses, reduction)
}

/// Huber's loss, as `torch.nn.functional.huber_loss`: quadratic up to an error of `delta`.
pub fn huber(
    apply: &mut dyn Apply,
    outputs: Id,
    targets: Id,
    delta: f64,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    alike(apply, "huber", outputs, targets)?;
    let losses = binary(apply, Binary::Huber(delta), outputs, targets)?;
    reduced(apply, losses, reduction)
}

/// Relative entropy of log-probabilities against probabilities, as `torch.nn.functional.kl_div`;
/// the mean is over rows (`batchmean`).
pub fn kl(
    apply: &mut dyn Apply,
    log_probabilities: Id,
    targets: Id,
    reduction: Reduction,
) -> Result<Id, Mistake> {
    alike(apply, "relative entropy", log_probabilities, targets)?;
    let losses = binary(apply, Binary::Kl, log_probabilities, targets)?;
    if reduction != Reduction::Mean {
        return reduced(apply, losses, reduction);
    }
    let rows = apply.kind(losses)?.shape.size(0) as f64;
    let sum = reduce_all(apply, Reduce::Sum, losses)?;
    unary(apply, Unary::MulScalar(1.0 / rows), sum)
}

/// The Dice loss of probabilities [n, channels, ..] against targets of that shape (Milletari,
/// Navab and Ahmadi 2016): the mean over rows and channels of
/// `1 - (2 Σ p t + smooth) / (Σ p + Σ t + smooth)`.
pub fn dice(
    apply: &mut dyn Apply,
    probabilities: Id,
    targets: Id,
    smooth: f64,
) -> Result<Id, Mistake> {
    alike(apply, "dice", probabilities, targets)?;
    let rank = apply.kind(probabilities)?.shape.rank();
    if rank < 3 {
        let rule = Rule::Rank("[n, channels] and one axis or more");
        return Err(mistake(apply, "dice", &[probabilities, targets], rule));
    }
    let axes: alloc::vec::Vec<usize> = (2..rank).collect();
    let both = binary(apply, Binary::Mul, probabilities, targets)?;
    let both = reduce(apply, Reduce::Sum, both, &axes, false)?;
    let both = unary(apply, Unary::MulScalar(2.0), both)?;
    let both = unary(apply, Unary::AddScalar(smooth), both)?;
    let left = reduce(apply, Reduce::Sum, probabilities, &axes, false)?;
    let right = reduce(apply, Reduce::Sum, targets, &axes, false)?;
    let all = binary(apply, Binary::Add, left, right)?;
    let all = unary(apply, Unary::AddScalar(smooth), all)?;
    let overlap = binary(apply, Binary::Div, both, all)?;
    let mean = reduce_all(apply, Reduce::Mean, overlap)?;
    let less = unary(apply, Unary::Neg, mean)?;
    unary(apply, Unary::AddScalar(1.0), less)
}
