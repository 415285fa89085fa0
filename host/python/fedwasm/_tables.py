"""Data, however they are given, as a file that the host reads."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Mapping

from .errors import ConfigurationError


class Table:
    """The path of data, and what it implies. Arrays and data frames lie in a temporary file, which
    is there as long as this object."""

    def __init__(self, data: Any) -> None:
        self.target: str | None = None
        self.inputs: list[str] | None = None
        if isinstance(data, (str, os.PathLike)):
            self.path = os.fspath(data)
            return
        self._directory = tempfile.TemporaryDirectory(prefix="fedwasm-")
        if hasattr(data, "to_csv") and hasattr(data, "columns"):
            self.path = os.path.join(self._directory.name, "data.csv")
            # True and False are 1 and 0, as `pandas.get_dummies` makes them.
            truths = {name: int for name, kind in data.dtypes.items() if str(kind) == "bool"}
            data.astype(truths).to_csv(self.path, index=False)
            return
        if isinstance(data, tuple) and len(data) == 2:
            data = {"inputs": data[0], "target": data[1]}
            self.target, self.inputs = "target", ["inputs"]
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                f"the data are of the type {type(data).__name__}",
                "give a path, a data frame, arrays (inputs, target), or a dict of arrays by name",
            )
        import numpy

        self.path = os.path.join(self._directory.name, "data.npz")
        arrays: dict[str, Any] = {n: numpy.ascontiguousarray(value) for n, value in data.items()}
        numpy.savez(self.path, **arrays)
