"""Functions that move elements."""

from __future__ import annotations

from typing import Any

from ... import dtypes
from ... import functional as F
from ...tensors import Tensor, arange, call, cat, stack, tensor
from .table import Site, aten, axes_of, direct, refuse

# The end of a slice that has none: the largest int64.
END = 2**63 - 1


@aten("view.default", "_unsafe_view.default", "reshape.default", "_reshape_copy.default")
def reshape(at: Site, x: Tensor, shape: list) -> Tensor:
    """``reshape``"""
    return x.reshape(*shape) if shape else call("reshape", [x], shape=[])


@aten("permute.default")
def permute(at: Site, x: Tensor, dims: list) -> Tensor:
    """``permute``"""
    return x.permute(*axes_of(dims, at.rank()))


direct("transpose.int", Tensor.transpose)
direct("unsqueeze.default", Tensor.unsqueeze)
direct("flatten.using_ints", Tensor.flatten)
direct("unflatten.int", Tensor.unflatten)
direct("gather.default", Tensor.gather)
direct("scatter_add.default", Tensor.scatter_add)
direct("index_select.default", Tensor.index_select)
direct("repeat.default", Tensor.repeat)


@aten("t.default", "mT.default", "numpy_T.default")
def turned(at: Site, x: Tensor) -> Tensor:
    """``transpose``"""
    return x.transpose(-2, -1) if at.rank() > 1 else x


@aten("squeeze.dim", "squeeze.dims", "squeeze.default")
def squeeze(at: Site, x: Tensor, dim: Any = None) -> Tensor:
    """``squeeze``"""
    sizes = at.shape()
    for axis in sorted(axes_of(dim, at.rank()), reverse=True):
        if sizes[axis] == 1:
            x = x.squeeze(axis)
    return x


@aten("expand.default")
def expand(at: Site, x: Tensor, sizes: list, implicit: bool = False) -> Tensor:
    """``expand``"""
    return x if at.is_of_output(0) else x.expand(*sizes)


@aten("expand_as.default")
def expand_as(at: Site, x: Tensor, other: Tensor) -> Tensor:
    """``expand``"""
    return x if at.is_of_output(0) else x.expand(*other.shape)


@aten("broadcast_tensors.default")
def broadcast_tensors(at: Site, tensors: list) -> list:
    """``expand``"""
    shapes = at.shapes()
    rank = max(len(shape) for shape in shapes)
    wide = max(range(len(tensors)), key=lambda nth: (len(shapes[nth]), str(shapes[nth]).count("s")))
    sizes: list = []
    for axis in range(-rank, 0):
        # The size of the first tensor that is not 1 along this axis.
        owner = next(
            (nth for nth, shape in enumerate(shapes) if len(shape) >= -axis and str(shape[axis]) != "1"), wide
        )
        known = shapes[owner][axis]
        sizes.append(known if isinstance(known, int) else tensors[owner].shape[axis])
    wanted = [str(shapes[0][axis] if len(shapes[0]) >= -axis else 1) for axis in range(-rank, 0)]
    return [
        x if [str(size) for size in shape] == wanted and all_equal(shapes) else x.expand(*sizes)
        for x, shape in zip(tensors, shapes)
    ]


def all_equal(shapes: list) -> bool:
    """Whether all shapes are the same."""
    return len({str(shape) for shape in shapes}) == 1


@aten("slice.Tensor")
def narrow(at: Site, x: Tensor, dim: int, start: Any, end: Any, step: Any) -> Tensor:
    """``slice``, with a constant step"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is None:
        end = None if isinstance(end, int) and end >= END else end
        start = None if isinstance(start, int) and start == 0 else start
        return x[(slice(None),) * axis + (slice(start, end, None if step == 1 else step),)]
    start, end, step = slice(start, end, step).indices(size)
    if (start, end, step) == (0, size, 1):
        return x
    length = len(range(start, end, step))
    return call("slice", [x], dim=axis, start=start, length=length, step=None if step == 1 else step)


@aten("select.int")
def select(at: Site, x: Tensor, dim: int, index: Any) -> Tensor:
    """``select``"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is not None and isinstance(index, int):
        index %= size
    return x.select(axis, index)


@aten("split.Tensor")
def split(at: Site, x: Tensor, size: int, dim: int) -> Any:
    """``split``"""
    (axis,) = axes_of(dim, at.rank())
    n = at.shape()[axis]
    if n is None or not isinstance(size, int):
        refuse("parts along the axis of rows")
    return x.split([min(size, n - start) for start in range(0, n, size)], axis)


direct("split_with_sizes.default split.sizes", Tensor.split)


@aten("chunk.default")
def chunk(at: Site, x: Tensor, n: int, dim: int) -> Any:
    """``split``"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is None:
        refuse("parts along the axis of rows")
    return split(at, x, -(-size // n), axis)


@aten("unbind.int")
def unbind(at: Site, x: Tensor, dim: int) -> Any:
    """``select``"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is None:
        refuse("one tensor for each row")
    return [x.select(axis, nth) for nth in range(size)]


@aten("cat.default")
def join(at: Site, tensors: list, dim: int) -> Tensor:
    """``cat``"""
    # PyTorch passes over tensors of no elements.
    kept = [x for x, shape in zip(tensors, at.shapes()) if shape != (0,)]
    return cat([x.to(at.dtype) for x in kept], dim)


direct("stack.default", stack)


@aten("index.Tensor")
def index(at: Site, x: Tensor, indices: list) -> Tensor:
    """``index_select``: whole numbers along one axis"""
    given = [(axis, each) for axis, each in enumerate(indices) if each is not None]
    if len(given) != 1 or given[0][1].dtype is not dtypes.int64:
        refuse("an index of several tensors or of truth values", "`torch.where` keeps the shape")
    axis, chosen = given[0]
    x = x.index_select(axis, chosen.reshape(-1))
    if chosen.ndim == 1:
        return x
    shape = x.shape
    return x.reshape(*shape[:axis], *chosen.shape, *shape[axis + 1 :])


@aten("flip.default")
def flip(at: Site, x: Tensor, dims: list) -> Tensor:
    """``index_select``"""
    for axis in axes_of(list(dims), at.rank()):
        n = x.shape[axis]
        x = x.index_select(axis, n - 1 - arange(n))
    return x


@aten("roll.default")
def roll(at: Site, x: Tensor, shifts: list, dims: list) -> Tensor:
    """``cat`` of two slices"""
    if not dims:
        refuse("a roll without axes")
    for shift, axis in zip(shifts, axes_of(list(dims), at.rank())):
        size = at.shape()[axis]
        if size is None or not isinstance(shift, int):
            refuse("a roll along the axis of rows")
        first = (size - shift) % size
        if first:
            x = cat([x.narrow(axis, first, size - first), x.narrow(axis, 0, first)], axis)
    return x


@aten("constant_pad_nd.default")
def constant_pad(at: Site, x: Tensor, around: list, value: Any) -> Tensor:
    """``pad``; parts are cut off where it is negative"""
    for nth, (before, after) in enumerate(zip(around[::2], around[1::2])):
        axis = at.rank() - 1 - nth
        cut_before, cut_after = max(0, -before), max(0, -after)
        if cut_before or cut_after:
            x = x.narrow(axis, cut_before, x.shape[axis] - (cut_before + cut_after))
    kept = [max(0, each) for each in around]
    return F.pad(x, kept, value=value) if any(kept) else x


@aten("pad.default")
def pad(at: Site, x: Tensor, around: list, mode: str, value: Any) -> Tensor:
    """``pad``, or ``index_select`` for reflect, replicate and circular"""
    if mode == "constant":
        return constant_pad(at, x, around, value or 0)
    for nth, (before, after) in enumerate(zip(around[::2], around[1::2])):
        axis = at.rank() - 1 - nth
        size = at.shape()[axis]
        if size is None:
            refuse(f"padding by {mode} along the axis of rows")
        chosen = [_mirrored(at_, size, mode) for at_ in range(-before, size + after)]
        if before or after:
            x = x.index_select(axis, tensor(chosen))
    return x


def _mirrored(at: int, size: int, mode: str) -> int:
    if mode == "circular":
        return at % size
    if mode == "replicate":
        return min(max(at, 0), size - 1)
    return size - 1 - abs(size - 1 - abs(at))


@aten("tril.default")
def tril(at: Site, x: Tensor, diagonal: int = 0) -> Tensor:
    """``where`` under a diagonal"""
    return F.tril(x, diagonal)


@aten("triu.default")
def triu(at: Site, x: Tensor, diagonal: int = 0) -> Tensor:
    """``where`` above a diagonal"""
    return F.triu(x, diagonal)


@aten("slice_scatter.default")
def slice_scatter(at: Site, x: Tensor, src: Tensor, dim: int, start: Any, end: Any, step: Any) -> Tensor:
    """``cat`` of what lies before, the new part and what lies behind"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is None:
        if (start or 0) == 0 and (end is None or end >= END) and step == 1:
            return src.to(x.dtype)
        refuse("an assignment to some rows")
    start, end, step = slice(start, end, step).indices(size)
    if step != 1:
        refuse("an assignment to a slice with a step", "`torch.where` does it")
    return _between(x, src, axis, start, max(start, end), size)


@aten("select_scatter.default")
def select_scatter(at: Site, x: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """``cat`` of what lies before, the new part and what lies behind"""
    (axis,) = axes_of(dim, at.rank())
    size = at.shape()[axis]
    if size is None:
        refuse("an assignment to one row")
    return _between(x, src.unsqueeze(axis), axis, index % size, index % size + 1, size)


def _between(x: Tensor, src: Tensor, axis: int, start: int, end: int, size: int) -> Tensor:
    parts = [(0, start, x), (0, end - start, src.to(x.dtype)), (end, size - end, x)]
    kept = [
        part if part is src else part.narrow(axis, first, length) for first, length, part in parts if length
    ]
    return kept[0] if len(kept) == 1 else cat(kept, axis)


@aten("copy.default")
def copy(at: Site, x: Tensor, src: Tensor, *_: Any) -> Tensor:
    """``expand``"""
    return (src if at.is_of_output(1) else src.expand(*x.shape)).to(at.dtype)


@aten("pixel_shuffle.default")
def pixel_shuffle(at: Site, x: Tensor, by: int) -> Tensor:
    """``reshape`` and ``permute``"""
    channels, height, width = _image(at)
    x = x.reshape(-1, channels // by**2, by, by, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(-1, channels // by**2, height * by, width * by)


@aten("pixel_unshuffle.default")
def pixel_unshuffle(at: Site, x: Tensor, by: int) -> Tensor:
    """``reshape`` and ``permute``"""
    channels, height, width = _image(at)
    x = x.reshape(-1, channels, height // by, by, width // by, by).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(-1, channels * by**2, height // by, width // by)


def _image(at: Site) -> tuple:
    if at.rank() != 4 or None in at.shape()[1:]:
        refuse("anything but [rows, channels, height, width]")
    _, channels, height, width = at.shape()
    return channels, height, width
