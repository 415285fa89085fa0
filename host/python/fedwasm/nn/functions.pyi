"""Modules without parameters: functions, for ``Sequential``."""

from typing import Any

from ..tensors import Tensor
from .module import Module, Parameter

class ReLU(Module):
    """As ``torch.nn.ReLU``. ``max(x, 0)``. ``inplace`` means nothing: tensors are values."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ReLU6(Module):
    """As ``torch.nn.ReLU6``. ``min(max(x, 0), 6)``."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class LeakyReLU(Module):
    """As ``torch.nn.LeakyReLU``. ``x``, or ``negative_slope x`` below 0."""

    def __init__(self, negative_slope: Any = 0.01, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ELU(Module):
    """As ``torch.nn.ELU``. ``x``, or ``alpha (e^x - 1)`` below 0."""

    def __init__(self, alpha: Any = 1.0, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class SELU(Module):
    """As ``torch.nn.SELU``. Klambauer et al. 2017."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class GELU(Module):
    """As ``torch.nn.GELU``. ``x/2 (1 + erf(x/√2))``, or its approximation by ``tanh``."""

    def __init__(self, approximate: str = "none") -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class SiLU(Module):
    """As ``torch.nn.SiLU``. ``x / (1 + e^-x)``."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Mish(Module):
    """As ``torch.nn.Mish``. ``x tanh(softplus(x))``."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Sigmoid(Module):
    """As ``torch.nn.Sigmoid``. ``1 / (1 + e^-x)``."""

    def __init__(self) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Tanh(Module):
    """As ``torch.nn.Tanh``. The hyperbolic tangent."""

    def __init__(self) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Softplus(Module):
    """As ``torch.nn.Softplus``. ``ln(1 + e^(beta x)) / beta``. Unlike PyTorch's it is exact for all ``x``: no threshold."""

    def __init__(self, beta: Any = 1.0, threshold: Any = 20.0) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Softsign(Module):
    """As ``torch.nn.Softsign``. ``x / (1 + |x|)``."""

    def __init__(self) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Tanhshrink(Module):
    """As ``torch.nn.Tanhshrink``. ``x - tanh(x)``."""

    def __init__(self) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class LogSigmoid(Module):
    """As ``torch.nn.LogSigmoid``. ``-ln(1 + e^-x)``."""

    def __init__(self) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Hardtanh(Module):
    """As ``torch.nn.Hardtanh``. ``x``, at least ``min_val`` and at most ``max_val``."""

    def __init__(self, min_val: Any = -1.0, max_val: Any = 1.0, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Hardsigmoid(Module):
    """As ``torch.nn.Hardsigmoid``. ``min(max(x + 3, 0), 6) / 6``."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Hardswish(Module):
    """As ``torch.nn.Hardswish``. ``x hardsigmoid(x)``."""

    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class GLU(Module):
    """As ``torch.nn.GLU``. The first half along an axis times the sigmoid of the second."""

    def __init__(self, dim: int = -1) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Softmax(Module):
    """As ``torch.nn.Softmax``. ``e^x`` over its sum along an axis."""

    def __init__(self, dim: int) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Softmin(Module):
    """As ``torch.nn.Softmin``. The softmax of ``-x``."""

    def __init__(self, dim: int) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class LogSoftmax(Module):
    """As ``torch.nn.LogSoftmax``. The logarithm of :func:`softmax`."""

    def __init__(self, dim: int) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Flatten(Module):
    """All axes from ``start_dim``, 1 unless said, as one; as ``torch.nn.Flatten``."""

    def __init__(self, start_dim: Any = 1, end_dim: Any = -1) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Unflatten(Module):
    """One axis as several, as ``torch.nn.Unflatten``."""

    def __init__(self, dim: Any, unflattened_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Identity(Module):
    """The input, as ``torch.nn.Identity``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class MaxPool1d(Module):
    """As ``torch.nn.MaxPool1d``. The largest of each window along 1 axes."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class MaxPool2d(Module):
    """As ``torch.nn.MaxPool2d``. The largest of each window along 2 axes."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class MaxPool3d(Module):
    """As ``torch.nn.MaxPool3d``. The largest of each window along 3 axes."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AvgPool1d(Module):
    """As ``torch.nn.AvgPool1d``. The mean of each window along 1 axes."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AvgPool2d(Module):
    """As ``torch.nn.AvgPool2d``. The mean of each window along 2 axes."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AvgPool3d(Module):
    """As ``torch.nn.AvgPool3d``. The mean of each window along 3 axes."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveAvgPool1d(Module):
    """As ``torch.nn.AdaptiveAvgPool1d``. The mean of so many windows along 1 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveAvgPool2d(Module):
    """As ``torch.nn.AdaptiveAvgPool2d``. The mean of so many windows along 2 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveAvgPool3d(Module):
    """As ``torch.nn.AdaptiveAvgPool3d``. The mean of so many windows along 3 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveMaxPool1d(Module):
    """As ``torch.nn.AdaptiveMaxPool1d``. The largest of so many windows along 1 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveMaxPool2d(Module):
    """As ``torch.nn.AdaptiveMaxPool2d``. The largest of so many windows along 2 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class AdaptiveMaxPool3d(Module):
    """As ``torch.nn.AdaptiveMaxPool3d``. The largest of so many windows along 3 axes."""

    def __init__(self, output_size: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class Upsample(Module):
    """As ``torch.nn.Upsample``. Other lengths of the axes behind [rows, channels], without aligned corners."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
    ) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ZeroPad1d(Module):
    """Elements of one value around, as ``torch.nn.ZeroPad1d``."""

    def __init__(self, padding: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ZeroPad2d(Module):
    """Elements of one value around, as ``torch.nn.ZeroPad2d``."""

    def __init__(self, padding: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ConstantPad1d(Module):
    """Elements of one value around, as ``torch.nn.ConstantPad1d``."""

    def __init__(self, padding: Any, value: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class ConstantPad2d(Module):
    """Elements of one value around, as ``torch.nn.ConstantPad2d``."""

    def __init__(self, padding: Any, value: Any) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class CosineSimilarity(Module):
    """The cosine of the angle between two tensors, as ``torch.nn.CosineSimilarity``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None: ...
    def forward(self, x1: Tensor, x2: Tensor) -> Tensor: ...

class PReLU(Module):
    """``x``, or ``weight x`` below 0 with a weight that is trained, as ``torch.nn.PReLU``."""

    weight: Parameter
    def __init__(self, num_parameters: Any = 1, init: float = 0.25) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class PixelShuffle(Module):
    """Channels as pixels between the others, as ``torch.nn.PixelShuffle``."""

    upscale_factor: int
    def __init__(self, upscale_factor: int) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...

class CrossEntropyLoss(Module):
    """As ``torch.nn.CrossEntropyLoss``. Cross entropy of scores [rows, classes, ..] against int64 classes [rows, ..], or against
    probabilities of the scores' shape.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class NLLLoss(Module):
    """As ``torch.nn.NLLLoss``. As :func:`cross_entropy`, of log-probabilities."""

    def __init__(
        self, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean"
    ) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class MSELoss(Module):
    """As ``torch.nn.MSELoss``. The squared error. Targets [rows] stand for [rows, 1], and classes for numbers."""

    def __init__(self, *, reduction: str = "mean") -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class L1Loss(Module):
    """As ``torch.nn.L1Loss``. The absolute error."""

    def __init__(self, *, reduction: str = "mean") -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class HuberLoss(Module):
    """As ``torch.nn.HuberLoss``. Quadratic up to an error of ``delta``, linear beyond."""

    def __init__(self, *, reduction: str = "mean", delta: Any = 1.0) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class SmoothL1Loss(Module):
    """As ``torch.nn.SmoothL1Loss``. :func:`huber_loss` over ``beta``."""

    def __init__(self, *, reduction: str = "mean", beta: Any = 1.0) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class BCEWithLogitsLoss(Module):
    """As ``torch.nn.BCEWithLogitsLoss``. Binary cross entropy of logits against targets in [0, 1]."""

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class BCELoss(Module):
    """As ``torch.nn.BCELoss``. Binary cross entropy of probabilities; that of logits is more accurate.

    Logarithms are at least -100, as PyTorch's.
    """

    def __init__(self, *, reduction: str = "mean") -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class KLDivLoss(Module):
    """As ``torch.nn.KLDivLoss``. Relative entropy of log-probabilities against probabilities; ``batchmean`` is the mean over
    rows, ``mean`` that over elements.
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class GaussianNLLLoss(Module):
    """As ``torch.nn.GaussianNLLLoss``. Negative log-likelihood of targets from normal distributions."""

    def __init__(self, *, full: bool = False, eps: float = 1e-06, reduction: str = "mean") -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...

class PoissonNLLLoss(Module):
    """As ``torch.nn.PoissonNLLLoss``. Negative log-likelihood of counts from Poisson distributions, without Stirling's term."""

    def __init__(self, *, log_input: bool = True, eps: float = 1e-08, reduction: str = "mean") -> None: ...
    def forward(self, input: Tensor, *target: Tensor) -> Tensor: ...
