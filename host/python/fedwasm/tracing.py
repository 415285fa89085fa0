"""Recording: the functions of a plan run once on made-up rows, and each call is written down.

A :class:`Trace` is one function of a plan while it runs. Tensors know their node in it. Nothing here
knows plans or modules.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Iterator

from .places import is_authors, is_library, none_swallowed, place, refuse
from .symbols import Number, Symbol


@dataclass
class Node:
    """A call: what is called, the nodes whose tensors it takes, its attributes by name, and where."""

    call: tuple
    inputs: list[int]
    attributes: dict[str, Any]
    place: tuple[str, int] | None
    kind: tuple[str, list[int]]


@dataclass(eq=False)
class Trace:
    """A function of a plan while it runs. ``role`` is its name, such as ``training_step``."""

    role: str
    is_training: bool
    nodes: list[Node] = field(default_factory=list)
    # Nodes that stand for the same each time: inputs, targets and parameters.
    known: dict[tuple, int] = field(default_factory=dict)
    # Whether the function asked if it trains.
    asked_mode: bool = False
    # Of nodes that come of the function's result; others have the line that made them.
    end: tuple[str, int] | None = None

    def node(
        self,
        call: tuple,
        inputs: list[int],
        attributes: dict[str, Any],
        kind: tuple[str, list[int]],
    ) -> int:
        """Writes a call down and returns the number of its node."""
        for value in attributes.values():
            self._check(value)
        self.nodes.append(Node(call, inputs, attributes, self.end or place(), kind))
        return len(self.nodes) - 1

    def once(self, call: tuple, kind: tuple[str, list[int]]) -> int:
        """The node of an input, a target or a parameter."""
        if call not in self.known:
            self.known[call] = self.node(call, [], {}, kind)
        return self.known[call]

    def size(self, node: int, axis: int, value: int) -> Number:
        """The length of an axis of a node's tensor."""
        return Number(("size", node, axis, self), value)

    def _check(self, value: Any) -> None:
        """Refuses sizes of another trace: their nodes are others."""
        if isinstance(value, (list, tuple)):
            for each in value:
                self._check(each)
        elif isinstance(value, Symbol):
            self._check_expression(value.expression)

    def _check_expression(self, expression: tuple) -> None:
        kind, *rest = expression
        if kind == "size" and rest[2] is not self:
            refuse(
                f"a size that was read in `{rest[2].role}` is used in `{self.role}`",
                "read it here, from a tensor of this function",
            )
        if kind not in ("size", "argument", "constant"):
            for each in rest:
                self._check_expression(each)


_current: Trace | None = None


def current() -> Trace | None:
    """The trace that runs, if one does."""
    return _current


def is_tracing() -> bool:
    """Whether a function of a plan is being traced."""
    return _current is not None


@contextlib.contextmanager
def recording(trace: Trace) -> Iterator[Trace]:
    """Records calls into a trace, and refuses what would differ from run to run."""
    global _current
    if _current is not None:
        refuse("a plan cannot be traced while another one is")
    _current = trace
    try:
        with watching():
            yield trace
    finally:
        _current = None


_building = 0
_is_symbolic = False


def is_symbolic() -> bool:
    """Whether a model is made of symbols, for a graph."""
    return _is_symbolic


def is_building() -> bool:
    """Whether a plan's model is being made: sizes may be symbols, and tensors are initial values."""
    return _building > 0 and _current is None


@contextlib.contextmanager
def building(is_symbolic: bool = True) -> Iterator[None]:
    """While a plan's model is made: of symbols, for a graph, or of numbers."""
    global _building, _is_symbolic
    before = _is_symbolic
    _building, _is_symbolic = _building + 1, is_symbolic
    try:
        with watching() if is_symbolic else contextlib.nullcontext():
            yield
    finally:
        _building, _is_symbolic = _building - 1, before


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Refuses clocks, randomness and files while the author's code runs, also if it catches errors."""
    before = sys.getprofile()
    changed = _numpy_random()
    sys.setprofile(_watch)
    try:
        with none_swallowed():
            yield
    finally:
        sys.setprofile(before)
        for name, function in changed.items():
            setattr(sys.modules["numpy.random"], name, function)


def _numpy_random() -> dict[str, Any]:
    """Makes the functions of ``numpy.random`` refuse: a profiler does not see them."""
    module = sys.modules.get("numpy.random")
    if module is None:
        return {}

    def refusing(*_: Any, **__: Any) -> None:
        refuse(f"`numpy.random` draws random numbers, {_ONCE}", _CHANCE_HINT)

    changed = {
        name: function
        for name, function in vars(module).items()
        if callable(function) and name[0].islower() and not isinstance(function, type)
    }
    for name in changed:
        setattr(module, name, refusing)
    return changed


_ONCE = "and the plan is traced only once"


_CLOCKS = {
    id(f): name
    for name, f in vars(time).items()
    if name
    in (
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "process_time",
        "process_time_ns",
        "localtime",
        "gmtime",
        "ctime",
        "asctime",
        "strftime",
        "clock_gettime",
        "clock_gettime_ns",
        "thread_time",
        "thread_time_ns",
        "sleep",
    )
}
_CLOCK_HINT = "a plan has no clock: the same rows and seed must give the same parameters"
_CHANCE_HINT = (
    "use `fw.randn_like`, `fw.rand_like`, `F.dropout` or the `init` of a parameter: the site draws "
    "for them from the experiment's seed"
)
_FILE_HINT = "a plan reads the site's rows and nothing else; make a constant of the class of it"


def _watch(frame: FrameType, event: str, called: Any) -> None:
    if event != "c_call":
        return
    name = getattr(called, "__name__", "")
    owner = getattr(called, "__self__", None)
    if id(called) in _CLOCKS:
        what, hint = f"`time.{name}` reads a clock", _CLOCK_HINT
    elif name in ("now", "utcnow", "today") and isinstance(owner, type) and owner.__module__ == "datetime":
        what, hint = f"`datetime.{name}` reads a clock", _CLOCK_HINT
    elif called is os.urandom:
        what, hint = "`os.urandom` draws random bytes", _CHANCE_HINT
    elif _is_random(owner):
        module = "random" if type(owner).__module__ in ("_random", "random") else "numpy.random"
        what, hint = f"`{module}` draws random numbers", _CHANCE_HINT
    elif called is io.open or called is builtins.open or called is os.open:
        what, hint = "`open` reads a file", _FILE_HINT
    else:
        return
    if _is_by_author(frame):
        refuse(f"{what}, {_ONCE}", hint)


def _is_random(owner: Any) -> bool:
    if owner is None or isinstance(owner, type):
        return False
    module = type(owner).__module__
    return module in ("_random", "random") or module.startswith("numpy.random")


def _is_by_author(frame: FrameType | None) -> bool:
    """Whether the call comes from the author's code, through other modules maybe, and is no import."""
    while frame is not None:
        file = frame.f_code.co_filename
        if "importlib" in file or file.endswith("linecache.py"):
            return False
        if not is_authors(file):
            return False
        if not is_library(file):
            return True
        frame = frame.f_back
    return False
