"""Tensors: the same class computes at once, in a notebook or a debugger, and is traced.

Names and defaults are PyTorch's wherever they mean the same. Numbers become tensors of the other
operand's type, and types are promoted as PyTorch does it: bool < int64 < float32 < float64.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Sequence, Union

from . import _native, dtypes, tracing
from .places import refuse
from .symbols import Number, binary, is_number, known, sample

if TYPE_CHECKING:
    from numpy import ndarray

Operand = Union["Tensor", int, float, Number]


class Shape(tuple):
    """The sizes of a tensor, as ``torch.Size``."""

    def numel(self) -> Any:
        """How many elements there are."""
        count: Any = 1
        for size in self:
            count = count * size
        return count


class Extreme(NamedTuple):
    """What ``x.max(dim)`` and ``x.min(dim)`` return."""

    values: Tensor
    indices: Tensor


def call(name: str, tensors: Sequence[Tensor], **attributes: Any) -> Tensor:
    """Does a function of the table of functions, and records it."""
    return call_all(name, tensors, attributes)[0]


def call_all(name: str, tensors: Sequence[Tensor], attributes: dict[str, Any]) -> list[Tensor]:
    """As :func:`call`, of a function with several outputs."""
    trace = tracing.current()
    given = {key: value for key, value in attributes.items() if value is not None}
    inputs = [each._lift(trace) for each in tensors]
    natives = [each._value for each in inputs]
    values = {key: sample(value) for key, value in given.items()}
    try:
        made = _native.call(name, natives, values)
    except _native.Mistake as error:
        refuse_at_samples(str(error))
    except (TypeError, OverflowError):
        told = ", ".join(f"{key}={value!r}" for key, value in values.items())
        refuse(f"`{name}` does not take {told}", "sizes and axes are whole numbers: divide by `//`")
    return record(trace, ("function", name), inputs, given, made)


def record(
    trace: tracing.Trace | None,
    called: tuple,
    inputs: Sequence[Tensor],
    attributes: dict[str, Any],
    made: Sequence[_native.Tensor],
) -> list[Tensor]:
    """Tensors of what a call made, with their nodes if there is a trace."""
    if trace is None:
        outputs = [Tensor(value) for value in made]
    else:
        nodes = [each._node for each in inputs]
        node = trace.node(called, nodes, attributes, kind_of(made[0]))
        outputs = [Tensor(made[0], trace, node)]
        # A node of several tensors is the first of them.
        for nth, each in enumerate(made[1:], 1):
            outputs.append(Tensor(each, trace, trace.node(("output", nth), [node], {}, kind_of(each))))
    return [each.detach() for each in outputs] if _no_grad else outputs


def kind_of(value: _native.Tensor) -> tuple[str, list[int]]:
    """Type and shape."""
    return value.dtype, list(value.shape)


def refuse_at_samples(message: str) -> NoReturn:
    """Raises what the library finds wrong, at the author's line."""
    from .graphs import samples_in_words

    refuse(message, samples_in_words())


def array_of(value: _native.Tensor) -> ndarray:
    """Elements as an array, which cannot be written."""
    import numpy

    return numpy.frombuffer(value.bytes(), dtype=value.dtype).reshape(value.shape)


_no_grad = 0


class no_grad:
    """Computes without gradients, as ``torch.no_grad``: ``with fw.no_grad(): ...``."""

    def __enter__(self) -> None:
        global _no_grad
        _no_grad += 1

    def __exit__(self, *_: object) -> None:
        global _no_grad
        _no_grad -= 1


class Tensor:
    """An array of numbers with gradients, as ``torch.Tensor``. It is a value: nothing changes it.

    Slices, operators and methods are PyTorch's. While a plan is traced a tensor has made-up numbers:
    its shape can be used, its elements cannot.
    """

    __slots__ = ("_value", "_trace", "_node")

    def __init__(self, value: _native.Tensor, trace: tracing.Trace | None = None, node: int = -1) -> None:
        self._value = value
        self._trace = trace
        self._node = node

    def _lift(self, trace: tracing.Trace | None) -> Tensor:
        """The tensor in this trace."""
        if self._trace is trace:
            return self
        if trace is None:
            return Tensor(self._value)
        if self._trace is None:
            return _constant(self)
        refuse(
            f"a tensor that `{self._trace.role}` made is used in `{trace.role}`",
            "each function is traced by itself: compute it again here, from the batch",
        )

    # What it is.

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return dtypes.BY_NAME[self._value.dtype]

    @property
    def shape(self) -> Shape:
        """The sizes of the axes; symbols while it is traced."""
        trace, sizes = self._trace, self._value.shape
        if trace is None:
            return Shape(map(known, sizes))
        return Shape(trace.size(self._node, axis, size) for axis, size in enumerate(sizes))

    def size(self, dim: int | None = None) -> Any:
        """The sizes, or that of one axis."""
        return self.shape if dim is None else self.shape[self._axis(dim)]

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self._value.shape)

    def dim(self) -> int:
        """How many axes."""
        return self.ndim

    def numel(self) -> Any:
        """How many elements."""
        return self.shape.numel()

    def is_floating_point(self) -> builtins.bool:
        """Whether the elements are ``float32`` or ``float64``."""
        return self.dtype.is_floating_point

    def _axis(self, dim: int, extra: int = 0) -> int:
        """An axis counted from the front."""
        if not isinstance(dim, int):
            refuse(f"an axis is a number of Python, not {dim!r}")
        rank = self.ndim + extra
        if not -rank <= dim < max(rank, 1):
            refuse(f"axis {dim} of a tensor of shape {list(self._value.shape)}")
        return dim % rank if rank else 0

    def __repr__(self) -> str:
        if self._trace is not None:
            return f"Tensor(traced, {self._value.dtype} {list(self._value.shape)})"
        text = str(self.numpy()).replace("\n", "\n       ")
        return f"Tensor({text}, dtype={self.dtype.name})"

    # Values, which a traced tensor does not have.

    def _no_value(self, doing: str, hint: str) -> None:
        if self._trace is not None:
            refuse(f"{doing} needs the values of a tensor, and the plan is traced only once", hint)

    def __bool__(self) -> builtins.bool:
        self._no_value("a branch (`if`, `while`, `and`, `assert`)", _WHERE)
        return bool(self.item())

    def __int__(self) -> int:
        self._no_value("`int()`", _KEEP)
        return int(self.item())

    def __float__(self) -> float:
        self._no_value("`float()`", _KEEP)
        return float(self.item())

    def __index__(self) -> int:
        self._no_value("an index or a length", "use `gather` or `fw.where` with the tensor itself")
        return int(self.item())

    def __format__(self, form: str) -> str:
        if not form:
            return str(self)
        self._no_value("a format", _KEEP)
        return format(self.item(), form)

    def item(self) -> float:
        """The number of a tensor of one element; not while it is traced."""
        self._no_value("`item()`", _KEEP)
        return self.numpy().item()

    def tolist(self) -> Any:
        """Elements as lists of numbers; not while it is traced."""
        self._no_value("`tolist()`", _KEEP)
        return self.numpy().tolist()

    def numpy(self) -> ndarray:
        """Elements as an array of NumPy; not while it is traced."""
        self._no_value("`numpy()`", _NUMPY)
        return array_of(self._value)

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> ndarray:
        self._no_value("NumPy", _NUMPY)
        import numpy

        return numpy.asarray(array_of(self._value), dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Operators of NumPy's arrays are this class's; other functions of NumPy take no tensor."""
        name = _UFUNCS.get(ufunc.__name__)
        if method != "__call__" or name is None or kwargs:
            self._no_value(f"`numpy.{ufunc.__name__}`", _NUMPY)
            return getattr(ufunc, method)(*(getattr(x, "numpy", lambda x=x: x)() for x in inputs), **kwargs)
        a, b = inputs
        return _tensor(a).matmul(_tensor(b)) if name == "matmul" else _operator(name, a, b, name == "div")

    def __len__(self) -> int:
        if self._trace is not None:
            refuse("`len()` needs a number while the plan is traced", "use `x.shape[0]`")
        return self._value.shape[0]

    def __iter__(self) -> NoReturn:
        refuse("Python cannot go through a tensor", "use `x.unbind(dim)` or `x.chunk(n, dim)`")

    def __contains__(self, _: object) -> NoReturn:
        refuse("`in` needs the values of a tensor", _WHERE)

    def __setitem__(self, _: object, __: object) -> NoReturn:
        refuse(
            "a tensor is a value, and no element of it can be set",
            "use `fw.where`, `scatter_add` or `fw.cat`",
        )

    __hash__ = object.__hash__

    # Operators.

    def __add__(self, other: Operand) -> Tensor:
        return _operator("add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return _operator("add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return _operator("sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return _operator("sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return _operator("mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return _operator("mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return _operator("div", self, other, is_real=True)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _operator("div", other, self, is_real=True)

    def __pow__(self, other: Operand) -> Tensor:
        return self.pow(other)

    def __rpow__(self, other: Operand) -> Tensor:
        return _operator("pow", other, self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.matmul(other)

    def __neg__(self) -> Tensor:
        return self.neg()

    def __abs__(self) -> Tensor:
        return self.abs()

    def __eq__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _operator("eq", self, other)

    def __ne__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _operator("ne", self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return _operator("lt", self, other)

    def __le__(self, other: Operand) -> Tensor:
        return _operator("le", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return _operator("gt", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return _operator("ge", self, other)

    def __and__(self, other: Tensor) -> Tensor:
        return _logical("and", self, other)

    def __or__(self, other: Tensor) -> Tensor:
        return _logical("or", self, other)

    def __invert__(self) -> Tensor:
        return logical_not(self)

    # Of each element.

    def exp(self) -> Tensor:
        """``e^x``."""
        return _element("exp", self)

    def log(self) -> Tensor:
        """The natural logarithm."""
        return _element("log", self)

    def sqrt(self) -> Tensor:
        """The square root."""
        return _element("sqrt", self)

    def rsqrt(self) -> Tensor:
        """``1 / √x``."""
        return _element("rsqrt", self)

    def reciprocal(self) -> Tensor:
        """``1 / x``."""
        return _element("reciprocal", self)

    def square(self) -> Tensor:
        """``x²``."""
        return _element("square", self)

    def abs(self) -> Tensor:
        """``|x|``."""
        return _element("abs", self)

    def sign(self) -> Tensor:
        """-1, 0 or 1; its gradient is 0."""
        return _element("sign", self)

    def relu(self) -> Tensor:
        """``max(x, 0)``."""
        return _element("relu", self)

    def sigmoid(self) -> Tensor:
        """``1 / (1 + e^-x)``."""
        return _element("sigmoid", self)

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return _element("tanh", self)

    def neg(self) -> Tensor:
        """``-x``."""
        return _element("neg", self)

    def pow(self, exponent: Operand) -> Tensor:
        """Elements to a power."""
        return _operator("pow", self, exponent)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product, as ``torch.matmul``."""
        return call("matmul", [self, _tensor(other)])

    def softmax(self, dim: int) -> Tensor:
        """``e^x`` over its sum along an axis."""
        return call("softmax", [self], dim=dim)

    def log_softmax(self, dim: int) -> Tensor:
        """The logarithm of :meth:`softmax`."""
        return call("log_softmax", [self], dim=dim)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """At least ``min`` and at most ``max``, numbers or tensors; NaN stays."""
        x = self
        for name, limit in (("maximum", min), ("minimum", max)):
            if isinstance(limit, Tensor):
                x = _operator(name, x, limit)
        low, high = (None if isinstance(limit, Tensor) else limit for limit in (min, max))
        return x if low is None and high is None else call("clamp", [x], min=low, max=high)

    clip = clamp

    def maximum(self, other: Operand) -> Tensor:
        """The larger of the two; NaN if either is."""
        return _operator("maximum", self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The smaller of the two; NaN if either is."""
        return _operator("minimum", self, other)

    # Types.

    def to(self, *to: Any, dtype: dtypes.dtype | None = None) -> Tensor:
        """Elements in another type. Devices mean nothing here."""
        for each in to:
            if isinstance(each, dtypes.dtype):
                dtype = each
            elif isinstance(each, Tensor):
                dtype = each.dtype
        if dtype is None or dtype is self.dtype:
            return self
        return call("to", [self], dtype=dtype.name)

    def type_as(self, other: Tensor) -> Tensor:
        """Elements in the type of another tensor."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """Elements as float32."""
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        """Elements as float64."""
        return self.to(dtypes.float64)

    def long(self) -> Tensor:
        """Elements as int64, rounded towards 0."""
        return self.to(dtypes.int64)

    def bool(self) -> Tensor:
        """Where elements are not 0."""
        return self.to(dtypes.bool_)

    def detach(self) -> Tensor:
        """The same elements, through which no gradient flows."""
        global _no_grad
        before, _no_grad = _no_grad, 0
        try:
            return call("detach", [self])
        finally:
            _no_grad = before

    def clone(self) -> Tensor:
        """The tensor itself: tensors are values."""
        return self.detach() if _no_grad else self

    contiguous = clone

    # Reductions.

    def sum(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        """The sum over axes, or over all."""
        if self.is_floating_point():
            return self._reduced("sum", dim, keepdim)
        return self.double()._reduced("sum", dim, keepdim).long()

    def mean(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        """The mean over axes, or over all."""
        return self._reduced("mean", dim, keepdim)

    def amax(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        """The largest over axes, or over all."""
        return self._reduced("amax", dim, keepdim)

    def amin(self, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        """The smallest over axes, or over all."""
        return self._reduced("amin", dim, keepdim)

    def logsumexp(self, dim: Any, keepdim: builtins.bool = False) -> Tensor:
        """``ln Σ e^x`` over axes."""
        return self._reduced("logsumexp", dim, keepdim)

    def _reduced(self, name: str, dim: Any, keepdim: builtins.bool) -> Tensor:
        dims = None if dim is None else _dims(dim)
        return call(name, [self], dim=dims, keepdim=keepdim or None)

    def max(self, dim: int | None = None, keepdim: builtins.bool = False) -> Any:
        """The largest element, or the largest along an axis and where they are."""
        if dim is None:
            return self.amax()
        return Extreme(self.amax(dim, keepdim), self.argmax(dim, keepdim))

    def min(self, dim: int | None = None, keepdim: builtins.bool = False) -> Any:
        """The smallest element, or the smallest along an axis and where they are."""
        if dim is None:
            return self.amin()
        return Extreme(self.amin(dim, keepdim), self.argmin(dim, keepdim))

    def argmax(self, dim: int | None = None, keepdim: builtins.bool = False) -> Tensor:
        """Where the largest is: int64, the first of equals."""
        if dim is None:
            return self.flatten().argmax(0)
        found = call("argmax", [self], dim=dim)
        return found.unsqueeze(dim) if keepdim else found

    def argmin(self, dim: int | None = None, keepdim: builtins.bool = False) -> Tensor:
        """Where the smallest is: int64, the first of equals."""
        return (-self).argmax(dim, keepdim)

    def var(
        self,
        dim: Any = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The variance over axes, or over all; divided by the count less 1, as PyTorch's."""
        correction = int(unbiased) if correction is None else correction
        if correction not in (0, 1):
            refuse(f"a variance with a correction of {correction}", "it is 0 or 1")
        dims = None if dim is None else _dims(dim)
        return call("var", [self], dim=dims, keepdim=keepdim or None, correction=correction)

    def std(
        self,
        dim: Any = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The root of :meth:`var`."""
        return _root(self.var(dim, unbiased, keepdim, correction=correction))

    def norm(self, p: int = 2, dim: Any = None, keepdim: builtins.bool = False) -> Tensor:
        """The 1-norm or the 2-norm over axes, or over all."""
        if p == 1:
            return self.abs().sum(dim, keepdim)
        if p == 2:
            return _root(self.square().sum(dim, keepdim))
        refuse(f"a norm of order {p}", "it is 1 or 2")

    # Layout.

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return call("reshape", [self], shape=_sizes(shape))

    def view(self, *shape: Any) -> Tensor:
        """As :meth:`reshape`."""
        return self.reshape(*shape)

    def view_as(self, other: Tensor) -> Tensor:
        """As :meth:`reshape`, to the shape of another tensor."""
        return self.reshape(*other.shape)

    reshape_as = view_as

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Several axes as one."""
        start, end = self._axis(start_dim), self._axis(end_dim)
        if end == self.ndim - 1:
            return call("flatten", [self], start_dim=start)
        return self.reshape(*self.shape[:start], -1, *self.shape[end + 1 :])

    def unflatten(self, dim: int, sizes: Sequence[Any]) -> Tensor:
        """One axis as several."""
        axis = self._axis(dim)
        return self.reshape(*self.shape[:axis], *sizes, *self.shape[axis + 1 :])

    def unsqueeze(self, dim: int) -> Tensor:
        """A new axis of length 1."""
        return call("unsqueeze", [self], dim=dim)

    def squeeze(self, dim: int | None = None) -> Tensor:
        """Without an axis of length 1. Unlike PyTorch's, an axis must be named and have this length."""
        if dim is None:
            refuse("`squeeze()` without an axis depends on the data", "name it: `x.squeeze(-1)`")
        return call("squeeze", [self], dim=dim)

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order."""
        return call("permute", [self], dims=_sizes(dims))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes in each other's place."""
        return call("transpose", [self], dim0=dim0, dim1=dim1)

    def t(self) -> Tensor:
        """Rows as columns of a matrix."""
        return self.transpose(0, 1)

    @property
    def T(self) -> Tensor:
        """Rows as columns of a matrix."""
        return self.transpose(0, 1)

    @property
    def mT(self) -> Tensor:
        """The last two axes in each other's place."""
        return self.transpose(-2, -1)

    def expand(self, *sizes: Any) -> Tensor:
        """Repeated to a shape: axes of length 1, and new ones in front; -1 leaves a size."""
        wanted = _sizes(sizes)
        added = len(wanted) - self.ndim
        shape = self.shape
        kept = [
            shape[nth - added] if isinstance(size, int) and size == -1 else size
            for nth, size in enumerate(wanted)
        ]
        return call("expand", [self], shape=kept)

    def expand_as(self, other: Tensor) -> Tensor:
        """Repeated to the shape of another tensor."""
        return self.expand(*other.shape)

    def repeat(self, *counts: Any) -> Tensor:
        """Copies along each axis, as ``torch.Tensor.repeat``."""
        x, counts = self, tuple(_sizes(counts))
        for _ in range(len(counts) - self.ndim):
            x = x.unsqueeze(0)
        for axis, count in enumerate(counts):
            if isinstance(count, int) and count == 1:
                continue
            shape = x.shape
            wide = x.unsqueeze(axis).expand(*shape[:axis], count, *shape[axis:])
            x = wide.reshape(*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
        return x

    def narrow(self, dim: int, start: Any, length: Any) -> Tensor:
        """So many elements along an axis, from one on."""
        return call("slice", [self], dim=dim, start=start, length=length)

    def select(self, dim: int, index: Any) -> Tensor:
        """One element along an axis, which goes; negative ones count from the end."""
        if is_number(index) and sample(index) < 0:
            index = self.shape[self._axis(dim)] + index
        return call("select", [self], dim=dim, index=index)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """Parts along an axis: of the lengths of a list, or all of one length."""
        if isinstance(split_size, (list, tuple)):
            sizes = list(split_size)
            return tuple(call_all("split", [self], {"sizes": sizes, "dim": dim}))
        size = self._constant_size(dim, "split", "use `chunk(n, dim)`, or a list of lengths")
        sizes = [split_size] * (size // split_size) + [size % split_size] * (size % split_size > 0)
        return self.split(sizes, dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """So many parts along an axis, the last maybe shorter."""
        if not isinstance(chunks, int):
            refuse("`chunk` takes a constant count of parts", "a list of tensors has a fixed length")
        made = call_all("chunk", [self], {"chunks": chunks, "dim": dim})
        return tuple(made)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """All elements along an axis whose size is a constant."""
        size = self._constant_size(dim, "unbind", "use `chunk(n, dim)` or `x[:, 0]`")
        return tuple(self.select(dim, nth) for nth in range(size))

    def _constant_size(self, dim: int, doing: str, hint: str) -> int:
        size = self.shape[self._axis(dim)]
        if isinstance(size, Number):
            refuse(f"`{doing}` needs a constant size, and that of axis {dim} is the data's", hint)
        return size

    def gather(self, dim: int, index: Tensor) -> Tensor:
        """Elements along an axis by int64 indices."""
        return call("gather", [self, index], dim=dim)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """This with ``src`` added along an axis by int64 indices."""
        return call("scatter_add", [self, index, src], dim=dim)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Parts along an axis by int64 indices of one axis."""
        axis = self._axis(dim)
        moved = self if axis == 0 else self.transpose(0, axis)
        shape = moved.shape
        found = call("embedding", [moved.flatten(1) if moved.ndim > 1 else moved.unsqueeze(1), index])
        found = found.reshape(-1, *shape[1:])
        return found if axis == 0 else found.transpose(0, axis)

    def masked_fill(self, mask: Tensor, value: Operand) -> Tensor:
        """This with one value where the mask is true; its type stays."""
        return where(mask, value, self).to(self.dtype)

    def __getitem__(self, at: Any) -> Tensor:
        return _indexed(self, at)


_UFUNCS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "true_divide": "div",
    "divide": "div",
    "power": "pow",
    "matmul": "matmul",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
}
_WHERE = "choose by `fw.where(condition, a, b)`, which keeps both"
_KEEP = "keep the tensor: operators and functions take it as it is"
_NUMPY = "use the functions of `fedwasm.functional`; constants may come from NumPy"


def _element(name: str, x: Tensor) -> Tensor:
    """A function of each element; of whole numbers it gives whole ones if it can."""
    if x.is_floating_point():
        return call(name, [x])
    if name in _OF_WHOLE:
        return call(name, [x.double()]).long()
    return call(name, [x.float()])


_OF_WHOLE = ("abs", "sign", "square", "relu", "neg")


def _root(x: Tensor) -> Tensor:
    """The square root, whose gradient is 0 at 0."""
    if not x.is_floating_point():
        x = x.float()
    is_zero = x == 0
    return where(is_zero, 0, where(is_zero, 1, x).sqrt())


def _tensor(x: Any) -> Tensor:
    """A tensor of an operand that must be one."""
    if isinstance(x, Tensor):
        return x
    return tensor(x)


def _dims(dim: Any) -> list[int]:
    return [dim] if isinstance(dim, int) else list(dim)


def _sizes(sizes: tuple) -> list[Any]:
    """Sizes that are given one by one or as a list."""
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        return list(sizes[0])
    return list(sizes)


def _operator(name: str, a: Any, b: Any, is_real: builtins.bool = False) -> Tensor:
    """A function of two operands of which one is a tensor, in their common type."""
    for each in (a, b):
        if not isinstance(each, Tensor) and not is_number(each) and not isinstance(each, bool):
            if not _is_array(each):
                return NotImplemented
    a, b = (each if isinstance(each, Tensor) or not _is_array(each) else tensor(each) for each in (a, b))
    common = max((_dtype_of(each) for each in (a, b)), key=lambda each: each.rank)
    numbers = [each for each in (a, b) if not isinstance(each, Tensor)]
    if numbers and not isinstance(numbers[0], Tensor):
        of_tensor = (a if isinstance(a, Tensor) else b).dtype
        # A number does not widen a floating-point tensor; one with a fraction does an int64.
        common = of_tensor if of_tensor.is_floating_point else common
    if is_real and not common.is_floating_point:
        common = dtypes.float32
    if common is dtypes.bool_ and name in _OF_TRUTH and not numbers:
        return _logical(_OF_TRUTH[name], a, b)
    if common is dtypes.bool_ and name not in ("eq", "ne"):
        common = dtypes.int64
    # The library computes with fractions only; float64 holds whole numbers up to 2^53.
    is_whole = common is dtypes.int64 and name not in _COMPARISONS
    tensors = [each.to(dtypes.float64 if is_whole else common) for each in (a, b) if isinstance(each, Tensor)]
    left = None if isinstance(a, Tensor) else _number(a)
    right = None if isinstance(b, Tensor) else _number(b)
    made = call(name, tensors, left=left, right=right)
    return made.long() if is_whole else made


# Of truth values, as PyTorch has it.
_OF_TRUTH = {"add": "or", "mul": "and"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _number(x: Any) -> Any:
    return int(x) if isinstance(x, bool) else x


def _dtype_of(x: Any) -> dtypes.dtype:
    if isinstance(x, Tensor):
        return x.dtype
    if isinstance(sample(x), bool):
        return dtypes.bool_
    return dtypes.int64 if isinstance(sample(x), int) else dtypes.float32


def _is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or isinstance(x, (list, tuple))


def _logical(name: str, a: Tensor, b: Any) -> Tensor:
    if not isinstance(b, Tensor) or a.dtype is not dtypes.bool_ or b.dtype is not dtypes.bool_:
        refuse(f"`{'&' if name == 'and' else '|'}` takes two tensors of truth values")
    return call(f"logical_{name}", [a, b])


def logical_not(x: Tensor) -> Tensor:
    """Where a tensor of truth values is false."""
    if x.dtype is not dtypes.bool_:
        refuse("`~` takes a tensor of truth values")
    return call("logical_not", [x])


def where(condition: Tensor, a: Operand, b: Operand) -> Tensor:
    """Elements of ``a`` where the condition is true, of ``b`` elsewhere, as ``torch.where``."""
    tensors = [condition]
    common = max((_dtype_of(each) for each in (a, b)), key=lambda each: each.rank)
    of_tensors = [each.dtype for each in (a, b) if isinstance(each, Tensor) and each.is_floating_point()]
    # A number does not widen a floating-point tensor; one with a fraction does an int64.
    common = max(of_tensors, key=lambda each: each.rank, default=common)
    tensors += [each.to(common) for each in (a, b) if isinstance(each, Tensor)]
    left = None if isinstance(a, Tensor) else _number(a)
    right = None if isinstance(b, Tensor) else _number(b)
    return call("where", tensors, left=left, right=right).to(common)


def _indexed(x: Tensor, at: Any) -> Tensor:
    """``x[...]`` with numbers, slices, None and Ellipsis, or with a tensor of indices."""
    items = list(at) if isinstance(at, tuple) else [at]
    items = [tensor(each) if isinstance(each, (list, tuple)) or _is_axes(each) else each for each in items]
    whole = x
    if any(isinstance(each, Tensor) and each.dtype is dtypes.bool_ for each in items):
        refuse("a mask as an index makes a tensor whose size its values decide", _WHERE)
    if sum(isinstance(each, Tensor) for each in items) > 1:
        refuse(
            "several tensors as indices, which PyTorch pairs",
            "use `x.gather(1, y.unsqueeze(1)).squeeze(1)` for `x[arange(n), y]`",
        )
    taken = sum(each is not None and each is not Ellipsis for each in items)
    if taken > x.ndim:
        refuse(f"{taken} indices into a tensor of shape {list(x._value.shape)}")
    if Ellipsis in [each for each in items if isinstance(each, type(Ellipsis))]:
        nth = next(nth for nth, each in enumerate(items) if each is Ellipsis)
        items[nth : nth + 1] = [slice(None)] * (x.ndim - taken)
    axis = 0
    for item in items:
        if item is None:
            x, axis = x.unsqueeze(axis), axis + 1
        elif isinstance(item, slice):
            x, axis = _sliced(x, axis, item), axis + 1
        elif isinstance(item, Tensor) and item.ndim > 0:
            indices = item
            if indices.ndim != 1 and axis != 0:
                refuse(
                    "a tensor of indices of several axes selects along the first axis only",
                    "use `gather` or `index_select`",
                )
            x = x.index_select(axis, indices) if axis else _rows(x, indices)
            axis += indices.ndim
        elif isinstance(item, Tensor):
            x = x.index_select(axis, item.reshape(1)).squeeze(axis)
        else:
            x = x.select(axis, item)
    return x.clone() if x is whole else x


def _is_axes(x: Any) -> builtins.bool:
    """Whether it is an array of NumPy that is more than a number."""
    return not isinstance(x, Tensor) and getattr(x, "ndim", 0) > 0


def _rows(table: Tensor, indices: Tensor) -> Tensor:
    if table.ndim == 2:
        return call("embedding", [table, indices])
    flat = table.flatten(1) if table.ndim > 1 else table.unsqueeze(1)
    return call("embedding", [flat, indices]).reshape(*indices.shape, *table.shape[1:])


def _sliced(x: Tensor, axis: int, at: slice) -> Tensor:
    if at.start is None and at.stop is None and at.step is None:
        return x
    size = x.shape[axis]
    step = 1 if at.step is None else at.step
    if not isinstance(step, int) or step < 1:
        refuse(f"a slice with a step of {at.step!r}", "it is a constant of at least 1")
    start = _bound(0 if at.start is None else at.start, size)
    if at.stop is None:
        covered = size - start
    else:
        covered = binary("max", _bound(at.stop, size) - start, 0)
    length = covered if step == 1 else (covered + (step - 1)) // step
    return call("slice", [x], dim=axis, start=start, length=length, step=None if step == 1 else step)


def _bound(at: Any, size: Any) -> Any:
    """A bound of a slice, counted from the front and inside the axis."""
    if isinstance(at, int) and at == 0:
        return 0
    # The sample of an argument decides: `-self.k` counts from the end.
    if is_number(at) and sample(at) < 0:
        return binary("max", size + at, 0)
    return binary("min", at, size)


# Tensors from nothing.


def tensor(data: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of numbers, lists of them or a NumPy array, as ``torch.tensor``.

    Unlike PyTorch's, whole numbers are int64, fractions float32, also those of NumPy's float64
    unless ``dtype`` says otherwise.
    """
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    import numpy

    array = numpy.asarray(data)
    if dtype is None:
        kind = array.dtype.kind
        dtype = {"b": dtypes.bool_, "i": dtypes.int64, "u": dtypes.int64, "f": dtypes.float32}.get(kind)
        if dtype is None:
            refuse(f"a tensor of {array.dtype}", "numbers or truth values")
    # Not `ascontiguousarray`, which gives a number an axis.
    made = Constant(numpy.asarray(array, dtype=dtype.name, order="C"))
    return made._lift(tracing.current())


class Constant(Tensor):
    """A tensor of known elements. It belongs to no call of a plan, so it is made anew for each use."""

    __slots__ = ("_array",)

    def __init__(self, array: ndarray) -> None:
        self._array = array
        self._trace = None
        self._node = -1

    @property
    def _value(self) -> _native.Tensor:  # type: ignore[override]
        return _native.Tensor(self._array)

    def _lift(self, trace: tracing.Trace | None) -> Tensor:
        return Tensor(self._value) if trace is None else super()._lift(trace)


def _constant(x: Tensor) -> Tensor:
    """A tensor of known elements in the trace that runs: its numbers are in the graph."""
    array = array_of(x._value)
    if array.size > CONSTANT_LEN_MAX:
        refuse(
            f"a constant of {array.size} numbers is used in a function; at most {CONSTANT_LEN_MAX} lie "
            "in a plan's graph",
            "make it a buffer of a module: `self.register_buffer(name, array)` in `__init__`",
        )
    trace = tracing.current()
    values = [int(each) if array.dtype == bool else each for each in array.reshape(-1).tolist()]
    attributes = {"elements": values, "shape": list(array.shape), "dtype": x._value.dtype}
    return record(trace, ("function", "tensor"), [], attributes, [x._value])[0]


CONSTANT_LEN_MAX = 4096


def full(size: Any, fill_value: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of one value, float32 unless said, as ``torch.full``."""
    if tracing.is_building():
        return _initial("full", _sizes((size,)), fill_value)
    return call("full", [], shape=_sizes((size,)), value=fill_value, dtype=(dtype or dtypes.float32).name)


def zeros(*size: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of zeros, as ``torch.zeros``."""
    return full(_sizes(size), 0, dtype)


def ones(*size: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of ones, as ``torch.ones``."""
    return full(_sizes(size), 1, dtype)


def empty(*size: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """As :func:`zeros`: nothing is left to chance."""
    return zeros(*size, dtype=dtype)


def full_like(x: Tensor, fill_value: Any, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of one value in the shape of another."""
    return full(list(x.shape), fill_value, dtype or x.dtype)


def zeros_like(x: Tensor, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of zeros in the shape of another."""
    return full_like(x, 0, dtype)


def ones_like(x: Tensor, dtype: dtypes.dtype | None = None) -> Tensor:
    """A tensor of ones in the shape of another."""
    return full_like(x, 1, dtype)


def arange(end: Any) -> Tensor:
    """The whole numbers from 0 to below ``end``, int64."""
    return call("arange", [], length=end)


def rand_like(x: Tensor) -> Tensor:
    """Draws from U(0, 1) in the shape of another tensor; the site draws from the round's seed."""
    return call("rand_like", [x])


def randn_like(x: Tensor) -> Tensor:
    """Draws from the standard normal distribution in the shape of another tensor."""
    return call("randn_like", [x])


def rand(*size: Any) -> Tensor:
    """Draws from U(0, 1)."""
    if tracing.is_building():
        refuse("a parameter that starts from U(0, 1)", "use `nn.init.uniform_(parameter, -bound, bound)`")
    return rand_like(zeros(*size))


def randn(*size: Any) -> Tensor:
    """Draws from the standard normal distribution."""
    if tracing.is_building():
        return _initial("normal", _sizes(size), 1.0)
    return randn_like(zeros(*size))


def _initial(kind: str, shape: list[Any], scale: Any) -> Any:
    """What a parameter starts from; a model's tensors have no values before a site draws them."""
    from .init import Initial

    return Initial(kind, shape, scale)


def eye(n: Any, m: Any = None) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    return (arange(n).unsqueeze(1) == arange(n if m is None else m)).float()


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """One behind the other along an axis, as ``torch.cat``."""
    return call("cat", [_tensor(each) for each in tensors], dim=dim)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Side by side along a new axis, as ``torch.stack``."""
    return call("stack", [_tensor(each) for each in tensors], dim=dim)
