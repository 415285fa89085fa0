"""The arguments of an experiment from its history."""

from __future__ import annotations

from typing import Any, Mapping


def of_history(record: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``Experiment`` that a history tells. Objects of one's own (aggregator,
    strategy) are not in it."""
    arguments = record["arguments"]
    data = {key: value for key, value in arguments["data"].items() if value is not None}
    training = dict(arguments["training"])
    training["optimizer_args"] = _short(training.get("optimizer_args"), "optimizer.")
    given = {
        "name": record["name"],
        "round_limit": record["rounds_max"],
        "tags": data.pop("tags", None),
        "target": data.pop("target", None),
        "inputs": data.pop("inputs", None),
        "data_args": data,
        "training_args": training,
        "model_args": _short(arguments["model"], "model."),
        "aggregator": _method(arguments["aggregator"]),
        "node_selection_strategy": _method(arguments["strategy.name"]),
    }
    if arguments.get("strict"):
        given["settings"] = {"strict": True}
    return {key: value for key, value in given.items() if value is not None}


def _short(values: Mapping[str, Any] | None, prefix: str) -> dict[str, Any] | None:
    """Arguments of a plan without the name of their section."""
    return {key.removeprefix(prefix): value for key, value in (values or {}).items()} or None


def _method(told: Any) -> Any:
    """A method and its settings; none if it was one's own."""
    if isinstance(told, str):
        return {"name": told}
    (name, settings), *_ = told.items()
    return None if name == "own" else {"name": name, **settings}
