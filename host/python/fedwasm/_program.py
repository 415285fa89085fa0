"""Where the program of workers is."""

from __future__ import annotations

import os
import shutil

from .errors import ConfigurationError


def program() -> str:
    """The path of the program ``fedwasm``: that of the environment variable ``FEDWASM_PROGRAM``,
    else the one in the wheel, else the one on ``PATH``."""
    given = os.environ.get("FEDWASM_PROGRAM")
    if given:
        return given
    carried = os.path.join(os.path.dirname(__file__), "bin", "fedwasm")
    if os.path.isfile(carried):
        return carried
    found = shutil.which("fedwasm")
    if found is None:
        raise ConfigurationError(
            "the program `fedwasm`, which runs plans, is not found",
            "install the wheel, or name the program in the environment variable FEDWASM_PROGRAM",
        )
    return found
