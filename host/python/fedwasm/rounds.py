"""Rounds one by one, for a caller who decides about them."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from . import _native
from ._own import Update
from ._params import arrays, native
from ._plans import component
from ._program import program
from .progress import Progress
from .results import Scores


class Reply(Update):
    """A node's reply to a round: ``node``, ``n_samples``, ``params``, and ``record`` with the rest, such
    as ``n_steps``, ``train_loss`` and ``timing``."""

    def __init__(self, node: str, text: str, params: _native.Params) -> None:
        self.record: dict[str, Any] = json.loads(text)
        super().__init__(node, self.record["n_samples"], params)


class Job:
    """The joint work of a researcher and nodes (Fed-BioMed's ``Job``): it finds nodes, holds the
    parameters, sends rounds and collects replies; the caller aggregates, and nothing is written.
    Arguments are those of ``fedwasm.Experiment``."""

    def __init__(
        self,
        tags: str | list[str],
        training_plan_class: Any,
        *,
        target: str | list[str] | None = None,
        inputs: list[str] | None = None,
        training_args: Mapping[str, Any] | None = None,
        model_args: Mapping[str, Any] | None = None,
        data_args: Mapping[str, Any] | None = None,
        rounds: int = 1,
        min_nodes: int | None = None,
        round_deadline_s: int | None = None,
        patience_s: int | None = None,
        name: str = "job",
        description: str = "",
        mqtt: str | None = None,
        repository: str | None = None,
        identity: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        self._component = component(training_plan_class)
        self._arguments: dict[str, Any] = {
            "name": name,
            "description": description,
            "plan": str(self._component.label),
            "rounds": rounds,
            "data": {
                "tags": [tags] if isinstance(tags, str) else tags,
                "target": target,
                "inputs": inputs,
                **(data_args or {}),
            },
            "training": dict(training_args or {}),
            "model": dict(model_args) if model_args else None,
            "strategy": {
                "min_nodes": min_nodes,
                "round_deadline_s": round_deadline_s,
                "patience_s": patience_s,
            },
            "network": {"mqtt": mqtt, "repository": repository, "identity": identity},
            **(settings or {}),
        }
        self._shows = progress
        self.training_replies: dict[int, dict[str, Reply]] = {}
        self._native = self._attended(
            lambda events: _native.Job(self._component, self._arguments, program(), events)
        )

    @property
    def id(self) -> str:
        """Its id at the nodes."""
        return self._native.id()

    @property
    def nodes(self) -> dict[str, int]:
        """The nodes that take part, with the rows that they announced."""
        return dict(self._native.nodes())

    @property
    def refused(self) -> dict[str, str]:
        """The nodes that do not take part, and why."""
        return dict(self._native.refused())

    def params(self) -> dict[str, Any]:
        """The current parameters: read-only arrays by name."""
        return arrays(self._native.params())

    def start_nodes_training_round(self, round: int, nodes: list[str] | None = None) -> dict[str, Reply]:
        """Has nodes train a round (from 1), all that take part unless ``nodes`` names some, and
        returns their replies. A node that does not deliver is no longer among ``nodes``."""
        told = self._attended(lambda events: self._native.train(round, nodes, events))
        replies = {reply[0]: Reply(*reply) for reply in told}
        self.training_replies[round] = replies
        return replies

    def update_parameters(self, params: Any) -> str:
        """Replaces the parameters: arrays by name, or a file. Returns their SHA-256."""
        return self._native.update_parameters(native(params, like=self._native.params()))

    def validate(self, round: int, nodes: list[str] | None = None) -> dict[str, Scores]:
        """Has nodes score the current parameters on their held-out rows; metrics by node."""
        text = self._attended(lambda events: self._native.validate(round, nodes, events))
        return {node: Scores(scored) for node, scored in json.loads(text).items() if scored}

    def set_training_args(self, training_args: Mapping[str, Any]) -> None:
        """Lets the rounds from here on train otherwise; the random seed stays."""
        self._native.set_training_args({**self._arguments, "training": dict(training_args)})
        self._arguments["training"] = dict(training_args)

    def close(self) -> None:
        """Leaves the federation."""
        self._native.close()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _attended(self, call: Any) -> Any:
        progress = Progress(str(self._arguments["name"]), shows=self._shows)
        try:
            return call(progress)
        finally:
            progress.close()
