"""Products, normalisation and dropout."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..init import Initial
from ..places import refuse
from ..symbols import unary
from ..tensors import Tensor
from .module import Layer, Module, Parameter


def along(value: Any, n: int) -> Any:
    """A number for all of ``n`` axes, or a list of one for each."""
    if isinstance(value, (list, tuple)):
        if len(value) != n:
            refuse(f"{value!r} for {n} axes", f"one number, or {n}")
        return list(value)
    return value


def each_of(value: Any, n: int) -> list[Any]:
    """One for each of ``n`` axes."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * n


def _fan_in(shape: list[Any], fan: Any) -> Initial:
    return Initial("uniform", shape, 1 / unary("sqrt", fan))


class Linear(Layer):
    """``y = x Wᵀ + b``, as ``torch.nn.Linear``."""

    def __init__(self, in_features: Any, out_features: Any, bias: Any = True) -> None:
        super().__init__(
            "Linear", in_features=in_features, out_features=out_features, bias=None if bias is True else bias
        )

    def sizes_of(self, name: str) -> list[Any]:
        inputs, outputs = self.in_features, self.out_features
        return [outputs, inputs] if name == "weight" else [outputs]

    def default_start(self, name: str) -> Initial:
        return _fan_in(self.sizes_of(name), self.in_features)

    def compute(self, x: Tensor, parameters: dict[str, Parameter]) -> Tensor:
        return F.linear(x, *parameters.values())


class Bilinear(Module):
    """``y = x1ᵀ W x2 + b``, as ``torch.nn.Bilinear``."""

    def __init__(self, in1_features: Any, in2_features: Any, out_features: Any, bias: bool = True) -> None:
        bound = 1 / unary("sqrt", in1_features)
        self.weight = Parameter(Initial("uniform", [out_features, in1_features, in2_features], bound))
        self.bias = Parameter(Initial("uniform", [out_features], bound)) if bias else None

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Computes the output."""
        return F.bilinear(x1, x2, self.weight, self.bias)


class _Conv(Layer):
    """A convolution along some axes, or a transposed one."""

    _axes = 0
    _transposed = False

    def _begin(self, in_channels: Any, out_channels: Any, kernel_size: Any, given: dict[str, Any]) -> None:
        n = self._axes
        name = f"Conv{'Transpose' if self._transposed else ''}{n}d"
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "output_padding": 0}
        said = {
            key: along(value, n)
            for key, value in given.items()
            if not (type(value) in (int, bool) and value == defaults[key])
        }
        super().__init__(
            name,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=along(kernel_size, n),
            **said,
        )

    def _groups(self) -> Any:
        return self._attributes.get("groups", 1)

    def sizes_of(self, name: str) -> list[Any]:
        inputs, outputs, groups = self.in_channels, self.out_channels, self._groups()
        if name == "bias":
            return [outputs]
        first, second = (inputs, outputs) if self._transposed else (outputs, inputs)
        return [first, second // groups, *each_of(self.kernel_size, self._axes)]

    def default_start(self, name: str) -> Initial:
        fan: Any = 1
        for size in self.sizes_of("weight")[1:]:
            fan = fan * size
        return _fan_in(self.sizes_of(name), fan)

    def compute(self, x: Tensor, parameters: dict[str, Parameter]) -> Tensor:
        names = ("stride", "padding", "dilation", "groups", "output_padding")
        said = {name: self._attributes[name] for name in names if name in self._attributes}
        function = getattr(F, f"conv{'_transpose' if self._transposed else ''}{self._axes}d")
        return function(x, *parameters.values(), **said)


def _same(padding: Any, kernel: Any, stride: Any, dilation: Any, n: int) -> Any:
    """The number that ``same`` and ``valid`` are."""
    if padding == "valid":
        return 0
    if padding != "same":
        refuse(f"the padding {padding!r}", "a number, `same` or `valid`")
    found = []
    for size, step, apart in zip(each_of(kernel, n), each_of(stride, n), each_of(dilation, n)):
        if not isinstance(size, int) or size % 2 == 0 or step != 1:
            refuse("`padding='same'`", "the kernel must be a constant odd number, the stride 1")
        found.append(apart * (size // 2))
    return found


class _PlainConv(_Conv):
    def __init__(
        self,
        in_channels: Any,
        out_channels: Any,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        bias: Any = True,
        padding_mode: str = "zeros",
    ) -> None:
        if padding_mode != "zeros":
            refuse(f"the padding mode {padding_mode!r}", "zeros")
        if isinstance(padding, str):
            padding = _same(padding, kernel_size, stride, dilation, self._axes)
        self._begin(
            in_channels,
            out_channels,
            kernel_size,
            {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias},
        )


class _TransposedConv(_Conv):
    _transposed = True

    def __init__(
        self,
        in_channels: Any,
        out_channels: Any,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: Any = 1,
        bias: Any = True,
        dilation: Any = 1,
    ) -> None:
        self._begin(
            in_channels,
            out_channels,
            kernel_size,
            {
                "stride": stride,
                "padding": padding,
                "output_padding": output_padding,
                "groups": groups,
                "bias": bias,
                "dilation": dilation,
            },
        )


class Conv1d(_PlainConv):
    """The convolution along one axis, as ``torch.nn.Conv1d``."""

    _axes = 1


class Conv2d(_PlainConv):
    """The convolution along two axes, as ``torch.nn.Conv2d``."""

    _axes = 2


class Conv3d(_PlainConv):
    """The convolution along three axes, as ``torch.nn.Conv3d``."""

    _axes = 3


class ConvTranspose1d(_TransposedConv):
    """The transposed convolution along one axis, as ``torch.nn.ConvTranspose1d``."""

    _axes = 1


class ConvTranspose2d(_TransposedConv):
    """The transposed convolution along two axes, as ``torch.nn.ConvTranspose2d``."""

    _axes = 2


class ConvTranspose3d(_TransposedConv):
    """The transposed convolution along three axes, as ``torch.nn.ConvTranspose3d``."""

    _axes = 3


class Embedding(Layer):
    """Rows of a table by whole numbers, as ``torch.nn.Embedding``; takes float32, too."""

    def __init__(self, num_embeddings: Any, embedding_dim: Any, padding_idx: Any = None) -> None:
        super().__init__(
            "Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim, padding_idx=padding_idx
        )

    def sizes_of(self, name: str) -> list[Any]:
        return [self.num_embeddings, self.embedding_dim]

    def default_start(self, name: str) -> Initial:
        return Initial("normal", self.sizes_of(name), 1.0)

    def compute(self, x: Tensor, parameters: dict[str, Parameter]) -> Tensor:
        found = F.embedding(x.long(), parameters["weight"])
        padding = self._attributes.get("padding_idx")
        return found if padding is None else found * (x != padding).float().unsqueeze(-1)


class _BatchNorm(Layer):
    _ranks: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: Any,
        eps: Any = 1e-5,
        momentum: Any = 0.1,
        affine: Any = True,
        track_running_stats: bool = True,
        share_buffers: bool = True,
    ) -> None:
        if not track_running_stats:
            refuse("`track_running_stats=False`", "use `nn.GroupNorm` or `nn.InstanceNorm2d`")
        if momentum is None:
            refuse("`momentum=None`, the mean over all batches", "give a number, such as 0.1")
        super().__init__(
            "BatchNorm",
            num_features=num_features,
            eps=_unless(eps, 1e-5),
            momentum=_unless(momentum, 0.1),
            affine=None if affine is True else affine,
            share_buffers=None if share_buffers is True else share_buffers,
        )

    _may_lack = ("weight", "bias")

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output."""
        if x.ndim not in self._ranks:
            refuse(
                f"`nn.{type(self).__name__}` takes {' or '.join(map(str, self._ranks))} axes, not {x.ndim}"
            )
        return self.run(x)[0]


def _unless(value: Any, default: float) -> Any:
    """None where a number is the default."""
    return None if isinstance(value, (int, float)) and value == default else value


_BATCH_NORM = """Normalises each channel over the batch, as ``torch.nn.{name}``.

``share_buffers=False`` keeps running mean and variance at the node.
"""


class BatchNorm1d(_BatchNorm):
    __doc__ = _BATCH_NORM.format(name="BatchNorm1d")
    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BATCH_NORM.format(name="BatchNorm2d")
    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BATCH_NORM.format(name="BatchNorm3d")
    _ranks = (5,)


class LayerNorm(Layer):
    """Normalises over the last axes, as ``torch.nn.LayerNorm``."""

    def __init__(self, normalized_shape: Any, eps: Any = 1e-5, elementwise_affine: Any = True) -> None:
        shape = list(normalized_shape) if isinstance(normalized_shape, (list, tuple)) else normalized_shape
        super().__init__(
            "LayerNorm",
            normalized_shape=shape,
            eps=_unless(eps, 1e-5),
            elementwise_affine=None if elementwise_affine is True else elementwise_affine,
        )

    _may_lack = ("weight", "bias")


class GroupNorm(Layer):
    """Normalises groups of channels of each row, as ``torch.nn.GroupNorm``."""

    def __init__(self, num_groups: Any, num_channels: Any, eps: Any = 1e-5, affine: Any = True) -> None:
        super().__init__(
            "GroupNorm",
            num_groups=num_groups,
            num_channels=num_channels,
            eps=_unless(eps, 1e-5),
            affine=None if affine is True else affine,
        )

    _may_lack = ("weight", "bias")


class _InstanceNorm(Layer):
    def __init__(
        self,
        num_features: Any,
        eps: Any = 1e-5,
        momentum: Any = 0.1,
        affine: Any = False,
        track_running_stats: bool = False,
    ) -> None:
        if track_running_stats:
            refuse("`track_running_stats=True` of an instance norm", "leave it out")
        super().__init__(
            "InstanceNorm",
            num_features=num_features,
            eps=_unless(eps, 1e-5),
            affine=None if affine is False else affine,
        )

    _may_lack = ("weight", "bias")


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each row, as ``torch.nn.InstanceNorm1d``."""


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each row, as ``torch.nn.InstanceNorm2d``."""


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each row, as ``torch.nn.InstanceNorm3d``."""


class Dropout(Layer):
    """Leaves units out in training, as ``torch.nn.Dropout``."""

    def __init__(self, p: Any = 0.5, inplace: bool = False) -> None:
        super().__init__("Dropout", p=p)
