"""A plan's class that runs in this interpreter, for ``print`` and debuggers.

The library's modules and parameters, the optimizer and the order of draws are those of a component;
only the functions of the plan are called here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import _native, tracing
from .data import Batch
from .graphs import members_of
from .nn.module import Parameter
from .places import BuildError
from .plan import graph_bytes
from .symbols import known
from .tensors import Tensor
from .training_plan import Plan


def native_plan(cls: type[Plan]) -> _native.PyPlan:
    """The plan for a runner in this process. It is traced, too: for what it announces."""
    return _native.PyPlan(graph_bytes(cls), lambda arguments, members: Running(cls, arguments, members))


class Running:
    """A plan with arguments and the library's modules."""

    def __init__(self, cls: type[Plan], arguments: dict[str, Any], members: list[tuple[str, Any]]) -> None:
        self.plan = cls()
        for name, value in arguments.items():
            setattr(self.plan, name, known(value))
        with tracing.building(is_symbolic=False):
            net = self.plan.model()
            if net is not None:
                self.plan.net = net
            own = members_of(self.plan)
            self.data = self.plan.data()
        if [path for path, _ in own] != [path for path, _ in members]:
            raise BuildError(
                f"the parts of `{cls.__name__}` differ from those that were traced",
                "`model` must do the same for all arguments",
            )
        for (_, part), (_, native) in zip(own, members):
            if isinstance(part, Parameter):
                part.native = native
                continue
            part._native = native
            for name, parameter in native.parameters():
                part._parameters[name].native = parameter

    def call(
        self, role: str, names: list[str], inputs: dict[str, Any], targets: dict[str, Any]
    ) -> list[_native.Tensor]:
        """What a function of the plan gives, in the order of the names."""
        sides = ({name: partial(Tensor, value) for name, value in side.items()} for side in (inputs, targets))
        batch = Batch(self.data, *sides)
        if role == "testing_step" and getattr(self.plan, "testing_step", None) is None:
            role = "training_step"
        made = getattr(self.plan, role)(batch)
        if role == "predict":
            made = made.float()
        outputs = [made[name] for name in names] if isinstance(made, dict) else [made]
        return [each._lift(None)._value for each in outputs]
