"""PyTorch in and out: modules as plans, federated weights as modules.

PyTorch is imported when :func:`plan` or :func:`load` is called, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..training_plan import Plan


def plan(
    module: torch.nn.Module,
    loss: Callable[..., torch.Tensor],
    optimizer: Any = None,
    *,
    example: Any,
    weights: bool | Sequence[str] | None = None,
    name: str | None = None,
    version: str = "0.1.0",
    task: str | None = None,
    predict: Callable[[Any], torch.Tensor] | None = None,
) -> type[Plan]:
    """The plan that trains a module of PyTorch.

    The module is exported by ``torch.export`` and is not changed; parts in evaluation stay in it, and
    parameters with ``requires_grad=False`` are frozen. Names of parameters are those of its
    ``state_dict``.

    Args:
        module: The model.
        loss: The mean loss of a batch from outputs and targets, such as ``nn.CrossEntropyLoss()``.
        optimizer: One of ``torch.optim`` (a class, or an optimizer whose settings are taken) or of
            ``fedwasm.optim``; SGD unless said. An experiment sets the learning rate.
        example: A batch ``(inputs, targets)`` as the loader of the module's training gives it.
            Shapes and types are taken from it; the number of rows may differ later. Several inputs or
            targets are a tuple. No targets are None: then the loss gets the outputs alone.
        weights: Where initial values come from. True: all from the module. Names or beginnings of
            names: those from the module, others are drawn. False: all are drawn anew from the
            experiment's seed, as the modules of ``torch.nn`` draw. None, unless said: drawn, and it is
            an error if the module was trained or started otherwise.
        name: The plan's name; that of the module's class unless said.
        version: The plan's version.
        task: ``"classification"``, ``"regression"`` or another name; by the targets unless said.
        predict: From outputs to scores [rows, classes or outputs]; the outputs, or the first of
            several, unless said.

    Raises:
        BuildError: What is not covered, with the module's line.
    """
    from .importer import plan_of

    return plan_of(module, loss, optimizer, example, weights, name, version, task, predict)


def load(module: torch.nn.Module | type[Plan], params: Any) -> torch.nn.Module:
    """A copy of a module with federated weights.

    Args:
        module: The module that the plan was made of, one with the same ``state_dict``, or the plan.
        params: Arrays by name, or the path of a file ``.safetensors`` or ``.mpk``.

    Raises:
        ConfigurationError: Names or shapes are not those of the module.
    """
    from .weights import load_into

    return load_into(module, params)


def covered() -> dict[str, str]:
    """The functions of ATen that plans can be made of, and what each becomes."""
    from .aten import TABLE

    return {name: " ".join((TABLE[name].__doc__ or "").split()) for name in sorted(TABLE)}


__all__ = ["covered", "load", "plan"]
