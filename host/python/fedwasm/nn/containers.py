"""Modules of modules."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ..places import refuse
from .module import Module, Parameter


class Sequential(Module):
    """Modules one after the other, as ``torch.nn.Sequential``."""

    def __init__(self, *modules: Any) -> None:
        named = {str(nth): each for nth, each in enumerate(modules)}
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0]
        for name, module in named.items():
            if not isinstance(module, Module):
                refuse(f"`nn.Sequential` of {module!r}", _hint(module))
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        """The output of the last module."""
        for module in self.children():
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(list(self.children()))

    def __getitem__(self, at: int | slice) -> Any:
        found = list(self.children())
        return Sequential(*found[at]) if isinstance(at, slice) else found[at]

    def append(self, module: Module) -> Sequential:
        """Appends a module."""
        setattr(self, str(len(self)), module)
        return self


def _hint(module: Any) -> str:
    if isinstance(module, type) and issubclass(module, Module):
        return f"make one: `nn.{module.__name__}()`"
    if callable(module):
        return "a function goes into `nn.Lambda(function)`"
    return "give modules, one by one: `nn.Sequential(*layers)`"


class Lambda(Module):
    """A function as a module, for :class:`Sequential`; PyTorch has none."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def forward(self, *x: Any) -> Any:
        """What the function returns."""
        return self.function(*x)


class ModuleList(Module):
    """A list of modules, as ``torch.nn.ModuleList``."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Appends a module."""
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Appends modules."""
        for module in modules:
            self.append(module)
        return self

    def __iter__(self) -> Iterator[Any]:
        return (each for _, each in self._parts())

    def __len__(self) -> int:
        return len(list(self._parts()))

    def __getitem__(self, at: int | slice) -> Any:
        found = list(self)[at]
        return type(self)(found) if isinstance(at, slice) else found


class ParameterList(ModuleList):
    """A list of parameters, as ``torch.nn.ParameterList``."""


class ModuleDict(Module):
    """Modules by name, as ``torch.nn.ModuleDict``."""

    def __init__(self, modules: dict[str, Module] | None = None) -> None:
        for name, module in (modules or {}).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if hasattr(type(self), name):
            refuse(f"a module cannot be called {name!r}", "give it another name")
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Any:
        return dict(self._parts())[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: str) -> bool:
        return name in self.keys()

    def keys(self) -> list[str]:
        """Names."""
        return [name for name, _ in self._parts()]

    def values(self) -> list[Any]:
        """Modules."""
        return [each for _, each in self._parts()]

    def items(self) -> list[tuple[str, Any]]:
        """Names and modules."""
        return list(self._parts())


class ParameterDict(ModuleDict):
    """Parameters by name, as ``torch.nn.ParameterDict``."""


__all__ = ["Lambda", "ModuleDict", "ModuleList", "Parameter", "ParameterDict", "ParameterList", "Sequential"]
