"""Losses: one number, the mean over the batch unless said otherwise; as ``torch.nn.functional``."""

from __future__ import annotations

import math
from typing import Any

from . import dtypes
from .places import refuse
from .tensors import Tensor, _tensor, call, refuse_at_samples, where


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        refuse(f"the reduction {reduction!r}", "mean, sum or none")
    return loss.mean() if reduction == "mean" else loss.sum()


def _said(reduction: str) -> str | None:
    if reduction not in ("mean", "sum", "none"):
        refuse(f"the reduction {reduction!r}", "mean, sum or none")
    return None if reduction == "mean" else reduction


def _fitting(name: str, input: Tensor, target: Tensor) -> Tensor:
    """Targets of the outputs' shape, as the SDK's losses take them: classes [rows] stand for [rows, 1]."""
    outputs, targets = input._value.shape, target._value.shape
    if target.dtype is dtypes.int64 and list(outputs) == [*targets, 1]:
        return target.unsqueeze(-1)
    if list(outputs) != list(targets):
        kinds = ", ".join(f"{each.dtype.name} {list(each._value.shape)}" for each in (input, target))
        refuse_at_samples(f"{name} of {kinds}: targets must have the shape of the outputs")
    return target


def _weighted(name: str, loss: Tensor, weight: Any) -> Tensor:
    """Losses of elements times weights, which do not change their shape."""
    weighted = loss * _tensor(weight)
    if list(weighted._value.shape) != list(loss._value.shape):
        shapes = f"{list(_tensor(weight)._value.shape)} for outputs {list(loss._value.shape)}"
        refuse_at_samples(f"{name} with weights {shapes}: they are repeated to the outputs, not beyond")
    return weighted


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of scores [rows, classes, ..] against int64 classes [rows, ..], or against
    probabilities of the scores' shape."""
    if target.dtype.is_floating_point:
        if ignore_index is not None:
            refuse("`ignore_index` of probabilities", "give classes, or leave it out")
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    weights = [] if weight is None else [_tensor(weight)]
    loss = call(
        "cross_entropy", [input, target, *weights], ignore_index=ignore_index, reduction=_said(reduction)
    )
    if isinstance(label_smoothing, (int, float)) and label_smoothing == 0:
        return loss
    if weights or ignore_index is not None:
        refuse("`label_smoothing` together with `weight` or `ignore_index`", "use one of them")
    even = _reduced(-input.log_softmax(1).mean(1), reduction)
    return loss * (1 - label_smoothing) + even * label_smoothing


def _of_probabilities(
    input: Tensor, target: Tensor, weight: Any, reduction: str, label_smoothing: Any
) -> Tensor:
    target = _fitting("cross entropy", input, target)
    if not isinstance(label_smoothing, (int, float)) or label_smoothing != 0:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[1]
    products = target * input.log_softmax(1)
    if weight is not None:
        each = _tensor(weight).reshape(-1, *[1] * (input.ndim - 2))
        products = _weighted("cross entropy", products, each)
    return _reduced(-products.sum(1), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """As :func:`cross_entropy`, of log-probabilities."""
    weights = [] if weight is None else [_tensor(weight)]
    return call("nll_loss", [input, target, *weights], ignore_index=ignore_index, reduction=_said(reduction))


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared error. Targets [rows] stand for [rows, 1], and classes for numbers."""
    return call("mse_loss", [input, target], reduction=_said(reduction))


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute error."""
    return call("l1_loss", [input, target], reduction=_said(reduction))


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: Any = 1.0) -> Tensor:
    """Quadratic up to an error of ``delta``, linear beyond."""
    return call("huber_loss", [input, target], delta=delta, reduction=_said(reduction))


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: Any = 1.0) -> Tensor:
    """:func:`huber_loss` over ``beta``."""
    loss = huber_loss(input, target, reduction, beta)
    return loss if isinstance(beta, (int, float)) and beta == 1 else loss / beta


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """Binary cross entropy of logits against targets in [0, 1]."""
    if weight is None and pos_weight is None:
        return call("bce_with_logits", [input, target], reduction=_said(reduction))
    name = "binary cross entropy"
    t = _fitting(name, input, target).to(input.dtype)
    if pos_weight is None:
        loss = call("bce_with_logits", [input, t], reduction="none")
    else:
        positive = _weighted(name, t * call("softplus", [-input]), pos_weight)
        loss = positive + (1 - t) * call("softplus", [input])
    return _reduced(loss if weight is None else _weighted(name, loss, weight), reduction)


def binary_cross_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross entropy of probabilities; that of logits is more accurate.

    Logarithms are at least -100, as PyTorch's.
    """
    t = _fitting("binary cross entropy", input, target).to(input.dtype)
    return _reduced(-(t * _logarithm(input) + (1 - t) * _logarithm(1 - input)), reduction)


def _logarithm(p: Tensor) -> Tensor:
    """At least -100; the slope at 0 is 1e12, as PyTorch's."""
    is_zero = p == 0
    log = call("clamp", [where(is_zero, 1, p).log()], min=-100.0)
    return where(is_zero, p * 1e12 - 100, log)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Relative entropy of log-probabilities against probabilities; ``batchmean`` is the mean over
    rows, ``mean`` that over elements."""
    if log_target:
        target = _fitting("relative entropy", input, target)
        return _kl(target.exp() * (target - input), input, reduction)
    if reduction == "batchmean":
        return call("kl_div", [input, target])
    if reduction == "sum":
        return call("kl_div", [input, target], reduction="sum")
    elements = call("kl_div", [input, target], reduction="none")
    return _kl(elements, input, reduction)


def _kl(elements: Tensor, input: Tensor, reduction: str) -> Tensor:
    if reduction == "batchmean":
        return elements.sum() / input.shape[0]
    return _reduced(elements, reduction)


def hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``max(0, 1 - t s)`` of scores and targets of -1 and 1, or of classes 0 and 1 (int64)."""
    if target.dtype is dtypes.int64:
        target = target.to(input.dtype) * 2 - 1
    if target.ndim < input.ndim:
        target = target.unsqueeze(-1)
    target = _fitting("hinge loss", input, target)
    return _reduced((1 - target * input).relu(), reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of targets from normal distributions."""
    target = _fitting("normal likelihood", input, target)
    var = call("clamp", [var if var.ndim in (0, input.ndim) else var.unsqueeze(-1)], min=eps)
    loss = (_weighted("normal likelihood", (input - target).square(), 1 / var) + var.log()) * 0.5
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of counts from Poisson distributions, without Stirling's term."""
    target = _fitting("Poisson likelihood", input, target)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    return _reduced(loss, reduction)


def dice_loss(input: Tensor, target: Tensor, smooth: Any = 1.0) -> Tensor:
    """1 less the Dice coefficient of probabilities [rows, channels, ..], the mean over both axes."""
    return call("dice_loss", [input, target], smooth=smooth)


# Names of PyTorch's classes are in `fedwasm.nn`; these are short ones.
mse = mse_loss
l1 = l1_loss
bce_with_logits = binary_cross_entropy_with_logits
__all__ = [
    "bce_with_logits",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dice_loss",
    "gaussian_nll_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1",
    "l1_loss",
    "mse",
    "mse_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]
