"""Modules of PyTorch as programs: ``torch.export`` writes down what a module computes, and a program
does it with tensors of this package.

Exported are the functions as modules call them, without their decomposition: ``linear``, ``lstm``,
``scaled_dot_product_attention``. A function that :mod:`.aten` does not have is decomposed by PyTorch
into those that it has, where PyTorch knows how.
"""

from __future__ import annotations

import contextlib
import operator
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..dtypes import dtype
from ..places import BuildError, at, shown
from ..tensors import Tensor
from .aten import TABLE, Site, Unsupported
from .aten.table import element

# The axis of rows: its length differs from batch to batch.
ROWS = torch.export.Dim("rows")
# How often what is not covered is decomposed; each time leaves simpler functions.
DECOMPOSITIONS_MAX = 4

# Of sizes, which Python computes.
_NUMBERS: dict[Any, Callable[..., Any]] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    operator.floordiv: operator.floordiv,
    operator.truediv: operator.truediv,
    operator.mod: operator.mod,
    operator.neg: operator.neg,
    operator.pow: operator.pow,
    operator.getitem: operator.getitem,
}


@dataclass(frozen=True)
class Leaf:
    """What a program starts from: a ``parameter``, ``buffer`` or ``constant`` by its name in the module,
    or the ``input`` of this number."""

    kind: str
    name: Any


class Program:
    """What a module computes, from its parameters and inputs."""

    def __init__(self, exported: torch.export.ExportedProgram, prefix: str) -> None:
        signature = exported.graph_signature
        self.leaves: dict[torch.fx.Node, Leaf] = {}
        self.constants: dict[str, torch.Tensor] = {}
        # Types of the inputs.
        self.inputs: list[dtype] = []
        nodes = {node.name: node for node in exported.graph.nodes}
        for spec in signature.input_specs:
            node, kind = nodes[spec.arg.name], spec.kind.name
            if kind == "USER_INPUT":
                self.leaves[node] = Leaf("input", len(self.inputs))
                self.inputs.append(element(node.meta["val"].dtype))
            elif kind == "PARAMETER":
                self.leaves[node] = Leaf("parameter", spec.target.removeprefix(prefix))
            elif kind == "BUFFER":
                self.leaves[node] = Leaf("buffer", spec.target.removeprefix(prefix))
                self.constants[spec.target.removeprefix(prefix)] = _buffer(exported, spec.target)
            else:
                self.leaves[node] = Leaf("constant", spec.target)
                self.constants[spec.target] = exported.constants[spec.target]
        ends = [spec.arg.name for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
        self.outputs = [nodes[name] for name in ends]
        self.changed = {
            spec.target.removeprefix(prefix)
            for spec in signature.output_specs
            if spec.kind.name == "BUFFER_MUTATION"
        }
        needed = self._needed()
        self.nodes = [node for node in exported.graph.nodes if node in needed]

    def _needed(self) -> set[torch.fx.Node]:
        needed: set[torch.fx.Node] = set()
        waiting = list(self.outputs)
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting += inputs_of(node)
        return needed

    def used(self) -> set[Leaf]:
        """The parameters, buffers and constants that the outputs follow from."""
        return {self.leaves[node] for node in self.nodes if node in self.leaves}

    def is_like(self, other: Program) -> bool:
        """Whether both do the same calls, where dropout and batch normalisation follow the mode."""

        def calls(program: Program) -> list[str]:
            return [
                f"{node.target}{node.args}{node.kwargs}" for node in program.nodes if node.op != "placeholder"
            ]

        return calls(self) == calls(other)

    def is_same(self, other: Program) -> bool:
        """Whether both do the same calls with the same constants."""
        constants = other.constants
        return (
            self.is_like(other)
            and self.constants.keys() == constants.keys()
            and all(_is_equal(value, constants[name]) for name, value in self.constants.items())
        )

    def calls(self, *overloads: str) -> Iterator[torch.fx.Node]:
        """Calls of these functions."""
        return (node for node in self.nodes if overload_of(node) in overloads)

    def run(self, leaf: Callable[[Leaf], Tensor], layers: Mapping[str, Callable[..., Any]]) -> list[Tensor]:
        """Computes the outputs. ``leaf`` gives the tensor of a leaf; ``layers`` are modules of this
        package by the paths of those of torch that they stand for."""
        values: dict[torch.fx.Node, Any] = {}
        for node in self.nodes:
            try:
                if node in self.leaves:
                    values[node] = leaf(self.leaves[node])
                    continue
                file, line, _ = place_of(node)
                with at(file, line):
                    values[node] = self._call(node, values, layers)
            except Unsupported as error:
                raise uncovered([(node, error.message, error.help)]) from None
        return [values[node] for node in self.outputs]

    def _call(self, node: torch.fx.Node, values: dict, layers: Mapping[str, Any]) -> Any:
        function = node.target
        if function is operator.getitem:
            made, nth = values[node.args[0]], node.args[1]
            if isinstance(made, Tensor):
                made = (made,)
            if nth >= len(made) or made[nth] is None:
                raise Unsupported(f"output {nth} of `{node.args[0].target}`")
            return made[nth]
        if function in _NUMBERS:
            return _NUMBERS[function](*_mapped(node.args, values))
        name = overload_of(node)
        if name == "sym_size.int":
            return values[node.args[0]].shape[node.args[1]]
        args, kwargs, metas = _by_schema(node)
        if is_from_zeros(node):
            args[1] = None
        path = owner_of(self, node)
        site = Site(metas, _meta(node), None if path is None else layers.get(path))
        return TABLE[name](site, *_mapped(args, values), **_mapped(kwargs, values))


def _is_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=a.is_floating_point())


def _buffer(exported: torch.export.ExportedProgram, target: str) -> torch.Tensor:
    found = exported.state_dict.get(target)
    return exported.constants[target] if found is None else found


def overload_of(node: torch.fx.Node) -> str | None:
    """``relu.default`` of a call of ``aten.relu.default``; None of others."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return None
    name = str(node.target)
    return name.removeprefix("aten.") if name.startswith("aten.") else name


RECURRENT = {"lstm.input": "LSTM", "gru.input": "GRU", "rnn_tanh.input": "RNN"}
# With running statistics, which are the fourth argument of each.
BATCH_NORMS = {
    "_native_batch_norm_legit_functional.default",
    "_native_batch_norm_legit.default",
    "_native_batch_norm_legit_no_training.default",
    "native_batch_norm.default",
    "batch_norm.default",
}


def is_from_zeros(node: torch.fx.Node) -> bool:
    """Whether a recurrent layer starts from zeros, as it does unless it is given states."""
    if overload_of(node) not in RECURRENT:
        return False
    states = node.args[1] if isinstance(node.args[1], (list, tuple)) else [node.args[1]]
    return all(overload_of(each) == "zeros.default" for each in states)


def inputs_of(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The nodes that a node's value follows from."""
    if is_from_zeros(node):
        unused = node.args[1] if isinstance(node.args[1], (list, tuple)) else [node.args[1]]
        return [each for each in node.all_input_nodes if each not in unused]
    return node.all_input_nodes


def owner_of(program: Program, node: torch.fx.Node) -> str | None:
    """The path of the module whose parameters a call of a recurrent layer or of batch normalisation
    takes; None of other calls, and where parameters are computed."""
    name = overload_of(node)
    if name in RECURRENT:
        first = node.args[2][0]
    elif name in BATCH_NORMS:
        first = _by_schema(node)[0][3]
    else:
        return None
    leaf = program.leaves.get(first)
    return None if leaf is None or leaf.kind not in ("parameter", "buffer") else leaf.name.rpartition(".")[0]


def _by_schema(node: torch.fx.Node) -> tuple[list, dict, list]:
    """Arguments in the order of the schema, those after the star by name, and what is known of the
    tensors among them."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for nth, argument in enumerate(node.target._schema.arguments):
        if nth < len(node.args):
            value = node.args[nth]
        elif argument.name in node.kwargs:
            value = node.kwargs[argument.name]
        else:
            value = argument.default_value
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return args, kwargs, [_meta(each) for each in args]


def _meta(value: Any) -> Any:
    if isinstance(value, torch.fx.Node):
        value = value.meta.get("val")
        return value[0] if isinstance(value, (list, tuple)) else value
    if isinstance(value, (list, tuple)):
        return [_meta(each) for each in value]
    return None


def _mapped(value: Any, values: dict) -> Any:
    if isinstance(value, torch.fx.Node):
        return values[value]
    if isinstance(value, (list, tuple)):
        return [_mapped(each, values) for each in value]
    if isinstance(value, dict):
        return {key: _mapped(each, values) for key, each in value.items()}
    return value


# Places.

_TORCH = os.path.dirname(torch.__file__) + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FRAME = re.compile(r'File "(.*)", line (\d+), in ')


def place_of(node: torch.fx.Node) -> tuple[str | None, int | None, str]:
    """File, line and text of the author's line that a call comes from."""
    return _authors_place((node.meta.get("stack_trace") or "").splitlines())


def _authors_place(lines: list[str]) -> tuple[str | None, int | None, str]:
    """The innermost frame of a traceback that is neither PyTorch's nor this package's."""
    found: tuple[str | None, int | None, str] = (None, None, "")
    for nth, line in enumerate(lines):
        frame = _FRAME.search(line)
        if frame and not frame[1].startswith((_TORCH, _PACKAGE, "torch/")):
            found = (frame[1], int(frame[2]), lines[nth + 1].strip() if nth + 1 < len(lines) else "")
    return found


def module_of(node: torch.fx.Node) -> str:
    """The path and the class of the module that makes a call."""
    stack = [entry for entry in node.meta.get("nn_module_stack", {}).values() if entry[1]]
    if not stack:
        return ""
    path, kind = stack[-1]
    path = path.removeprefix("module").removeprefix(".")
    name = (kind if isinstance(kind, str) else kind.__qualname__).rpartition(".")[2]
    return f"`{path}` ({name})" if path else name


def uncovered(calls: list[tuple[torch.fx.Node, str, str | None]]) -> BuildError:
    """The error of calls that cannot be done, each with its module and line."""
    told, help = [], None
    for node, what, remedy in calls:
        file, line, text = place_of(node)
        where = f"{shown(file)}:{line}" if file else "outside of the module's source"
        of = module_of(node)
        told.append(f"{where}: {what}{f', in {of}' if of else ''}{f': `{text}`' if text else ''}")
        help = help or remedy
    file, line, _ = place_of(calls[0][0])
    if len(calls) == 1:
        message = told[0].split(": ", 1)[1] if file else told[0]
        return BuildError(message, help, shown(file) if file else None, line)
    return BuildError(f"{len(calls)} calls are not covered:\n  " + "\n  ".join(told), help)


# Export.

_HELP = "`fedwasm.torch.covered()` lists the functions; the documentation has the table"


def export(module: torch.nn.Module, example: tuple, prefix: str) -> Program:
    """The program of a module, for any number of rows.

    Raises:
        BuildError: ``torch.export`` cannot follow the module, or it calls what is not covered.
    """
    shapes = tuple({0: ROWS} for _ in example)
    with warnings.catch_warnings():
        # A warning about `_flat_weights` of each recurrent layer.
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(module, example, dynamic_shapes=(shapes,), strict=False)
            if module.training:
                _refuse_no_grad(exported, module)
            exported = exported.run_decompositions({})
            for _ in range(DECOMPOSITIONS_MAX):
                rules = _decompositions(Program(exported, prefix))
                if not rules:
                    break
                exported = exported.run_decompositions(rules)
        except (BuildError, Unsupported):
            raise
        except Exception as error:
            raise _untraceable(error) from error
    program = Program(exported, prefix)
    missing = _missing(program)
    if missing:
        raise uncovered([(node, f"`{node.target}` is not covered", _HELP) for node in missing])
    return program


def _refuse_no_grad(exported: torch.export.ExportedProgram, module: torch.nn.Module) -> None:
    """The decompositions drop `torch.no_grad`, and what follows from parameters would train."""
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    inputs = exported.graph_signature.inputs_to_parameters
    # Nodes that follow from a parameter which trains.
    following: set[torch.fx.Node] = set()
    for node in exported.graph.nodes:
        if inputs.get(node.name) in trained or any(each in following for each in node.all_input_nodes):
            following.add(node)
        if node.target is not torch.ops.higher_order.wrap_with_set_grad_enabled or node.args[0]:
            continue
        if node in following:
            part = getattr(exported.graph_module, node.args[1].target)
            first = next((each for each in part.graph.nodes if each.op == "call_function"), node)
            help = "use `.detach()`, or `requires_grad_(False)`"
            raise uncovered([(first, "`torch.no_grad()` is not covered", help)])


def _untraceable(error: Exception) -> BuildError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    if "onstraints violated" in text[0]:
        said = "the module fixes the number of rows to that of `example`"
        return BuildError(said, "use `x.size(0)` or -1 for the rows wherever a shape is written")
    file, line, _ = _authors_place(str(error).splitlines() + _frames(error))
    return BuildError(
        f"torch.export cannot follow the module: {text[0]}",
        "what is computed must not depend on values: `torch.where` instead of `if`",
        shown(file) if file else None,
        line,
    )


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [text for frame in frames for text in (f'File "{frame.filename}", line {frame.lineno}, in ', "")]


def _missing(program: Program) -> list[torch.fx.Node]:
    """Calls that neither the table nor Python does."""
    return [node for node in program.nodes if not _is_covered(node)]


def _is_covered(node: torch.fx.Node) -> bool:
    if node.op == "placeholder" or node.target in _NUMBERS:
        return True
    name = overload_of(node)
    return name in TABLE or name == "sym_size.int"


def _decompositions(program: Program) -> dict[Any, Any]:
    """PyTorch's decompositions of the functions that are missing."""
    missing = {node.target for node in _missing(program) if overload_of(node)}
    if not missing:
        return {}
    known = torch.export.default_decompositions()
    return {function: known[function] for function in missing if function in known}


@contextlib.contextmanager
def in_mode(module: torch.nn.Module, trains: bool) -> Iterator[None]:
    """Puts a module into training or into evaluation, and back.

    Parts that the author left in evaluation stay there, unless the whole module is.
    """
    before = [(each, each.training) for each in module.modules()]
    if not trains:
        module.eval()
    elif not module.training:
        module.train()
    try:
        yield
    finally:
        for each, was_training in before:
            each.training = was_training
