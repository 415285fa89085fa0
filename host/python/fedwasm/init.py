"""What parameters start from, as ``torch.nn.init``: each function changes its parameter's start.

Sites do not draw by themselves: the experiment draws once, from its seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import symbols
from .places import refuse
from .symbols import is_number

if TYPE_CHECKING:
    from .nn.module import Parameter


@dataclass(frozen=True)
class Initial:
    """A shape and what its elements start from: ``full``, ``uniform`` in [-scale, scale], or
    ``normal`` around 0 with this standard deviation. ``fw.zeros(n) + 0``, ``fw.randn(n) * 0.02``."""

    kind: str
    shape: list[Any]
    scale: Any

    def __mul__(self, factor: Any) -> Initial:
        if not is_number(factor):
            return NotImplemented
        return Initial(self.kind, self.shape, self.scale * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Initial:
        if not is_number(divisor):
            return NotImplemented
        return Initial(self.kind, self.shape, self.scale / divisor)

    def __neg__(self) -> Initial:
        return Initial(self.kind, self.shape, -self.scale)

    def __getattr__(self, name: str) -> Any:
        refuse(
            f"`{name}` of a tensor that `model` makes, which has no values yet",
            "wrap it in `fw.Parameter`, or compute it in `forward`",
        )


def zeros_(parameter: Parameter) -> Parameter:
    """Starts from zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: Parameter) -> Parameter:
    """Starts from ones."""
    return constant_(parameter, 1.0)


def constant_(parameter: Parameter, val: Any) -> Parameter:
    """Starts from one value."""
    return parameter.start("full", val)


def uniform_(parameter: Parameter, a: Any = 0.0, b: Any = 1.0) -> Parameter:
    """Starts from U(a, b), which must lie evenly around 0."""
    if symbols.sample(a) != -symbols.sample(b):
        refuse(f"a start from U({a!r}, {b!r})", "the bounds must be -b and b")
    return parameter.start("uniform", b)


def normal_(parameter: Parameter, mean: float = 0.0, std: Any = 1.0) -> Parameter:
    """Starts from the normal distribution around 0."""
    if mean != 0:
        refuse(f"a start from a normal distribution around {mean!r}", "the mean must be 0")
    return parameter.start("normal", std)


def xavier_uniform_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """Glorot and Bengio 2010."""
    fan_in, fan_out = _fans(parameter)
    return parameter.start("uniform", gain * symbols.unary("sqrt", 6 / (fan_in + fan_out)))


def xavier_normal_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """Glorot and Bengio 2010."""
    fan_in, fan_out = _fans(parameter)
    return parameter.start("normal", gain * symbols.unary("sqrt", 2 / (fan_in + fan_out)))


def kaiming_uniform_(
    parameter: Parameter, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """He et al. 2015."""
    deviation = _kaiming(parameter, a, mode, nonlinearity)
    return parameter.start("uniform", 3**0.5 * deviation)


def kaiming_normal_(
    parameter: Parameter, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """He et al. 2015."""
    return parameter.start("normal", _kaiming(parameter, a, mode, nonlinearity))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that a nonlinearity asks of the deviation."""
    gains = {"tanh": 5 / 3, "relu": 2**0.5, "selu": 3 / 4}
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return (2 / (1 + slope**2)) ** 0.5
    return gains.get(nonlinearity, 1.0)


def _kaiming(parameter: Parameter, a: float, mode: str, nonlinearity: str) -> Any:
    fan_in, fan_out = _fans(parameter)
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / symbols.unary("sqrt", fan)


def _fans(parameter: Parameter) -> tuple[Any, Any]:
    """Inputs and outputs of a weight [outputs, inputs, kernel ..]."""
    shape = parameter.shape
    if len(shape) < 2:
        refuse("a parameter of less than two axes has no inputs and outputs")
    field: Any = 1
    for size in shape[2:]:
        field = field * size
    return shape[1] * field, shape[0] * field
