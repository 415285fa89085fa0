"""What a batch must hold, and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Union

from . import dtypes
from .dtypes import dtype
from .places import refuse
from .tensors import Tensor


@dataclass(frozen=True)
class Rows:
    """The type and shape of a row."""

    dtype: dtype
    shape: tuple[Any, ...]


def reals(*shape: Any) -> Rows:
    """Float32 numbers of this shape a row: ``reals(28, 28)``."""
    return Rows(dtypes.float32, _shape(shape))


def integers(*shape: Any) -> Rows:
    """Whole numbers of this shape a row, such as words for an embedding: ``integers(100)``.

    Nodes give inputs as float32; a batch has them as int64.
    """
    return Rows(dtypes.int64, _shape(shape))


def classes(*shape: Any) -> Rows:
    """A class a row, or classes of this shape, such as those of an image's pixels: int64."""
    return integers(*shape)


def _shape(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(shape) == 1 and isinstance(shape[0], (list, tuple)):
        return tuple(shape[0])
    return shape


Named = Union[Rows, Mapping[str, Rows]]


@dataclass(frozen=True, init=False)
class Data:
    """What a batch must hold: one kind of rows, or several by name.

    ``fw.Data(fw.reals(1, 28, 28), fw.classes())``, or
    ``fw.Data({"image": fw.reals(3, 32, 32), "age": fw.reals(1)}, {"mask": fw.classes(32, 32)})``.
    """

    inputs: dict[str, Rows]
    targets: dict[str, Rows]

    def __init__(self, inputs: Named, targets: Named | None = None) -> None:
        object.__setattr__(self, "inputs", _named(inputs, "inputs"))
        object.__setattr__(self, "targets", _named({} if targets is None else targets, "targets"))


def _named(rows: Any, name: str) -> dict[str, Rows]:
    if isinstance(rows, Rows):
        return {name: rows}
    if isinstance(rows, Mapping) and all(isinstance(each, Rows) for each in rows.values()):
        return dict(rows)
    refuse(
        f"the {name} of `fw.Data` are {rows!r}",
        "such as `fw.reals(28, 28)`, `fw.classes()`, or a dictionary of them by name",
    )


class Batch:
    """Rows to train, to test or to predict on."""

    def __init__(
        self,
        data: Data,
        inputs: Mapping[str, Callable[[], Tensor]],
        targets: Mapping[str, Callable[[], Tensor]],
    ) -> None:
        """Tensors by name, got when they are asked for; no targets in prediction."""
        self._data = data
        self._inputs = inputs
        self._targets = targets
        self._whole: dict[str, Tensor] = {}

    @property
    def inputs(self) -> Tensor:
        """The first input, shape [rows, ..]."""
        return self.input(next(iter(self._inputs)))

    @property
    def targets(self) -> Tensor:
        """The first target: classes int64 [rows], numbers float32 [rows, outputs]."""
        if not self._targets:
            return self.target("targets")
        return self.target(next(iter(self._targets)))

    def input(self, name: str) -> Tensor:
        """The input of this name."""
        if name in self._whole:
            return self._whole[name]
        made = _find(self._inputs, name, "input")
        if self._data.inputs[name].dtype is dtypes.int64:
            made = self._whole[name] = made.long()
        return made

    def target(self, name: str) -> Tensor:
        """The target of this name."""
        if not self._targets:
            refuse(
                "a batch that is predicted has no targets",
                "compute scores from `batch.inputs` alone; losses are for `training_step`",
            )
        return _find(self._targets, name, "target")

    def __getitem__(self, name: str) -> Tensor:
        """The input or the target of this name."""
        if name in self._inputs:
            return self.input(name)
        if name in self._data.targets:
            return self.target(name)
        known = "`, `".join([*self._inputs, *self._targets])
        refuse(f"the batch holds no `{name}`, only `{known}`", _HINT)

    @property
    def rows(self) -> Any:
        """How many rows it has."""
        return self.inputs.shape[0]

    def __len__(self) -> int:
        return len(self.inputs)


_HINT = "`data` of the plan says what a batch holds"


def _find(all: Mapping[str, Callable[[], Tensor]], name: str, what: str) -> Tensor:
    if name not in all:
        refuse(f"the batch holds no {what} `{name}`, only `{'`, `'.join(all)}`", _HINT)
    return all[name]()
