"""Building, looking at and testing plans: what ``fedwasm plan build``, ``inspect`` and ``test`` do."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, Union

from . import _native
from ._program import program
from .errors import PlanFailed
from .graphs import graph_of
from .places import BuildError
from .training_plan import Plan

AnyPlan = Union[type[Plan], bytes, str, "os.PathLike[str]"]


def build(plan: type[Plan], output: str | os.PathLike[str] | None = None) -> bytes:
    """Returns the component of a plan, and writes it to ``output`` if that is given.

    The same source gives the same bytes. Errors: :class:`fedwasm.BuildError`, with the line.
    """
    component = _native.splice(graph_bytes(plan))
    if output is not None:
        _write(os.fspath(output), component)
    return component


def _write(path: str, component: bytes) -> None:
    """Afterwards the file holds all of the component, or, after an error, its earlier contents."""
    partial = f"{path}.{os.getpid()}.partial"
    file = open(partial, "xb")
    try:
        with file:
            file.write(component)
        os.replace(partial, path)
    except BaseException:
        os.remove(partial)
        raise


def graph_bytes(plan: type[Plan]) -> bytes:
    """The graph of a plan: what the runtime of traced plans runs."""
    graph = graph_of(plan)
    try:
        return _native.encode(graph)
    except ValueError as error:
        raise BuildError(f"the graph of `{plan.__name__}` is refused: {error}") from None


class Inspection(dict):
    """What a component is, as ``fedwasm plan inspect --json`` says; its text is the graph's."""

    def __str__(self) -> str:
        return self.get("traced", {}).get("text") or json.dumps(self, indent=2)

    __repr__ = __str__


def inspect(plan: AnyPlan) -> Inspection:
    """Says what a plan is and does: a class, or the bytes or the file of a component."""
    return Inspection(json.loads(_native.inspect(_bytes(plan))))


def test(plan: AnyPlan, *arguments: str) -> str:
    """Checks shapes, gradients and determinism as ``fedwasm plan test``, and returns its report.

    ``arguments`` are those of the command, such as ``"--data", "digits.csv"``. Errors:
    :class:`fedwasm.PlanFailed` with the report.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "plan.wasm")
        with open(path, "wb") as file:
            file.write(_bytes(plan))
        run = subprocess.run(
            [program(), "plan", "test", path, *arguments], capture_output=True, text=True, check=False
        )
    report = run.stdout + run.stderr
    if run.returncode != 0:
        raise PlanFailed(report.strip())
    return report


def _bytes(plan: Any) -> bytes:
    if isinstance(plan, type):
        return build(plan)
    if isinstance(plan, bytes):
        return plan
    with open(plan, "rb") as file:
        return file.read()


__all__ = ["Inspection", "build", "graph_bytes", "inspect", "test"]
