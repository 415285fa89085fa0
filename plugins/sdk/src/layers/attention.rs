//! Attention, and the layer of a transformer's encoder.

use fedwasm_compute::Op;

use super::{fan_in, refuse};
use crate::tensor::apply;
use crate::{Dropout, Dtype, Init, Layer, LayerNorm, Linear, Parameter, Tensor, engine, module};

module! {
    /// Attention with several heads, as `torch.nn.MultiheadAttention` with `batch_first=True`
    /// (Vaswani et al. 2017). As a [`Layer`] it is self-attention: takes and gives
    /// [rows, positions, width].
    ///
    /// What tells positions apart is the plan's: add a [`Parameter`] of [positions, width] first.
    #[derive(Clone, Debug)]
    pub struct MultiheadAttention {
        /// Shape [3 width, width]: of queries, keys and values.
        pub in_proj_weight: Parameter,
        /// Shape [3 width].
        pub in_proj_bias: Parameter,
        /// From the heads to the output.
        pub out_proj: Linear,
        heads: usize,
        is_causal: bool,
        dropout: Dropout,
    }
}

impl MultiheadAttention {
    /// The layer; the heads must divide the width. Weights start as PyTorch's: `in_proj_weight` from
    /// U(-k, k), k = √(6 / (4 width)) (Glorot and Bengio 2010), `out_proj.weight` from that of
    /// [`Linear`], biases from 0.
    #[must_use]
    #[track_caller]
    pub fn new(width: usize, heads: usize) -> Self {
        if width.checked_rem(heads) != Some(0) {
            let text = format!("attention of width {width} has no {heads} heads");
            engine::note_argument(text + ": the heads must divide the width");
        }
        let all = width.saturating_mul(3);
        let bound = (6.0 / (4.0 * width as f64)).sqrt();
        Self {
            in_proj_weight: Parameter::new(&[all, width], Init::Uniform(bound)),
            in_proj_bias: Parameter::new(&[all], Init::Zeros),
            out_proj: Linear {
                weight: Parameter::new(&[width, width], fan_in(width)),
                bias: Some(Parameter::new(&[width], Init::Zeros)),
            },
            heads,
            is_causal: false,
            dropout: Dropout::new(0.0),
        }
    }

    /// The layer in which each position sees itself and those before it only.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// Dropout of the weights of attention, at least 0 and less than 1; 0 unless said.
    #[must_use]
    #[track_caller]
    pub fn dropout(self, rate: f64) -> Self {
        Self { dropout: Dropout::new(rate), ..self }
    }

    /// Attention of `queries` [rows, positions, width] to `keys` and `values`
    /// [rows, others, width]; gives [rows, positions, width].
    ///
    /// A mask is broadcast to [rows, heads, positions, others]: truth values that are true where a
    /// position must not see another, or numbers that are added to the scores before softmax. For
    /// padding that is [rows, 1, 1, others]. A position that sees nothing becomes NaN.
    #[must_use]
    #[track_caller]
    pub fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Tensor {
        let queries = self.project(queries, 0, 1).select(0, 0);
        let keys = self.project(keys, 1, 1).select(0, 0);
        let values = self.project(values, 2, 1).select(0, 0);
        self.attended(&queries, &keys, &values, mask)
    }

    /// Self-attention with a mask, as of [`attend`](Self::attend).
    #[must_use]
    #[track_caller]
    pub fn forward_with(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let all = self.project(x, 0, 3);
        self.attended(&all.select(0, 0), &all.select(0, 1), &all.select(0, 2), mask)
    }

    /// `n` of the three products, from the first: [n, rows, heads, positions, width / heads].
    #[track_caller]
    fn project(&self, x: &Tensor, first: usize, n: usize) -> Tensor {
        let width = self.in_proj_weight.size(1);
        if x.rank() != 3 || x.size(2) != width {
            return refuse(x, "MultiheadAttention", &format!("[rows, positions, {width}]"));
        }
        let (weight, bias) = (self.in_proj_weight.tensor(), self.in_proj_bias.tensor());
        let product = match n {
            3 => x.linear(&weight, Some(&bias)),
            _ => {
                let (start, len) = (first * width, n * width);
                x.linear(&weight.slice(0, start, len), Some(&bias.slice(0, start, len)))
            }
        };
        let heads = self.heads.max(1);
        let sizes = [x.size(0), x.size(1), n, heads, width / heads].map(|size| size as isize);
        product.reshape(&sizes).permute(&[2, 0, 3, 1, 4])
    }

    #[track_caller]
    fn attended(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Tensor {
        let (is_causal, dropout) = (self.is_causal, &self.dropout);
        let mask = mask.map(Mask::Hides);
        let heads = attention([queries, keys, values], mask, is_causal, dropout, None);
        let heads = heads.permute(&[0, 2, 1, 3]);
        self.out_proj.forward(&heads.flatten(2))
    }
}

impl Layer for MultiheadAttention {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, None)
    }
}

/// Options of [`Tensor::scaled_dot_product_attention`].
#[derive(Clone, Debug, Default)]
pub struct Attention<'a> {
    /// Broadcast to [.., positions, others]: truth values that are true where a position sees another,
    /// or numbers that are added to the scores before softmax.
    pub mask: Option<&'a Tensor>,
    /// Whether each position sees itself and those before it only.
    pub is_causal: bool,
    /// Dropout of the weights in training, at least 0 and less than 1.
    pub dropout: f64,
    /// Times the products of queries and keys; 1 / √width unless given.
    pub scale: Option<f64>,
}

impl Tensor {
    /// Attention of these queries [.., positions, width] to keys [.., others, width] and values
    /// [.., others, depth], as `torch.nn.functional.scaled_dot_product_attention` (Vaswani et al.
    /// 2017); gives [.., positions, depth]. A position that sees nothing becomes NaN.
    #[must_use]
    #[track_caller]
    pub fn scaled_dot_product_attention(
        &self,
        keys: &Self,
        values: &Self,
        options: &Attention<'_>,
    ) -> Self {
        let Attention { mask, is_causal, dropout, scale } = *options;
        let dropout = Dropout::new(dropout);
        attention([self, keys, values], mask.map(Mask::Shows), is_causal, &dropout, scale)
    }
}

/// Which positions see which others, if it is of truth values: those where it is true, or false.
enum Mask<'a> {
    Shows(&'a Tensor),
    Hides(&'a Tensor),
}

/// Attention of queries, keys and values, each [.., positions, width].
#[track_caller]
fn attention(
    [queries, keys, values]: [&Tensor; 3],
    mask: Option<Mask<'_>>,
    is_causal: bool,
    dropout: &Dropout,
    scale: Option<f64>,
) -> Tensor {
    let (positions, others) = (queries.size(-2), keys.size(-2));
    let scale = scale.unwrap_or_else(|| 1.0 / (queries.size(-1).max(1) as f64).sqrt());
    let queries = queries * scale;
    let product = Op::MatMul { left: false, right: true };
    let mut scores = apply(&[&queries, keys], &mut |apply, ids| apply.apply(product, ids));
    if is_causal {
        scores = causal_mask(positions, others).where_(f64::NEG_INFINITY, &scores);
    }
    scores = match mask {
        Some(Mask::Hides(mask)) if mask.dtype() == Dtype::Bool => {
            mask.where_(f64::NEG_INFINITY, scores)
        }
        Some(Mask::Shows(mask)) if mask.dtype() == Dtype::Bool => {
            mask.where_(scores, f64::NEG_INFINITY)
        }
        Some(Mask::Hides(mask) | Mask::Shows(mask)) => scores + mask,
        None => scores,
    };
    dropout.forward(&scores.softmax(-1)).matmul(values)
}

/// True where the second position comes after the first.
#[track_caller]
fn causal_mask(positions: usize, others: usize) -> Tensor {
    Tensor::range(others).gt(Tensor::range(positions).unsqueeze(1))
}

module! {
    /// Self-attention and two linear layers, each around a residual and normalised, as
    /// `torch.nn.TransformerEncoderLayer` with `batch_first=True` (Vaswani et al. 2017). Takes and
    /// gives [rows, positions, width].
    ///
    /// ```
    /// use fedwasm_sdk::*;
    ///
    /// module! {
    ///     struct Encoder { layers: Vec<TransformerEncoderLayer> }
    /// }
    ///
    /// impl Layer for Encoder {
    ///     fn forward(&self, x: &Tensor) -> Tensor {
    ///         self.layers.iter().fold(x.clone(), |x, layer| layer.forward(&x))
    ///     }
    /// }
    ///
    /// let layer = || TransformerEncoderLayer::new(32, 4, 64).norm_first().gelu();
    /// let encoder = Encoder { layers: vec![layer(), layer()] };
    /// assert_eq!(encoder.parameters()[0].0, "layers.0.self_attn.in_proj_weight");
    /// ```
    #[derive(Clone, Debug)]
    pub struct TransformerEncoderLayer {
        /// Self-attention.
        pub self_attn: MultiheadAttention,
        /// From the width to the hidden units.
        pub linear1: Linear,
        /// From the hidden units to the width.
        pub linear2: Linear,
        /// Of the attention.
        pub norm1: LayerNorm,
        /// Of the linear layers.
        pub norm2: LayerNorm,
        dropout: Dropout,
        norm_first: bool,
        is_gelu: bool,
    }
}

impl TransformerEncoderLayer {
    /// The layer with so many hidden units (`dim_feedforward`), dropout of 0.1, ReLU, and
    /// normalisation behind the residuals, PyTorch's defaults.
    #[must_use]
    #[track_caller]
    pub fn new(width: usize, heads: usize, hidden: usize) -> Self {
        Self {
            self_attn: MultiheadAttention::new(width, heads),
            linear1: Linear::new(width, hidden),
            linear2: Linear::new(hidden, width),
            norm1: LayerNorm::new(width),
            norm2: LayerNorm::new(width),
            dropout: Dropout::new(0.0),
            norm_first: false,
            is_gelu: false,
        }
        .dropout(0.1)
    }

    /// Dropout of the weights of attention, of the hidden units and of both residuals, at least 0
    /// and less than 1.
    #[must_use]
    #[track_caller]
    pub fn dropout(self, rate: f64) -> Self {
        Self { self_attn: self.self_attn.dropout(rate), dropout: Dropout::new(rate), ..self }
    }

    /// Normalises what goes into attention and linear layers instead of what comes out, which
    /// trains without a warm-up (Xiong et al. 2020).
    #[must_use]
    pub fn norm_first(self) -> Self {
        Self { norm_first: true, ..self }
    }

    /// GELU instead of ReLU.
    #[must_use]
    pub fn gelu(self) -> Self {
        Self { is_gelu: true, ..self }
    }

    /// The layer in which each position sees itself and those before it only.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { self_attn: self.self_attn.causal(), ..self }
    }

    /// As [`Layer::forward`], with a mask as of [`MultiheadAttention::attend`].
    #[must_use]
    #[track_caller]
    pub fn forward_with(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        if self.norm_first {
            let x = x + self.attention(&self.norm1.forward(x), mask);
            return &x + self.hidden(&self.norm2.forward(&x));
        }
        let x = self.norm1.forward(&(x + self.attention(x, mask)));
        self.norm2.forward(&(&x + self.hidden(&x)))
    }

    #[track_caller]
    fn attention(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        self.dropout.forward(&self.self_attn.forward_with(x, mask))
    }

    #[track_caller]
    fn hidden(&self, x: &Tensor) -> Tensor {
        let hidden = self.linear1.forward(x);
        let hidden = if self.is_gelu { hidden.gelu() } else { hidden.relu() };
        self.dropout.forward(&self.linear2.forward(&self.dropout.forward(&hidden)))
    }
}

impl Layer for TransformerEncoderLayer {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, None)
    }
}
