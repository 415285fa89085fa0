"""Layers that an argument of the plan describes."""

from __future__ import annotations

from typing import Any

from .. import tracing
from ..places import refuse
from ..symbols import Symbol
from .layers import each_of
from .module import Layer


class Described(Layer):
    """Layers one after the other, described by an argument of the plan that is a list of texts, such
    as ``layers: list[str] = ["linear 64", "relu", "linear outputs"]``. PyTorch has none.

    ``inputs`` is the shape of a row, ``outputs`` the number that ``linear outputs`` means. The texts
    are those of the plan `sequential`; the bounds of an approval can limit them.
    """

    def __init__(self, inputs: Any, layers: Any, outputs: Any = None) -> None:
        if tracing.is_building() and not isinstance(layers, Symbol) and tracing.is_symbolic():
            refuse(
                "`nn.Described` of a constant",
                "give an argument of the plan, `layers: list[str] = [..]`, or write the layers with `nn.Sequential`",
            )
        super().__init__("Described", inputs=each_of(inputs, 1), layers=layers, outputs=outputs)
