"""Optimizers, by the names and with the defaults of ``torch.optim``.

An optimizer is an attribute of the plan: ``optimizer = fw.optim.Adam``, or with defaults of the
author ``optimizer = fw.optim.Adam(lr=0.003)``. Training arguments of an experiment override them
(``optimizer.lr``). There are no parameters to give: the plan's are meant.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .places import refuse


class Optimizer:
    """A rule, and the author's defaults of its arguments."""

    kind: ClassVar[str] = ""
    # Names of arguments, and whether each is a truth value.
    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **defaults: Any) -> None:
        betas = defaults.pop("betas", None)
        if betas is not None:
            defaults["beta1"], defaults["beta2"] = betas
        for name, value in defaults.items():
            if name not in (*self.names, *_OF_ALL):
                known = ", ".join(self.names)
                refuse(f"`optim.{type(self).__name__}` has no argument `{name}`", f"it has {known}")
            if isinstance(value, bool) != (name in _FLAGS):
                refuse(
                    f"`{name}={value!r}` of `optim.{type(self).__name__}`",
                    "True or False" if name in _FLAGS else "a number",
                )
        self.defaults = {
            name: value if isinstance(value, (bool, str)) else _INTEGERS.get(name, float)(value)
            for name, value in defaults.items()
        }


# The SDK's, for each optimizer.
_OF_ALL = (
    "clip_norm",
    "clip_value",
    "schedule",
    "schedule_steps",
    "schedule_factor",
    "warmup_steps",
    "keep_state",
)
_FLAGS = ("nesterov", "keep_state")
_INTEGERS = {"schedule_steps": int, "warmup_steps": int}


class SGD(Optimizer):
    """Stochastic gradient descent: lr=0.01, momentum=0, nesterov=False, weight_decay=0.

    The learning rate of ``torch.optim.SGD`` is 0.001 if none is given.
    """

    kind = "sgd"
    names = ("lr", "momentum", "nesterov", "weight_decay")


class Adam(Optimizer):
    """Kingma and Ba 2015: lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0."""

    kind = "adam"
    names = ("lr", "beta1", "beta2", "eps", "weight_decay")


class AdamW(Adam):
    """Loshchilov and Hutter 2019: as :class:`Adam` with weight_decay=0.01, which is decoupled."""

    kind = "adamw"


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer 2011: lr=0.01, lr_decay=0, eps=1e-10, weight_decay=0."""

    kind = "adagrad"
    names = ("lr", "lr_decay", "eps", "weight_decay")


class RMSprop(Optimizer):
    """Tieleman and Hinton 2012: lr=0.01, alpha=0.99, eps=1e-8, momentum=0, weight_decay=0."""

    kind = "rmsprop"
    names = ("lr", "alpha", "eps", "momentum", "weight_decay")


def of(optimizer: Any) -> Optimizer:
    """The optimizer of a plan's attribute: one, or its class."""
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    if isinstance(optimizer, Optimizer):
        return optimizer
    refuse(f"the optimizer {optimizer!r}", "such as `fw.optim.Adam` or `fw.optim.SGD(lr=0.1)`")
