//! The modules that a graph can have: those of the SDK, under PyTorch's names.

use crate::table::AttrKind::{Flag, Real, Size, Sizes, Texts, Word};
use crate::table::{Attr, Signature, may, need, table};

const INPUTS: Attr = need("in_features", Size);
const IN: Attr = need("in_channels", Size);
const OUT: Attr = need("out_channels", Size);
const KERNEL: Attr = need("kernel_size", Sizes);
const STRIDE: Attr = may("stride", Sizes);
const PADDING: Attr = may("padding", Sizes);
const DILATION: Attr = may("dilation", Sizes);
const LONGER: Attr = may("output_padding", Sizes);
const GROUPS: Attr = may("groups", Size);
const BIAS: Attr = may("bias", Flag);
const COUNTS: Attr = may("count_include_pad", Flag);
const WINDOWS: Attr = need("output_size", Sizes);
const EPS: Attr = may("eps", Real);
const AFFINE: Attr = may("affine", Flag);
const DROPOUT: Attr = may("dropout", Real);
const CAUSAL: Attr = may("is_causal", Flag);
const INPUT_SIZE: Attr = need("input_size", Size);
const HIDDEN_SIZE: Attr = need("hidden_size", Size);
const LAYERS: Attr = may("num_layers", Size);
const BOTH_WAYS: Attr = may("bidirectional", Flag);

table! {
    /// A module. Inputs and outputs are those of a call. Codes never change, and a code that is no
    /// longer used is not used again.
    ModuleKind {
        // Products.
        1 Linear "Linear" 1..=1 => 1 [INPUTS, need("out_features", Size), BIAS];
        2 Conv1d "Conv1d" 1..=1 => 1 [IN, OUT, KERNEL, STRIDE, PADDING, DILATION, GROUPS, BIAS];
        3 Conv2d "Conv2d" 1..=1 => 1 [IN, OUT, KERNEL, STRIDE, PADDING, DILATION, GROUPS, BIAS];
        4 Conv3d "Conv3d" 1..=1 => 1 [IN, OUT, KERNEL, STRIDE, PADDING, DILATION, GROUPS, BIAS];
        5 ConvTranspose1d "ConvTranspose1d" 1..=1 => 1
            [IN, OUT, KERNEL, STRIDE, PADDING, LONGER, GROUPS, BIAS, DILATION];
        6 ConvTranspose2d "ConvTranspose2d" 1..=1 => 1
            [IN, OUT, KERNEL, STRIDE, PADDING, LONGER, GROUPS, BIAS, DILATION];
        7 ConvTranspose3d "ConvTranspose3d" 1..=1 => 1
            [IN, OUT, KERNEL, STRIDE, PADDING, LONGER, GROUPS, BIAS, DILATION];
        8 Embedding "Embedding" 1..=1 => 1
            [need("num_embeddings", Size), need("embedding_dim", Size), may("padding_idx", Size)];

        // Normalisation.
        20 BatchNorm "BatchNorm" 1..=1 => 1 # "of any number of axes"
            [need("num_features", Size), EPS, may("momentum", Real), AFFINE, may("share_buffers", Flag)];
        21 LayerNorm "LayerNorm" 1..=1 => 1
            [need("normalized_shape", Sizes), EPS, may("elementwise_affine", Flag)];
        22 GroupNorm "GroupNorm" 1..=1 => 1
            [need("num_groups", Size), need("num_channels", Size), EPS, AFFINE];
        23 InstanceNorm "InstanceNorm" 1..=1 => 1 # "of any number of axes"
            [need("num_features", Size), EPS, AFFINE];
        24 Dropout "Dropout" 1..=1 => 1 [may("p", Real)];

        // Sequences; [rows, steps or positions, width].
        30 Rnn "RNN" 1..=2 => 2 # "x, hidden states; gives outputs and hidden states"
            [INPUT_SIZE, HIDDEN_SIZE, LAYERS, DROPOUT, BOTH_WAYS];
        31 Lstm "LSTM" 1..=3 => 3 # "x, hidden and cell states; gives outputs and both states"
            [INPUT_SIZE, HIDDEN_SIZE, LAYERS, DROPOUT, BOTH_WAYS];
        32 Gru "GRU" 1..=2 => 2 # "x, hidden states; gives outputs and hidden states"
            [INPUT_SIZE, HIDDEN_SIZE, LAYERS, DROPOUT, BOTH_WAYS];
        33 MultiheadAttention "MultiheadAttention" 1..=4 => 1
            # "x; x, mask; queries, keys, values; queries, keys, values, mask"
            [need("embed_dim", Size), need("num_heads", Size), DROPOUT, CAUSAL];
        34 TransformerEncoderLayer "TransformerEncoderLayer" 1..=2 => 1 # "x, mask"
            [need("d_model", Size), need("nhead", Size), may("dim_feedforward", Size), DROPOUT,
                may("activation", Word(&["relu", "gelu"])), may("norm_first", Flag), CAUSAL];

        // Windows.
        40 MaxPool1d "MaxPool1d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        41 MaxPool2d "MaxPool2d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        42 MaxPool3d "MaxPool3d" 1..=1 => 1 [KERNEL, STRIDE, PADDING];
        43 AvgPool1d "AvgPool1d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        44 AvgPool2d "AvgPool2d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        45 AvgPool3d "AvgPool3d" 1..=1 => 1 [KERNEL, STRIDE, PADDING, COUNTS];
        46 AdaptiveMaxPool1d "AdaptiveMaxPool1d" 1..=1 => 1 [WINDOWS];
        47 AdaptiveMaxPool2d "AdaptiveMaxPool2d" 1..=1 => 1 [WINDOWS];
        48 AdaptiveMaxPool3d "AdaptiveMaxPool3d" 1..=1 => 1 [WINDOWS];
        49 AdaptiveAvgPool1d "AdaptiveAvgPool1d" 1..=1 => 1 [WINDOWS];
        50 AdaptiveAvgPool2d "AdaptiveAvgPool2d" 1..=1 => 1 [WINDOWS];
        51 AdaptiveAvgPool3d "AdaptiveAvgPool3d" 1..=1 => 1 [WINDOWS];
        52 Upsample "Upsample" 1..=1 => 1
            [need("scale_factor", Size), may("mode", Word(&["nearest", "linear"]))];

        // Of each element.
        60 Relu "ReLU" 1..=1 => 1 [];
        61 LeakyRelu "LeakyReLU" 1..=1 => 1 [may("negative_slope", Real)];
        62 Elu "ELU" 1..=1 => 1 [may("alpha", Real)];
        63 Gelu "GELU" 1..=1 => 1 [];
        64 Silu "SiLU" 1..=1 => 1 [];
        65 Sigmoid "Sigmoid" 1..=1 => 1 [];
        66 Tanh "Tanh" 1..=1 => 1 [];
        67 Softplus "Softplus" 1..=1 => 1 [];
        68 Flatten "Flatten" 1..=1 => 1 [];

        // Layers by an argument.
        80 Described "Described" 1..=1 => 1 # "layers that a list of texts describes"
            [need("inputs", Sizes), need("layers", Texts), may("outputs", Size)];
    }
}
