"""``python -m fedwasm build FILE.py [-o OUTPUT] [--class NAME]``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from typing import Sequence

from .errors import Error
from .places import BuildError
from .training_plan import Plan, kebab


def main(arguments: Sequence[str]) -> int:
    """Builds the plan of a file; prints the path of the component unless it was given. Returns the exit
    code."""
    parser = argparse.ArgumentParser(prog="python -m fedwasm build", description=__doc__)
    parser.add_argument("file", help="a Python file with a class that derives from fedwasm.Plan")
    parser.add_argument("-o", "--output", help="the component; NAME.wasm unless said")
    parser.add_argument("--class", dest="name", help="which plan, if the file has several")
    given = parser.parse_args(arguments)
    try:
        cls = plan_of(given.file, given.name)
        from .plan import build

        output = given.output or f"{cls.name or kebab(cls.__name__)}.wasm"
        build(cls, output)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    if given.output is None:
        print(output)
    return 0


def plan_of(file: str, name: str | None = None) -> type[Plan]:
    """The plan of a source file: the one that it defines, or the one of this name."""
    if not os.path.isfile(file):
        raise BuildError(f"there is no file {file}")
    folder, module_name = os.path.dirname(os.path.abspath(file)), os.path.splitext(os.path.basename(file))[0]
    spec = importlib.util.spec_from_file_location(module_name, os.path.abspath(file))
    if spec is None or spec.loader is None:
        raise BuildError(f"{file} is not a Python file", "its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    plans = {
        each.__name__: each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Plan) and each.__module__ == module_name
    }
    if name is not None:
        if name not in plans:
            raise BuildError(f"{file} has no plan `{name}`", _known(plans))
        return plans[name]
    # One that others derive from is not meant.
    last = [
        each
        for each in plans.values()
        if not any(issubclass(other, each) and other is not each for other in plans.values())
    ]
    if len(last) != 1:
        what = "several plans" if last else "no plan"
        raise BuildError(
            f"{file} has {what}",
            "choose one by `--class NAME`: " + _known(plans)
            if last
            else "a plan is a class that derives from `fedwasm.Plan`",
        )
    return last[0]


def _known(plans: dict[str, type[Plan]]) -> str:
    return "it has " + ", ".join(f"`{name}`" for name in plans) if plans else "it has none"
