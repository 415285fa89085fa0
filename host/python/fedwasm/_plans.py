"""A plan, however it is given, as a component."""

from __future__ import annotations

import os
from typing import Any

from . import _native
from .errors import ConfigurationError


def component(plan: Any) -> _native.Component:
    """The component of a plan: a path, bytes, a class of this package, or what was built of one."""
    if isinstance(plan, _native.Component):
        return plan
    if isinstance(plan, (bytes, bytearray, memoryview)):
        return _native.Component.admit(bytes(plan), "the plan")
    if isinstance(plan, (str, os.PathLike)):
        return _native.Component.load(os.fspath(plan))
    if isinstance(plan, type):
        from . import plan as plans

        plan = plans.build(plan)
        if isinstance(plan, (bytes, bytearray)):
            return _native.Component.admit(bytes(plan), "the plan")
    content = getattr(plan, "bytes", None)
    if isinstance(content, (bytes, bytearray)):
        return _native.Component.admit(bytes(content), str(getattr(plan, "name", "the plan")))
    raise ConfigurationError(
        f"the plan is of the type {type(plan).__name__}",
        "give the path of a component, its bytes, or a class of fedwasm.Plan",
    )
