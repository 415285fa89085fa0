"""Optimizers of PyTorch as those of this package."""

from __future__ import annotations

from typing import Any

import torch

from .. import optim
from ..places import BuildError

_KINDS = {
    "SGD": optim.SGD,
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
}
# Settings of how steps are computed, which they do not change.
_NEUTRAL = {"foreach", "fused", "differentiable", "capturable"}


def optimizer_of(given: Any) -> Any:
    """The optimizer of a plan: one of this package as it is, one of torch's by its name and settings."""
    if given is None:
        return optim.SGD
    if isinstance(given, optim.Optimizer) or isinstance(given, type) and issubclass(given, optim.Optimizer):
        return given
    is_class = isinstance(given, type) and issubclass(given, torch.optim.Optimizer)
    if not is_class and not isinstance(given, torch.optim.Optimizer):
        raise BuildError(
            f"the optimizer {given!r}", "such as `torch.optim.Adam` or `fedwasm.optim.Adam(lr=0.01)`"
        )
    name = given.__name__ if is_class else type(given).__name__
    if name not in _KINDS:
        raise BuildError(f"the optimizer torch.optim.{name} is not covered", f"there are {', '.join(_KINDS)}")
    if is_class and name != "SGD":
        return _KINDS[name]
    # The learning rate of torch's SGD is another than that of this package.
    return _with_settings(given([torch.zeros(1)]) if is_class else given, name)


def _with_settings(given: torch.optim.Optimizer, name: str) -> optim.Optimizer:
    if len(given.param_groups) > 1:
        raise BuildError(
            f"torch.optim.{name} has {len(given.param_groups)} groups of parameters",
            "one learning rate holds for all; freeze parameters by `requires_grad=False`",
        )
    kind = _KINDS[name]
    settings = {}
    for key, value in given.param_groups[0].items():
        if key == "params" or value is None:
            continue
        is_adamw = name == "AdamW" and key == "decoupled_weight_decay"
        if key in (*kind.names, "betas"):
            settings[key] = value
        elif value and key not in _NEUTRAL and not is_adamw:
            raise BuildError(f"`{key}={value!r}` of torch.optim.{name} is not covered")
    return kind(**settings)


__all__ = ["optimizer_of"]
