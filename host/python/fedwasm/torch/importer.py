"""Plans made of modules of PyTorch."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from .. import dtypes
from ..data import Batch, Data, Rows
from ..dtypes import dtype
from ..nn.module import Module
from ..places import BuildError, authors_frame
from ..tensors import Tensor
from ..training_plan import Plan, kebab
from .aten import Unsupported
from .aten.table import element
from .imported import Imported
from .optimizers import optimizer_of
from .program import export, in_mode

# Exported programs see the module below this attribute.
_PREFIX = "module."


def plan_of(
    module: nn.Module,
    loss: Callable[..., torch.Tensor],
    optimizer: Any,
    example: Any,
    weights: bool | Sequence[str] | None,
    name: str | None,
    version: str,
    task: str | None,
    predict: Callable[[Any], torch.Tensor] | None,
) -> type[Plan]:
    """As :func:`fedwasm.torch.plan`."""
    if not isinstance(module, nn.Module):
        raise BuildError(f"{module!r} is not a module of PyTorch", "give a `torch.nn.Module`")
    for key, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise BuildError(
                f"`{key}` is {str(parameter.dtype).removeprefix('torch.')}, expected float32",
                "`module.float()`",
            )
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    inputs, targets = _sides(example, device)
    rows = Data(_rows(inputs, _names(module, len(inputs)), "inputs"), _rows(targets, None, "targets"))
    optimizer = optimizer_of(optimizer)
    with in_mode(module, trains=True):
        whole = _Training(module, loss, len(inputs))
        # Taken first: the export puts copies of attributes back.
        left = whole.left
        training = export(whole, (*inputs, *targets), _PREFIX)
        with _as_left(left):
            again = export(_Training(module, loss, len(inputs)), (*inputs, *targets), _PREFIX)
    if not again.is_same(training):
        raise BuildError(
            "the module computes something else each time: it is exported once, and so are its numbers",
            "a count, a clock or a draw of Python is a constant of the plan; `torch.rand` draws at the site",
        )
    with in_mode(module, trains=False):
        testing = export(_Training(module, loss, len(inputs)), (*inputs, *targets), _PREFIX)
        predicting = export(_Predicting(module, predict), inputs, _PREFIX)
    graph = Imported(module, [training, testing, predicting], weights)
    extra = {}
    if not testing.is_like(training):
        extra["testing_step"] = _testing_step
    task = task or _task(targets)
    if (
        task == "classification"
        and predict is None
        and predicting.outputs[0].meta["val"].shape[1:].numel() == 1
    ):
        raise BuildError(
            "the module gives one score a row, which a site takes for the probability of class 1",
            "`predict=torch.sigmoid` if it is a logit, `predict=lambda outputs: outputs` if it is not",
        )
    kind = type(module)
    return type(
        kind.__name__,
        (ImportedPlan,),
        {
            "__module__": _caller(),
            "__doc__": kind.__dict__.get("__doc__"),
            "name": name or kebab(kind.__name__),
            "version": version,
            "task": task,
            "optimizer": optimizer,
            "module": module,
            "_graph": graph,
            "_rows": rows,
            **extra,
        },
    )


def _testing_step(self: ImportedPlan, batch: Batch) -> Tensor:
    """The loss, in evaluation."""
    return self._run(1, batch, has_targets=True)


def _caller() -> str:
    """The name of the author's module, which has the plan."""
    frame = authors_frame()
    return "__main__" if frame is None else frame.f_globals.get("__name__", "__main__")


class ImportedPlan(Plan):
    """A plan made of a module of PyTorch, which ``module`` is."""

    module: ClassVar[nn.Module]
    _is_flat = True
    _graph: ClassVar[Imported]
    _rows: ClassVar[Data]

    def model(self) -> Module:
        """Parameters under their names in the module's ``state_dict``."""
        return self._graph.model()

    def data(self) -> Data:
        """Rows as those of the example."""
        return self._rows

    def training_step(self, batch: Batch) -> Tensor:
        """The loss, in training."""
        return self._run(0, batch, has_targets=True)

    def predict(self, batch: Batch) -> Tensor:
        """The outputs, in evaluation."""
        return self._run(2, batch, has_targets=False)

    def _run(self, nth: int, batch: Batch, has_targets: bool) -> Tensor:
        tensors = [batch.input(name) for name in self._rows.inputs]
        if has_targets:
            tensors += [batch.target(name) for name in self._rows.targets]
        return self._graph.run(nth, self.net, tensors)


class _Training(nn.Module):
    """The loss of inputs and targets."""

    def __init__(self, module: nn.Module, loss: Any, n_inputs: int) -> None:
        super().__init__()
        self.module = module
        # As an attribute of a module it would have parameters and a mode of its own.
        object.__setattr__(self, "loss", loss)
        if isinstance(loss, nn.Module):
            if next(loss.parameters(), None) is not None:
                raise BuildError("the loss has parameters", "make it a part of the module, which returns it")
            self.loss_module = loss.train(module.training)
        self.n_inputs = n_inputs
        # Numbers that a batch left in modules, by module and attribute: the export takes them back.
        object.__setattr__(self, "left", {})
        # Not `train`, which reaches parts that the author left in evaluation.
        self.training = module.training

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        before = _numbers(self.module)
        outputs = self.module(*tensors[: self.n_inputs])
        loss = self.loss(outputs, *tensors[self.n_inputs :])
        after = _numbers(self.module)
        self.left.update({key: after[key] for key in before.keys() & after if after[key] != before[key]})
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            shape = list(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise ValueError(f"the loss is {shape}, expected one number, the mean over the batch")
        return loss.reshape(()) if loss.ndim else loss


def _numbers(module: nn.Module) -> dict[tuple[nn.Module, str], Any]:
    """The numbers of Python among the attributes of modules."""
    return {
        (each, name): value
        for each in module.modules()
        for name, value in vars(each).items()
        if isinstance(value, (int, float))
    }


@contextlib.contextmanager
def _as_left(numbers: dict[tuple[nn.Module, str], Any]) -> Iterator[None]:
    """Modules with these numbers, and afterwards with their own."""
    own = {(module, name): getattr(module, name) for module, name in numbers}
    try:
        for (module, name), value in numbers.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in own.items():
            setattr(module, name, value)


class _Predicting(nn.Module):
    """Scores of inputs."""

    def __init__(self, module: nn.Module, predict: Callable[[Any], torch.Tensor] | None) -> None:
        super().__init__()
        self.module = module
        self.scores = predict or _first
        self.training = module.training

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.scores(self.module(*inputs))


def _first(outputs: Any) -> torch.Tensor:
    while isinstance(outputs, (tuple, list, Mapping)) and outputs:
        outputs = next(iter(outputs.values())) if isinstance(outputs, Mapping) else outputs[0]
    return outputs


# The example.


def _sides(example: Any, device: torch.device) -> tuple[tuple, tuple]:
    """Inputs and targets of a batch, with at least two rows: PyTorch takes one for a constant."""
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        raise BuildError(
            "`example` is not a batch",
            "a pair (inputs, targets), such as `next(iter(loader))`; targets may be None",
        )
    inputs, targets = (_tensors(side, device) for side in example)
    if not inputs:
        raise BuildError("`example` has no inputs")
    rows = {len(each) if each.ndim else 0 for each in (*inputs, *targets)}
    if len(rows) != 1 or 0 in rows:
        raise BuildError(
            "tensors of `example` differ in their rows",
            "inputs and targets begin with an axis of rows, of one length",
        )
    if rows == {1}:
        inputs, targets = (tuple(each.repeat_interleave(2, 0) for each in side) for side in (inputs, targets))
    return inputs, targets


def _tensors(side: Any, device: torch.device) -> tuple:
    if side is None:
        return ()
    side = side if isinstance(side, (tuple, list)) else (side,)
    for each in side:
        if not isinstance(each, torch.Tensor):
            raise BuildError(f"`example` holds a {type(each).__name__}, expected tensors")
    return tuple(each.detach().to(device) for each in side)


def _names(module: nn.Module, n: int) -> list[str] | None:
    """Names of several inputs: those of ``forward``."""
    if n == 1:
        return None
    found = list(inspect.signature(module.forward).parameters.values())
    named = [each.name for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return named[:n] if len(named) >= n else None


def _rows(tensors: tuple, names: list[str] | None, side: str) -> dict[str, Rows]:
    names = names or ([side] if len(tensors) == 1 else [f"{side}_{nth}" for nth in range(len(tensors))])
    return {name: Rows(_given(each, side), tuple(each.shape[1:])) for name, each in zip(names, tensors)}


def _given(example: torch.Tensor, side: str) -> dtype:
    """The type that a site gives for one of PyTorch's: inputs are float32, whole targets int64."""
    try:
        given = element(example.dtype)
    except Unsupported as error:
        raise BuildError(f"`example` has {error.message}", error.help) from None
    is_whole = side == "targets" and not given.is_floating_point
    return dtypes.int64 if is_whole else dtypes.float32


def _task(targets: tuple) -> str:
    if not targets or targets[0].ndim > 2:
        return "other"
    return "regression" if targets[0].is_floating_point() else "classification"
