"""Questions without a run: nodes, scores, comparisons."""

from __future__ import annotations

import json
import math
import os
import tempfile
from typing import Any, Iterable, Mapping

from . import _html, _native
from ._params import native
from ._plans import component
from ._program import program
from ._tables import Table
from .errors import ConfigurationError
from .experiment import Experiment
from .job import LocalJob, LocalResult
from .results import Comparison, Scores


class Nodes(list):
    """The connected nodes: dicts with ``node``, ``latency_ms`` and ``datasets``."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each dataset."""
        rows: list[dict[str, Any]] = []
        for node in self:
            for dataset in node["datasets"]:
                rows.append(
                    {
                        "node": node["node"],
                        "latency_ms": node["latency_ms"],
                        "dataset": dataset["name"],
                        "tags": ", ".join(dataset["tags"]),
                        "rows": dataset["n_rows"],
                        "columns": len(dataset["columns"]),
                    }
                )
            if not node["datasets"]:
                rows.append({"node": node["node"], "latency_ms": node["latency_ms"], "error": node["error"]})
        return rows

    def to_pandas(self) -> Any:
        """A data frame of the rows."""
        import pandas

        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        return _html.table(self.rows())


def nodes(
    tags: str | Iterable[str] = (),
    *,
    mqtt: str = "mqtt://127.0.0.1:1883",
    repository: str | None = None,
    identity: str | os.PathLike[str] | None = None,
) -> Nodes:
    """The connected nodes and their datasets with all of these tags."""
    tags = [tags] if isinstance(tags, str) else list(tags)
    identity = None if identity is None else os.fspath(identity)
    return Nodes(json.loads(_native.nodes(tags, mqtt, repository, identity)))


class Statistics(dict):
    """Statistics of a federation's data: ``pooled`` over all sites, ``sites``, ``edges`` of the
    histograms, ``refused`` and ``strangers`` with their reasons."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each column of all sites together."""
        return [
            {
                "column": column["name"],
                "count": column["n"],
                "missing": column["missing"],
                "mean": column["mean"],
                "std": column["variance"] ** 0.5,
                **dict(zip(("min", "max"), column["extremes"] or ())),
                **{f"{round(100 * q)} %": self.quantile(column["name"], q) for q in (0.25, 0.5, 0.75)},
            }
            for column in self["pooled"]["columns"]
        ]

    def quantile(self, column: str, q: float) -> tuple[float | None, float | None] | None:
        """The range of bins that the quantile ``q`` of a column is in (``inverted_cdf`` of NumPy);
        an end is None where it may be beyond the edges, and all of it without a histogram."""
        found = next(c for c in self["pooled"]["columns"] if c["name"] == column)
        ends = (self["edges"] or {"ends": {}})["ends"].get(column)
        if ends is None or not found["below"]:
            return None
        k = max(math.ceil(q * found["n"]), 1)
        n_bins = self["edges"]["n_bins"]
        edge = [ends[0] * (1 - at / n_bins) + ends[1] * (at / n_bins) for at in range(n_bins + 1)]
        low, high = found["extremes"] or (None, None)
        low = max((e for e, (_, most) in zip(edge, found["below"]) if most < k), default=low)
        high = min((e for e, (least, _) in zip(edge, found["below"]) if least >= k), default=high)
        return low, high

    def to_pandas(self) -> Any:
        """A data frame of the rows."""
        import pandas

        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        return _html.table(self.rows())


def statistics(
    tags: str | Iterable[str] | None,
    target: str | list[str],
    *,
    inputs: list[str] | None = None,
    data_args: Mapping[str, Any] | None = None,
    bins: int = 64,
    mqtt: str | None = None,
    repository: str | None = None,
    identity: str | os.PathLike[str] | None = None,
) -> Statistics:
    """Statistics of the columns of all sites that have the data, from sums alone: count, missing, mean,
    standard deviation, and quantiles within the bins of histograms (none with ``bins=0``)."""
    tags = [tags] if isinstance(tags, str) else tags and list(tags)
    network = {"mqtt": mqtt, "repository": repository, "identity": identity}
    arguments = {
        "name": "statistics",
        # No plan runs.
        "plan": "none",
        "rounds": 1,
        "training": {"epochs": 1},
        "data": {"tags": tags, "target": target, "inputs": inputs, **(data_args or {})},
        "network": {key: value for key, value in network.items() if value is not None},
    }
    return Statistics(json.loads(_native.statistics(arguments, bins)))


def evaluate(
    training_plan_class: Any,
    params: Any,
    data: Any,
    *,
    target: str | list[str] | None = None,
    inputs: list[str] | None = None,
    model_args: Mapping[str, Any] | None = None,
    data_args: Mapping[str, Any] | None = None,
    preprocessing: str | os.PathLike[str] | LocalJob | LocalResult | None = None,
    format: str | None = None,
    volumes: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Scores:
    """Scores parameters on all rows of ``data``. ``params`` are a file, arrays by name, or a local
    job, whose scales and rules of columns are taken, too; otherwise inputs are scaled by ``preprocessing``
    (the file ``preprocessing.json`` of a run, or a local job), or not at all."""
    rules: dict[str, Any] = {}
    if isinstance(params, (LocalJob, LocalResult)):
        preprocessing = params if preprocessing is None else preprocessing
        trained = _result(params).history.record["arguments"]["data"]
        rules = {key: trained[key] for key in ("columns", "missing") if key in trained}
        params = _result(params).native
    table = Table(data)
    columns = {
        "target": table.target if target is None else target,
        "inputs": table.inputs if inputs is None else inputs,
        # There is nothing to fit scales on.
        "standardize": preprocessing is not None,
        **rules,
        **(data_args or {}),
    }
    arguments = {"data": columns, "model": dict(model_args) if model_args else None, "strict": strict}
    scored = _native.evaluate(
        component(training_plan_class),
        native(params),
        table.path,
        arguments,
        program=program(),
        format=format,
        volumes=None if volumes is None else dict(volumes),
        rename=None if rename is None else dict(rename),
        preprocessing=_scales(preprocessing),
    )
    return Scores(json.loads(scored))


def _result(run: LocalJob | LocalResult) -> LocalResult:
    return run if isinstance(run, LocalResult) else run._done()


def _scales(preprocessing: Any) -> str | None:
    """The scales of a run as JSON."""
    if preprocessing is None:
        return None
    if isinstance(preprocessing, (LocalJob, LocalResult)):
        return json.dumps(_result(preprocessing).preprocessing)
    with open(preprocessing, encoding="utf-8") as file:
        return file.read()


def compare(a: Any, b: Any) -> Comparison:
    """How two runs differ: directories of runs, experiments, local jobs or their results."""
    with tempfile.TemporaryDirectory(prefix="fedwasm-") as place:
        first, second = (_directory(run, place, name) for run, name in ((a, "first"), (b, "second")))
        record = json.loads(_native.compare(first, second))
        return Comparison(record, _native.compare_svg(first, second))


def _directory(run: Any, place: str, name: str) -> str:
    if isinstance(run, (str, os.PathLike)):
        return os.fspath(run)
    if not isinstance(run, (Experiment, LocalJob, LocalResult)):
        raise ConfigurationError(f"{run!r} is not a run", "give a directory, an experiment or a local job")
    history = run.history if isinstance(run, LocalResult) else run.history()
    directory = os.path.join(place, name)
    os.mkdir(directory)
    with open(os.path.join(directory, "history.json"), "w", encoding="utf-8") as file:
        json.dump(history.record, file)
    return directory
