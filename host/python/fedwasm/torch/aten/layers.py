"""Products, windows, normalisation, attention and recurrent layers."""

from __future__ import annotations

from typing import Any

from ... import functional as F
from ...tensors import Tensor, ones
from .table import Site, aten, direct, refuse

direct("linear.default", F.linear)
direct("matmul.default mm.default bmm.default dot.default mv.default", Tensor.matmul)
direct("bilinear.default", F.bilinear)


@aten("addmm.default", "baddbmm.default")
def addmm(at: Site, x: Tensor, a: Tensor, b: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``matmul`` and ``+``"""
    product = a.matmul(b)
    product = product if alpha == 1 else product * alpha
    return product + (x if beta == 1 else x * beta)


@aten("embedding.default")
def embedding(at: Site, weight: Tensor, indices: Tensor, padding: int, *_: Any) -> Tensor:
    """``embedding``; no gradient to the row of padding"""
    found = F.embedding(indices, weight)
    if padding < 0:
        return found
    is_padding = (indices == padding).unsqueeze(-1)
    return F.where(is_padding, found.detach(), found)


# Windows.

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _rows(at: Site, n: int) -> None:
    if at.rank() != n + 2:
        refuse("a tensor without an axis of rows", "give [rows, channels, ..]")


def _conv_of(n: int) -> None:
    def conv(at: Site, x: Tensor, weight: Tensor, bias: Any, *window: Any) -> Tensor:
        _rows(at, n)
        return _CONVOLUTIONS[n](x, weight, bias, *window)

    def padded(
        at: Site,
        x: Tensor,
        weight: Tensor,
        bias: Any,
        stride: list,
        padding: str,
        dilation: list,
        groups: int,
    ) -> Tensor:
        _rows(at, n)
        lengths = [0] * n
        if padding == "same":
            kernel = at.shape(1)[2:]
            lengths = [each * (size - 1) for each, size in zip(dilation, kernel)]
            if any(length % 2 for length in lengths):
                around = [
                    part for length in reversed(lengths) for part in (length // 2, length - length // 2)
                ]
                x, lengths = F.pad(x, around), [0] * n
        halves = [length // 2 for length in lengths]
        return _CONVOLUTIONS[n](x, weight, bias, stride, halves, dilation, groups)

    def transposed(at: Site, x: Tensor, weight: Tensor, bias: Any, *window: Any) -> Tensor:
        _rows(at, n)
        return _TRANSPOSED[n](x, weight, bias, *window)

    conv.__doc__ = padded.__doc__ = f"``conv{n}d``"
    transposed.__doc__ = f"``conv_transpose{n}d``"
    aten(f"conv{n}d.default")(conv)
    aten(f"conv{n}d.padding")(padded)
    aten(f"conv_transpose{n}d.default" if n == 1 else f"conv_transpose{n}d.input")(transposed)


for _n in (1, 2, 3):
    _conv_of(_n)


@aten("convolution.default")
def convolution(
    at: Site,
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: list,
    padding: list,
    dilation: list,
    is_transposed: bool,
    longer: list,
    groups: int,
) -> Tensor:
    """``conv1d`` to ``conv3d``, ``conv_transpose1d`` to ``conv_transpose3d``"""
    n = at.rank() - 2
    if is_transposed:
        return _TRANSPOSED[n](x, weight, bias, stride, padding, longer, groups, dilation)
    return _CONVOLUTIONS[n](x, weight, bias, stride, padding, dilation, groups)


_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def _pools_of(n: int) -> None:
    def max_pool(
        at: Site, x: Tensor, kernel: list, stride: list, padding: list, dilation: list, ceil: bool
    ) -> Tensor:
        _rows(at, n)
        if any(each != 1 for each in dilation):
            refuse("pooling with a dilation")
        _whole_windows(at, n, kernel, stride, padding, ceil)
        return _MAX[n](x, kernel, stride or kernel, padding)

    def with_indices(at: Site, *args: Any) -> tuple:
        return max_pool(at, *args), None

    def avg_pool(
        at: Site,
        x: Tensor,
        kernel: list,
        stride: list,
        padding: list,
        ceil: bool,
        counts_padding: bool,
        divisor: Any = None,
    ) -> Tensor:
        _rows(at, n)
        if divisor is not None:
            refuse("a mean by another divisor")
        _whole_windows(at, n, kernel, stride, padding, ceil)
        return _AVG[n](x, kernel, stride or kernel, padding, count_include_pad=counts_padding)

    def adaptive_avg(at: Site, x: Tensor, size: list) -> Tensor:
        _rows(at, n)
        return _ADAPTIVE_AVG[n](x, size)

    def adaptive_max(at: Site, x: Tensor, size: list) -> tuple:
        _rows(at, n)
        return _ADAPTIVE_MAX[n](x, size), None

    max_pool.__doc__ = with_indices.__doc__ = f"``max_pool{n}d``, without dilation"
    avg_pool.__doc__ = f"``avg_pool{n}d``"
    adaptive_avg.__doc__ = f"``adaptive_avg_pool{n}d``"
    adaptive_max.__doc__ = f"``adaptive_max_pool{n}d``"
    aten(f"max_pool{n}d.default")(max_pool)
    aten(f"max_pool{n}d_with_indices.default")(with_indices)
    aten(f"avg_pool{n}d.default")(avg_pool)
    aten(f"adaptive_avg_pool{n}d.default", f"_adaptive_avg_pool{n}d.default")(adaptive_avg)
    aten(f"adaptive_max_pool{n}d.default")(adaptive_max)


def _whole_windows(at: Site, n: int, kernel: list, stride: list, padding: list, ceil: bool) -> None:
    """``ceil_mode`` is covered where it changes nothing."""
    sizes = at.shape()[2:]
    along = [list(each) * n if len(each) == 1 else list(each) for each in (kernel, stride or kernel, padding)]
    if ceil and any(
        size is None or (size + 2 * before - width) % by for size, width, by, before in zip(sizes, *along)
    ):
        refuse("`ceil_mode=True` with windows over the end", "pad the input by `F.pad`")


for _n in (1, 2, 3):
    _pools_of(_n)


def _upsampling(name: str, n: int, mode: str) -> None:
    is_nearest = mode == "nearest"

    def by_size_or_scale(at: Site, x: Tensor, size: Any, *args: Any) -> Tensor:
        corners, scales = (False, args[0]) if is_nearest else args
        return _resized(at, x, n, mode, size, scales, corners)

    def by_size(at: Site, x: Tensor, size: Any, *args: Any) -> Tensor:
        corners, *scales = (False, *args) if is_nearest else args
        return _resized(at, x, n, mode, size, scales, corners)

    by_size_or_scale.__doc__ = by_size.__doc__ = f"``interpolate``, {mode}"
    aten(f"{name}.vec")(by_size_or_scale)
    aten(f"{name}.default")(by_size)


def _resized(at: Site, x: Tensor, n: int, mode: str, size: Any, scales: Any, corners: bool) -> Tensor:
    lengths = at.shape()[2:]
    if size is None:
        size = [None if length is None else int(length * by) for length, by in zip(lengths, scales)]
    if scales and not corners:
        # The library places elements by the sizes; PyTorch by the factor, if one is given.
        for length, to, by in zip(lengths, size, scales):
            if by is not None and (length is None or to != length * by):
                refuse(f"a factor of {by} that gives no whole size of {length}")
    return F.interpolate(x, size=list(size), mode=mode, align_corners=corners or None)


for _n, _mode in ((1, "linear"), (2, "bilinear"), (3, "trilinear")):
    _upsampling(f"upsample_nearest{_n}d", _n, "nearest")
    _upsampling(f"upsample_{_mode}{'' if _n == 0 else _n}d", _n, _mode)


# Normalisation.


@aten("layer_norm.default")
def layer_norm(at: Site, x: Tensor, sizes: list, weight: Any, bias: Any, eps: float, *_: Any) -> Tensor:
    """``layer_norm``"""
    if weight is None and bias is not None:
        return F.layer_norm(x, sizes, eps=eps) + bias
    return F.layer_norm(x, sizes, weight, bias, eps)


@aten("native_layer_norm.default")
def native_layer_norm(at: Site, *args: Any) -> tuple:
    """``layer_norm``"""
    return layer_norm(at, *args), None, None


@aten("group_norm.default")
def group_norm(at: Site, x: Tensor, groups: int, weight: Any, bias: Any, eps: float, *_: Any) -> Tensor:
    """``group_norm``"""
    return F.group_norm(x, groups, weight, bias, eps)


@aten("instance_norm.default")
def instance_norm(
    at: Site,
    x: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    by_input: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    """``instance_norm``, without running statistics"""
    if mean is not None:
        refuse("InstanceNorm with running statistics", "`track_running_stats=False` is PyTorch's default")
    return F.instance_norm(x, weight, bias, eps)


@aten(
    "_native_batch_norm_legit_functional.default",
    "_native_batch_norm_legit.default",
    "native_batch_norm.default",
)
def batch_norm(
    at: Site,
    x: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    trains: bool,
    momentum: float,
    eps: float,
) -> tuple:
    """``nn.BatchNorm``: statistics of the batch, or running ones"""
    return _normalised(at, x, weight, bias, mean, var, eps), None, None, None, None


@aten("_native_batch_norm_legit_no_training.default")
def batch_norm_by(
    at: Site, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> tuple:
    """``nn.BatchNorm``, or ``batch_norm`` if it never trains"""
    return _normalised(at, x, weight, bias, mean, var, eps), None, None


def _normalised(at: Site, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Tensor:
    if at.module is not None:
        return at.module(x)
    if weight is None and bias is not None:
        return F.batch_norm(x, mean, var, eps=eps) + bias.reshape(-1, *[1] * (at.rank() - 2))
    return F.batch_norm(x, mean, var, weight, bias, eps=eps)


@aten("_native_batch_norm_legit.no_stats")
def batch_norm_of_batch(
    at: Site, x: Tensor, weight: Any, bias: Any, trains: bool, momentum: float, eps: float
) -> tuple:
    """``mean`` and ``var``: no running statistics"""
    axes = [axis for axis in range(at.rank()) if axis != 1]
    each = [-1] + [1] * (at.rank() - 2)
    mean, var = x.mean(axes, True), x.var(axes, keepdim=True, correction=0)
    x = (x - mean) * (var + eps).rsqrt()
    x = x if weight is None else x * weight.reshape(*each)
    return x if bias is None else x + bias.reshape(*each), None, None


@aten("batch_norm.default")
def batch_norm_whole(
    at: Site,
    x: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    trains: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    """``nn.BatchNorm``: statistics of the batch, or running ones"""
    if mean is None:
        return batch_norm_of_batch(at, x, weight, bias, trains, momentum, eps)[0]
    return _normalised(at, x, weight, bias, mean, var, eps)


@aten("_weight_norm.default")
def weight_norm(at: Site, v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``v * (g / norm of v)``"""
    axes = [axis for axis in range(at.rank()) if axis != dim]
    return v * (g / v.square().sum(axes or None, keepdim=True).sqrt())


@aten("dropout.default", "native_dropout.default")
def dropout(at: Site, x: Tensor, p: float, trains: Any) -> Any:
    """``dropout``"""
    return x if trains is False or p == 0 else F.dropout(x, p)


@aten("feature_dropout.default")
def feature_dropout(at: Site, x: Tensor, p: float, trains: bool) -> Tensor:
    """``dropout`` of whole channels"""
    if not trains or p == 0:
        return x
    rows, channels = x.shape[:2]
    return x * F.dropout(ones(rows, channels, *[1] * (at.rank() - 2)), p)


# Sequences.


@aten("scaled_dot_product_attention.default")
def attention(
    at: Site,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Any,
    dropout_p: float,
    is_causal: bool,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``scaled_dot_product_attention``"""
    if enable_gqa:
        refuse("attention with `enable_gqa=True`")
    return F.scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal, scale)


def _recurrent(name: str) -> None:
    def run(
        at: Site,
        x: Tensor,
        states: Any,
        weights: list,
        has_biases: bool,
        layers: int,
        dropout: float,
        trains: bool,
        is_bidirectional: bool,
        is_batch_first: bool,
    ) -> tuple:
        x = x if is_batch_first else x.transpose(0, 1)
        assert at.module is not None
        y, states = at.module(x) if states is None else at.module(x, states)
        y = y if is_batch_first else y.transpose(0, 1)
        return (y, *states) if isinstance(states, tuple) else (y, states)

    run.__doc__ = f"``nn.{name}``, with biases"
    aten("rnn_tanh.input" if name == "RNN" else f"{name.lower()}.input")(run)


for _name in ("LSTM", "GRU", "RNN"):
    _recurrent(_name)
