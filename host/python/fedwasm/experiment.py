"""Experiments on a federation."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import weakref
from collections import OrderedDict
from typing import Any, Mapping

from . import _html, _native
from ._breakpoint import of_history
from ._own import Aggregation, Sampling
from ._params import arrays, named, native
from ._plans import component
from ._program import program
from .errors import ConfigurationError
from .model import Model, of_run
from .progress import Progress
from .results import History, Scores

# Parameters of earlier rounds that stay in memory.
KEPT_BYTES_MAX = 1 << 30

_RUNNING: weakref.WeakSet[Experiment] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """Says farewell to the nodes, and writes the files."""
    for experiment in list(_RUNNING):
        try:
            experiment.close()
        except Exception:  # noqa: BLE001 - the interpreter ends
            pass


class Info(dict):
    """Facts by name, as a table."""

    def __str__(self) -> str:
        width = max((len(name) for name in self), default=0)
        return "\n".join(f"{name:{width}}  {value}" for name, value in self.items())

    def _repr_html_(self) -> str:
        return _html.pairs(self)


class Experiment:
    """An experiment, with the names of Fed-BioMed's ``Experiment``. Dictionaries have the keys of an
    experiment's file: ``training_args`` those of [training], ``model_args`` those of [model],
    ``data_args`` those of [data], ``secagg`` and ``privacy`` those of the tables of that name;
    ``settings`` are further keys at the top of the file.

    ``aggregator`` is a name, a dict, one of ``fedwasm.aggregators``, or an object with
    ``aggregate(updates)``; ``node_selection_strategy`` likewise, with ``sample_nodes(from_nodes,
    round_i)`` and ``refine(updates, round_i)``.

    Files go to the directory ``out`` (or ``experimentation_folder``); with ``resume`` it goes on from
    the newest breakpoint there, with ``change`` also with other arguments. An earlier run there is an
    error otherwise; ``force`` overwrites it.

    The experiment starts with its first round, and stays connected until ``close()`` or the end of
    the interpreter; as a context manager until the end of the block.
    """

    def __init__(
        self,
        tags: str | list[str] | None = None,
        training_plan_class: Any = None,
        *,
        target: str | list[str] | None = None,
        inputs: list[str] | None = None,
        training_args: Mapping[str, Any] | None = None,
        model_args: Mapping[str, Any] | None = None,
        data_args: Mapping[str, Any] | None = None,
        round_limit: int = 1,
        aggregator: Any = None,
        node_selection_strategy: Any = None,
        nodes: list[str] | None = None,
        secagg: Mapping[str, Any] | bool | None = None,
        privacy: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        name: str = "experiment",
        description: str = "",
        save_breakpoints: bool = False,
        keep_params: bool | int = False,
        out: str | os.PathLike[str] | None = None,
        experimentation_folder: str | os.PathLike[str] | None = None,
        resume: bool = False,
        change: bool = False,
        force: bool = False,
        params: Any = None,
        mqtt: str | None = None,
        repository: str | None = None,
        identity: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        self._spec: dict[str, Any] = {
            "name": name,
            "description": description,
            "rounds": round_limit,
            "save_breakpoints": save_breakpoints,
            "keep_params": keep_params,
            "data": {"tags": _list(tags), "target": target, "inputs": inputs, **(data_args or {})},
            "training": dict(training_args or {}),
            "model": dict(model_args) if model_args else None,
            "secagg": {"scheme": "masking"} if secagg is True else (dict(secagg) if secagg else None),
            "privacy": None if privacy is None else dict(privacy),
            "limits": None if limits is None else dict(limits),
            "network": {"mqtt": mqtt, "repository": repository, "identity": identity},
            **(settings or {}),
        }
        self._aggregator = aggregator
        self._strategy = _listed(node_selection_strategy, nodes)
        out = experimentation_folder if out is None else out
        # The working directory may change until it ends.
        self._out = None if out is None else os.path.abspath(out)
        self._resume = resume
        self._change = change
        self._force = force
        self._params = None if params is None else native(params)
        self._shows = progress
        self._given: Any = None
        self._component: _native.Component | None = None
        self._native: _native.Experiment | None = None
        self._is_running = False
        self._kept: OrderedDict[int, _native.Params] = OrderedDict()
        self._last: tuple[str, _native.Params] | None = None
        # What the running experiment calls.
        self._sampling: Sampling | None = None
        self._aggregation: Aggregation | None = None
        if training_plan_class is not None:
            self.set_training_plan_class(training_plan_class)

    @classmethod
    def load_breakpoint(cls, out: str | os.PathLike[str], training_plan_class: Any, **options: Any) -> Experiment:
        """The experiment in a directory, from its newest breakpoint on. The arguments are those of
        its history, unless ``options`` give others; the plan and addresses are not in it."""
        given = of_history(History.load(out).record)
        given |= {"save_breakpoints": True, "out": out, "resume": True}
        return cls(training_plan_class=training_plan_class, **{**given, **options})

    # What it is.

    def info(self) -> Info:
        """Its arguments and how far it is; asks no node."""
        facts: dict[str, Any] = {
            "name": self._spec["name"],
            "plan": None if self._component is None else self._component.label,
            "round_limit": self._spec["rounds"],
            "rounds done": self.round_current(),
            "tags": self._spec["data"]["tags"],
            "target": self._spec["data"]["target"],
            "training_args": self._spec["training"],
            "model_args": self._spec["model"],
            "aggregator": self._aggregator or "fedavg",
            "node_selection_strategy": self._strategy or "all",
            "secagg": self._spec["secagg"],
            "privacy": self._spec["privacy"],
            "save_breakpoints": self._spec["save_breakpoints"],
            "out": self._out,
        }
        if self._is_running:
            facts["nodes"] = dict(self._running().nodes())
        return Info(facts)

    def check(self) -> Info:
        """Does everything short of the first round: reads the arguments, asks the plan for its
        shapes, and the nodes whether they would run it."""
        asked = _native.Experiment(self._plan(), program())
        return Info(json.loads(asked.check(self._arguments(), Progress("check", shows=False))))

    def check_training_plan_status(self) -> dict[str, str | None]:
        """Whether each node that has the data would run the plan: ``approved``, ``pending``, ...; nodes
        that do not know the plan register it for their operators, with ``description``."""
        return {found["node"]: found["standing"] for found in self.check()["nodes"]}

    def round_current(self) -> int:
        """Rounds that are done."""
        if self._is_running:
            return self._running().round()
        return 0 if self._last is None else len(self.history().record["rounds"])

    def history(self) -> History:
        """What happened so far: rows for each round and node."""
        if self._is_running:
            return History(self._running().history())
        if self._last is not None:
            return History(self._last[0])
        raise ConfigurationError("the experiment has not started", "call run() or run_once()")

    @property
    def metrics(self) -> Scores:
        """The newest scores on the held-out rows of all nodes (``test_on_global_updates``)."""
        return self.history().scores()

    def training_replies(self) -> dict[int, dict[str, Any]]:
        """What each node reported, by round and node."""
        return {record["round"]: record["nodes"] for record in self.history().record["rounds"]}

    def model(self, round: int | None = None) -> Any:
        """The module of a plan that was made by ``fedwasm.torch.plan``, with the parameters of a
        round."""
        module = getattr(self._given, "module", None)
        if module is None:
            raise ConfigurationError(
                "the plan was not made of a module of torch", "params() has the parameters"
            )
        from . import torch

        return torch.load(module, self.params(round))

    def params(self, round: int | None = None) -> dict[str, Any]:
        """The parameters after a round (0: those that the first began with), by default those of the
        newest: read-only arrays by name."""
        return arrays(self._params_of(round))

    def aggregated_params(self) -> dict[int, dict[str, Any]]:
        """The parameters after each round that is at hand, by round."""
        return {round: arrays(params) for round, params in self._kept.items()}

    @property
    def saved_model(self) -> Model:
        """The model that it wrote into its directory ``out``, with the rounds so far."""
        return of_run(self._out, "the experiment")

    def export_model(self, path: str | os.PathLike[str], round: int | None = None) -> None:
        """Writes parameters to a .safetensors, or to Fed-BioMed's .mpk."""
        self._params_of(round).save(named(path))

    def import_model(self, params: Any) -> None:
        """Takes the parameters to start from: a file, or arrays by name."""
        self._before("the parameters to start from")
        self._params = native(params)

    # What it does.

    def run_once(self, increase: bool = False) -> int:
        """Runs the next round; 0 if all are done. With ``increase`` the limit grows if it is
        reached."""
        return self.run(1, increase=increase)

    def run(self, rounds: int | None = None, increase: bool = False) -> int:
        """Runs the rounds that are left, or at most so many of them, and returns how many it ran.
        With ``increase`` the limit grows to have room for ``rounds``. Ctrl-C ends the round, which
        then does not count; the rounds before it are kept, and a further call goes on."""
        progress = Progress(self._spec["name"], self._spec["rounds"], shows=self._shows)
        ran = 0
        try:
            if not self._is_running:
                self._start(progress)
            if increase and rounds is not None:
                self.set_round_limit(max(self._spec["rounds"], self.round_current() + rounds))
                progress.rounds = self._spec["rounds"]
            running = self._running()
            while (rounds is None or ran < rounds) and running.run_once(progress):
                ran += 1
                self._keep(running.params())
        except BaseException:
            # The error of the round is the one to tell.
            with contextlib.suppress(Exception):
                self._save()
            raise
        finally:
            progress.close()
        self._save()
        return ran

    def _save(self) -> None:
        if self._is_running:
            self._running().save()

    def close(self) -> None:
        """Leaves the federation, and writes the files. The results stay."""
        if self._is_running:
            running = self._running()
            history, params = running.history(), running.params()
            self._last = (history, params)
            self._is_running = False
            _RUNNING.discard(self)
            running.finish()
            # The file says how it ended.
            if self._out is not None:
                self._last = (_native.load_history(self._out), params)

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # What it is to do. Between rounds: training arguments, aggregator, strategy and rounds.

    def set_training_args(self, training_args: Mapping[str, Any]) -> None:
        """Replaces the training arguments, from the next round on."""
        self._set("training", dict(training_args))

    def set_test_ratio(self, ratio: float) -> None:
        self._set("training", {**self._spec["training"], "test_ratio": ratio})

    def set_test_metric(self, metric: str) -> None:
        self._set("training", {**self._spec["training"], "test_metric": metric})

    def set_test_on_local_updates(self, flag: bool = True) -> None:
        self._set("training", {**self._spec["training"], "test_on_local_updates": flag})

    def set_test_on_global_updates(self, flag: bool = True) -> None:
        self._set("training", {**self._spec["training"], "test_on_global_updates": flag})

    def set_round_limit(self, round_limit: int) -> None:
        self._set("rounds", round_limit)

    def set_aggregator(self, aggregator: Any) -> None:
        if self._is_running and hasattr(aggregator, "aggregate"):
            raise ConfigurationError("an aggregator of one's own must be there from the start")
        if self._is_running and self._aggregation is not None:
            own = "an aggregator of one's own" if hasattr(self._aggregator, "aggregate") else "`refine`"
            raise ConfigurationError(
                f"the experiment runs with {own}, which stays to its end", "make another experiment"
            )
        before, self._aggregator = self._aggregator, aggregator
        self._changed(lambda: setattr(self, "_aggregator", before))

    def set_strategy(self, node_selection_strategy: Any) -> None:
        before, self._strategy = self._strategy, node_selection_strategy
        refine, runs = self._refine(), self._aggregation
        had = runs is not None and runs.refine is not None
        if self._is_running and (refine is not None) != had:
            self._strategy = before
            raise ConfigurationError(
                f"the strategy {'has no' if had else 'has a'} `refine`, and the one before "
                f"{'has one' if had else 'has none'}: that cannot change once the experiment has started",
                "make another experiment",
            )
        self._changed(lambda: setattr(self, "_strategy", before))
        if self._is_running and runs is not None:
            runs.refine = refine

    def set_training_plan_class(self, training_plan_class: Any) -> None:
        self._before("the plan")
        self._component = component(training_plan_class)
        self._given = training_plan_class

    def set_model_args(self, model_args: Mapping[str, Any]) -> None:
        self._before("model_args")
        self._set("model", dict(model_args))

    def set_tags(self, tags: str | list[str]) -> None:
        self._before("tags")
        self._set("data", {**self._spec["data"], "tags": _list(tags)})

    def add_tag(self, tag: str) -> None:
        self._before("tags")
        self._set("data", {**self._spec["data"], "tags": [*(self._spec["data"]["tags"] or []), tag]})

    def set_name(self, name: str) -> None:
        self._before("the name")
        self._set("name", name)

    def set_description(self, description: str) -> None:
        self._before("the description")
        self._set("description", description)

    def set_save_breakpoints(self, save_breakpoints: bool) -> None:
        self._before("save_breakpoints")
        self._set("save_breakpoints", save_breakpoints)

    def set_secagg(self, secagg: Mapping[str, Any] | bool) -> None:
        self._before("secagg")
        self._set("secagg", {} if secagg is True else (dict(secagg) if secagg else None))

    # How.

    def _set(self, key: str, value: Any) -> None:
        before = self._spec[key]
        self._spec[key] = value
        self._changed(lambda: self._spec.__setitem__(key, before))

    def _changed(self, undo: Any) -> None:
        """Has the running experiment continue with the arguments as they are now."""
        if not self._is_running:
            return
        try:
            self._running().change(self._arguments(), self._sampler())
        except BaseException:
            undo()
            self._sampler()
            raise

    def _before(self, what: str) -> None:
        if self._is_running:
            raise ConfigurationError(
                f"{what} cannot change once the experiment has started", "make another experiment"
            )

    def _plan(self) -> _native.Component:
        if self._component is None:
            raise ConfigurationError("the plan is missing", "give training_plan_class")
        return self._component

    def _running(self) -> _native.Experiment:
        assert self._native is not None
        return self._native

    def _is_own_strategy(self) -> bool:
        return hasattr(self._strategy, "sample_nodes")

    def _sampler(self) -> Sampling | None:
        """The one of the experiment, with the strategy of now."""
        if not self._is_own_strategy():
            return None
        if self._sampling is None:
            self._sampling = Sampling(self._strategy)
        self._sampling.use(self._strategy)
        return self._sampling

    def _refine(self) -> Any:
        """`refine` of the strategy, if its class defines it."""
        from .strategies import Strategy

        if getattr(type(self._strategy), "refine", None) is Strategy.refine:
            return None
        return getattr(self._strategy, "refine", None)

    def _own_aggregator(self, sampler: Sampling | None) -> Aggregation | None:
        own = self._aggregator if hasattr(self._aggregator, "aggregate") else None
        refine = self._refine()
        if refine is not None and own is None and _settings(self._aggregator, "fedavg") != {"name": "fedavg"}:
            raise ConfigurationError(
                "`refine` of the strategy goes with the aggregator fedavg or with one of your own"
            )
        return None if own is None and refine is None else Aggregation(own, refine, sampler)

    def _arguments(self) -> dict[str, Any]:
        is_own = hasattr(self._aggregator, "aggregate")
        strategy = {} if self._is_own_strategy() else _settings(self._strategy, "all")
        if self._is_own_strategy():
            strategy = dict(getattr(self._strategy, "settings", None) or {})
        return {
            **self._spec,
            "plan": str(self._plan().label),
            "aggregator": None if is_own else _settings(self._aggregator, "fedavg"),
            "strategy": strategy,
        }

    def _start(self, progress: Progress) -> None:
        goes_on = self._out is not None and self._spec["save_breakpoints"]
        if self._last is not None and not goes_on:
            raise ConfigurationError(
                "the experiment is closed",
                "make another one; with `out` and `save_breakpoints` a closed one goes on",
            )
        sampler = self._sampler()
        aggregation = self._own_aggregator(sampler)
        started = _native.Experiment(self._plan(), program())
        try:
            started.start(
                self._arguments(),
                progress,
                aggregator=aggregation,
                sampler=sampler,
                params=self._params,
                out=self._out,
                resume=self._resume,
                change=self._change,
                force=self._force and not self._resume,
            )
        except BaseException:
            # Ctrl-C may find it started; there is none to finish after an error.
            with contextlib.suppress(Exception):
                started.finish()
            raise
        self._aggregation = aggregation
        self._native, self._is_running = started, True
        # What is run again after a close goes on.
        self._resume = True
        _RUNNING.add(self)
        self._keep(started.params())

    def _keep(self, params: _native.Params) -> None:
        self._kept[self.round_current()] = params
        while len(self._kept) > 1 and sum(p.n_bytes for p in self._kept.values()) > KEPT_BYTES_MAX:
            self._kept.popitem(last=False)

    def _params_of(self, round: int | None) -> _native.Params:
        if round is None:
            if self._is_running:
                return self._running().params()
            if self._last is not None:
                return self._last[1]
            raise ConfigurationError("the experiment has not started", "call run() or run_once()")
        if round in self._kept:
            return self._kept[round]
        file = None if self._out is None else os.path.join(self._out, "params", f"round-{round:04}.safetensors")
        if file is not None and os.path.isfile(file):
            return _native.Params.load(file)
        raise ConfigurationError(
            f"the parameters after round {round} were not kept", "set keep_params=True, and `out`"
        )

    def __repr__(self) -> str:
        done = self.round_current()
        return f"Experiment({self._spec['name']!r}, {done} of {self._spec['rounds']} rounds)"

    def _repr_html_(self) -> str:
        info = self.info()._repr_html_()
        return f"<div>{info}{self.history()._repr_html_() if self.round_current() else ''}</div>"


def _list(tags: str | list[str] | None) -> list[str] | None:
    return [tags] if isinstance(tags, str) else tags


def _listed(strategy: Any, nodes: list[str] | None) -> Any:
    """``nodes`` is the strategy that takes these alone."""
    if nodes is None:
        return strategy
    if strategy is None:
        return {"name": "list", "nodes": list(nodes)}
    raise ConfigurationError("`nodes` and `node_selection_strategy` are both given; leave one out")


def _settings(given: Any, default: str) -> dict[str, Any]:
    """The table of an aggregator or a strategy."""
    if given is None:
        return {"name": default}
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, Mapping):
        return {"name": default, **given}
    arguments = getattr(given, "arguments", None)
    if isinstance(arguments, dict):
        return arguments
    if callable(given):
        return _settings(given(), default)
    raise ConfigurationError(
        f"{given!r} is not an aggregator or a strategy",
        "give a name, a dict, one of fedwasm.aggregators or fedwasm.strategies, or an object with "
        "`aggregate` or `sample_nodes`",
    )
