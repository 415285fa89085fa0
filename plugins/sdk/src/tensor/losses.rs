//! Losses: one number, the mean over the batch unless said otherwise.

use fedwasm_compute::{Apply, Id, Mistake, Reduction, compose};

use super::{Tensor, apply};
use crate::Dtype;

/// Options of [`Tensor::cross_entropy_with`].
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// A weight for each class, shape `[classes]`.
    pub weights: Option<Tensor>,
    /// A class that does not count.
    pub ignored: Option<i64>,
    /// What becomes of the losses of rows.
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    /// None, none, and the mean.
    fn default() -> Self {
        Self { weights: None, ignored: None, reduction: Reduction::Mean }
    }
}

/// Targets like the outputs: classes are numbers, too, and those of shape [rows] stand for [rows, 1].
fn like(apply: &mut dyn Apply, outputs: Id, targets: Id) -> Result<Id, Mistake> {
    let (outputs, got) = (apply.kind(outputs)?, apply.kind(targets)?);
    if got.dtype != Dtype::I64 {
        return Ok(targets);
    }
    let targets = apply.apply(fedwasm_compute::Op::Cast(outputs.dtype), &[targets])?;
    let is_column = outputs.shape.rank() == got.shape.rank() + 1
        && outputs.shape.size_from_end(0) == 1
        && outputs.shape.len() == got.shape.len();
    if is_column {
        return apply.apply(fedwasm_compute::Op::Reshape(outputs.shape), &[targets]);
    }
    Ok(targets)
}

macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident $with:ident $loss:path;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[must_use]
            #[track_caller]
            pub fn $name(&self, targets: &Self) -> Self {
                self.$with(targets, Reduction::Mean)
            }

            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), "), with a \
                reduction.")]
            #[must_use]
            #[track_caller]
            pub fn $with(&self, targets: &Self, reduction: Reduction) -> Self {
                apply(&[self, targets], &mut |apply, ids| {
                    let targets = like(apply, ids[0], ids[1])?;
                    $loss(apply, ids[0], targets, reduction)
                })
            }
        )*}
    };
}

losses! {
    /// Binary cross entropy of logits against targets in [0, 1], as
    /// `torch.nn.functional.binary_cross_entropy_with_logits`.
    bce_with_logits bce_with_logits_with compose::bce_with_logits;
    /// The squared error, as `torch.nn.functional.mse_loss`.
    mse mse_with compose::mse;
    /// The absolute error, as `torch.nn.functional.l1_loss`.
    mae mae_with compose::mae;
    /// Relative entropy of log-probabilities against probabilities, as
    /// `torch.nn.functional.kl_div`; the mean is over rows (`batchmean`).
    kl kl_with compose::kl;
}

impl Tensor {
    /// Cross entropy of scores [rows, classes, ..] against int64 classes [rows, ..], as
    /// `torch.nn.functional.cross_entropy`.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy(&self, classes: &Self) -> Self {
        self.cross_entropy_with(classes, &CrossEntropy::default())
    }

    /// As [`cross_entropy`](Self::cross_entropy), with options.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy_with(&self, classes: &Self, options: &CrossEntropy) -> Self {
        self.class_loss(classes, options, compose::cross_entropy)
    }

    /// As [`cross_entropy`](Self::cross_entropy) of log-probabilities, as
    /// `torch.nn.functional.nll_loss`.
    #[must_use]
    #[track_caller]
    pub fn nll(&self, classes: &Self) -> Self {
        self.nll_with(classes, &CrossEntropy::default())
    }

    /// As [`nll`](Self::nll), with options.
    #[must_use]
    #[track_caller]
    pub fn nll_with(&self, classes: &Self, options: &CrossEntropy) -> Self {
        self.class_loss(classes, options, compose::nll)
    }

    #[track_caller]
    fn class_loss(&self, classes: &Self, options: &CrossEntropy, loss: ClassLoss) -> Self {
        let CrossEntropy { weights, ignored, reduction } = options;
        let mut inputs = vec![self, classes];
        inputs.extend(weights);
        apply(&inputs, &mut |apply, ids| {
            loss(apply, ids[0], ids[1], ids.get(2).copied(), *ignored, *reduction)
        })
    }

    /// Huber's loss, as `torch.nn.functional.huber_loss`: quadratic up to an error of `delta`.
    #[must_use]
    #[track_caller]
    pub fn huber(&self, targets: &Self, delta: f64) -> Self {
        self.huber_with(targets, delta, Reduction::Mean)
    }

    /// As [`huber`](Self::huber), with a reduction.
    #[must_use]
    #[track_caller]
    pub fn huber_with(&self, targets: &Self, delta: f64, reduction: Reduction) -> Self {
        apply(&[self, targets], &mut |apply, ids| {
            let targets = like(apply, ids[0], ids[1])?;
            compose::huber(apply, ids[0], targets, delta, reduction)
        })
    }

    /// The Dice loss of probabilities [rows, channels, ..] against targets of that shape: the mean
    /// over rows and channels of `1 - (2 Σ p t + smooth) / (Σ p + Σ t + smooth)`.
    #[must_use]
    #[track_caller]
    pub fn dice(&self, targets: &Self, smooth: f64) -> Self {
        apply(&[self, targets], &mut |apply, ids| compose::dice(apply, ids[0], ids[1], smooth))
    }
}

/// A loss of scores, classes, weights, an ignored class and a reduction.
type ClassLoss =
    fn(&mut dyn Apply, Id, Id, Option<Id>, Option<i64>, Reduction) -> Result<Id, Mistake>;
