"""The histories of runs."""

from __future__ import annotations

import json
import os
from typing import Any

from . import _html, _native
from .errors import ConfigurationError

ALL = "all nodes"


class History(list):
    """What a run did, as a list of dicts: a row for each round and node, and one for all nodes; of a
    local job, a row for each point of the training loss. ``record`` is the content of
    ``history.json``, ``svg()`` the curve, ``to_pandas()`` a data frame."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.record: dict[str, Any] = json.loads(text)
        super().__init__(_rows(self.record))

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "History":
        """Reads the history of the run in a directory."""
        return cls(_native.load_history(os.fspath(directory)))

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``cancelled``, ``stopped: ...`` or ``failed: ...``."""
        return self.record["status"]

    def to_pandas(self) -> Any:
        """A data frame of the rows."""
        try:
            import pandas
        except ImportError:
            raise ConfigurationError("pandas is not installed", "pip install pandas") from None
        return pandas.DataFrame(list(self))

    def scores(self, round: int | None = None, node: str | None = None) -> "Scores":
        """The scores on held-out rows after a round (default: the last that has some), of all nodes
        together or of one."""
        for record in reversed(self.record["rounds"]):
            if round in (None, record["round"]):
                of = record["nodes"].get(node, {})
                found = of.get("global_evaluation") or record.get("scored", {}).get(node)
                found = record["evaluation"] if node is None else found
                if found is not None:
                    return Scores(found)
        return Scores(None)

    def __repr__(self) -> str:
        newest = "" if not self else f", {self[-1]}"
        return f"History({self.record['name']!r}, {self.status}, {len(self)} rows{newest})"

    def svg(self) -> str:
        """The curve of the loss, as SVG."""
        return _native.history_svg(self._text)

    def _repr_html_(self) -> str:
        record = self.record
        plan = record["plan"]
        head = f"{record['name']}: {plan['name']} {plan['version']}, {record['status']}"
        curve = self.svg() if self else ""
        return f"<div><b>{_html.text(head)}</b>{curve}{_html.table(self)}</div>"


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    if not record["experiment_id"]:
        return [{"step": point["step"], "train_loss": point["loss"]} for point in record.get("steps", [])]
    rows: list[dict[str, Any]] = []
    initial = record.get("initial")
    if initial is not None:
        rows.append({"round": 0, "node": ALL, **_metrics(initial["evaluation"])})
        rows += [{"round": 0, "node": n, **_metrics(e)} for n, e in initial["nodes"].items()]
    for each in record["rounds"]:
        rows += _of_round(each)
    return rows


def _of_round(record: dict[str, Any]) -> list[dict[str, Any]]:
    nodes = record["nodes"]
    total = record.get("secagg") or {}
    samples = total.get("n_samples", sum(node["n_samples"] for node in nodes.values()))
    losses = [(n["n_samples"], n["train_loss"]) for n in nodes.values() if n["train_loss"] is not None]
    weight = sum(n for n, _ in losses)
    mean = sum(n * loss for n, loss in losses) / weight if weight else total.get("train_loss")
    rows = [
        {
            "round": record["round"],
            "node": ALL,
            "n_samples": samples,
            "n_steps": total.get("n_steps", sum(node["n_steps"] for node in nodes.values())),
            "train_loss": mean,
            **_metrics(record["evaluation"]),
            "wall_ms": record["timing"]["wall_ms"],
        }
    ]
    for name, node in nodes.items():
        rows.append(
            {
                "round": record["round"],
                "node": name,
                "n_samples": node["n_samples"],
                "n_steps": node["n_steps"],
                "train_loss": node["train_loss"],
                **_metrics(node["global_evaluation"]),
                **{f"local_{key}": value for key, value in _metrics(node["evaluation"]).items()},
                "wall_ms": node["total_ms"],
            }
        )
    for name, scores in record.get("scored", {}).items():
        rows.append({"round": record["round"], "node": name, **_metrics(scores)})
    return rows


def _metrics(evaluation: dict[str, Any] | None) -> dict[str, float]:
    return {} if evaluation is None else evaluation["metrics"]


class Scores(dict):
    """Metrics by name, and for classes what they are means of: ``confusion`` (rows by class, one list
    each, and by the class that they are said to be of; None with many classes), ``classes`` and
    ``averages`` (precision, recall, F1), ``calibration`` (how probabilities of class 1 match the
    rows), ``n_rows``. An area under a curve of several nodes has an error, ``roc_auc_error``."""

    def __init__(self, evaluation: dict[str, Any] | None) -> None:
        super().__init__(_metrics(evaluation))
        sums = None if evaluation is None else evaluation.get("sums")
        report = {} if sums is None else json.loads(_native.score_report(json.dumps(sums)))
        self.n_rows: int = 0 if evaluation is None else evaluation["n_rows"]
        self.confusion: list[list[int]] | None = report.get("confusion")
        self.classes: list[dict[str, Any]] = report.get("classes", [])
        self.averages: list[dict[str, Any]] = report.get("averages", [])
        self.calibration: list[dict[str, Any]] = report.get("calibration", [])

    def _repr_html_(self) -> str:
        said = [
            {"class": n, **{f"said {said}": count for said, count in enumerate(row)}}
            for n, row in enumerate(self.confusion or [])
        ]
        tables = [self.classes + self.averages, said, self.calibration]
        return f"<div>{_html.pairs(self)}{''.join(_html.table(rows) for rows in tables if rows)}</div>"


class Comparison:
    """How two runs differ: ``differences``, ``metrics``, ``compared``, ``not_compared``."""

    def __init__(self, record: dict[str, Any], svg: str) -> None:
        self.differences: list[dict[str, Any]] = record["differences"]
        self.metrics: list[dict[str, Any]] = [
            {**metric, "difference": _minus(metric["b"], metric["a"])} for metric in record["metrics"]
        ]
        self.compared: list[str] = record["compared"]
        self.not_compared: list[str] = record["not_compared"]
        self._svg = svg

    def svg(self) -> str:
        """The losses of both, as SVG."""
        return self._svg

    def __repr__(self) -> str:
        lines = [f"{d['name']}: {d['a']} | {d['b']}" for d in self.differences] or ["no differences"]
        lines += [f"{m['name']}: {m['a']} | {m['b']}" for m in self.metrics]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<div>{_html.table(self.differences)}{_html.table(self.metrics)}{self._svg}</div>"


def _minus(b: float | None, a: float | None) -> float | None:
    return None if a is None or b is None else b - a
