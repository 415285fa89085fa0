"""Plans whose trace would not be what the class says, and experiments that change while they run."""

from __future__ import annotations

import contextlib
import functools
import time

import numpy
import pytest

import fedwasm as fw
from fedwasm import losses, nn
from fedwasm._params import native
from fedwasm.experiment import Experiment
from fedwasm.strategies import Strategy


class Plan(fw.Plan):
    """A linear model."""

    def model(self):
        return nn.Linear(self.n_features, self.n_classes)

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


def refusal(cls):
    with pytest.raises(fw.BuildError) as caught:
        fw.plan.build(cls)
    return str(caught.value)


class Counter(Plan):
    step = 0

    def training_step(self, batch):
        self.step += 1
        return super().training_step(batch) * min(1.0, self.step / 1000)


class Turns(Plan):
    """Gives another of two tensors each time."""

    nth = 0

    def training_step(self, batch):
        self.nth += 1
        loss = super().training_step(batch)
        return [loss, loss * 2][self.nth % 2]


class Counting(nn.Module):
    def __init__(self):
        self.n = 0

    def forward(self, x):
        self.n += 1
        return x * self.n


class CounterInModule(Plan):
    def model(self):
        return nn.Sequential(nn.Linear(self.n_features, self.n_classes), Counting())


@pytest.mark.parametrize("cls", [Counter, Turns, CounterInModule])
def test_state_that_is_kept_between_calls_is_refused(cls):
    assert "does not do the same each time it is traced" in refusal(cls)


class InSet(Plan):
    mode: str = "relu"

    def training_step(self, batch):
        return super().training_step(batch) * (2.0 if self.mode in {"relu", "gelu"} else 3.0)


class InDictionary(Plan):
    k: int = 4

    def training_step(self, batch):
        return super().training_step(batch) * {4: 2.0}.get(self.k, 7.0)


@pytest.mark.parametrize("cls", [InSet, InDictionary])
def test_lookups_of_symbols_are_refused(cls):
    text = refusal(cls)
    assert "Python cannot look it up in a dictionary or a set" in text
    assert "an attribute without a type is a constant" in text


class Is(Plan):
    on: bool = True

    def training_step(self, batch):
        return super().training_step(batch) * (2.0 if self.on is True else 3.0)


class IsInstance(Plan):
    k: int = 4

    def training_step(self, batch):
        return super().training_step(batch) * (2.0 if isinstance(self.k, int) else 3.0)


@pytest.mark.parametrize("cls, name", [(Is, "on"), (IsInstance, "k")])
def test_an_argument_that_does_nothing_is_refused_with_its_line(cls, name):
    text = refusal(cls)
    assert f"argument `{name}` does nothing in the graph" in text
    assert "test_write_mends_traces.py:" in text


class Format(Plan):
    alpha: float = 0.5

    def training_step(self, batch):
        return super().training_step(batch) * float(f"{self.alpha:.3f}") * self.alpha


def test_a_format_of_a_symbol_is_refused():
    assert "a format needs its value" in refusal(Format)


class Swallowed(Plan):
    k: int = 4

    def training_step(self, batch):
        try:
            n = int(self.k)
        except Exception:
            n = 99
        return super().training_step(batch) * n * self.k


class Suppressed(Plan):
    def training_step(self, batch):
        loss = super().training_step(batch)
        with contextlib.suppress(Exception):
            if loss > 1:
                loss = loss * 2
        return loss


@pytest.mark.parametrize("cls, words", [(Swallowed, "`int()` needs its value"), (Suppressed, "a branch")])
def test_errors_that_the_plan_catches_are_raised(cls, words):
    assert words in refusal(cls)


class Scaled(Plan):
    alpha: float = 0.5

    def model(self):
        self.a = fw.Parameter(fw.tensor([1.0, 2.0]) * self.alpha)
        return super().model()

    def training_step(self, batch):
        return super().training_step(batch) * self.a.sum() * self.alpha


class Positions(Plan):
    width: int = 16
    heads: int = 4

    def model(self):
        net = nn.Module()
        net.linear = nn.Linear(self.n_features, self.width)
        net.attention = nn.MultiheadAttention(self.width, self.heads, batch_first=True)
        net.out = nn.Linear(self.width, self.n_classes)
        net.register_buffer("positions", fw.arange(self.width).float())
        return net

    def training_step(self, batch):
        h = (self.net.linear(batch.inputs) + self.net.positions).unsqueeze(1)
        return losses.cross_entropy(self.net.out(self.net.attention(h, h, h)[0].squeeze(1)), batch.targets)

    def predict(self, batch):
        return self.net.out(self.net.linear(batch.inputs))


@pytest.mark.parametrize("cls, tensor, name", [(Scaled, "a", "alpha"), (Positions, "net.positions", "width")])
def test_tensors_of_arguments_in_the_model_are_refused(cls, tensor, name):
    assert f"`model` computes the tensor `{tensor}` of the argument `{name}`" in refusal(cls)


class SizeOfAnother(Plan):
    def training_step(self, batch):
        self.n = self.net(batch.inputs).reshape(1, -1, 1).shape[1]
        return super().training_step(batch)

    def predict(self, batch):
        return self.net(batch.inputs) * self.n


def test_a_size_of_another_function_is_refused():
    text = refusal(SizeOfAnother)
    assert "a size that was read in `training_step` is used in `predict`" in text


def test_a_scalar_parameter_keeps_its_shape():
    assert list(fw.Parameter(numpy.float32(2)).shape) == []
    assert fw.Parameter(numpy.float32(2)).item() == 2.0


def test_batch_norm_without_momentum_is_refused():
    with pytest.raises(fw.BuildError, match="momentum=None"):
        nn.BatchNorm1d(3, momentum=None)


CLOCKS = {
    "strftime": lambda: time.strftime("%Y"),
    "clock_gettime": lambda: time.clock_gettime(0),
    "thread_time": lambda: time.thread_time(),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks_are_refused(name):
    class Clock(Plan):
        def training_step(self, batch):
            return super().training_step(batch) * float(CLOCKS[name]())

    assert f"`time.{name}` reads a clock" in refusal(Clock)


class Partial(Plan):
    training_step = functools.partialmethod(lambda self, c, batch: Plan.training_step(self, batch) * c, 2.0)


class Assigned(Plan):
    k: int = 4

    def training_step(self, batch):
        before = self.k
        self.k = 3
        return super().training_step(batch) * self.k * before


def test_steps_that_are_no_methods_and_arguments_that_are_set_are_refused():
    assert "`training_step` of `Partial` is a partial, and no method" in refusal(Partial)
    assert "`self.k` is an argument of the plan, and a function cannot set it" in refusal(Assigned)


# Experiments, with the host's side in the place of a federation.


class Refining(Strategy):
    def __init__(self):
        self.rounds = []

    def refine(self, updates, round_i):
        self.rounds.append(round_i)
        return {node: 1.0 for node in updates}


class Own:
    def aggregate(self, updates):
        return updates.mean()


class Host:
    """What an experiment calls of the host."""

    def __init__(self, fails=()):
        self.fails = fails
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **named):
            self.calls.append(name)
            if name in self.fails:
                raise self.fails[name]
            return args

        return call


def running(host, **arguments):
    """An experiment as after its start."""
    experiment = Experiment(tags="x", training_plan_class=Plan, target="y", progress=False, **arguments)
    experiment._aggregation = experiment._own_aggregator(experiment._sampler())
    experiment._native, experiment._is_running = host, True
    return experiment


def aggregate(experiment):
    params = native({"w": numpy.zeros(2, "float32")})
    experiment._aggregation.aggregate(params, [("a", 3, params)])


def test_refine_is_that_of_the_strategy_of_now_and_gets_the_round_of_now():
    first, second = Refining(), Refining()
    experiment = running(Host(), node_selection_strategy=first)
    experiment._sampler().sample(["a"], 1)
    aggregate(experiment)
    experiment.set_test_ratio(0.5)
    experiment._sampler().sample(["a"], 2)
    aggregate(experiment)
    experiment.set_strategy(second)
    experiment._sampler().sample(["a"], 3)
    aggregate(experiment)
    assert (first.rounds, second.rounds) == ([1, 2], [3])
    with pytest.raises(fw.ConfigurationError, match="has no `refine`"):
        experiment.set_strategy("all")
    plain = running(Host())
    with pytest.raises(fw.ConfigurationError, match="has a `refine`"):
        plain.set_strategy(Refining())
    for each in (experiment, plain):
        each._is_running = False


def test_an_own_aggregator_stays():
    experiment = running(Host(), aggregator=Own())
    with pytest.raises(fw.ConfigurationError, match="an aggregator of one's own, which stays"):
        experiment.set_aggregator("fedavg")
    experiment._is_running = False


def test_the_error_of_a_round_is_raised_and_not_that_of_writing():
    host = Host({"run_once": ValueError("the round"), "save": OSError("the disk")})
    experiment = running(host)
    with pytest.raises(ValueError, match="the round"):
        experiment.run()
    assert host.calls == ["run_once", "save"]
    experiment._is_running = False


def test_an_interrupted_start_says_farewell(monkeypatch):
    host = Host({"start": KeyboardInterrupt()})
    experiment = Experiment(tags="x", training_plan_class=Plan, target="y", progress=False)
    experiment._plan()
    monkeypatch.setattr("fedwasm.experiment._native.Experiment", lambda *_: host)
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    assert host.calls == ["start", "finish"]


class Normed(Plan):
    def model(self):
        net = nn.Sequential(nn.Linear(self.n_features, 4), nn.BatchNorm1d(4), nn.Linear(4, self.n_classes))
        net[1].weight.requires_grad = False
        net[1].bias.requires_grad = False
        return net


def test_running_statistics_are_buffers_and_are_frozen_by_freeze():
    norm = nn.Sequential(nn.BatchNorm1d(4))
    assert [name for name, _ in norm.named_buffers()] == ["0.running_mean", "0.running_var"]
    assert [name for name, _ in norm.named_parameters()] == ["0.weight", "0.bias"]
    text = refusal(Normed)
    assert "the parameters of `nn.BatchNorm1d` are frozen, and its running statistics are not" in text
    assert "`freeze()` the module" in text


def test_after_close_the_history_says_how_it_ended(monkeypatch, tmp_path):
    host = Host()
    experiment = running(host, out=tmp_path)
    read = []
    monkeypatch.setattr(
        "fedwasm.experiment._native.load_history",
        lambda out: read.append((out, list(host.calls))) or '{"status": "cancelled", "rounds": []}',
    )
    experiment.close()
    assert read == [(str(tmp_path), ["history", "params", "finish"])]
    assert '"cancelled"' in experiment._last[0]
