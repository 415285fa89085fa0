//! What operations are told beside their inputs.

/// A function of each element by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `-x`.
    Neg,
    /// `e^x`.
    Exp,
    /// The natural logarithm.
    Ln,
    /// The square root.
    Sqrt,
    /// `1 / √x`.
    Rsqrt,
    /// `1 / x`.
    Reciprocal,
    /// `x²`.
    Square,
    /// `|x|`.
    Abs,
    /// -1, 0 or 1.
    Sign,
    /// `x + c`.
    AddScalar(f64),
    /// `x · c`.
    MulScalar(f64),
    /// `x^c`.
    PowScalar(f64),
    /// At least the first, at most the second; NaN stays.
    Clamp(f64, f64),
    /// `max(x, 0)`.
    Relu,
    /// `x`, or slope times `x` below 0.
    LeakyRelu(f64),
    /// `x`, or `alpha (e^x - 1)` below 0.
    Elu(f64),
    /// `x/2 (1 + erf(x/√2))`.
    Gelu,
    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
}

impl Unary {
    /// Whether the slope is computed from the output instead of the input.
    #[must_use]
    pub fn slope_of_output(self) -> bool {
        matches!(
            self,
            Self::Exp
                | Self::Sqrt
                | Self::Rsqrt
                | Self::Reciprocal
                | Self::Relu
                | Self::Sigmoid
                | Self::Tanh
        )
    }
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// `a^b`.
    Pow,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    /// Binary cross entropy of the logit `a` and the target `b`.
    Bce,
    /// Huber's loss of `a - b`, quadratic up to this size.
    Huber(f64),
    /// `b (ln b - a)`, 0 where `b` is 0: relative entropy with log-probabilities `a`.
    Kl,
}

/// Which input of a [`Binary`] function a slope belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first input.
    Left,
    /// The second input.
    Right,
}

/// A comparison; false with NaN, but for `NotEqual`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `a = b`.
    Equal,
    /// `a ≠ b`.
    NotEqual,
    /// `a < b`.
    Less,
    /// `a ≤ b`.
    LessEqual,
    /// `a > b`.
    Greater,
    /// `a ≥ b`.
    GreaterEqual,
}

/// Many elements to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum, as [`kernels::reduction::sum`](crate::kernels::reduction::sum); axes that do not lie
    /// side by side are summed one group after the other, the last one first. 0 of none.
    Sum,
    /// The sum over the count.
    Mean,
    /// The largest; NaN if one is.
    Max,
    /// The smallest; NaN if one is.
    Min,
    /// `ln Σ e^x`.
    LogSumExp,
}

/// How a kernel moves over up to three axes. Entries beyond the axes that there are do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From one window to the next; at least 1.
    pub stride: [u32; 3],
    /// Zeros before and after.
    pub padding: [u32; 3],
    /// From one element of the kernel to the next; at least 1.
    pub dilation: [u32; 3],
    /// Groups of channels that have nothing to do with each other; at least 1.
    pub groups: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { stride: [1; 3], padding: [0; 3], dilation: [1; 3], groups: 1 }
    }
}

/// The windows of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Windows of one size at equal distances.
    Strided {
        /// Elements of a window along each axis.
        kernel: [u32; 3],
        /// From one window to the next; at least 1.
        stride: [u32; 3],
        /// What is before and after: no elements for a maximum, zeros for a mean.
        padding: [u32; 3],
    },
    /// So many windows along each axis that cover it evenly, as PyTorch's adaptive pooling.
    Adaptive([u32; 3]),
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest; the first of equals.
    Max,
    /// The mean; `true` if zeros of the padding are counted.
    Mean(bool),
}

/// The losses of an operation to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// One for each row.
    None,
    /// Their sum.
    Sum,
    /// Their mean, by the weights of the classes.
    Mean,
}

/// A loss of scores against classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLoss {
    /// Whether the scores are log-probabilities already.
    pub is_log: bool,
    /// A class that does not count.
    pub ignored: Option<i64>,
    /// What becomes of the losses of rows.
    pub reduction: Reduction,
}

impl Unary {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Neg => "neg",
            Self::Exp => "exp",
            Self::Ln => "ln",
            Self::Sqrt => "sqrt",
            Self::Rsqrt => "rsqrt",
            Self::Reciprocal => "reciprocal",
            Self::Square => "square",
            Self::Abs => "abs",
            Self::Sign => "sign",
            Self::AddScalar(_) => "add",
            Self::MulScalar(_) => "mul",
            Self::PowScalar(_) => "pow",
            Self::Clamp(..) => "clamp",
            Self::Relu => "relu",
            Self::LeakyRelu(_) => "leaky relu",
            Self::Elu(_) => "elu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu with tanh",
            Self::Silu => "silu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
        }
    }
}

impl Binary {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Pow => "pow",
            Self::Max => "maximum",
            Self::Min => "minimum",
            Self::Bce => "binary cross entropy",
            Self::Huber(_) => "huber",
            Self::Kl => "relative entropy",
        }
    }
}
