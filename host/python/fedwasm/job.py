"""Training on this machine alone."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from . import _html, _native
from ._params import arrays, named, native
from ._plans import component
from ._program import program
from ._tables import Table
from .errors import ConfigurationError
from .model import Model, of_run
from .progress import Progress
from .results import History, Scores


class LocalResult:
    """The result of a local job: ``params`` (read-only arrays by name), ``metrics`` on the held-out
    rows, ``history``, ``params_sha256``, ``preprocessing`` (the scales of the inputs), and
    ``batches`` of ``batches_max`` that were trained on."""

    def __init__(self, result: _native.LocalResult, out: str | None = None) -> None:
        self._out = out
        record = json.loads(result.json)
        self.native: _native.Params = result.params
        self.params_sha256: str = record["params_sha256"]
        self.preprocessing: Any = record["preprocessing"]
        evaluation = record["evaluation"]
        self.metrics = Scores(evaluation)
        self.history = History(json.dumps(record["history"]))
        self.batches: int = record["batches"]
        self.batches_max: int = record["batches_max"]

    @property
    def params(self) -> dict[str, Any]:
        return arrays(self.native)

    @property
    def model(self) -> Model:
        """The model that it wrote into its directory ``out``."""
        return of_run(self._out, "the job")

    def __repr__(self) -> str:
        metrics = "".join(f", {name} {value:.4f}" for name, value in self.metrics.items())
        return f"LocalResult({self.batches} of {self.batches_max} batches{metrics})"

    def _repr_html_(self) -> str:
        facts = {**self.metrics, "batches": f"{self.batches} of {self.batches_max}"}
        facts["parameters"] = self.params_sha256
        return f"<div>{self.history.svg()}{_html.pairs(facts)}</div>"


def _here(plan: Any) -> _native.PyPlan:
    """A plan's class for this interpreter."""
    if not isinstance(plan, type):
        raise ConfigurationError("only a class can run in this interpreter", "leave out `sandbox=False`")
    from .eager import native_plan

    return native_plan(plan)


class LocalJob:
    """A plan on data of this machine (Fed-BioMed's ``localJob``), in the sandbox.

    ``training_plan_class`` is a class of ``fedwasm.Plan``, the path of a component, or its bytes;
    ``data`` a path, a data frame, arrays (inputs, target), or a dict of arrays. ``target`` and
    ``inputs`` name columns; ``data_args`` are further ones of [data], such as ``{"columns": {"ward":
    {"kind": "category", "values": ["A", "B"]}}}``, ``limits`` those of [limits], ``volumes`` how
    those of a folder of subjects are read, ``rename`` gives columns other names: ``{"alter": "age"}``.
    ``settings`` are keys at the top of an experiment's file, such as ``{"keep": "best", "local":
    {"early_stopping": {"metric": "loss", "patience": 3}}}``.
    It starts from the model or the file ``init``; with ``init_only`` (such as ``["net.0.*"]``) from
    those parameters of it, and otherwise from drawn ones. ``params`` are arrays to start from.
    Files go to the directory ``out``, with ``resume`` and ``force`` as on the command line.
    ``sandbox=False`` runs a class in this interpreter, for ``print`` and debuggers: the parameters
    are the same, bit for bit.
    """

    def __init__(
        self,
        training_plan_class: Any,
        data: Any,
        *,
        target: str | list[str] | None = None,
        inputs: list[str] | None = None,
        training_args: Mapping[str, Any] | None = None,
        model_args: Mapping[str, Any] | None = None,
        data_args: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        strict: bool = False,
        params: Any = None,
        init: Model | str | os.PathLike[str] | None = None,
        init_only: list[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        resume: bool = False,
        force: bool = False,
        format: str | None = None,
        volumes: Mapping[str, Any] | None = None,
        rename: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: bool = True,
        sandbox: bool = True,
    ) -> None:
        self._table = Table(data)
        target = self._table.target if target is None else target
        inputs = self._table.inputs if inputs is None else inputs
        columns = {"target": target, "inputs": inputs, **(data_args or {})}
        columns = {key: value for key, value in columns.items() if value is not None}
        self.training_args = None if training_args is None else dict(training_args)
        self.model_args = dict(model_args or {})
        arguments = {
            "data": columns or None,
            "training": self.training_args,
            "model": self.model_args or None,
            "limits": None if limits is None else dict(limits),
            "strict": strict,
            "init": init.path if isinstance(init, Model) else None if init is None else os.fspath(init),
            "init_only": init_only,
            **(settings or {}),
        }
        self._out = None if out is None else os.path.abspath(out)
        self.component = component(training_plan_class)
        self._params = None if params is None else native(params)
        self._progress = progress
        self._job = _native.LocalJob(
            self.component,
            self._table.path,
            arguments,
            program=program(),
            format=format,
            volumes=None if volumes is None else dict(volumes),
            rename=None if rename is None else dict(rename),
            out=None if out is None else os.fspath(out),
            resume=resume,
            force=force,
            plan=None if sandbox else _here(training_plan_class),
        )
        self.result: LocalResult | None = None

    def start_training(self) -> LocalResult:
        """Trains and scores. Ctrl-C ends training after the batches on their way: what was reached is
        scored, written, and ``result``."""
        progress = Progress("local job", shows=self._progress)
        try:
            result, interrupted = self._job.run(progress, self._params)
        finally:
            progress.close()
        self.result = LocalResult(result, self._out)
        if interrupted is not None:
            progress.note(f"stopped after {self.result.batches} of {self.result.batches_max} batches")
            raise interrupted
        return self.result

    def params(self) -> dict[str, Any]:
        """The trained parameters, as read-only arrays by name."""
        return self._done().params

    def history(self) -> History:
        """The training loss by step."""
        return self._done().history

    @property
    def metrics(self) -> dict[str, float]:
        """The scores on the held-out rows."""
        return self._done().metrics

    @property
    def model(self) -> Model:
        """The model that it wrote into its directory ``out``."""
        return self._done().model

    def export_model(self, path: str | os.PathLike[str]) -> None:
        """Writes the trained parameters to a .safetensors, or to Fed-BioMed's .mpk."""
        self._done().native.save(named(path))

    def _done(self) -> LocalResult:
        if self.result is None:
            raise ConfigurationError("the job has not trained", "call start_training()")
        return self.result

    def __repr__(self) -> str:
        return f"LocalJob({str(self.component.label)!r}, {self._table.path!r})"

    def _repr_html_(self) -> str:
        if self.result is not None:
            return self.result._repr_html_()
        return f"<div>{_html.text(repr(self))}</div>"
