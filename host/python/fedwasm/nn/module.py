"""Modules: what has parameters, as ``torch.nn.Module``.

A module's parameters are called by the path to them, such as ``encoder.0.weight``. Attributes keep
their order, which is that of parameters and of initial draws.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Sequence

from .. import _native, tracing
from ..init import Initial
from ..places import refuse
from ..symbols import Symbol, sample
from ..tensors import Shape, Tensor, kind_of, record, refuse_at_samples


class Module:
    """A part of a model: parameters, modules, and a function ``forward``.

    As ``torch.nn.Module``; ``freeze`` and ``keep_local`` are beside it.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output."""
        refuse(f"`{type(self).__name__}` has no `forward`", "write `def forward(self, x): ...`")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        check_attribute(name, value)
        object.__setattr__(self, name, value)

    @property
    def training(self) -> bool:
        """Whether the plan trains: False in ``predict``, ``testing_step`` and ``metrics``, and in a
        module that is frozen."""
        if self._is_frozen:
            return False
        trace = tracing.current()
        if trace is None:
            return _native.is_training()
        trace.asked_mode = True
        return trace.is_training

    def children(self) -> Iterator[Module]:
        """The modules of this module's attributes."""
        return (each for _, each in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules of this module's attributes, with their names."""
        for name, value in self._parts():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator[Module]:
        """This module and all inside."""
        return (each for _, each in self.named_modules())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside, with the paths to them."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(_join(prefix, name))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters inside."""
        return (each for _, each in self.named_parameters())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters inside, with the paths to them; no buffers."""
        return (each for each in self._values(prefix) if not each[1].is_buffer)

    def buffers(self) -> Iterator[Parameter]:
        """All buffers inside, such as running statistics."""
        return (each for _, each in self.named_buffers())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All buffers inside, with the paths to them."""
        return (each for each in self._values(prefix) if each[1].is_buffer)

    def _values(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Parameters and buffers, in order."""
        for name, value in self._parts():
            path = _join(prefix, name)
            if isinstance(value, Parameter):
                yield path, value
            else:
                yield from value._values(path)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """A parameter that training leaves as it is: a tensor, an array or ``fw.zeros(..)``."""
        setattr(self, name, Parameter(tensor, requires_grad=False, is_buffer=True))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Sets an attribute."""
        setattr(self, name, param)

    def add_module(self, name: str, module: Module) -> None:
        """Sets an attribute."""
        setattr(self, name, module)

    def apply(self, f: Callable[[Module], Any]) -> Module:
        """Calls a function with each module inside and this one, as ``torch.nn.Module.apply``."""
        for child in self.children():
            child.apply(f)
        f(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Whether training moves the parameters inside."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def freeze(self) -> Module:
        """Leaves all inside as it is: parameters are not trained, dropout and batch normalisation
        compute as in prediction. Gradients go through."""
        for module in self.modules():
            object.__setattr__(module, "_is_frozen", True)
            for _, value in module._parts():
                if isinstance(value, Parameter):
                    value.is_frozen = True
        return self

    def keep_local(self) -> Module:
        """Keeps all parameters inside at the node (Fed-BioMed's tagged parameters)."""
        for module in self.modules():
            object.__setattr__(module, "_is_local", True)
            for _, value in module._parts():
                if isinstance(value, Parameter):
                    value.is_local = True
        return self

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """Modules and parameters among the attributes, in order."""
        for name, value in vars(self).items():
            if isinstance(value, (Module, Parameter)):
                yield name, value

    _is_frozen = False
    _is_local = False

    def extra_repr(self) -> str:
        """What stands in brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n  " + "\n  ".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def check_attribute(name: str, value: Any) -> None:
    """Refuses what would hide parameters."""
    if isinstance(value, (list, tuple)) and any(isinstance(each, (Module, Parameter)) for each in value):
        refuse(
            f"`self.{name}` is a {type(value).__name__} of modules, whose parameters would be missed",
            "use `nn.ModuleList`, or `nn.Sequential` if one follows the other",
        )
    if isinstance(value, dict) and any(isinstance(each, (Module, Parameter)) for each in value.values()):
        refuse(f"`self.{name}` is a dict of modules, whose parameters would be missed", "use `nn.ModuleDict`")
    if tracing.is_tracing() and isinstance(value, (Module, Parameter)):
        _refuse_late(f"`self.{name}`")


def _refuse_late(what: str) -> None:
    refuse(
        f"{what} is made while a function is traced, and would start anew in each batch",
        "make it in `model`, or in the `__init__` of a module",
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


class Parameter(Tensor):
    """A tensor that the model is made of, as ``torch.nn.Parameter``, float32.

    ``data`` is what it starts from: ``fw.zeros(n, m)``, ``fw.randn(n, m) * 0.02``, an array; or
    ``fw.empty(n, m)`` and then a function of ``nn.init``.
    """

    __slots__ = (
        "sizes",
        "kind",
        "scale",
        "array",
        "is_frozen",
        "is_local",
        "is_buffer",
        "path",
        "native",
        "__dict__",
    )

    def __init__(self, data: Any, requires_grad: bool = True, *, is_buffer: bool = False) -> None:
        if tracing.is_tracing():
            _refuse_late("a parameter")
        self.array = None
        if isinstance(data, Initial):
            self.sizes, self.kind, self.scale = list(data.shape), data.kind, data.scale
        else:
            import numpy

            self.array = numpy.asarray(data, dtype="float32", order="C")
            self.sizes, self.kind, self.scale = list(self.array.shape), "full", 0.0
        self.is_frozen = not requires_grad
        self.is_local = False
        self.is_buffer = is_buffer
        self.path: str | None = None
        self.native: Any = None
        self.make()

    def make(self) -> None:
        """Makes the library's parameter, and gives it its first values."""
        try:
            self.native = _native.Parameter(
                sample(self.sizes), self.kind, float(sample(self.scale)), self.is_buffer
            )
            if not tracing.is_building():
                self.draw()
        except _native.Mistake as error:
            refuse_at_samples(str(error))

    def draw(self) -> None:
        """Gives it its first value."""
        self.native.draw()
        if self.array is not None:
            self.native.set(_native.Tensor(self.array))

    def start(self, kind: str, scale: Any) -> Parameter:
        """Says what it starts from."""
        self.kind, self.scale, self.array = kind, scale, None
        self.make()
        return self

    @property
    def requires_grad(self) -> bool:
        """Whether training moves it."""
        return not self.is_frozen

    @requires_grad.setter
    def requires_grad(self, is_wanted: bool) -> None:
        self.is_frozen = not is_wanted

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Whether training moves it."""
        self.requires_grad = requires_grad
        return self

    def keep_local(self) -> Parameter:
        """Keeps it at the node."""
        self.is_local = True
        return self

    # As a tensor it is what it is now.

    @property
    def _value(self) -> Any:  # type: ignore[override]
        return self.native.tensor()

    @property
    def _trace(self) -> tracing.Trace | None:  # type: ignore[override]
        return tracing.current()

    @property
    def _node(self) -> int:  # type: ignore[override]
        trace = tracing.current()
        if self.path is None or trace is None:
            refuse(
                "a parameter that is no part of the model",
                "make it an attribute of the module that `model` returns",
            )
        return trace.once(("value", self.path), kind_of(self._value))

    def _lift(self, trace: tracing.Trace | None) -> Tensor:
        return Tensor(self._value, trace, -1 if trace is None else self._node)

    @property
    def shape(self) -> Shape:
        """The sizes of the axes."""
        return Shape(self.sizes) if self._trace is None else super().shape

    def __repr__(self) -> str:
        return f"Parameter({self.path or ''} {self.sizes})"


class PartOfModule(Parameter):
    """A parameter of a module of the library, such as ``linear.weight``."""

    __slots__ = ("owner", "name")

    def __init__(self, owner: Layer, name: str, native: Any) -> None:
        self.owner = owner
        self.name = name
        self.native = native
        self.is_buffer = native.is_buffer
        self.path = None
        self.array = None

    @property
    def is_frozen(self) -> bool:  # type: ignore[override]
        return self.owner._is_frozen or self.name in self.owner._frozen

    @is_frozen.setter
    def is_frozen(self, is_frozen: bool) -> None:
        change = self.owner._frozen.add if is_frozen else self.owner._frozen.discard
        change(self.name)

    @property
    def is_local(self) -> bool:  # type: ignore[override]
        return self.owner._is_local or self.name in self.owner._local

    @is_local.setter
    def is_local(self, _: bool) -> None:
        self.owner._local.add(self.name)

    @property
    def sizes(self) -> list[Any]:  # type: ignore[override]
        known = self.owner.sizes_of(self.name)
        if known is None and any(isinstance(each, Symbol) for each in self.owner._attributes.values()):
            refuse(
                f"the shape of `{self.name}` while the model is made",
                "use the numbers that the module was made with",
            )
        return known or list(self.native.shape)

    @property
    def _value(self) -> Any:  # type: ignore[override]
        return self.owner._taken[self.name]._value if self.owner._taken else self.native.tensor()

    def start(self, kind: str, scale: Any) -> Parameter:
        if self.owner.sizes_of(self.name) is None:
            refuse(
                f"another start of `{self.name}` of `nn.{type(self.owner).__name__}`",
                "linear layers, convolutions and embeddings can have one",
            )
        self.owner._starts[self.name] = Initial(kind, self.sizes, scale)
        return self


class Layer(Module):
    """A module of the library: its kind and what it is made with, by the names of the table."""

    def __init__(self, kind: str, **attributes: Any) -> None:
        if tracing.is_tracing():
            _refuse_late(f"`nn.{type(self).__name__}`")
        self._kind = kind
        self._attributes = {key: value for key, value in attributes.items() if value is not None}
        self._member: int | None = None
        self._frozen: set[str] = set()
        self._local: set[str] = set()
        self._starts: dict[str, Initial] = {}
        # The parameters by themselves, where the library's module does not have what is asked.
        self._taken: dict[str, Parameter] = {}
        self._parameters: dict[str, PartOfModule] = {}
        self.make()

    def make(self) -> None:
        """Makes the library's module."""
        values = {key: sample(value) for key, value in self._attributes.items()}
        try:
            self._native = _native.Module(self._kind, values)
            if not tracing.is_building():
                self._native.draw()
        except _native.Mistake as error:
            refuse_at_samples(str(error))
        self._parameters = {
            name: PartOfModule(self, name, native) for name, native in self._native.parameters()
        }

    def draw(self) -> None:
        """Gives its parameters their first values."""
        self._native.draw()
        for part in self._parameters.values():
            if part.array is not None:
                part.native.set(_native.Tensor(part.array))

    @property
    def is_apart(self) -> bool:
        """Whether its parameters are treated differently, which the library's module cannot."""
        some = [self._frozen, self._local]
        return bool(self._starts) or any(0 < len(each) < len(self._parameters) for each in some)

    def take_apart(self) -> dict[str, Parameter]:
        """Its parameters by themselves, in order."""
        trained = {name for name, part in self._parameters.items() if not part.is_buffer}
        if self._frozen == trained != set(self._parameters):
            refuse(
                f"the parameters of `nn.{type(self).__name__}` are frozen, and its running statistics are not",
                "`freeze()` the module: it then computes as in prediction",
            )
        if self.sizes_of(next(iter(self._parameters))) is None:
            refuse(
                f"some parameters of `nn.{type(self).__name__}` are frozen or local, others not",
                "`freeze` or `keep_local` the module",
            )
        for name, part in self._parameters.items():
            initial = self._starts.get(name) or self.default_start(name)
            taken = Parameter(initial)
            taken.is_frozen, taken.is_local = part.is_frozen, part.is_local
            self._taken[name] = taken
        return self._taken

    def default_start(self, name: str) -> Initial:
        """What a parameter starts from unless said."""
        raise NotImplementedError

    def compute(self, x: Tensor, parameters: dict[str, Parameter]) -> Tensor:
        """The output, from the parameters by themselves."""
        raise NotImplementedError

    def run(self, *tensors: Tensor) -> list[Tensor]:
        """Calls it, and records the call."""
        if self._taken:
            return [self.compute(tensors[0], self._taken)]
        trace = tracing.current()
        if trace is not None and self._member is None:
            refuse(
                f"`nn.{type(self).__name__}` is no part of the model",
                "make it an attribute of the module that `model` returns",
            )
        inputs = [each._lift(trace) for each in tensors]
        try:
            made = self._native.call([each._value for each in inputs])
        except _native.Mistake as error:
            refuse_at_samples(str(error))
        return record(trace, ("module", self._member), inputs, {}, made)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output."""
        return self.run(x)[0]

    def _values(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        for name, parameter in self._parameters.items():
            yield _join(prefix, name), parameter

    def __getattr__(self, name: str) -> Any:
        parameters = self.__dict__.get("_parameters", {})
        if name in parameters:
            return parameters[name]
        attributes = self.__dict__.get("_attributes", {})
        if name in attributes:
            return attributes[name]
        if name == "bias" and "bias" in type(self)._may_lack:
            return None
        raise AttributeError(f"`nn.{type(self).__name__}` has no attribute `{name}`")

    _may_lack: Sequence[str] = ("bias",)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter) and name in self.__dict__.get("_parameters", {}):
            refuse(
                f"`{name}` of `nn.{type(self).__name__}` cannot be replaced",
                "to share a weight call `F.linear(x, other.weight)`, or write a module of your own",
            )
        object.__setattr__(self, name, value)

    def sizes_of(self, name: str) -> list[Any] | None:
        """The shape of a parameter in the terms of the attributes, if it is known."""
        return None

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self._attributes.items())
