"""Aggregators and strategies of one's own, as the host calls them."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from . import _native
from ._params import arrays, native


def name_of(own: Any) -> str:
    """The name in histories and breakpoints: ``name`` of the object, else that of its class."""
    return str(getattr(own, "name", None) or type(own).__name__)


class Update:
    """What a node sent: ``node``, ``n_samples`` (its rows) and ``params`` (read-only arrays by
    name)."""

    def __init__(self, node: str, n_samples: int, params: _native.Params) -> None:
        self.node = node
        self.n_samples = n_samples
        self._native = params
        self._arrays: dict[str, Any] | None = None

    @property
    def params(self) -> dict[str, Any]:
        if self._arrays is None:
            self._arrays = arrays(self._native)
        return self._arrays

    def __repr__(self) -> str:
        return f"Update({self.node!r}, n_samples={self.n_samples})"


class Updates(Mapping[str, Update]):
    """The updates of a round by node, in ascending order, and ``start``: the parameters that all
    nodes began with."""

    def __init__(self, start: _native.Params, updates: list[Update]) -> None:
        self._start = start
        self._updates = {update.node: update for update in updates}

    @property
    def start(self) -> dict[str, Any]:
        return arrays(self._start)

    def __getitem__(self, node: str) -> Update:
        return self._updates[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._updates)

    def __len__(self) -> int:
        return len(self._updates)

    def mean(self, weights: Mapping[str, float] | None = None) -> dict[str, Any]:
        """The mean weighted by rows, or by ``weights``; sums run in float64 in the order of nodes,
        as those of the host. A node without a weight is left out."""
        import numpy

        if weights is None:
            weights = {node: update.n_samples for node, update in self.items()}
        total = float(sum(weights.values()))
        if not total > 0.0:
            raise ValueError(f"the weights add up to {total}")
        sums: dict[str, Any] = {}
        for node, update in self.items():
            if node not in weights:
                continue
            share = float(weights[node]) / total
            for name, value in update.params.items():
                term = share * numpy.asarray(value, dtype=numpy.float64)
                sums[name] = sums[name] + term if name in sums else term
        return sums


class Sampling:
    """``strategy.sample_nodes`` for the host: one for an experiment, which may change the strategy."""

    def __init__(self, strategy: Any) -> None:
        self.round = 0
        self.use(strategy)

    def use(self, strategy: Any) -> None:
        self.name = name_of(strategy)
        self._strategy = strategy

    def sample(self, nodes: list[str], round: int) -> list[str]:
        self.round = round
        return [str(node) for node in self._strategy.sample_nodes(nodes, round)]


class Aggregation:
    """``aggregator.aggregate`` for the host, after ``strategy.refine`` if there is one."""

    def __init__(self, aggregator: Any, refine: Any = None, sampling: Sampling | None = None) -> None:
        names = [name_of(own) for own in (aggregator, sampling) if own is not None]
        self.name = " over ".join(names)
        self._aggregator = aggregator
        self.refine = refine
        self._sampling = sampling

    def aggregate(
        self, start: _native.Params, updates: list[tuple[str, int, _native.Params]]
    ) -> _native.Params:
        table = Updates(start, [Update(*update) for update in updates])
        made: Any
        if self.refine is not None:
            weights = self.refine(table, self._sampling.round if self._sampling else 0)
            if self._aggregator is None:
                return native(table.mean(weights), like=start)
            table = Updates(start, [table[node] for node in table if node in weights])
        made = self._aggregator.aggregate(table)
        return native(made, like=start)

    def state(self) -> _native.Params:
        state = getattr(self._aggregator, "state", None)
        return native(state() if callable(state) else {})

    def restore(self, params: _native.Params) -> None:
        restore = getattr(self._aggregator, "restore", None)
        if callable(restore):
            restore(arrays(params))
        elif len(params) > 0:
            raise ValueError(f"{self.name} keeps no state, and the breakpoint has one")
