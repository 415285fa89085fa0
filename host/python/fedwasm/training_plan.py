"""The class that an author of a plan derives from."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, Iterator, Union

from . import data, documents, optim, tracing
from .data import Batch, Data
from .nn.module import Module, Parameter, check_attribute
from .optim import Optimizer
from .places import BuildError, refuse
from .symbols import Symbol
from .tensors import Tensor


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()

_KINDS: dict[Any, str] = {
    int: "integer",
    float: "real",
    bool: "boolean",
    str: "text",
    list[int]: "integers",
    list[float]: "reals",
    list[str]: "texts",
    typing.List[int]: "integers",
    typing.List[float]: "reals",
    typing.List[str]: "texts",
}
_PYTHON = {
    "integer": int,
    "size": int,
    "real": float,
    "boolean": bool,
    "text": str,
    "integers": int,
    "reals": float,
    "texts": str,
}


@dataclass(frozen=True)
class Argument:
    """An argument of a plan: announced as ``model.NAME``, and set by an experiment."""

    name: str
    kind: str
    default: Any
    doc: str = ""

    def value(self, given: Any) -> Any:
        """A value as one of its kind."""
        wanted = _PYTHON[self.kind]
        if self.kind in ("integers", "reals", "texts"):
            if not isinstance(given, (list, tuple)):
                self._refuse(given)
            return [self._one(each, wanted) for each in given]
        return self._one(given, wanted)

    def _one(self, given: Any, wanted: type) -> Any:
        if wanted is float and type(given) is int:
            return float(given)
        if type(given) is not wanted:
            self._refuse(given)
        return given

    def _refuse(self, given: Any) -> typing.NoReturn:
        raise BuildError(f"`{self.name}` is {given!r}, expected {_WORDS[self.kind]}")


_WORDS = {
    "integer": "a whole number",
    "size": "a whole number, at least 1",
    "real": "a number",
    "boolean": "True or False",
    "text": "a text",
    "integers": "a list of whole numbers",
    "reals": "a list of numbers",
    "texts": "a list of texts",
}


@dataclass(frozen=True)
class Declared:
    """A default with a description: ``hidden: int = fw.argument(64, doc="units")``."""

    default: Any
    doc: str


def argument(default: Any = REQUIRED, *, doc: str = "") -> Any:
    """The default of an argument, and what it is for; without a default it must be given."""
    return Declared(default, doc)


class Plan:
    """A training plan: a model, a training step, and what they need.

    Typed attributes (``hidden: int = 64``) are the plan's arguments, which an experiment sets;
    untyped ones are constants. ``n_features`` and ``n_classes`` come from the data. ``self.net`` is
    the module that ``model`` returns.

    | attribute | unless said |
    |---|---|
    | ``name``, ``version`` | the class's name in kebab-case, ``0.1.0`` |
    | ``task`` | ``"classification"``; ``"regression"``, or any other name, without standard metrics |
    | ``optimizer`` | ``fw.optim.SGD`` |
    | ``n_outputs`` | 1: numbers of the target of a regression |
    | ``sample`` | values of arguments for the rows that the plan is traced on |
    """

    name: ClassVar[str | None] = None
    version: ClassVar[str] = "0.1.0"
    task: ClassVar[str] = "classification"
    optimizer: ClassVar[Union[Optimizer, type[Optimizer]]] = optim.SGD
    n_outputs: ClassVar[int] = 1
    sample: ClassVar[dict[str, Any]] = {}

    # Whether parameters are called as in `net`, without "net.": importers keep given names.
    _is_flat: ClassVar[bool] = False

    net: Any
    n_features: ClassVar[int]
    n_classes: ClassVar[int]

    def __setattr__(self, name: str, value: Any) -> None:
        check_attribute(name, value)
        known = vars(self).get(name)
        if tracing.is_tracing() and isinstance(known, Symbol) and known.name == name:
            refuse(
                f"`self.{name}` is an argument of the plan, and a function cannot set it",
                "use a variable of the function, or a constant of the class",
            )
        object.__setattr__(self, name, value)

    def model(self) -> Module | None:
        """Builds the model, which becomes ``self.net``. Without a return value, the attributes that
        it sets are the model."""
        return None

    def data(self) -> Data:
        """What a batch must hold: ``n_features`` numbers a row, and a class or ``n_outputs`` numbers."""
        if self.task == "regression":
            return Data(data.reals(self.n_features), data.reals(self.n_outputs))
        return Data(data.reals(self.n_features), data.classes())

    def training_step(self, batch: Batch) -> Tensor:
        """Computes the mean loss of a batch."""
        refuse(f"`{type(self).__name__}` has no `training_step`")

    def predict(self, batch: Batch) -> Tensor:
        """Computes scores [rows, classes or outputs]: those of ``self.net`` unless said."""
        return self.net(batch.inputs)

    # `testing_step(batch)` the mean loss of a held-out batch, unless that of training;
    # `metrics(batch)` a dictionary of scalars; `statistics(batch)` a dictionary of sums over rows by
    # the name of a parameter, which becomes their mean. A plan has those that it defines.

    @classmethod
    def arguments(cls) -> list[Argument]:
        """The arguments that its attributes declare, in order."""
        docs = documents.of_class(cls, Plan)
        found: dict[str, Argument] = {}
        for owner in reversed(cls.__mro__):
            if not issubclass(owner, Plan) or owner is Plan:
                continue
            for name, kind in _hints(owner).items():
                if name.startswith("_") or typing.get_origin(kind) is ClassVar:
                    continue
                found[name] = _argument(cls, name, kind, docs.get(name, ""))
        return list(found.values())


def _hints(owner: type) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except (NameError, TypeError) as error:
        raise BuildError(
            f"the types of the attributes of `{owner.__name__}` cannot be read: {error}"
        ) from None
    return {name: hints[name] for name in owner.__dict__.get("__annotations__", {})}


def _argument(cls: type, name: str, kind: Any, doc: str) -> Argument:
    file, line = documents.place_of(cls, name)
    if hasattr(Plan, name):
        raise BuildError(
            f"`{name}` cannot be an argument: it is what a plan itself has",
            "give it another name, or no type",
            file,
            line,
        )
    known = _KINDS.get(kind)
    if known is None:
        raise BuildError(
            f"`{name}` has the type {getattr(kind, '__name__', kind)}, and an argument cannot",
            "types are int, float, bool, str, and lists of int, float and str; a constant has none",
            file,
            line,
        )
    if not re.fullmatch("[a-z0-9_]{1,64}", name):
        raise BuildError(f"the argument `{name}` is of a-z, 0-9 and `_`", "give it another name", file, line)
    default = getattr(cls, name, REQUIRED)
    if isinstance(default, Declared):
        default, doc = default.default, default.doc or doc
    made = Argument(name, known, default, doc)
    if default is REQUIRED:
        return made
    try:
        return Argument(name, known, made.value(default), doc)
    except BuildError as error:
        raise BuildError(error.message, error.help, file, line) from None


def kebab(name: str) -> str:
    """``MyPlan`` as ``my-plan``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def parts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Modules and parameters of the model, by the names of the plan's attributes."""
    net = vars(plan).get("net")
    if net is not None and not isinstance(net, Module):
        raise BuildError(f"`model` of `{type(plan).__name__}` returns {net!r}", "return a module")
    for name, value in vars(plan).items():
        if isinstance(value, Module) and name == "net" and plan._is_flat:
            yield from value._parts()
        elif isinstance(value, (Module, Parameter)):
            yield name, value


__all__ = ["Argument", "Batch", "Data", "Plan", "argument", "kebab", "parts"]
