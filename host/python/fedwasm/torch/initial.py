"""What parameters of torch's modules start from: the distributions of their ``reset_parameters``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..init import Initial

# A start by chance that lies within the bound but fills less than this of it is another one: of 32
# draws from U(-1, 1) all lie within 0.4 once in 5 * 10^12 times.
_FILLED = 0.4
_DRAWS_MIN = 32
# Of a normal distribution with deviation 1, so many standard errors.
_ERRORS_MAX = 8.0


class Start:
    """The distribution of a parameter: ``full``, ``uniform`` up to a scale, or ``normal``."""

    def __init__(self, kind: str, scale: float) -> None:
        self.kind = kind
        self.scale = scale

    def initial(self, shape: Any) -> Initial:
        """The same, of a shape."""
        return Initial(self.kind, list(shape), self.scale)

    def may_have_drawn(self, values: torch.Tensor) -> bool:
        """Whether values look drawn from it. A module that was trained, or started otherwise, is told
        by constants that moved, draws beyond the bound, and draws that do not fill it."""
        values = values.detach().double().flatten()
        if self.kind == "full":
            return bool((values == self.scale).all())
        if self.kind == "uniform":
            largest = values.abs().max().item()
            if largest > self.scale * (1 + 1e-5):
                return False
            return len(values) < _DRAWS_MIN or largest >= _FILLED * self.scale
        if len(values) < _DRAWS_MIN:
            return True
        error = 1 / math.sqrt(2 * len(values))
        return abs(values.square().mean().sqrt().item() / self.scale - 1) < _ERRORS_MAX * error


def _uniform(fan_in: float) -> Start:
    return Start("uniform", 1 / math.sqrt(fan_in))


def start_of(owner: nn.Module, name: str) -> Start | None:
    """The distribution that the parameter ``name`` of a module of ``torch.nn`` starts from; None if it
    is not known."""
    value = getattr(owner, name)
    if isinstance(owner, nn.MultiheadAttention):
        return _of_attention(owner, name)
    if isinstance(owner, (nn.Linear, nn.Bilinear)):
        # kaiming_uniform_ with a = √5 is U(-1/√inputs, 1/√inputs).
        return _uniform(owner.weight.shape[1])
    if isinstance(owner, nn.modules.conv._ConvNd):
        return _uniform(owner.weight[0].numel())
    if isinstance(owner, nn.Embedding):
        # The row of padding starts from 0, the others do not.
        return Start("normal", 1.0) if owner.padding_idx is None else None
    if isinstance(owner, nn.RNNBase):
        return _uniform(owner.hidden_size)
    if isinstance(owner, nn.RNNCellBase):
        return _uniform(owner.hidden_size)
    norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
    if isinstance(owner, norms):
        return Start("full", 1.0 if name in ("weight", "running_var") else 0.0)
    if isinstance(owner, nn.PReLU):
        return Start("full", getattr(owner, "init", 0.25))
    flat = value.detach().flatten()
    if len(flat) and bool((flat == flat[0]).all()):
        return Start("full", flat[0].item())
    return None


def _of_attention(owner: nn.MultiheadAttention, name: str) -> Start | None:
    if name == "in_proj_bias":
        return Start("full", 0.0)
    if name in ("bias_k", "bias_v"):
        value = getattr(owner, name)
        # xavier_normal_
        return Start("normal", math.sqrt(2 / (value.shape[-1] * (1 + value.shape[0]))))
    value = getattr(owner, name)
    # xavier_uniform_
    return Start("uniform", math.sqrt(6 / (value.shape[0] + value.shape[1])))


def is_out_projection(owner: nn.Module | None, name: str) -> bool:
    """Whether it is ``out_proj.bias`` of attention, which starts from 0."""
    return isinstance(owner, nn.MultiheadAttention) and name == "out_proj"
