"""New tensors, also random ones."""

from __future__ import annotations

from typing import Any

from ... import functional as F
from ...tensors import Tensor, full, rand, rand_like, randn, randn_like, tensor
from ...tensors import arange as whole_numbers
from .table import Site, aten, refuse


@aten("full.default", "new_full.default")
def filled(at: Site, *args: Any, **_: Any) -> Tensor:
    """``full``"""
    size, value = args[-2:]
    return full(list(size), value, at.dtype)


@aten("full_like.default", "fill.Scalar")
def filled_like(at: Site, x: Tensor, value: Any, **_: Any) -> Tensor:
    """``full``"""
    return full(list(x.shape), value, at.dtype)


def _of_one_value(name: str, value: int) -> None:
    def new(at: Site, *args: Any, **_: Any) -> Tensor:
        return full(list(args[-1]), value, at.dtype)

    def like(at: Site, x: Tensor, **_: Any) -> Tensor:
        return full(list(x.shape), value, at.dtype)

    new.__doc__ = like.__doc__ = "``full``"
    aten(f"{name}.default", f"new_{name}.default")(new)
    aten(f"{name}_like.default")(like)


_of_one_value("zeros", 0)
_of_one_value("ones", 1)
# Elements that PyTorch leaves open are 0.
_of_one_value("empty", 0)


@aten("arange.default", "arange.start", "arange.start_step")
def arange(at: Site, *args: Any, **_: Any) -> Tensor:
    """``arange``, with a constant step"""
    start, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    whole = all(not isinstance(each, float) for each in (start, end, step))
    if not whole or not isinstance(step, int):
        if not all(isinstance(each, (int, float)) for each in (start, end, step)):
            refuse("fractions and sizes in one range")
        return tensor(_range(start, end, step), at.dtype)
    n = (end - start + (step - (1 if step > 0 else -1))) // step
    numbers = whole_numbers(n)
    numbers = numbers if step == 1 else numbers * step
    numbers = numbers if isinstance(start, int) and start == 0 else numbers + start
    return numbers.to(at.dtype)


def _range(start: float, end: float, step: float) -> list:
    n = max(0, -int(-(end - start) // step))
    return [start + nth * step for nth in range(n)]


@aten("linspace.default")
def linspace(at: Site, start: Any, end: Any, steps: int, **_: Any) -> Tensor:
    """``tensor``"""
    by = (end - start) / max(1, steps - 1)
    return tensor([start + nth * by for nth in range(steps)], at.dtype)


@aten("eye.default", "eye.m")
def eye(at: Site, n: int, m: int | None = None, **_: Any) -> Tensor:
    """``arange`` and ``==``"""
    columns = whole_numbers(n if m is None else m)
    return (whole_numbers(n).unsqueeze(1) == columns).to(at.dtype)


@aten("one_hot.default")
def one_hot(at: Site, x: Tensor, n: int) -> Tensor:
    """``arange`` and ``==``"""
    if n < 0:
        refuse("`one_hot` without the number of classes", "`F.one_hot(x, num_classes)`")
    return F.one_hot(x, n)


# Randomness, which is the host's.


@aten("rand_like.default")
def uniform_like(at: Site, x: Tensor, **_: Any) -> Tensor:
    """``rand_like``"""
    return rand_like(x)


@aten("randn_like.default")
def normal_like(at: Site, x: Tensor, **_: Any) -> Tensor:
    """``randn_like``"""
    return randn_like(x)


@aten("rand.default")
def uniform(at: Site, size: list, **_: Any) -> Tensor:
    """``rand_like``"""
    return rand(*size)


@aten("randn.default")
def normal(at: Site, size: list, **_: Any) -> Tensor:
    """``randn_like``"""
    return randn(*size)


@aten("bernoulli.default", "bernoulli.p")
def bernoulli(at: Site, x: Tensor, p: Any = None, **_: Any) -> Tensor:
    """``rand_like`` and ``<``"""
    return (rand_like(x) < (x if p is None else p)).to(at.dtype)
