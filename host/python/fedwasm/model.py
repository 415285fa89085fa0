"""The model of a run, in use."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from . import _html, _native
from ._params import arrays
from ._program import program
from ._tables import Table
from .errors import ConfigurationError


class Predictions(dict):
    """Arrays by name: ``row``, the column of ``id``, ``predicted``, and ``probability_CLASS`` for each
    class."""

    def __init__(self, table: _native.Predictions) -> None:
        import numpy

        self.native = table
        super().__init__((name, numpy.asarray(_floats(table.column(name)))) for name in table.names())

    def to_pandas(self, index: Any = None) -> Any:
        """A data frame of the columns."""
        import pandas

        return pandas.DataFrame(dict(self), index=index)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .csv or a .parquet; the bytes follow from the predictions alone."""
        path = os.fspath(path)
        if not path.endswith((".csv", ".parquet")):
            raise ConfigurationError(f"{path} is neither .csv nor .parquet", "its name says the format")
        self.native.save(path)

    def _repr_html_(self) -> str:
        rows = [dict(zip(self, values)) for values in zip(*self.values())]
        return _html.table(rows, list(self))


def _floats(values: list[Any]) -> list[Any]:
    return [float("nan") if value is None else value for value in values]


class Model:
    """The model that a run left in its directory: ``Model("out")`` is the one in ``out/model``.

    ``scales`` (a ``preprocessing.json``) are needed where each site of a federation scaled its inputs
    by its own rows. ``about`` is ``model.json``.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, scales: str | os.PathLike[str] | None = None
    ) -> None:
        text = None
        if scales is not None:
            with open(scales, encoding="utf-8") as file:
                text = file.read()
        self._native = _native.Model(os.fspath(path), program=program(), scales=text)
        self.about: dict[str, Any] = json.loads(self._native.json)

    @property
    def path(self) -> str:
        """Its directory."""
        return str(self._native.path)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as read-only arrays by name."""
        return arrays(self._native.params)

    @property
    def inputs(self) -> list[str]:
        """The input columns, in order."""
        return _names(self.about["data"]["inputs"])

    @property
    def target(self) -> list[str]:
        """The columns that it predicts."""
        return _names(self.about["data"]["target"])

    @property
    def metrics(self) -> dict[str, float]:
        """The scores on held-out rows at the end of its run."""
        evaluation = self.about.get("evaluation")
        return {} if evaluation is None else evaluation["metrics"]

    def predict(
        self,
        data: Any,
        *,
        id: str | None = None,
        scores: bool = False,
        format: str | None = None,
        volumes: Mapping[str, Any] | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> Any:
        """Predicts for rows: of a path, a data frame, an array of the inputs, or a dict of arrays. A
        target is not needed; ``id`` names a column that is passed through, and ``scores`` gives the
        plan's scores as they are. ``volumes`` says how those of a folder of subjects are read, as for
        training, and ``rename`` gives columns the names that the model knows. Returns arrays by name; for a data frame, one with its index."""
        table = Table(self._named(data))
        read = None if volumes is None else dict(volumes)
        names = None if rename is None else dict(rename)
        found = self._native.predict(
            table.path, format=format, volumes=read, rename=names, id=id, scores=scores
        )
        predictions = Predictions(found)
        return predictions.to_pandas(data.index) if hasattr(data, "to_csv") else predictions

    def evaluate(
        self,
        data: Any,
        *,
        format: str | None = None,
        volumes: Mapping[str, Any] | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> dict[str, float]:
        """Scores it on all rows of data that have a target: as for ``predict``, or arrays (inputs,
        target)."""
        table = Table(self._named(data))
        read = None if volumes is None else dict(volumes)
        names = None if rename is None else dict(rename)
        scored = self._native.evaluate(table.path, format=format, volumes=read, rename=names)
        return json.loads(scored)["metrics"]

    def card(self, *, html: bool = False) -> str:
        """What people should know of it: Markdown, or a page that needs nothing else."""
        return self._native.card(html)

    def _named(self, data: Any) -> Any:
        """Arrays by the names of the columns."""
        if isinstance(data, tuple) and len(data) == 2 and len(self.target) == 1:
            return {**self._columns(data[0]), self.target[0]: data[1]}
        if isinstance(data, (str, os.PathLike, Mapping)) or hasattr(data, "to_csv"):
            return data
        return self._columns(data)

    def _columns(self, array: Any) -> dict[str, Any]:
        import numpy

        array, names = numpy.asarray(array), self.inputs
        if len(names) == 1:
            return {names[0]: array}
        if array.ndim != 2 or array.shape[1] != len(names):
            raise ConfigurationError(
                f"the inputs have the shape {array.shape}, and the model has {len(names)} input columns",
                "give an array of rows with the columns of Model.inputs, in that order",
            )
        return {name: array[:, at] for at, name in enumerate(names)}

    def __repr__(self) -> str:
        plan = self.about["plan"]
        metrics = "".join(f", {name} {value:.4f}" for name, value in self.metrics.items())
        return f"Model({plan['name']} {plan['version']}{metrics})"

    def _repr_html_(self) -> str:
        plan, run = self.about["plan"], self.about["run"]
        facts = {
            "plan": f"{plan['name']} {plan['version']}",
            "run": run["name"],
            "status": run["status"],
            **self.metrics,
            "sites": ", ".join(self.about.get("sites", {})),
        }
        return f"<div>{_html.pairs(facts)}</div>"


def _names(selection: Any) -> list[str]:
    """The names of a selection of columns: one, a list, or lists by input."""
    if isinstance(selection, str):
        return [selection]
    if isinstance(selection, Mapping):
        return [name for names in selection.values() for name in names]
    return list(selection)


def of_run(out: str | os.PathLike[str] | None, what: str) -> Model:
    """The model in the directory of a run."""
    if out is None:
        raise ConfigurationError(f"{what} wrote no files, so there is no model", "name a directory with `out`")
    return Model(out)
