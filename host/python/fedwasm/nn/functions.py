"""Modules without parameters: functions, for ``Sequential``."""

from __future__ import annotations

from typing import Any, Callable

from .. import functional as F
from ..places import refuse
from ..tensors import Tensor
from .module import Module, Parameter
from ..init import Initial


class Function(Module):
    """A module that is a function of one tensor with options."""

    _function: Callable[..., Tensor]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._args = args
        self._kwargs = kwargs

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output."""
        return type(self)._function(x, *self._args, **self._kwargs)

    def extra_repr(self) -> str:
        said = [repr(each) for each in self._args]
        return ", ".join(said + [f"{key}={value!r}" for key, value in self._kwargs.items()])


def _of(name: str, function: Callable[..., Tensor]) -> Any:
    doc = f"As ``torch.nn.{name}``. {function.__doc__}"
    return type(
        name, (Function,), {"_function": staticmethod(function), "__doc__": doc, "__module__": __name__}
    )


ReLU = _of("ReLU", F.relu)
ReLU6 = _of("ReLU6", F.relu6)
LeakyReLU = _of("LeakyReLU", F.leaky_relu)
ELU = _of("ELU", F.elu)
SELU = _of("SELU", F.selu)
GELU = _of("GELU", F.gelu)
SiLU = _of("SiLU", F.silu)
Mish = _of("Mish", F.mish)
Sigmoid = _of("Sigmoid", F.sigmoid)
Tanh = _of("Tanh", F.tanh)
Softplus = _of("Softplus", F.softplus)
Softsign = _of("Softsign", F.softsign)
Tanhshrink = _of("Tanhshrink", F.tanhshrink)
LogSigmoid = _of("LogSigmoid", F.logsigmoid)
Hardtanh = _of("Hardtanh", F.hardtanh)
Hardsigmoid = _of("Hardsigmoid", F.hardsigmoid)
Hardswish = _of("Hardswish", F.hardswish)
GLU = _of("GLU", F.glu)
Softmax = _of("Softmax", F.softmax)
Softmin = _of("Softmin", F.softmin)
LogSoftmax = _of("LogSoftmax", F.log_softmax)
Flatten = _of("Flatten", lambda x, start_dim=1, end_dim=-1: x.flatten(start_dim, end_dim))
Flatten.__doc__ = "All axes from ``start_dim``, 1 unless said, as one; as ``torch.nn.Flatten``."
Unflatten = _of("Unflatten", lambda x, dim, unflattened_size: x.unflatten(dim, unflattened_size))
Unflatten.__doc__ = "One axis as several, as ``torch.nn.Unflatten``."
Identity = _of("Identity", lambda x, *_, **__: x)
Identity.__doc__ = "The input, as ``torch.nn.Identity``."
MaxPool1d = _of("MaxPool1d", F.max_pool1d)
MaxPool2d = _of("MaxPool2d", F.max_pool2d)
MaxPool3d = _of("MaxPool3d", F.max_pool3d)
AvgPool1d = _of("AvgPool1d", F.avg_pool1d)
AvgPool2d = _of("AvgPool2d", F.avg_pool2d)
AvgPool3d = _of("AvgPool3d", F.avg_pool3d)
AdaptiveAvgPool1d = _of("AdaptiveAvgPool1d", F.adaptive_avg_pool1d)
AdaptiveAvgPool2d = _of("AdaptiveAvgPool2d", F.adaptive_avg_pool2d)
AdaptiveAvgPool3d = _of("AdaptiveAvgPool3d", F.adaptive_avg_pool3d)
AdaptiveMaxPool1d = _of("AdaptiveMaxPool1d", F.adaptive_max_pool1d)
AdaptiveMaxPool2d = _of("AdaptiveMaxPool2d", F.adaptive_max_pool2d)
AdaptiveMaxPool3d = _of("AdaptiveMaxPool3d", F.adaptive_max_pool3d)
Upsample = _of("Upsample", F.interpolate)
ZeroPad1d = _of("ZeroPad1d", lambda x, padding: F.pad(x, _around(padding, 1)))
ZeroPad2d = _of("ZeroPad2d", lambda x, padding: F.pad(x, _around(padding, 2)))
ConstantPad1d = _of("ConstantPad1d", lambda x, padding, value: F.pad(x, _around(padding, 1), value=value))
ConstantPad2d = _of("ConstantPad2d", lambda x, padding, value: F.pad(x, _around(padding, 2), value=value))
for _each in (ZeroPad1d, ZeroPad2d, ConstantPad1d, ConstantPad2d):
    _each.__doc__ = f"Elements of one value around, as ``torch.nn.{_each.__name__}``."
CosineSimilarity = type(
    "CosineSimilarity",
    (Function,),
    {
        "__doc__": "The cosine of the angle between two tensors, as ``torch.nn.CosineSimilarity``.",
        "__module__": __name__,
        "forward": lambda self, x1, x2: F.cosine_similarity(x1, x2, *self._args, **self._kwargs),
    },
)


def _around(padding: Any, n: int) -> list[Any]:
    return list(padding) if isinstance(padding, (list, tuple)) else [padding] * (2 * n)


class PReLU(Module):
    """``x``, or ``weight x`` below 0 with a weight that is trained, as ``torch.nn.PReLU``."""

    def __init__(self, num_parameters: Any = 1, init: float = 0.25) -> None:
        self.weight = Parameter(Initial("full", [num_parameters], init))

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output."""
        return F.prelu(x, self.weight)


class PixelShuffle(Module):
    """Channels as pixels between the others, as ``torch.nn.PixelShuffle``."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output."""
        if x.ndim != 4:
            refuse(f"`nn.PixelShuffle` takes 4 axes, not {x.ndim}")
        (rows, channels, height, width), r = x.shape, self.upscale_factor
        x = x.reshape(rows, channels // (r * r), r, r, height, width).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(rows, channels // (r * r), height * r, width * r)


class _Loss(Module):
    _function: Callable[..., Tensor]

    def __init__(self, weight: Any = None, **options: Any) -> None:
        self._options = options if weight is None else {"weight": weight, **options}

    def forward(self, input: Tensor, *target: Tensor) -> Tensor:
        """Computes the loss."""
        return type(self)._function(input, *target, **self._options)


def _loss(name: str, function: Callable[..., Tensor]) -> Any:
    doc = f"As ``torch.nn.{name}``. {function.__doc__}"
    return type(name, (_Loss,), {"_function": staticmethod(function), "__doc__": doc, "__module__": __name__})


CrossEntropyLoss = _loss("CrossEntropyLoss", F.cross_entropy)
NLLLoss = _loss("NLLLoss", F.nll_loss)
MSELoss = _loss("MSELoss", F.mse_loss)
L1Loss = _loss("L1Loss", F.l1_loss)
HuberLoss = _loss("HuberLoss", F.huber_loss)
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss)
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", F.binary_cross_entropy_with_logits)
BCELoss = _loss("BCELoss", F.binary_cross_entropy)
KLDivLoss = _loss("KLDivLoss", F.kl_div)
GaussianNLLLoss = _loss("GaussianNLLLoss", F.gaussian_nll_loss)
PoissonNLLLoss = _loss("PoissonNLLLoss", F.poisson_nll_loss)
