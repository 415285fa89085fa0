"""Which nodes take part in a round: the host's strategies, and ``Strategy`` for one's own."""

from __future__ import annotations

from typing import Any, Mapping

from ._own import Updates


class Strategy:
    """The base of a strategy of one's own. Histories and breakpoints have its ``name``."""

    name: str | None = None

    def sample_nodes(self, from_nodes: list[str], round_i: int) -> list[str]:
        """Returns the nodes of round ``round_i`` (from 1), among those that take part."""
        return from_nodes

    def refine(self, updates: Updates, round_i: int) -> Mapping[str, float]:
        """Returns the weight of each node's update; a node without one is left out. Only a class
        that defines it changes how updates are weighted."""
        return {node: update.n_samples for node, update in updates.items()}


class Selection:
    """A strategy of the host and its settings."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.arguments = {"name": name, **settings}

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"Selection({settings})"


def DefaultStrategy(**settings: Any) -> Selection:
    """All nodes that have the data. Settings are those of [strategy] in an experiment's file, such
    as ``min_nodes`` or ``round_deadline_s``."""
    return Selection("all", **settings)


def RandomStrategy(fraction: float, **settings: Any) -> Selection:
    """A random share of the nodes, others in every round."""
    return Selection("random", fraction=fraction, **settings)


def ListStrategy(nodes: list[str], **settings: Any) -> Selection:
    """These nodes and no others."""
    return Selection("list", nodes=list(nodes), **settings)
