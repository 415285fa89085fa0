//! The functions that a graph can call: those of the SDK's tensors, under PyTorch's names.

use crate::table::AttrKind::{Flag, Integer, Integers, Real, Reals, Size, Sizes, Word};
use crate::table::{Attr, Signature, may, need, table};

/// What becomes of the losses of rows.
const REDUCTION: Attr = may("reduction", Word(&["mean", "sum", "none"]));
const DTYPE: Attr = may("dtype", DTYPES);
const DTYPES: crate::AttrKind = Word(&["float32", "float64", "int64", "bool"]);
const DIM: Attr = need("dim", Integer);
/// All axes if there is none.
const DIMS: Attr = may("dim", Integers);
const KEEP: Attr = may("keepdim", Flag);
/// A number in the place of the first tensor.
const LEFT: Attr = may("left", Real);
/// A number in the place of the second tensor.
const RIGHT: Attr = may("right", Real);
const EPS: Attr = may("eps", Real);
const STRIDE: Attr = may("stride", Sizes);
const PADDING: Attr = may("padding", Sizes);
const DILATION: Attr = may("dilation", Sizes);
const LONGER: Attr = may("output_padding", Sizes);
const GROUPS: Attr = may("groups", Size);
const KERNEL: Attr = need("kernel_size", Sizes);
const COUNTS: Attr = may("count_include_pad", Flag);
const WINDOWS: Attr = need("output_size", Sizes);

table! {
    /// A function of tensors. Codes never change, and a code that is no longer used is not used again.
    FunctionKind {
        // Of each element.
        1 Exp "exp" 1..=1 => 1 [];
        2 Log "log" 1..=1 => 1 # "the natural logarithm" [];
        3 Sqrt "sqrt" 1..=1 => 1 [];
        4 Rsqrt "rsqrt" 1..=1 => 1 [];
        5 Reciprocal "reciprocal" 1..=1 => 1 [];
        6 Square "square" 1..=1 => 1 [];
        7 Abs "abs" 1..=1 => 1 [];
        8 Sign "sign" 1..=1 => 1 [];
        9 Neg "neg" 1..=1 => 1 [];
        10 Relu "relu" 1..=1 => 1 [];
        11 LeakyRelu "leaky_relu" 1..=1 => 1 [may("negative_slope", Real)];
        12 Elu "elu" 1..=1 => 1 [may("alpha", Real)];
        13 Gelu "gelu" 1..=1 => 1 [may("approximate", Word(&["none", "tanh"]))];
        14 Silu "silu" 1..=1 => 1 [];
        15 Sigmoid "sigmoid" 1..=1 => 1 [];
        16 Tanh "tanh" 1..=1 => 1 [];
        17 Softplus "softplus" 1..=1 => 1 [];
        18 Clamp "clamp" 1..=1 => 1 [may("min", Real), may("max", Real)];
        19 To "to" 1..=1 => 1 [need("dtype", DTYPES)];
        20 Detach "detach" 1..=1 => 1 # "the same, without gradients" [];
        21 Dropout "dropout" 1..=1 => 1 # "in training only" [may("p", Real)];
        22 LogicalNot "logical_not" 1..=1 => 1 [];

        // Of two: tensors, or a number on either side.
        30 Add "add" 1..=2 => 1 [LEFT, RIGHT];
        31 Sub "sub" 1..=2 => 1 [LEFT, RIGHT];
        32 Mul "mul" 1..=2 => 1 [LEFT, RIGHT];
        33 Div "div" 1..=2 => 1 [LEFT, RIGHT];
        34 Pow "pow" 1..=2 => 1 [LEFT, RIGHT];
        35 Maximum "maximum" 1..=2 => 1 [LEFT, RIGHT];
        36 Minimum "minimum" 1..=2 => 1 [LEFT, RIGHT];
        37 Eq "eq" 1..=2 => 1 [LEFT, RIGHT];
        38 Ne "ne" 1..=2 => 1 [LEFT, RIGHT];
        39 Lt "lt" 1..=2 => 1 [LEFT, RIGHT];
        40 Le "le" 1..=2 => 1 [LEFT, RIGHT];
        41 Gt "gt" 1..=2 => 1 [LEFT, RIGHT];
        42 Ge "ge" 1..=2 => 1 [LEFT, RIGHT];
        43 LogicalAnd "logical_and" 2..=2 => 1 [];
        44 LogicalOr "logical_or" 2..=2 => 1 [];
        45 Where "where" 1..=3 => 1 # "a condition, and tensors or numbers" [LEFT, RIGHT];

        // Many elements to one.
        50 Sum "sum" 1..=1 => 1 [DIMS, KEEP];
        51 Mean "mean" 1..=1 => 1 [DIMS, KEEP];
        52 Amax "amax" 1..=1 => 1 [DIMS, KEEP];
        53 Amin "amin" 1..=1 => 1 [DIMS, KEEP];
        54 Logsumexp "logsumexp" 1..=1 => 1 [DIMS, KEEP];
        55 Var "var" 1..=1 => 1 [DIMS, KEEP, may("correction", Size)];
        56 Argmax "argmax" 1..=1 => 1 [DIM];

        // Along axes.
        60 Softmax "softmax" 1..=1 => 1 [DIM];
        61 LogSoftmax "log_softmax" 1..=1 => 1 [DIM];
        62 Normalise "normalise" 1..=1 => 1 # "less the mean, over the deviation"
            [need("dim", Integers), EPS];
        63 LayerNorm "layer_norm" 1..=3 => 1 # "x, weight, bias" [need("normalized_shape", Sizes), EPS];
        64 GroupNorm "group_norm" 1..=3 => 1 # "x, weight, bias" [need("num_groups", Size), EPS];
        65 InstanceNorm "instance_norm" 1..=3 => 1 # "x, weight, bias" [EPS];
        66 BatchNorm "batch_norm" 3..=5 => 1 # "x, mean, variance, weight, bias: by given moments" [EPS];

        // Products.
        70 Matmul "matmul" 2..=2 => 1 [];
        71 Linear "linear" 2..=3 => 1 # "x, weight, bias" [];
        72 ScaledDotProductAttention "scaled_dot_product_attention" 3..=4 => 1
            # "queries, keys, values, mask"
            [may("dropout_p", Real), may("is_causal", Flag), may("scale", Real)];

        // What moves elements.
        80 Reshape "reshape" 1..=1 => 1 [need("shape", Integers)];
        81 Flatten "flatten" 1..=1 => 1 [may("start_dim", Integer)];
        82 Unsqueeze "unsqueeze" 1..=1 => 1 [DIM];
        83 Squeeze "squeeze" 1..=1 => 1 [DIM];
        84 Expand "expand" 1..=1 => 1 [need("shape", Sizes)];
        85 Permute "permute" 1..=1 => 1 [need("dims", Integers)];
        86 Transpose "transpose" 1..=1 => 1 [need("dim0", Integer), need("dim1", Integer)];
        87 Slice "slice" 1..=1 => 1
            [DIM, need("start", Size), need("length", Size), may("step", Size)];
        88 Select "select" 1..=1 => 1 [DIM, need("index", Size)];
        89 Split "split" 1..=1 => 0 [need("sizes", Sizes), DIM];
        90 Chunk "chunk" 1..=1 => 0 [need("chunks", Size), DIM];
        91 Pad "pad" 1..=1 => 1 # "before and after each of the last axes, the first of them first"
            [need("around", Sizes), may("value", Real)];
        92 Gather "gather" 2..=2 => 1 # "x, indices" [DIM];
        93 ScatterAdd "scatter_add" 3..=3 => 1 # "x, indices, addends" [DIM];
        94 Embedding "embedding" 2..=2 => 1 # "table, indices" [];
        95 Cat "cat" 1..=64 => 1 [DIM];
        96 Stack "stack" 1..=64 => 1 [DIM];

        // New tensors.
        100 Full "full" 0..=0 => 1 [need("shape", Sizes), need("value", Real), DTYPE];
        101 Zeros "zeros" 0..=0 => 1 [need("shape", Sizes), DTYPE];
        102 Ones "ones" 0..=0 => 1 [need("shape", Sizes), DTYPE];
        103 Arange "arange" 0..=0 => 1 # "0 to below the length, int64" [need("length", Size)];
        104 Constant "tensor" 0..=0 => 1 # "these elements"
            [need("elements", Reals), may("shape", Sizes), DTYPE];
        105 RandnLike "randn_like" 1..=1 => 1 # "normal draws of the host's randomness" [];
        106 RandLike "rand_like" 1..=1 => 1 # "draws from U(0, 1) of the host's randomness" [];

        // Losses of outputs and targets.
        110 CrossEntropy "cross_entropy" 2..=3 => 1 # "scores, classes, weights"
            [may("ignore_index", Integer), REDUCTION];
        111 NllLoss "nll_loss" 2..=3 => 1 # "log-probabilities, classes, weights"
            [may("ignore_index", Integer), REDUCTION];
        112 MseLoss "mse_loss" 2..=2 => 1 [REDUCTION];
        113 L1Loss "l1_loss" 2..=2 => 1 [REDUCTION];
        114 HuberLoss "huber_loss" 2..=2 => 1 [may("delta", Real), REDUCTION];
        115 BceWithLogits "bce_with_logits" 2..=2 => 1 [REDUCTION];
        116 KlDiv "kl_div" 2..=2 => 1 # "the mean is over rows" [REDUCTION];
        117 DiceLoss "dice_loss" 2..=2 => 1 [may("smooth", Real)];

        // Windows.
        120 Conv1d "conv1d" 2..=3 => 1 # "x, weight, bias" [STRIDE, PADDING, DILATION, GROUPS];
        121 Conv2d "conv2d" 2..=3 => 1 # "x, weight, bias" [STRIDE, PADDING, DILATION, GROUPS];
        122 Conv3d "conv3d" 2..=3 => 1 # "x, weight, bias" [STRIDE, PADDING, DILATION, GROUPS];
        123 ConvTranspose1d "conv_transpose1d" 2..=3 => 1 # "x, weight, bias"
            [STRIDE, PADDING, LONGER, GROUPS, DILATION];
        124 ConvTranspose2d "conv_transpose2d" 2..=3 => 1 # "x, weight, bias"
            [STRIDE, PADDING, LONGER, GROUPS, DILATION];
        125 ConvTranspose3d "conv_transpose3d" 2..=3 => 1 # "x, weight, bias"
            [STRIDE, PADDING, LONGER, GROUPS, DILATION];
        130 MaxPool1d "max_pool1d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        131 MaxPool2d "max_pool2d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        132 MaxPool3d "max_pool3d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        133 AvgPool1d "avg_pool1d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        134 AvgPool2d "avg_pool2d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        135 AvgPool3d "avg_pool3d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        136 AdaptiveMaxPool1d "adaptive_max_pool1d" 1..=1 => 1 [WINDOWS];
        137 AdaptiveMaxPool2d "adaptive_max_pool2d" 1..=1 => 1 [WINDOWS];
        138 AdaptiveMaxPool3d "adaptive_max_pool3d" 1..=1 => 1 [WINDOWS];
        139 AdaptiveAvgPool1d "adaptive_avg_pool1d" 1..=1 => 1 [WINDOWS];
        140 AdaptiveAvgPool2d "adaptive_avg_pool2d" 1..=1 => 1 [WINDOWS];
        141 AdaptiveAvgPool3d "adaptive_avg_pool3d" 1..=1 => 1 [WINDOWS];
        142 Interpolate "interpolate" 1..=1 => 1 # "axes behind [rows, channels] to these lengths"
            [need("size", Sizes), may("mode", Word(&["nearest", "linear", "linear_corners"]))];
    }
}
