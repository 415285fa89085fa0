"""Functions of tensors, as ``torch.nn.functional``: ``from fedwasm import functional as F``."""

from __future__ import annotations

import sys
from typing import Any, Sequence

from . import symbols
from .losses import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    cross_entropy as cross_entropy,
    dice_loss as dice_loss,
    gaussian_nll_loss as gaussian_nll_loss,
    hinge_loss as hinge_loss,
    huber_loss as huber_loss,
    kl_div as kl_div,
    l1_loss as l1_loss,
    mse_loss as mse_loss,
    nll_loss as nll_loss,
    poisson_nll_loss as poisson_nll_loss,
    smooth_l1_loss as smooth_l1_loss,
)
from .places import refuse
from .tensors import Operand, Tensor, _number, _operator, arange, call, where

# Of each element.


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``. ``inplace`` means nothing: tensors are values."""
    return call("relu", [x])


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return clamp(x, 0, 6)


def leaky_relu(x: Tensor, negative_slope: Any = 0.01, inplace: bool = False) -> Tensor:
    """``x``, or ``negative_slope x`` below 0."""
    return call("leaky_relu", [x], negative_slope=negative_slope)


def elu(x: Tensor, alpha: Any = 1.0, inplace: bool = False) -> Tensor:
    """``x``, or ``alpha (e^x - 1)`` below 0."""
    return call("elu", [x], alpha=alpha)


def selu(x: Tensor, inplace: bool = False) -> Tensor:
    """Klambauer et al. 2017."""
    return elu(x, 1.6732632423543772) * 1.0507009873554805


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """``x/2 (1 + erf(x/√2))``, or its approximation by ``tanh``."""
    return call("gelu", [x], approximate=None if approximate == "none" else approximate)


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """``x / (1 + e^-x)``."""
    return call("silu", [x])


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """``x tanh(softplus(x))``."""
    return x * tanh(softplus(x))


def hardtanh(x: Tensor, min_val: Any = -1.0, max_val: Any = 1.0, inplace: bool = False) -> Tensor:
    """``x``, at least ``min_val`` and at most ``max_val``."""
    return clamp(x, min_val, max_val)


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``."""
    return relu6(x + 3) / 6


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """``x hardsigmoid(x)``."""
    return x * hardsigmoid(x)


def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return x / (x.abs() + 1)


def tanhshrink(x: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return x - tanh(x)


def logsigmoid(x: Tensor) -> Tensor:
    """``-ln(1 + e^-x)``."""
    return -softplus(-x)


def softplus(x: Tensor, beta: Any = 1.0, threshold: Any = 20.0) -> Tensor:
    """``ln(1 + e^(beta x)) / beta``. Unlike PyTorch's it is exact for all ``x``: no threshold."""
    if isinstance(beta, (int, float)) and beta == 1:
        return call("softplus", [x])
    return call("softplus", [x * beta]) / beta


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """``x``, or ``weight x`` below 0, with a weight for each channel or one for all."""
    if x.ndim > 2:
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    return relu(x) - weight * relu(-x)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + e^-x)``."""
    return call("sigmoid", [x])


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return call("tanh", [x])


def exp(x: Any) -> Any:
    """``e^x`` of a tensor or a number."""
    return call("exp", [x]) if isinstance(x, Tensor) else symbols.unary("exp", x)


def log(x: Any) -> Any:
    """The natural logarithm of a tensor or a number."""
    return call("log", [x]) if isinstance(x, Tensor) else symbols.unary("ln", x)


def sqrt(x: Any) -> Any:
    """The square root of a tensor or a number."""
    return call("sqrt", [x]) if isinstance(x, Tensor) else symbols.unary("sqrt", x)


def rsqrt(x: Tensor) -> Tensor:
    """``1 / √x``."""
    return x.rsqrt()


def square(x: Tensor) -> Tensor:
    """``x²``."""
    return x.square()


def abs(x: Tensor) -> Tensor:
    """``|x|``."""
    return x.abs()


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return x.sign()


def clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``x``, at least ``min`` and at most ``max``, numbers or tensors; NaN stays."""
    return x.clamp(min, max)


def maximum(a: Operand, b: Operand) -> Any:
    """The larger of two tensors, or of a tensor and a number, or of two numbers."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return _operator("maximum", a, b)
    return symbols.binary("max", a, b)


def minimum(a: Operand, b: Operand) -> Any:
    """The smaller of two tensors, or of a tensor and a number, or of two numbers."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return _operator("minimum", a, b)
    return symbols.binary("min", a, b)


# Along axes.


def softmax(x: Tensor, dim: int) -> Tensor:
    """``e^x`` over its sum along an axis."""
    return call("softmax", [x], dim=dim)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """The logarithm of :func:`softmax`."""
    return call("log_softmax", [x], dim=dim)


def softmin(x: Tensor, dim: int) -> Tensor:
    """The softmax of ``-x``."""
    return softmax(-x, dim)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second."""
    a, b = x.chunk(2, dim)
    return a * sigmoid(b)


def normalize(x: Tensor, p: int = 2, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x`` over its norm along an axis."""
    return x / clamp(x.norm(p, dim, keepdim=True), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between two tensors along an axis."""
    norms = clamp(x1.norm(dim=dim), min=eps) * clamp(x2.norm(dim=dim), min=eps)
    return (x1 * x2).sum(dim) / norms


def layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over the last axes."""
    sizes = list(normalized_shape) if isinstance(normalized_shape, (list, tuple)) else [normalized_shape]
    return call("layer_norm", _given(x, weight, bias), normalized_shape=sizes, eps=eps)


def group_norm(
    x: Tensor,
    num_groups: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises groups of channels of each row."""
    return call("group_norm", _given(x, weight, bias), num_groups=num_groups, eps=eps)


def instance_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalises each channel of each row."""
    return call("instance_norm", _given(x, weight, bias), eps=eps)


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel by given moments; in training use :class:`fedwasm.nn.BatchNorm1d`."""
    if training:
        refuse(
            "`F.batch_norm(training=True)` changes its running moments",
            "use `nn.BatchNorm1d`, `nn.BatchNorm2d` or `nn.BatchNorm3d`",
        )
    return call("batch_norm", _given(x, running_mean, running_var, weight, bias), eps=eps)


def dropout(x: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements set to 0 with probability ``p`` in training; in prediction ``x``.

    Unlike PyTorch's it looks by itself whether the plan trains.
    """
    return call("dropout", [x], p=p) if training else x


def _given(*tensors: Tensor | None) -> list[Tensor]:
    """Those that are there; none may follow one that is not."""
    given = [each for each in tensors if each is not None]
    if any(each is None for each in tensors[: len(given)]):
        refuse("a bias without a weight", "give a weight of ones")
    return given


# Products.


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weightᵀ + bias``: ``weight`` of shape [outputs, inputs]."""
    return call("linear", _given(x, weight, bias))


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x1ᵀ W x2 + b`` for each output: ``weight`` of shape [outputs, inputs 1, inputs 2]."""
    # [rows, 1, inputs 1] @ [outputs, inputs 1, inputs 2], then with x2.
    products = x1.unsqueeze(-2).unsqueeze(-2).matmul(weight).squeeze(-2)
    scores = (products * x2.unsqueeze(-2)).sum(-1)
    return scores if bias is None else scores + bias


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
) -> Tensor:
    """Attention of queries to keys and values.

    A mask of truth values is true where a position may be seen; numbers are added.
    """
    mask = [] if attn_mask is None else [attn_mask]
    return call(
        "scaled_dot_product_attention",
        [query, key, value, *mask],
        dropout_p=dropout_p or None,
        is_causal=is_causal or None,
        scale=scale,
    )


def embedding(x: Tensor, weight: Tensor) -> Tensor:
    """Rows of a table by int64 indices."""
    return call("embedding", [weight, x])


def one_hot(x: Tensor, num_classes: Any) -> Tensor:
    """1 at the class, 0 elsewhere: int64 [.., classes]. The number of classes must be given."""
    return (x.unsqueeze(-1) == arange(num_classes)).long()


# Windows.


def _along(value: Any) -> Any:
    """One number for all axes or one for each."""
    return list(value) if isinstance(value, (list, tuple)) else value


def _windows(name: str, tensors: list[Tensor], **attributes: Any) -> Tensor:
    return call(name, tensors, **{key: _along(value) for key, value in attributes.items()})


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor:
    """The convolution of [rows, channels] and 1 more axes; ``padding`` is a number, or one an axis."""
    return _windows(
        "conv1d", _given(x, weight, bias), stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor:
    """The convolution of [rows, channels] and 2 more axes; ``padding`` is a number, or one an axis."""
    return _windows(
        "conv2d", _given(x, weight, bias), stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor:
    """The convolution of [rows, channels] and 3 more axes; ``padding`` is a number, or one an axis."""
    return _windows(
        "conv3d", _given(x, weight, bias), stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transposed convolution of [rows, channels] and 1 more axes."""
    return _windows(
        "conv_transpose1d",
        _given(x, weight, bias),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transposed convolution of [rows, channels] and 2 more axes."""
    return _windows(
        "conv_transpose2d",
        _given(x, weight, bias),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transposed convolution of [rows, channels] and 3 more axes."""
    return _windows(
        "conv_transpose3d",
        _given(x, weight, bias),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


def max_pool1d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest of each window along 1 axes."""
    return _windows("max_pool1d", [x], kernel_size=kernel_size, stride=stride, padding=padding)


def max_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest of each window along 2 axes."""
    return _windows("max_pool2d", [x], kernel_size=kernel_size, stride=stride, padding=padding)


def max_pool3d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest of each window along 3 axes."""
    return _windows("max_pool3d", [x], kernel_size=kernel_size, stride=stride, padding=padding)


def _avg_pool(
    name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil: bool, counts: bool
) -> Tensor:
    if ceil:
        refuse("`ceil_mode=True`", "pad the input by `F.pad`")
    return _windows(
        name, [x], kernel_size=kernel_size, stride=stride, padding=padding, count_include_pad=counts
    )


def avg_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window along 1 axes."""
    return _avg_pool("avg_pool1d", x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window along 2 axes."""
    return _avg_pool("avg_pool2d", x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window along 3 axes."""
    return _avg_pool("avg_pool3d", x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of so many windows along 1 axes."""
    return _windows("adaptive_avg_pool1d", [x], output_size=output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of so many windows along 2 axes."""
    return _windows("adaptive_avg_pool2d", [x], output_size=output_size)


def adaptive_avg_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of so many windows along 3 axes."""
    return _windows("adaptive_avg_pool3d", [x], output_size=output_size)


def adaptive_max_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The largest of so many windows along 1 axes."""
    return _windows("adaptive_max_pool1d", [x], output_size=output_size)


def adaptive_max_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The largest of so many windows along 2 axes."""
    return _windows("adaptive_max_pool2d", [x], output_size=output_size)


def adaptive_max_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The largest of so many windows along 3 axes."""
    return _windows("adaptive_max_pool3d", [x], output_size=output_size)


def interpolate(
    x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
) -> Tensor:
    """Other lengths of the axes behind [rows, channels]."""
    if mode not in ("nearest", "linear", "bilinear", "trilinear"):
        refuse(f"the mode {mode!r}", "nearest, linear, bilinear or trilinear")
    n = x.ndim - 2
    if size is None:
        factors = list(scale_factor) if isinstance(scale_factor, (list, tuple)) else [scale_factor] * n
        is_even = all(float(symbols.sample(factor)).is_integer() for factor in factors)
        if mode != "nearest" and not align_corners and not is_even:
            refuse(
                f"`scale_factor={scale_factor!r}` of {mode} interpolation", "give `size`, or whole factors"
            )
        size = [_scaled(length, factor) for length, factor in zip(x.shape[2:], factors)]
    elif not isinstance(size, (list, tuple)):
        size = [size] * n
    by = "nearest" if mode == "nearest" else "linear_corners" if align_corners else "linear"
    return call("interpolate", [x], size=list(size), mode=by)


def _scaled(length: Any, factor: Any) -> Any:
    if isinstance(factor, float):
        return int(factor) * length if factor.is_integer() else symbols.unary("floor", length * factor)
    return length * factor


def pad(x: Tensor, pad: Sequence[Any], mode: str = "constant", value: Any = 0) -> Tensor:
    """Elements of one value around, as ``torch.nn.functional.pad``: the last axis comes first."""
    if mode != "constant":
        refuse(f"padding by {mode!r}", "only `constant` is there")
    pairs = [[pad[at], pad[at + 1]] for at in range(0, len(pad), 2)]
    around = [number for pair in reversed(pairs) for number in pair]
    return call("pad", [x], around=around, value=value or None)


def tril(x: Tensor, diagonal: Any = 0) -> Tensor:
    """Zeros above a diagonal of the last two axes."""
    return where(_column_less_row(x) <= _number(diagonal), x, False)


def triu(x: Tensor, diagonal: Any = 0) -> Tensor:
    """Zeros below a diagonal of the last two axes."""
    return where(_column_less_row(x) >= _number(diagonal), x, False)


def _column_less_row(x: Tensor) -> Tensor:
    return arange(x.shape[-1]) - arange(x.shape[-2]).unsqueeze(1)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product, as ``torch.matmul``."""
    return a.matmul(b)


# `fw.F` is this module.
F = sys.modules[__name__]
