"""From a plan's class to its graph.

The model is made once with symbols for arguments, and each function runs once on made-up rows at
sample values of the arguments. What comes out is data for ``_native.encode``.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import itertools
import os
import sys
from typing import Any, Callable, NoReturn

from . import _native, documents, dtypes, optim, tracing
from .data import Batch, Data, Rows
from .nn.module import Layer, Module, Parameter
from .places import BuildError, is_cell, refuse, shown
from .symbols import Number, Symbol, expression_of, sample
from .tensors import Tensor, array_of, kind_of
from .tracing import Trace
from .training_plan import REQUIRED, Argument, Plan, kebab, parts

# Rows that a plan is traced on, and sizes that the data would give.
_ROWS = 6
_FROM_DATA = {"n_features": ("input_columns", 12), "n_classes": ("target_classes", 3)}
_DOCS = {"n_features": "number of input columns", "n_classes": "number of classes"}

_samples: dict[str, Any] = {}


def samples_in_words() -> str | None:
    """The sample values that a mistake was found with, and how to choose others."""
    if not _samples:
        return None
    values = ", ".join(f"{name}={value!r}" for name, value in _samples.items())
    pairs = ", ".join(f'"{name}": {value!r}' for name, value in list(_samples.items())[:2])
    return f"traced with {values} and {_ROWS} rows; others by `sample = {{{pairs}}}` in the class"


def graph_of(cls: type[Plan]) -> dict[str, Any]:
    """The graph of a plan as data.

    Errors: BuildError, with the author's line, for what cannot be traced.
    """
    _samples.clear()
    try:
        graph = _Tracer(cls).graph()
        used = {"rows", *(argument[0] for argument in graph["arguments"])}
        samples = {"rows": _ROWS, **_samples}
        added: dict[str, int] = {}
        again = [graph, graph]
        # A plan that is watched by a debugger runs once.
        if sys.gettrace() is None:
            with contextlib.redirect_stdout(io.StringIO()):
                again, added = _again(cls)
                _refuse_baked(cls)
        # What a size is in one trace and in the other.
        names = {(samples[name], samples[name] + more): name for name, more in added.items() if name in used}
        _compare(graph, again[0], names)
        _compare(again[1], again[0], {})
        return graph
    finally:
        _samples.clear()
        # Modules and their parameters refer to each other, and their parts of the library belong to
        # this thread: another one, such as that of an aggregator, must not find them.
        gc.collect()


def _again(cls: type[Plan]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The graph by other rows and other sizes, as far as the plan takes them, twice of one instance,
    which may keep something between calls; and what was added."""
    names = ["rows", *(name for name in _FROM_DATA if name not in cls.sample)]
    whole = [each.name for each in cls.arguments() if each.kind == "integer"]
    # Steps that have nothing to do with each other, so that a pair of sizes means one name.
    of_data, all_of_them = (
        {name: 5 + 6 * nth for nth, name in enumerate(each)} for each in (names, names + whole)
    )
    for added in (all_of_them, of_data):
        try:
            return _twice(_Tracer(cls, added)), added
        except BuildError:
            continue
    return _twice(_Tracer(cls)), {}


def _twice(tracer: _Tracer) -> list[dict[str, Any]]:
    return [tracer.graph(), tracer.graph()]


def _compare(graph: dict[str, Any], again: dict[str, Any], names: dict[tuple[int, int], str]) -> None:
    """Refuses what differs from run to run, and names the sizes that differ with the data."""
    for (role, nodes, made), (_, others, made_again) in zip(graph["functions"], again["functions"]):
        for nth, (one, other) in enumerate(itertools.zip_longest(nodes, others)):
            if one is None or other is None or one[:4] != other[:4]:
                _refuse_change(role, graph, (one or other)[3])
            nodes[nth] = (*one[:4], _named(one[4], other[4], names))
        if made != made_again:
            _refuse_change(role, graph, nodes[made[0][1]][3])
    values = [[(name, array.tobytes()) for name, array in each["values"]] for each in (graph, again)]
    if values[0] != values[1] or graph["members"] != again["members"]:
        raise BuildError(
            "`model` does not do the same each time it is called",
            "something is drawn by chance: use `fw.randn` or `nn.init`, which draw from the "
            "experiment's seed",
        )


def _refuse_change(role: str, graph: dict[str, Any], place: tuple[int, int] | None) -> NoReturn:
    file, line = place or (None, None)
    raise BuildError(
        f"`{role}` does not do the same each time it is traced",
        "something is drawn, counted or kept between calls: the functions of a plan depend on the batch alone",
        None if file is None else graph["files"][file],
        line,
    )


def _refuse_baked(cls: type[Plan]) -> None:
    """Refuses tensors that `model` computes of arguments: they would keep the sample values."""
    tracer = _Tracer(cls)
    before = _tensors(tracer)
    # Those that are drawn by chance are refused with other words.
    if not before or _tensors(_Tracer(cls)) != before:
        return
    samples = {name: each.value for name, each in vars(tracer.plan).items() if isinstance(each, Symbol)}
    for name, value in samples.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, (bool, str, list)):
            continue
        # Twice as much fits to what must divide it.
        for more in (first or 1, 1):
            try:
                after = _tensors(_Tracer(cls, {name: more}))
            except BuildError:
                continue
            for path, content in before.items():
                if after.get(path) != content:
                    raise BuildError(
                        f"`model` computes the tensor `{path}` of the argument `{name}`, and it would keep its "
                        f"sample value {value!r}",
                        f"compute it in the function that uses it, where `self.{name}` has the site's value; "
                        "a parameter starts from `fw.zeros(..)`, `fw.randn(..)` and the like",
                    )
            break


def _tensors(tracer: _Tracer) -> dict[str, tuple]:
    """Shape and elements of the tensors that `model` made, by path."""
    found = {
        parameter.path: parameter.array
        for _, part in tracer.members
        for parameter in _parameters_of(part)
        if parameter.array is not None
    }
    owners = [("", tracer.plan)]
    for name, part in parts(tracer.plan):
        if isinstance(part, Module):
            owners += part.named_modules(name)
    for path, owner in owners:
        for name, value in vars(owner).items():
            if isinstance(value, Tensor) and not isinstance(value, Parameter):
                found[f"{path}.{name}" if path else name] = array_of(value._value)
    return {path: (array.shape, array.tobytes()) for path, array in found.items()}


def _named(
    kind: tuple[str, list[int]], other: tuple[str, list[int]], names: dict[tuple[int, int], str]
) -> str:
    """Type and shape in words, with names for sizes that were two different ones."""
    sizes = [str(a) if a == b else names.get((a, b), "?") for a, b in zip(kind[1], other[1])]
    return f"{kind[0]} [{', '.join(sizes)}]"


class _Tracer:
    def __init__(self, cls: type[Plan], added: dict[str, Any] | None = None) -> None:
        """``added`` is what is added to samples, by name."""
        if not (isinstance(cls, type) and issubclass(cls, Plan)):
            raise BuildError(f"{cls!r} is not a plan", "give a class that derives from `fw.Plan`")
        self.cls = cls
        self.added = added or {}
        self.arguments = cls.arguments()
        self.plan = cls()
        self.used: list[str] = []
        self.files: list[str] = []
        self.folder = _folder(cls)
        self._set_arguments()
        with tracing.building():
            net = self.plan.model()
            if net is not None:
                self.plan.net = net
            self.members = members_of(self.plan)
        for _, part in self.members:
            part.draw()
        self.data = self._data()

    def _set_arguments(self) -> None:
        names = {each.name for each in self.arguments}
        samples = dict(self.cls.sample)
        unknown = [name for name in samples if name not in names and name not in _FROM_DATA]
        if unknown:
            raise BuildError(f"`sample` names `{unknown[0]}`, which is no argument of `{self.cls.__name__}`")
        for name, (_, value) in _FROM_DATA.items():
            if name in names or hasattr(self.cls, name):
                continue
            self._set(name, samples.get(name, value))
        for each in self.arguments:
            value = samples.get(each.name, each.default)
            if value is REQUIRED:
                value = _sample_of(each)
            self._set(each.name, each.value(value))

    def _set(self, name: str, value: Any) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in self.added:
            more = self.added[name]
            value = [each + more for each in value] if isinstance(value, list) else value + more
        symbol = (Number if is_number else Symbol)(("argument", name), value)
        _samples[name] = value
        setattr(self.plan, name, symbol)

    def _data(self) -> Data:
        with tracing.building():
            data = self.plan.data()
        if not isinstance(data, Data):
            refuse(f"`data` of `{self.cls.__name__}` returns {data!r}", "return `fw.Data(..)`")
        return data

    # Functions.

    def graph(self) -> dict[str, Any]:
        functions = self._functions()
        data = [
            [
                (name, dtype(rows).name, [self._number(size) for size in rows.shape])
                for name, rows in side.items()
            ]
            for side, dtype in ((self.data.inputs, _of_input), (self.data.targets, _of_target))
        ]
        members = [self._member(*each) for each in self.members]
        optimizer = optim.of(self.cls.optimizer)
        arguments = self._announced()
        return {
            "name": self.cls.name or kebab(self.cls.__name__),
            "version": self.cls.version,
            "doc": inspect.cleandoc(self.cls.__doc__ or ""),
            "task": self.cls.task,
            "arguments": arguments,
            "inputs": data[0],
            "targets": data[1],
            "members": members,
            "values": [
                (parameter.path, parameter.array)
                for _, part in self.members
                for parameter in _parameters_of(part)
                if parameter.array is not None
            ],
            "optimizer": (optimizer.kind, list(optimizer.defaults.items())),
            "files": self.files,
            "functions": functions,
        }

    def _functions(self) -> list[tuple]:
        cls = self.cls
        found: list[tuple] = []
        statistics = getattr(cls, "statistics", None)
        learns = cls.training_step is not Plan.training_step
        if not learns and statistics is None:
            raise BuildError(
                f"`{cls.__name__}` has no `training_step`",
                "write `def training_step(self, batch): return loss`",
            )
        asked_mode = False
        if learns:
            asked_mode = self._run(found, "training_step", True, _loss).asked_mode
        if cls.predict is not Plan.predict or vars(self.plan).get("net") is not None:
            self._run(found, "predict", False, _scores)
            if cls.predict is Plan.predict and cls.task == "classification":
                _refuse_logits(*found[-1])
        if getattr(cls, "testing_step", None) is not None:
            self._run(found, "testing_step", False, _loss)
        elif asked_mode:
            # It computes otherwise where it does not train.
            self._run(found, "training_step", False, _loss, called="testing_step")
        for role in ("metrics", "statistics"):
            if getattr(cls, role, None) is not None:
                self._run(found, role, role == "statistics", _by_name)
        return found

    def _run(
        self,
        found: list[tuple],
        role: str,
        is_training: bool,
        result: Callable[[Any, str], list[tuple[str, Tensor]]],
        called: str | None = None,
    ) -> Trace:
        """Traces a function, and appends it."""
        trace = Trace(role, is_training)
        batch = self._batch(trace, role != "predict")
        function: Callable[[Batch], Any] = getattr(self.plan, role)
        if not hasattr(function, "__code__"):
            raise BuildError(
                f"`{role}` of `{self.cls.__name__}` is a {type(function).__name__}, and no method",
                f"write `def {role}(self, batch): ...`, which may call it",
            )
        _native.begin(is_training)
        with tracing.recording(trace):
            made = function(batch)
            code = function.__code__
            trace.end = (code.co_filename, code.co_firstlineno)
            try:
                outputs = [(name, each._lift(trace)) for name, each in result(made, role)]
            except BuildError as error:
                raise BuildError(error.message, error.help, shown(trace.end[0]), trace.end[1]) from None
        found.append((called or role, self._nodes(trace), [(name, each._node) for name, each in outputs]))
        return trace

    def _batch(self, trace: Trace, has_targets: bool) -> Batch:
        def given(call: str, nth: int, rows: Rows) -> Callable[[], Tensor]:
            value = _made_up(
                _ROWS + self.added.get("rows", 0), rows, _of_input(rows) if call == "input" else rows.dtype
            )

            def get() -> Tensor:
                return _Given(value, trace, trace.once((call, nth), kind_of(value)), rows)

            return get

        sides = []
        for call, side in (("input", self.data.inputs), ("target", self.data.targets)):
            used = side if call == "input" or has_targets else {}
            sides.append({name: given(call, nth, rows) for nth, (name, rows) in enumerate(used.items())})
        return Batch(self.data, *sides)

    def _nodes(self, trace: Trace) -> list[tuple]:
        return [
            (
                node.call,
                node.inputs,
                {name: self._attribute(value) for name, value in node.attributes.items()},
                None if node.place is None else (self._file(node.place[0]), node.place[1]),
                node.kind,
            )
            for node in trace.nodes
        ]

    # Numbers and the like.

    def _attribute(self, value: Any) -> tuple:
        if isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, str):
            return ("text", value)
        if isinstance(value, Number) or isinstance(value, (int, float)):
            return ("number", self._number(value))
        if isinstance(value, Symbol):
            self._use(value.expression[1])
            return ("argument", value.expression[1])
        if isinstance(value, (list, tuple)):
            return ("numbers", [self._number(each) for each in value])
        raise BuildError(
            f"{value!r} is not what a call can be told",
            "numbers, truth values, texts and arguments of the plan",
        )

    def _number(self, value: Any) -> tuple:
        if isinstance(value, bool) or not isinstance(value, (int, float, Number)):
            raise BuildError(f"{value!r} is not a number")
        return self._expression(expression_of(value))

    def _expression(self, expression: tuple) -> tuple:
        kind, *rest = expression
        if kind == "argument":
            self._use(rest[0])
            return expression
        if kind == "constant":
            return expression
        if kind == "size":
            # Without the trace, which has checked it.
            return expression[:3]
        return (kind, *(self._expression(each) for each in rest))

    def _use(self, name: str) -> None:
        if name not in self.used:
            self.used.append(name)

    def _announced(self) -> list[tuple]:
        """Those that come from the data first, if they are used; the author's in order."""
        found: list[tuple] = []
        names = {each.name for each in self.arguments}
        for name, (default, _) in _FROM_DATA.items():
            if name in self.used and name not in names:
                found.append((name, "size", (default,), _DOCS[name]))
        for each in self.arguments:
            if each.name not in self.used:
                raise BuildError(
                    f"argument `{each.name}` does nothing in the graph: it was read in a way that tracing cannot "
                    "see, such as `is`, `isinstance` or a format; or remove it",
                    None,
                    *documents.place_of(self.cls, each.name),
                )
            said = ("required",) if each.default is REQUIRED else ("value", each.default)
            found.append((each.name, each.kind, said, each.doc))
        return found

    def _member(self, path: str, part: Any) -> tuple:
        if isinstance(part, Parameter):
            scale = ("constant", 0.0) if part.array is not None else self._number(part.scale)
            kind = (part.kind, [self._number(size) for size in part.sizes], scale, part.is_buffer)
            return path, "parameter", kind, part.is_frozen, part.is_local
        attributes = {name: self._attribute(value) for name, value in part._attributes.items()}
        is_frozen = part._is_frozen or bool(part._frozen)
        return path, "module", (part._kind, attributes), is_frozen, part._is_local or bool(part._local)

    def _file(self, file: str) -> int:
        name = _relative(file, self.folder)
        if name not in self.files:
            self.files.append(name)
        return self.files.index(name)


class _Given(Tensor):
    """An input or a target, whose constant sizes are known."""

    __slots__ = ("_rows",)

    def __init__(self, value: Any, trace: Trace, node: int, rows: Rows) -> None:
        super().__init__(value, trace, node)
        self._rows = rows

    @property
    def shape(self) -> Any:
        sizes = super().shape
        known = [
            size if isinstance(size, int) else sizes[nth + 1] for nth, size in enumerate(self._rows.shape)
        ]
        return type(sizes)([sizes[0], *known])


def members_of(plan: Plan) -> list[tuple[str, Any]]:
    """Modules of the library and parameters of a plan's model, in order, each told its path."""
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()

    def visit(path: str, part: Any) -> None:
        if id(part) in seen:
            return
        seen.add(id(part))
        if isinstance(part, Parameter):
            part.path = path
            found.append((path, part))
            return
        if isinstance(part, Layer):
            if part.is_apart:
                for name, parameter in part.take_apart().items():
                    visit(f"{path}.{name}", parameter)
                return
            part._member = len(found)
            for name, parameter in part._parameters.items():
                parameter.path = f"{path}.{name}"
            found.append((path, part))
            return
        for name, inside in part._parts():
            visit(f"{path}.{name}", inside)

    for path, part in parts(plan):
        visit(path, part)
    return found


def _parameters_of(part: Any) -> list[Parameter]:
    return [part] if isinstance(part, Parameter) else list(part._parameters.values())


def _of_input(rows: Rows) -> dtypes.dtype:
    """Nodes give inputs as float32; those of whole numbers are made int64 by the plan."""
    return dtypes.float32


def _of_target(rows: Rows) -> dtypes.dtype:
    return rows.dtype


def _made_up(n: int, rows: Rows, dtype: dtypes.dtype) -> Any:
    """Rows of numbers between 0 and 1; whole numbers are 0 and 1 in turn."""
    import numpy

    shape = [n, *(sample(size) for size in rows.shape)]
    count = 1
    for size in shape:
        count *= size
    if rows.dtype.is_floating_point:
        elements = (numpy.arange(count) % 17 + 1) / 18
    else:
        elements = numpy.arange(count) % 2
    return _native.Tensor(numpy.ascontiguousarray(elements.reshape(shape), dtype=dtype.name))


def _sample_of(argument: Argument) -> Any:
    """A value of an argument that has no default."""
    return {
        "integer": 4,
        "real": 0.5,
        "boolean": True,
        "text": "",
        "integers": [4],
        "reals": [0.5],
        "texts": [""],
    }[argument.kind]


def _loss(made: Any, role: str) -> list[tuple[str, Tensor]]:
    if not isinstance(made, Tensor):
        raise BuildError(f"`{role}` returns {_what(made)}", "return the mean loss, a tensor of one element")
    if made.ndim:
        raise BuildError(
            f"`{role}` returns a tensor of shape {list(made._value.shape)}",
            "return one number, such as `loss.mean()`",
        )
    return [("loss", made)]


def _scores(made: Any, role: str) -> list[tuple[str, Tensor]]:
    if not isinstance(made, Tensor):
        help = "return one tensor [rows, classes or outputs]"
        if isinstance(made, (dict, tuple, list)):
            help += ": several are joined by `fw.cat(list, 1)`"
        raise BuildError(f"`{role}` returns {_what(made)}", help)
    return [("scores", made.to(dtypes.float32))]


def _refuse_logits(_: str, nodes: list[tuple], outputs: list[tuple[str, int]]) -> None:
    """A net for two classes may give one logit a row, which scores are not."""
    _, shape = nodes[outputs[0][1]][4]
    if list(shape[1:]) == [1]:
        raise BuildError(
            "`net` gives one number a row, and one column of scores is the probability of class 1",
            "write `def predict(self, batch): return F.sigmoid(self.net(batch.inputs))`, or let it give a "
            "score for each class",
        )


def _by_name(made: Any, role: str) -> list[tuple[str, Tensor]]:
    is_named = isinstance(made, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in made.items()
    )
    if not is_named:
        raise BuildError(f"`{role}` returns {_what(made)}", "return a dictionary of tensors by name")
    return list(made.items())


def _what(made: Any) -> str:
    return "nothing" if made is None else f"a {type(made).__name__}"


def _folder(cls: type) -> str:
    try:
        return os.path.dirname(os.path.abspath(inspect.getfile(cls)))
    except (OSError, TypeError):
        return ""


def _relative(file: str, folder: str) -> str:
    """The name of a source file that is the same on every machine: below the plan's folder its path,
    elsewhere its last name."""
    if is_cell(file):
        return "notebook"
    if file.startswith("<"):
        return file
    absolute = os.path.abspath(file)
    if folder and absolute.startswith(folder + os.sep):
        return os.path.relpath(absolute, folder).replace(os.sep, "/")
    return os.path.basename(absolute)


__all__ = ["graph_of", "members_of", "samples_in_words"]
