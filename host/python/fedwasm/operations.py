"""Methods of tensors as functions, by the names of ``torch``: ``fw.flatten(x, 1)`` is ``x.flatten(1)``."""

from __future__ import annotations

from typing import Any, Sequence

from .tensors import Operand, Tensor, _operator, _tensor


def add(x: Operand, y: Operand) -> Tensor:
    """``x + y``."""
    return _operator("add", x, y)


def sub(x: Operand, y: Operand) -> Tensor:
    """``x - y``."""
    return _operator("sub", x, y)


def mul(x: Operand, y: Operand) -> Tensor:
    """``x * y``."""
    return _operator("mul", x, y)


def div(x: Operand, y: Operand) -> Tensor:
    """``x / y``."""
    return _operator("div", x, y, is_real=True)


def pow(x: Operand, exponent: Operand) -> Tensor:
    """``x ** exponent``."""
    return _operator("pow", x, exponent)


def mm(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product."""
    return x.matmul(y)


def bmm(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product of each row."""
    return x.matmul(y)


def outer(x: Tensor, y: Tensor) -> Tensor:
    """All products of two tensors of one axis."""
    return x.unsqueeze(1) * y


def dot(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the products."""
    return (x * y).sum()


def sum(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The sum over axes, or over all."""
    return x.sum(dim, keepdim)


def mean(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The mean over axes, or over all."""
    return x.mean(dim, keepdim)


def amax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest over axes, or over all."""
    return x.amax(dim, keepdim)


def amin(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest over axes, or over all."""
    return x.amin(dim, keepdim)


def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest, with an axis also where it is; of two tensors the larger elements."""
    return x.maximum(dim) if isinstance(dim, Tensor) else x.max(dim, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest, with an axis also where it is; of two tensors the smaller elements."""
    return x.minimum(dim) if isinstance(dim, Tensor) else x.min(dim, keepdim)


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest is."""
    return x.argmax(dim, keepdim)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest is."""
    return x.argmin(dim, keepdim)


def logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """``ln Σ e^x`` over axes."""
    return x.logsumexp(dim, keepdim)


def var(x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The variance over axes, or over all."""
    return x.var(dim, unbiased, keepdim)


def std(x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The root of the variance."""
    return x.std(dim, unbiased, keepdim)


def norm(x: Tensor, p: int = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The 1-norm or the 2-norm."""
    return x.norm(p, dim, keepdim)


def reshape(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """The same elements in another shape."""
    return x.reshape(shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Several axes as one."""
    return x.flatten(start_dim, end_dim)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """A new axis of length 1."""
    return x.unsqueeze(dim)


def squeeze(x: Tensor, dim: int | None = None) -> Tensor:
    """Without an axis of length 1."""
    return x.squeeze(dim)


def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The axes in another order."""
    return x.permute(dims)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes in each other's place."""
    return x.transpose(dim0, dim1)


def split(x: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along an axis."""
    return x.split(split_size, dim)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """So many parts along an axis."""
    return x.chunk(chunks, dim)


def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Elements along an axis by int64 indices."""
    return x.gather(dim, index)


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``x`` with ``src`` added along an axis by int64 indices."""
    return x.scatter_add(dim, index, src)


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Parts along an axis by int64 indices."""
    return x.index_select(dim, index)


def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """``x`` with one value where the mask is true."""
    return x.masked_fill(mask, value)


def logical_and(x: Tensor, y: Tensor) -> Tensor:
    """``x & y``."""
    return x & y


def logical_or(x: Tensor, y: Tensor) -> Tensor:
    """``x | y``."""
    return x | y


def logical_not(x: Tensor) -> Tensor:
    """``~x``."""
    return ~x


def as_tensor(data: Any) -> Tensor:
    """A tensor of numbers, lists of them or a NumPy array."""
    return _tensor(data)
