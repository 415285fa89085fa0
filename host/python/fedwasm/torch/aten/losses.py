"""Losses."""

from __future__ import annotations

from typing import Any

from ... import losses
from ...tensors import Tensor
from .table import Site, aten, refuse

# The numbers of `at::Reduction`.
_REDUCTIONS = ("none", "mean", "sum")
# PyTorch's default of a class that does not count.
_NO_CLASS = -100


def _ignored(index: int) -> int | None:
    return None if index == _NO_CLASS else index


@aten("cross_entropy_loss.default")
def cross_entropy(
    at: Site, x: Tensor, y: Tensor, weight: Any, reduction: int, ignore_index: int, smoothing: float
) -> Tensor:
    """``cross_entropy``: classes or probabilities; smoothing without weights"""
    if at.rank() == 1:
        refuse("scores without an axis of rows")
    return losses.cross_entropy(x, y, weight, _ignored(ignore_index), _REDUCTIONS[reduction], smoothing)


@aten("nll_loss_nd.default", "nll_loss.default", "nll_loss2d.default")
def nll_loss(at: Site, x: Tensor, y: Tensor, weight: Any, reduction: int, ignore_index: int) -> Tensor:
    """``nll_loss``"""
    return losses.nll_loss(x, y, weight, _ignored(ignore_index), _REDUCTIONS[reduction])


@aten("nll_loss_forward.default", "nll_loss2d_forward.default")
def nll_loss_forward(at: Site, *args: Any) -> tuple:
    """``nll_loss``"""
    return nll_loss(at, *args), None


@aten("mse_loss.default")
def mse_loss(at: Site, x: Tensor, y: Tensor, reduction: int) -> Tensor:
    """``mse_loss``"""
    return losses.mse_loss(x, y, _REDUCTIONS[reduction])


@aten("l1_loss.default")
def l1_loss(at: Site, x: Tensor, y: Tensor, reduction: int) -> Tensor:
    """``l1_loss``"""
    return losses.l1_loss(x, y, _REDUCTIONS[reduction])


@aten("smooth_l1_loss.default")
def smooth_l1_loss(at: Site, x: Tensor, y: Tensor, reduction: int, beta: float) -> Tensor:
    """``huber_loss`` over beta"""
    if beta == 0:
        return l1_loss(at, x, y, reduction)
    return losses.smooth_l1_loss(x, y, _REDUCTIONS[reduction], beta)


@aten("huber_loss.default")
def huber_loss(at: Site, x: Tensor, y: Tensor, reduction: int, delta: float) -> Tensor:
    """``huber_loss``"""
    return losses.huber_loss(x, y, _REDUCTIONS[reduction], delta)


@aten("binary_cross_entropy.default")
def binary_cross_entropy(at: Site, x: Tensor, y: Tensor, weight: Any, reduction: int) -> Tensor:
    """logarithms of at least -100"""
    if weight is None:
        return losses.binary_cross_entropy(x, y, _REDUCTIONS[reduction])
    return _reduced(losses.binary_cross_entropy(x, y, "none") * weight, reduction)


@aten("binary_cross_entropy_with_logits.default")
def bce_with_logits(at: Site, x: Tensor, y: Tensor, weight: Any, pos_weight: Any, reduction: int) -> Tensor:
    """``bce_with_logits``"""
    return losses.binary_cross_entropy_with_logits(x, y, weight, _REDUCTIONS[reduction], pos_weight)


@aten("kl_div.default")
def kl_div(at: Site, x: Tensor, y: Tensor, reduction: int, log_target: bool) -> Tensor:
    """``kl_div``"""
    return losses.kl_div(x, y, _REDUCTIONS[reduction], log_target)


def _reduced(x: Tensor, reduction: int) -> Tensor:
    return x.mean() if reduction == 1 else x.sum() if reduction == 2 else x
