//! The operations: one enumeration for plans, the worker and traced graphs.
//!
//! An operation has attributes, some inputs and one output. Those whose names end in `Gradient`
//! exist for the derivatives of others.

mod attributes;

pub use attributes::*;

pub use crate::kernels::Sampling;
use crate::shape::{Axes, Dtype, RANK_MAX, Shape};

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// () -> `[shape]`: one value, rounded to the dtype; not 0 is true.
    Full {
        /// Of the output.
        shape: Shape,
        /// Of the output.
        dtype: Dtype,
        /// Of every element.
        value: f64,
    },
    /// () -> i64 `[len]`: 0, 1, 2, ...
    Range(u32),
    /// (x) -> the same shape in another dtype. Rounds to nearest even; to i64 towards 0.
    Cast(Dtype),
    /// (x) -> the same shape.
    Unary(Unary),
    /// (g, x or the output) -> g times the slope.
    UnaryGradient(Unary),
    /// (a, b), broadcast.
    Binary(Binary),
    /// (g, a, b), broadcast -> g times the slope of that side.
    BinaryGradient(Binary, Side),
    /// (a, b), broadcast -> bool.
    Compare(Compare),
    /// (condition, a, b), broadcast -> a where true, b elsewhere.
    Where,
    /// (x) -> without these axes, or with 1 for them if the flag is set.
    Reduce(Reduce, Axes, bool),
    /// (x) -> the mean square of the distance from the mean; the count is less by `correction`.
    Variance {
        /// Over these.
        axes: Axes,
        /// Whether they stay, with size 1.
        keep: bool,
        /// 0 or 1.
        correction: u32,
    },
    /// (x) -> i64: where the largest along the axis is, the first of equals or of NaNs.
    ArgMax {
        /// Along this one.
        axis: u32,
        /// Whether it stays, with size 1.
        keep: bool,
    },
    /// (a [.., m, k], b [.., k, n]) -> [.., m, n]; leading axes are broadcast.
    MatMul {
        /// Whether `a` is [.., k, m].
        left: bool,
        /// Whether `b` is [.., n, k].
        right: bool,
    },
    /// (x `[.., k]`, w `[n, k]`, maybe b `[n]`) -> `[.., n]`.
    Linear,
    /// (x `[n, c, ..]`, w `[f, c / groups, ..]`, maybe b `[f]`) -> `[n, f, ..]`: cross-correlation.
    Conv(Window),
    /// (x `[n, f, ..]`, w `[f, c / groups, ..]`, maybe b `[c]`) -> `[n, c, ..]`; the second is how much
    /// longer the output is after each axis.
    ConvTranspose(Window, [u32; 3]),
    /// (x [n, c, ..], g [n, f, ..]) -> [f, c / groups, kernel]: the gradient of the weights.
    ConvWeights(Window, [u32; 3]),
    /// (x [n, c, ..]) -> [n, c, windows].
    Pool(Pooling, Windows),
    /// (g, and for a maximum x) -> as x, whose sizes these are.
    PoolGradient(Pooling, Windows, [u32; 3]),
    /// (x [n, c, ..]) -> [n, c, sizes]: between the elements, along one to three axes.
    Resample(Sampling, [u32; 3]),
    /// (g) -> as the input of `Resample`, whose sizes these are.
    ResampleGradient(Sampling, [u32; 3]),
    /// (x) -> (x - mean) / √(variance + epsilon), over these axes.
    Normalise {
        /// Over these.
        axes: Axes,
        /// More than 0.
        epsilon: f64,
    },
    /// (g, x) -> the gradient of `Normalise`.
    NormaliseGradient {
        /// Over these.
        axes: Axes,
        /// More than 0.
        epsilon: f64,
    },
    /// (x) -> e^x over its sum along the axis.
    Softmax(u32),
    /// (g, output) -> the gradient of `Softmax`.
    SoftmaxGradient(u32),
    /// (x) -> the logarithm of `Softmax`.
    LogSoftmax(u32),
    /// (g, output) -> the gradient of `LogSoftmax`.
    LogSoftmaxGradient(u32),
    /// (table [n, ..], i64 indices) -> the shape of the indices, then that of a row.
    Embedding,
    /// (i64 indices, g) -> [n, ..]: adds each row of g to the row of its index.
    EmbeddingGradient(u32),
    /// (x, i64 indices) -> the shape of the indices; elements along the axis, as `torch.gather`.
    Gather(u32),
    /// (x, i64 indices, y) -> x with y added along the axis, as `torch.scatter_add`.
    ScatterAdd(u32),
    /// (one or more, alike but for the axis).
    Concat(u32),
    /// (x) -> so many elements along the axis.
    Slice {
        /// Along this one.
        axis: u32,
        /// The first.
        start: u32,
        /// How many.
        len: u32,
        /// From one to the next; at least 1.
        step: u32,
    },
    /// (g) -> what `Slice` started from, of this size; 0 elsewhere.
    SliceGradient {
        /// Along this one.
        axis: u32,
        /// The first.
        start: u32,
        /// The old size.
        size: u32,
        /// From one to the next; at least 1.
        step: u32,
    },
    /// (x) -> elements of one value before and after, along the axis.
    Pad {
        /// Along this one.
        axis: u32,
        /// How many before.
        before: u32,
        /// How many after.
        after: u32,
        /// Of each.
        value: f64,
    },
    /// (x) -> its axes in this order.
    Permute([u8; RANK_MAX]),
    /// (x) -> another shape of as many elements.
    Reshape(Shape),
    /// (x) -> broadcast to the shape.
    Expand(Shape),
    /// (x, bool mask) -> x / (1 - rate) where the mask is true, 0 elsewhere.
    Dropout(f64),
    /// (scores `[n, classes, ..]`, i64 classes `[n, ..]`, maybe weights `[classes]`).
    ClassLoss(ClassLoss),
    /// (g, scores, classes, maybe weights) -> the gradient of the scores.
    ClassLossGradient(ClassLoss),
}

/// The most inputs of an operation.
pub const INPUTS_MAX: usize = 64;

impl Op {
    /// The name, as it is in mistakes and graphs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Range(_) => "range",
            Self::Cast(_) => "cast",
            Self::Unary(f) => f.name(),
            Self::UnaryGradient(_) => "gradient of an element-wise function",
            Self::Binary(f) => f.name(),
            Self::BinaryGradient(..) => "gradient of a function of two",
            Self::Compare(_) => "comparison",
            Self::Where => "where",
            Self::Reduce(Reduce::Sum, ..) => "sum",
            Self::Reduce(Reduce::Mean, ..) => "mean",
            Self::Reduce(Reduce::Max, ..) => "max",
            Self::Reduce(Reduce::Min, ..) => "min",
            Self::Reduce(Reduce::LogSumExp, ..) => "log-sum-exp",
            Self::Variance { .. } => "variance",
            Self::ArgMax { .. } => "argmax",
            Self::MatMul { .. } => "matmul",
            Self::Linear => "linear",
            Self::Conv(_) => "convolution",
            Self::ConvTranspose(..) => "transposed convolution",
            Self::ConvWeights(..) => "weight gradient of a convolution",
            Self::Pool(Pooling::Max, _) => "max pooling",
            Self::Pool(Pooling::Mean(_), _) => "mean pooling",
            Self::PoolGradient(..) => "gradient of a pooling",
            Self::Resample(..) => "resampling",
            Self::ResampleGradient(..) => "gradient of a resampling",
            Self::Normalise { .. } => "normalisation",
            Self::NormaliseGradient { .. } => "gradient of a normalisation",
            Self::Softmax(_) => "softmax",
            Self::SoftmaxGradient(_) => "gradient of softmax",
            Self::LogSoftmax(_) => "log-softmax",
            Self::LogSoftmaxGradient(_) => "gradient of log-softmax",
            Self::Embedding => "embedding",
            Self::EmbeddingGradient(_) => "gradient of an embedding",
            Self::Gather(_) => "gather",
            Self::ScatterAdd(_) => "scatter-add",
            Self::Concat(_) => "concat",
            Self::Slice { .. } => "slice",
            Self::SliceGradient { .. } => "gradient of a slice",
            Self::Pad { .. } => "pad",
            Self::Permute(_) => "permute",
            Self::Reshape(_) => "reshape",
            Self::Expand(_) => "expand",
            Self::Dropout(_) => "dropout",
            Self::ClassLoss(ClassLoss { is_log: false, .. }) => "cross entropy",
            Self::ClassLoss(_) => "negative log likelihood",
            Self::ClassLossGradient(_) => "gradient of a loss of classes",
        }
    }
}
