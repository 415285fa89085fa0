"""Types of elements."""

from __future__ import annotations

import builtins


class dtype:
    """The type of a tensor's elements, as ``torch.dtype``: ``float32``, ``float64``, ``int64``, ``bool``."""

    __slots__ = ("name", "rank")

    def __init__(self, name: str, rank: int) -> None:
        self.name = name
        self.rank = rank

    def __repr__(self) -> str:
        return f"fedwasm.{self.name}"

    @property
    def is_floating_point(self) -> builtins.bool:
        """Whether it is ``float32`` or ``float64``."""
        return self.rank >= 2


bool = bool_ = dtype("bool", 0)
int64 = dtype("int64", 1)
float32 = dtype("float32", 2)
float64 = dtype("float64", 3)

BY_NAME = {each.name: each for each in (bool_, int64, float32, float64)}
