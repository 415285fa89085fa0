"""Functions of elements, comparisons and reductions."""

from __future__ import annotations

import math
from typing import Any

from ... import dtypes
from ... import functional as F
from ...tensors import Tensor, arange, full, where
from .table import Site, aten, axes_of, direct, element, refuse


def _whole(x: Any) -> Any:
    """``x``, whole numbers as float32, as PyTorch's functions of real numbers take them."""
    return x if x.is_floating_point() else x.float()


def _of_real(overload: str, name: str, function: Any) -> None:
    def handler(at: Site, x: Tensor) -> Tensor:
        return function(_whole(x))

    handler.__doc__ = name
    aten(overload)(handler)


for _name, _function in {
    "exp": Tensor.exp,
    "log": Tensor.log,
    "sqrt": Tensor.sqrt,
    "rsqrt": Tensor.rsqrt,
    "reciprocal": Tensor.reciprocal,
    "sigmoid": Tensor.sigmoid,
    "tanh": Tensor.tanh,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "mish": F.mish,
    "hardsigmoid": F.hardsigmoid,
    "log_sigmoid": F.logsigmoid,
}.items():
    _of_real(f"{_name}.default", f"``{_function.__name__}``", _function)
_of_real("log1p.default", "``log(1 + x)``", lambda x: (x + 1).log())
_of_real("expm1.default", "``exp(x) - 1``", lambda x: x.exp() - 1)
_of_real("log2.default", "``log(x) / ln 2``", lambda x: x.log() / math.log(2))
_of_real("log10.default", "``log(x) / ln 10``", lambda x: x.log() / math.log(10))

direct("abs.default", Tensor.abs)
direct("sign.default", Tensor.sign)
direct("sgn.default", Tensor.sign)
direct("neg.default", Tensor.neg)
direct("square.default", Tensor.square)
direct("relu.default", F.relu)
direct("relu6.default", F.relu6)
direct("prelu.default _prelu_kernel.default", F.prelu)
direct("leaky_relu.default", F.leaky_relu)
direct("hardtanh.default", F.hardtanh)
direct("glu.default", F.glu)
direct("softplus.default", F.softplus)
direct("detach.default", Tensor.detach)
direct("maximum.default", F.maximum)
direct("minimum.default", F.minimum)
direct("clamp.default clamp.Tensor", F.clamp)


@aten("clamp_min.default", "clamp_min.Tensor")
def clamp_min(at: Site, x: Tensor, low: Any) -> Tensor:
    """``clamp``"""
    return F.clamp(x, min=low)


@aten("clamp_max.default", "clamp_max.Tensor")
def clamp_max(at: Site, x: Tensor, high: Any) -> Tensor:
    """``clamp``"""
    return F.clamp(x, max=high)


@aten("gelu.default")
def gelu(at: Site, x: Tensor, approximate: str) -> Tensor:
    """``gelu``, both forms"""
    return F.gelu(x, approximate)


@aten("elu.default")
def elu(at: Site, x: Tensor, alpha: Any, scale: Any, input_scale: Any) -> Tensor:
    """``elu``, scaled"""
    if scale == 1 and input_scale == 1:
        return F.elu(x, alpha)
    return F.elu(x * input_scale, alpha * input_scale) * (scale / input_scale)


@aten("celu.default")
def celu(at: Site, x: Tensor, alpha: Any) -> Tensor:
    """``elu``, scaled"""
    return F.elu(x / alpha) * alpha


@aten("selu.default")
def selu(at: Site, x: Tensor) -> Tensor:
    """``elu``, scaled"""
    return F.selu(x)


@aten("clone.default", "alias.default", "lift_fresh_copy.default", "contiguous.default")
def same(at: Site, x: Tensor, **_: Any) -> Tensor:
    """the same tensor"""
    return x


@aten("_to_copy.default", "to.dtype", "type_as.default")
def to(at: Site, x: Tensor, *_: Any, **__: Any) -> Tensor:
    """``to``: float32, float64, int64, bool"""
    return x.to(at.dtype)


# Of two.


@aten("add.Tensor", "add.Scalar")
def add(at: Site, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    """``+``"""
    return a + (b if alpha == 1 else b * alpha)


@aten("sub.Tensor", "sub.Scalar")
def sub(at: Site, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    """``-``"""
    return a - (b if alpha == 1 else b * alpha)


@aten("rsub.Tensor", "rsub.Scalar")
def rsub(at: Site, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    """``-``"""
    return b - (a if alpha == 1 else a * alpha)


@aten("mul.Tensor", "mul.Scalar")
def mul(at: Site, a: Any, b: Any) -> Tensor:
    """``*``"""
    if at.dtype is dtypes.bool_:
        return a & b
    return a * b


@aten("div.Tensor", "div.Scalar")
def div(at: Site, a: Any, b: Any) -> Tensor:
    """``/``"""
    return a / b


@aten("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def power(at: Site, a: Any, b: Any) -> Tensor:
    """``**``"""
    if isinstance(b, (int, float)) and b == 2:
        return a.square()
    return a**b


for _name, _function in {
    "eq": Tensor.__eq__,
    "ne": Tensor.__ne__,
    "lt": Tensor.__lt__,
    "le": Tensor.__le__,
    "gt": Tensor.__gt__,
    "ge": Tensor.__ge__,
}.items():
    direct(f"{_name}.Tensor {_name}.Scalar", _function)


def _truth(x: Tensor) -> Tensor:
    return x if x.dtype is dtypes.bool_ else x != 0


@aten("logical_and.default", "bitwise_and.Tensor")
def logical_and(at: Site, a: Tensor, b: Tensor) -> Tensor:
    """``&`` of truth values"""
    _only_truth(at)
    return _truth(a) & _truth(b)


@aten("logical_or.default", "bitwise_or.Tensor")
def logical_or(at: Site, a: Tensor, b: Tensor) -> Tensor:
    """``|`` of truth values"""
    _only_truth(at)
    return _truth(a) | _truth(b)


@aten("logical_xor.default", "bitwise_xor.Tensor")
def logical_xor(at: Site, a: Tensor, b: Tensor) -> Tensor:
    """``!=`` of truth values"""
    _only_truth(at)
    return _truth(a).long() != _truth(b).long()


@aten("logical_not.default", "bitwise_not.default")
def logical_not(at: Site, x: Tensor) -> Tensor:
    """``~`` of truth values"""
    _only_truth(at)
    return ~_truth(x)


def _only_truth(at: Site) -> None:
    if at.dtype is not dtypes.bool_:
        refuse("bits of whole numbers", "truth values are there")


@aten("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def choose(at: Site, condition: Tensor, a: Any, b: Any) -> Tensor:
    """``where``"""
    return where(condition, a, b).to(at.dtype)


@aten("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(at: Site, x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``where``"""
    return where(mask, value, x).to(at.dtype)


@aten("addcmul.default")
def addcmul(at: Site, x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Tensor:
    """``x + value * a * b``"""
    return x + a * b * value


@aten("addcdiv.default")
def addcdiv(at: Site, x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Tensor:
    """``x + value * a / b``"""
    return x + a / b * value


@aten("lerp.Scalar", "lerp.Tensor")
def lerp(at: Site, a: Tensor, b: Tensor, weight: Any) -> Tensor:
    """``a + weight * (b - a)``"""
    return a + (b - a) * weight


# Many elements to one.


def _typed(at: Site, x: Tensor, dtype: Any) -> Tensor:
    if dtype is not None:
        return x.to(element(dtype))
    return x


@aten("sum.default", "sum.dim_IntList")
def total(at: Site, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """``sum``"""
    return _typed(at, x, dtype).sum(dim or None, keepdim)


@aten("mean.default", "mean.dim")
def mean(at: Site, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """``mean``"""
    return _typed(at, x, dtype).mean(dim or None, keepdim)


@aten("amax.default")
def amax(at: Site, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """``amax``"""
    return x.amax(dim or None, keepdim)


@aten("amin.default")
def amin(at: Site, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """``amin``"""
    return x.amin(dim or None, keepdim)


direct("max.default", Tensor.amax)
direct("min.default", Tensor.amin)
direct("max.dim", Tensor.max)
direct("min.dim", Tensor.min)
direct("argmax.default", Tensor.argmax)
direct("argmin.default", Tensor.argmin)
direct("logsumexp.default", Tensor.logsumexp)


@aten("var.correction")
def var(at: Site, x: Tensor, dim: Any, correction: Any, keepdim: bool) -> Tensor:
    """``var``, with a correction of 0 or 1"""
    return x.var(dim or None, keepdim=keepdim, correction=_count(correction))


@aten("std.correction")
def std(at: Site, x: Tensor, dim: Any, correction: Any, keepdim: bool) -> Tensor:
    """the root of ``var``"""
    return x.std(dim or None, keepdim=keepdim, correction=_count(correction))


@aten("var_mean.correction")
def var_mean(at: Site, x: Tensor, dim: Any, correction: Any, keepdim: bool) -> tuple:
    """``var`` and ``mean``"""
    return var(at, x, dim, correction, keepdim), x.mean(dim or None, keepdim)


@aten("var.default", "var.dim")
def var_of(at: Site, x: Tensor, *args: Any) -> Tensor:
    """``var``"""
    dim, unbiased, keepdim = args if len(args) == 3 else (None, args[0], False)
    return x.var(dim or None, unbiased, keepdim)


@aten("std.default", "std.dim")
def std_of(at: Site, x: Tensor, *args: Any) -> Tensor:
    """the root of ``var``"""
    dim, unbiased, keepdim = args if len(args) == 3 else (None, args[0], False)
    return x.std(dim or None, unbiased, keepdim)


def _count(correction: Any) -> int:
    return 1 if correction is None else int(correction)


@aten("linalg_vector_norm.default")
def vector_norm(at: Site, x: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    """norms of order 1, 2 and infinity"""
    return _norm(_typed(at, x, dtype), ord, dim, keepdim)


@aten("norm.ScalarOpt_dim", "norm.Scalar")
def norm(at: Site, x: Tensor, p: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """norms of order 1, 2 and infinity"""
    return _norm(x, p, dim, keepdim)


def _norm(x: Tensor, order: Any, dim: Any, keepdim: bool) -> Tensor:
    order = 2 if order is None else order
    if order == math.inf:
        return x.abs().amax(dim or None, keepdim)
    if order not in (1, 2):
        refuse(f"a norm of order {order}", "orders 1, 2 and infinity are there")
    return x.norm(int(order), dim or None, keepdim)


@aten("softmax.int", "_softmax.default")
def softmax(at: Site, x: Tensor, dim: int, _: Any) -> Tensor:
    """``softmax``"""
    return F.softmax(_whole(x), dim).to(at.dtype)


@aten("log_softmax.int", "_log_softmax.default")
def log_softmax(at: Site, x: Tensor, dim: int, _: Any) -> Tensor:
    """``log_softmax``"""
    return F.log_softmax(_whole(x), dim).to(at.dtype)


@aten("cumsum.default")
def cumsum(at: Site, x: Tensor, dim: int, dtype: Any) -> Tensor:
    """a product with a triangle of ones"""
    (axis,) = axes_of(dim, at.rank())
    n = at.shape()[axis]
    if n is None:
        refuse("a cumulated sum along the axis of rows")
    x = _typed(at, x, dtype)
    ones = (arange(n).unsqueeze(1) <= arange(n)).to(x.dtype)
    return x.transpose(axis, -1).matmul(ones).transpose(axis, -1)


@aten("any.default", "any.dim", "any.dims")
def any_of(at: Site, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """``amax`` of truth values"""
    return _truth(x).float().amax(dim, keepdim) > 0


@aten("all.default", "all.dim", "all.dims")
def all_of(at: Site, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """``amin`` of truth values"""
    return _truth(x).float().amin(dim, keepdim) > 0


@aten("scalar_tensor.default")
def scalar(at: Site, value: Any, **_: Any) -> Tensor:
    """``full``"""
    return full([], value, at.dtype)
