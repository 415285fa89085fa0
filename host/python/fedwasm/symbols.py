"""Arguments and sizes as symbols: numbers that are known when the plan runs, not when it is written.

A typed attribute of a plan (``hidden: int = 64``) and a size of a tensor (``x.shape[1]``) are such
numbers while the plan is traced. Arithmetic on them is recorded, and the component does it at the
site with the site's values. Each symbol carries a sample value, so that shapes can be checked.
"""

from __future__ import annotations

from typing import Any, NoReturn

from . import _native
from .places import refuse


class Symbol:
    """An argument of a plan, or a number that follows from arguments and sizes."""

    __slots__ = ("expression", "value")

    def __init__(self, expression: tuple, value: Any) -> None:
        self.expression = expression
        self.value = value

    def _what(self) -> str:
        name = self.name
        if name is not None:
            return f"`self.{name}` is an argument of the plan"
        return f"`{self.text()}` is a number that the data decide"

    @property
    def name(self) -> str | None:
        """The name of the argument that this is, if it is one."""
        return self.expression[1] if self.expression[0] == "argument" else None

    def text(self) -> str:
        """The expression as the author would write it."""
        return _text(self.expression)

    def _refuse(self, doing: str, hint: str | None = None) -> NoReturn:
        refuse(f"{self._what()}, and {doing}", hint or self._remedy())

    def _remedy(self) -> str:
        if self.name is not None:
            value = self.value
            return (
                f"an attribute without a type is a constant: write `{self.name} = {value!r}` in the "
                "class if all sites use the same value"
            )
        return "make it a constant of the class, such as `steps = 12`, and say it in `data`"

    def __bool__(self) -> bool:
        self._refuse("Python cannot branch on it while the plan is traced")

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        if self is other:
            return True
        self._refuse("Python cannot compare it while the plan is traced")

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other

    def __hash__(self) -> int:
        self._refuse("Python cannot look it up in a dictionary or a set while the plan is traced")

    def __lt__(self, other: object) -> bool:
        self._refuse("Python cannot compare it while the plan is traced", _COMPARED)

    __le__ = __gt__ = __ge__ = __lt__

    def __iter__(self) -> NoReturn:
        self._refuse("Python cannot go through it while the plan is traced")

    def __len__(self) -> int:
        self._refuse("its length is not known while the plan is traced")

    def __getitem__(self, _: object) -> NoReturn:
        self._refuse("Python cannot take a part of it while the plan is traced")

    def __contains__(self, _: object) -> bool:
        self._refuse("Python cannot search it while the plan is traced")

    def __repr__(self) -> str:
        return f"{self.text()} (sample value {self.value!r})"

    def __format__(self, spec: str) -> str:
        if spec:
            self._refuse("a format needs its value while the plan is traced")
        return self.text()


_COMPARED = "`fw.minimum` and `fw.maximum` take numbers, too"


class Number(Symbol):
    """A number that is known when the plan runs."""

    __slots__ = ()

    def __int__(self) -> int:
        self._refuse("`int()` needs its value while the plan is traced", _WHOLE)

    def __float__(self) -> float:
        self._refuse("`float()` and `math` need its value while the plan is traced", _MATH)

    def __index__(self) -> int:
        self._refuse("Python cannot count with it (`range`, an index, a length) while the plan is traced")

    def __round__(self, digits: int | None = None) -> Number:
        if digits:
            self._refuse("`round()` to digits needs its value while the plan is traced", _WHOLE)
        return unary("round", self)

    def __add__(self, other: Any) -> Any:
        return _binary("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _binary("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary("/", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _binary("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _binary("//", other, self)

    def __mod__(self, other: Any) -> Any:
        return _binary("%", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _binary("%", other, self)

    def __pow__(self, other: Any) -> Any:
        return _binary("**", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary("**", other, self)

    def __neg__(self) -> Number:
        return unary("neg", self)

    def __abs__(self) -> Number:
        return unary("abs", self)

    def __floor__(self) -> Number:
        return unary("floor", self)

    def __ceil__(self) -> Number:
        return unary("ceil", self)


_WHOLE = "for a whole number divide by `//`, or use `math.floor`"
_MATH = "`fw.sqrt`, `fw.exp` and `fw.log` take numbers, too; a root is also `x ** 0.5`"


def is_number(value: Any) -> bool:
    """Whether it is a number of Python or a :class:`Number`, no truth value."""
    return isinstance(value, (int, float, Number)) and not isinstance(value, bool)


def expression_of(number: Any) -> tuple:
    """The expression of a number of Python or of a :class:`Number`."""
    if isinstance(number, Number):
        return number.expression
    return ("constant", number)


def sample(value: Any) -> Any:
    """The value, with sample values in the place of symbols; lists of them, too."""
    if isinstance(value, Symbol):
        return value.value
    if isinstance(value, (list, tuple)):
        return [sample(each) for each in value]
    return value


def binary(name: str, a: Any, b: Any) -> Any:
    """``+``, ``min`` and the like of two numbers, of which one may be a :class:`Number`."""
    value = _computed(name, a, b)
    if not isinstance(a, Number) and not isinstance(b, Number):
        return value
    return Number((name, expression_of(a), expression_of(b)), value)


def _binary(name: str, a: Any, b: Any) -> Any:
    if not is_number(a) or not is_number(b):
        return NotImplemented
    return binary(name, a, b)


def unary(name: str, a: Any) -> Any:
    """``sqrt`` and the like of a number."""
    value = _computed(name, a)
    return Number((name, a.expression), value) if isinstance(a, Number) else value


def _computed(name: str, *operands: Any) -> Any:
    """The value at the sample values, or of numbers of Python: as the component computes it."""
    try:
        return known(_native.number(name, *map(sample, operands)))
    except (ValueError, OverflowError, TypeError) as error:
        refuse(f"`{_text((name, *map(expression_of, operands)))}`: {error}")


def known(value: Any) -> Any:
    """A number of Python with the arithmetic of components; anything else as it is."""
    if type(value) is int:
        return Whole(value)
    return Real(value) if type(value) is float else value


class Whole(int):
    """An ``int`` whose powers have the bits that they have in a component."""


class Real(float):
    """A ``float`` whose powers have the bits that they have in a component."""


def _arithmetic(cls: type, plain: type) -> None:
    def same(name: str) -> None:
        of_plain = getattr(plain, name)

        def operator(self: Any, *others: Any) -> Any:
            return known(of_plain(self, *others))

        setattr(cls, name, operator)

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod"):
        same(f"__{name}__")
        same(f"__r{name}__")
    same("__neg__")
    same("__abs__")
    setattr(cls, "__pow__", lambda self, other: _power(self, other))
    setattr(cls, "__rpow__", lambda self, other: _power(other, self))


def _power(a: Any, b: Any) -> Any:
    return binary("**", a, b) if is_number(a) and is_number(b) else NotImplemented


_arithmetic(Whole, int)
_arithmetic(Real, float)

_SIGNS = ("+", "-", "*", "/", "//", "%", "**")


def _text(expression: tuple) -> str:
    kind, *rest = expression
    if kind == "constant":
        return repr(rest[0])
    if kind == "argument":
        return str(rest[0])
    if kind == "size":
        return f"shape[{rest[1]}]"
    if kind in _SIGNS:
        return f"({_text(rest[0])} {kind} {_text(rest[1])})"
    return f"{kind}({', '.join(_text(each) for each in rest)})"
