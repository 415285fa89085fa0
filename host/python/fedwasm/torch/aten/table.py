"""The table of ATen's functions, and what a function knows about its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ... import dtypes
from ...dtypes import dtype
from ...tensors import Tensor


class Unsupported(Exception):
    """An argument of a covered function that is not covered: what, and maybe what to do."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class Site:
    """A call in an exported program: what PyTorch knows about shapes and types of its tensors."""

    def __init__(self, inputs: list[Any], output: Any, module: Callable[..., Any] | None) -> None:
        # `meta["val"]` of each argument and of the output; None where it is not a tensor.
        self._inputs = inputs
        self._output = output
        # The layer of this package that has the parameters of this call, if one does.
        self.module = module

    def shape(self, nth: int = 0) -> list[int | None]:
        """Sizes of an argument's axes; None for those that the data decide."""
        return [size if isinstance(size, int) else None for size in self._inputs[nth].shape]

    def shapes(self, nth: int = 0) -> list[tuple]:
        """Sizes of the tensors of a list."""
        return [tuple(each.shape) for each in self._inputs[nth]]

    def rank(self, nth: int = 0) -> int:
        """The number of an argument's axes."""
        return len(self._inputs[nth].shape)

    def is_of_output(self, nth: int) -> bool:
        """Whether an argument has the output's shape."""
        return _said(self._inputs[nth].shape) == _said(self._output.shape)

    @property
    def dtype(self) -> dtype:
        """The type of the output's elements."""
        return element(self._output.dtype)


def _said(shape: Any) -> list[str]:
    return [str(size) for size in shape]


def element(torch_dtype: Any) -> dtype:
    """The type of this package for one of torch's; the name is enough, so torch is not needed."""
    name = str(torch_dtype).removeprefix("torch.")
    if name not in dtypes.BY_NAME:
        raise Unsupported(f"elements of {name}", "float32, float64, int64 and bool are there")
    return dtypes.BY_NAME[name]


Handler = Callable[..., Any]
TABLE: dict[str, Handler] = {}


def aten(*overloads: str) -> Callable[[Handler], Handler]:
    """Enters a function for overloads such as ``relu.default``; the docstring goes into the table of
    the documentation."""

    def enter(handler: Handler) -> Handler:
        for overload in overloads:
            assert overload not in TABLE, overload
            TABLE[overload] = handler
        return handler

    return enter


_SIGNS = {"__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


def direct(overloads: str, function: Callable[..., Any]) -> None:
    """Enters a function that takes tensors and the schema's arguments as they are."""

    def handler(at: Site, *args: Any, **_: Any) -> Any:
        return function(*args)

    sign = _SIGNS.get(function.__name__, function.__name__)
    handler.__doc__ = f"``{sign}``"
    aten(*overloads.split())(handler)


def refuse(message: str, help: str | None = None) -> NoReturn:
    """An argument that is not covered."""
    raise Unsupported(message, help)


def axes_of(dim: Any, rank: int) -> list[int]:
    """Axes from the front; all of them for None or an empty list."""
    if dim is None or dim == []:
        return list(range(rank))
    dims = dim if isinstance(dim, (list, tuple)) else [dim]
    return [each % rank if rank else 0 for each in dims]


__all__ = [
    "TABLE",
    "Handler",
    "Site",
    "Tensor",
    "Unsupported",
    "aten",
    "axes_of",
    "direct",
    "element",
    "refuse",
]
