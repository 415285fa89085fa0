"""Experiments on a real federation: the same bytes as `fedwasm experiment run`, rounds one by one,
own aggregators and strategies, interrupts, breakpoints."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import numpy
import pytest
from conftest import PLANS, Federation, run

import fedwasm as fw

PLAN = PLANS / "logistic-regression.wasm"
TRAINING = {"epochs": 1, "test_ratio": 0.2, "test_on_global_updates": True, "random_seed": 42}


def experiment(federation: Federation, **options):
    options = {
        "tags": "cancer",
        "training_plan_class": PLAN,
        "target": "benign",
        "model_args": {"n_classes": 2},
        "training_args": TRAINING,
        "round_limit": 3,
        "progress": False,
        **federation.network,
        **options,
    }
    return fw.Experiment(**options)


def of_command_line(federation: Federation, tmp_path: Path) -> dict:
    file = tmp_path / "experiment.toml"
    network = "\n".join(f'{key} = "{value}"' for key, value in federation.network.items())
    file.write_text(
        f'name = "experiment"\nplan = "{PLAN}"\nrounds = 3\n'
        '[data]\ntags = ["cancer"]\ntarget = "benign"\n[model]\nn_classes = 2\n'
        "[training]\nepochs = 1\ntest_ratio = 0.2\ntest_on_global_updates = true\nrandom_seed = 42\n"
        f"[network]\n{network}\n"
    )
    told = run("--json", "experiment", "run", str(file), "--out", str(tmp_path / "cli"))
    return json.loads(told.splitlines()[-1])


def digest(experiment: fw.Experiment) -> str:
    return experiment._params_of(None).digest


def test_statistics_are_those_of_the_command(federation: Federation, tmp_path: Path):
    found = fw.statistics("cancer", "benign", **federation.network)
    rows = {row["column"]: row for row in found.rows()}
    assert len(rows) == 31 and not found["refused"]
    n = sum(site["sums"]["n_rows"] for site in found["sites"].values())
    radius = rows["mean_radius"]
    assert radius["count"] == n == found["pooled"]["n_rows"] and radius["missing"] == 0
    low, high = found.quantile("mean_radius", 0.5)
    assert 0 < high - low < radius["std"]
    assert fw.statistics("cancer", "benign", bins=0, **federation.network)["edges"] is None


class Mean(fw.Aggregator):
    """FedAvg once more, in NumPy: the same sums in the same order."""

    def aggregate(self, updates):
        total = float(sum(update.n_samples for update in updates.values()))
        sums = None
        for update in updates.values():
            share = update.n_samples / total
            terms = {k: share * v.astype(numpy.float64) for k, v in update.params.items()}
            sums = terms if sums is None else {k: sums[k] + terms[k] for k in sums}
        return sums


class Turns(fw.Strategy):
    """One node a round, in turn."""

    name = "turns"

    def __init__(self):
        self.asked = []

    def sample_nodes(self, from_nodes, round_i):
        self.asked.append((list(from_nodes), round_i))
        return [from_nodes[(round_i - 1) % len(from_nodes)]]


def test_equals_the_command_line_whatever_the_loop(federation: Federation, tmp_path: Path):
    expected = of_command_line(federation, tmp_path)
    with experiment(federation, out=tmp_path / "run") as whole:
        assert whole.run() == 3
        assert digest(whole) == expected["params_sha256"]
        assert whole.history().status == "finished"
    by_round = experiment(federation)
    assert [by_round.run_once() for _ in range(4)] == [1, 1, 1, 0]
    assert digest(by_round) == expected["params_sha256"]
    history = by_round.history()
    totals = [row for row in history if row["node"] == "all nodes"]
    assert [row["round"] for row in totals] == [1, 2, 3]
    assert totals[-1]["accuracy"] == pytest.approx(expected["metrics"]["accuracy"])
    assert {row["node"] for row in history} == {"all nodes", "site-1", "site-2"}
    # Parameters of every round are at hand.
    params = by_round.aggregated_params()
    assert sorted(params) == [0, 1, 2, 3]
    assert not numpy.array_equal(params[1]["linear.bias"], params[3]["linear.bias"])
    assert numpy.array_equal(by_round.params()["linear.bias"], by_round.params(3)["linear.bias"])
    # An aggregator of one's own that computes the same gives the same bits.
    own = experiment(federation, aggregator=Mean())
    own.run()
    assert digest(own) == expected["params_sha256"]
    assert own.history().record["arguments"]["aggregator"] == {"own": "Mean"}
    found = fw.compare(by_round, own)
    assert {difference["name"] for difference in found.differences} == {"aggregator", "aggregator.own"}
    assert "<svg" in found._repr_html_() and "<svg" in by_round._repr_html_()
    for each in (by_round, own):
        each.close()
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"params.mpk", "params.safetensors", "history.json", "report.html"} <= files
    pandas = pytest.importorskip("pandas")
    frame = history.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.pivot(index="round", columns="node", values="loss").shape == (3, 3)


def test_arguments_change_between_rounds(federation: Federation):
    changed = experiment(federation)
    changed.run_once()
    changed.set_training_args({**TRAINING, "epochs": 2})
    changed.set_aggregator("fedavgm")
    changed.set_round_limit(2)
    changed.run_once()
    nodes = changed.history().record["rounds"]
    steps = [each["nodes"]["site-1"]["n_steps"] for each in nodes]
    assert steps[1] == 2 * steps[0]
    changes = changed.history().record["changes"]
    assert {(each["round"], d["name"]) for each in changes for d in each["differences"]} == {
        (2, "training.epochs"),
        (2, "aggregator"),
    }
    # What cannot change leaves everything as it was.
    with pytest.raises(fw.ConfigurationError, match="unknown"):
        changed.set_training_args({"epoch": 3})
    assert changed.info()["training_args"]["epochs"] == 2
    with pytest.raises(fw.ConfigurationError, match="once the experiment has started"):
        changed.set_model_args({"n_classes": 3})
    assert changed.run(2, increase=True) == 2
    assert changed.round_current() == 4
    changed.close()
    assert changed.history().status == "finished"
    with pytest.raises(fw.ConfigurationError, match="is closed"):
        changed.run(1, increase=True)


def test_a_strategy_in_python_chooses_and_weighs(federation: Federation):
    turns = Turns()
    chosen = experiment(federation, node_selection_strategy=turns, round_limit=2)
    chosen.run()
    rounds = chosen.history().record["rounds"]
    assert [list(each["nodes"]) for each in rounds] == [["site-1"], ["site-2"]]
    assert turns.asked == [(["site-1", "site-2"], 1), (["site-1", "site-2"], 2)]
    assert chosen.history().record["arguments"]["strategy.name"] == {"own": "turns"}
    chosen.close()

    class OnlyFirst(fw.Strategy):
        def refine(self, updates, round_i):
            assert round_i == 1 and list(updates) == ["site-1", "site-2"]
            return {"site-1": 1.0}

    refined = experiment(federation, node_selection_strategy=OnlyFirst(), round_limit=1)
    refined.run()
    only = experiment(federation, nodes=["site-1"], round_limit=1)
    only.run()
    assert digest(refined) == digest(only)
    for each in (refined, only):
        each.close()


def test_exceptions_of_own_code_arrive_as_they_are(federation: Federation):
    class Broken(fw.Aggregator):
        def aggregate(self, updates):
            raise ZeroDivisionError("in round 1")

    broken = experiment(federation, aggregator=Broken())
    with pytest.raises(ZeroDivisionError, match="in round 1") as caught:
        broken.run()
    assert any(entry.name == "aggregate" for entry in caught.traceback)
    broken.close()

    class Absent(fw.Strategy):
        def sample_nodes(self, from_nodes, round_i):
            return ["site-9"]

    absent = experiment(federation, node_selection_strategy=Absent())
    with pytest.raises(fw.Error, match="`site-9`, which does not take part"):
        absent.run()
    absent.close()


def test_nodes_are_listed_and_an_experiment_is_checked(federation: Federation):
    found = fw.nodes("cancer", **federation.network)
    assert [node["node"] for node in found] == ["site-1", "site-2"]
    assert found.rows()[0]["rows"] == 285
    assert "site-1" in found._repr_html_()
    checked = experiment(federation).check()
    assert [node["node"] for node in checked["nodes"]] == ["site-1", "site-2"]
    statuses = experiment(federation).check_training_plan_status()
    assert statuses == {"site-1": checked["nodes"][0]["standing"], "site-2": checked["nodes"][1]["standing"]}
    assert None not in statuses.values()
    assert checked["obstacle"] is None and checked["n_parameters"] == 62


def test_too_few_nodes_are_an_error_with_its_cure(federation: Federation):
    federation.stop("site-2")
    alone = experiment(federation, tags="nothing")
    with pytest.raises(fw.NotEnoughNodes):
        alone.run()
    with pytest.raises(fw.ConfigurationError, match="`data.tags` is missing"):
        experiment(federation, tags=None).run()


def test_an_interrupt_keeps_the_rounds_before_it(federation: Federation, tmp_path: Path):
    out = tmp_path / "run"
    long = experiment(federation, out=out, save_breakpoints=True, round_limit=100_000)
    timer = threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        long.run()
    timer.join()
    reached = long.round_current()
    assert 0 < reached < 100_000
    assert len(fw.History.load(out).record["rounds"]) == reached
    # The same object goes on, and so does another one with its breakpoint.
    assert long.run(2) == 2
    expected = digest(long)
    long.close()
    again = experiment(federation, out=out, save_breakpoints=True, round_limit=reached + 2, resume=True)
    assert again.run() == 0
    assert digest(again) == expected
    again.close()
    whole = experiment(federation, round_limit=reached + 2)
    whole.run()
    assert digest(whole) == expected
    whole.close()


def test_a_model_is_imported_and_exported(federation: Federation, tmp_path: Path):
    first = experiment(federation, round_limit=1)
    first.run()
    first.export_model(tmp_path / "model.safetensors")
    second = experiment(federation, round_limit=1)
    second.import_model(tmp_path / "model.safetensors")
    second.run()
    assert numpy.array_equal(second.params(0)["linear.bias"], first.params(1)["linear.bias"])
    with pytest.raises(fw.ConfigurationError, match="once the experiment has started"):
        second.import_model(first.params())
    for each in (first, second):
        each.close()


def test_rounds_by_hand_equal_an_experiment(federation: Federation):
    whole = experiment(federation, round_limit=2)
    whole.run()
    arguments = {
        "target": "benign",
        "model_args": {"n_classes": 2},
        "training_args": TRAINING,
        "rounds": 2,
        "progress": False,
        **federation.network,
    }
    with fw.Job("cancer", PLAN, **arguments) as by_hand:
        assert by_hand.nodes == {"site-1": 285, "site-2": 284}
        for round in (1, 2):
            replies = by_hand.start_nodes_training_round(round)
            made = Mean().aggregate(replies)
            stored = by_hand.update_parameters(made)
            scores = by_hand.validate(round)
        assert stored == digest(whole)
        assert scores["site-1"]["loss"] == pytest.approx(whole.metrics["loss"], rel=0.5)
        assert by_hand.training_replies[2]["site-2"].record["n_steps"] > 0
        with pytest.raises(fw.ConfigurationError, match="do not fit the plan"):
            by_hand.update_parameters({"linear.bias": numpy.zeros(2)})
    whole.close()


def test_a_breakpoint_has_the_arguments_of_its_experiment(federation: Federation, tmp_path: Path):
    out = tmp_path / "run"
    training = {**TRAINING, "optimizer_args": {"lr": 0.2}}
    first = experiment(federation, experimentation_folder=out, save_breakpoints=True, training_args=training)
    first.run(2)
    first.close()
    loaded = fw.Experiment.load_breakpoint(out, PLAN, progress=False, **federation.network)
    assert loaded.run() == 1
    whole = experiment(federation, training_args=training)
    whole.run()
    assert digest(loaded) == digest(whole)
    assert loaded.training_replies().keys() == {1, 2, 3}
    for each in (loaded, whole):
        each.close()


class Normed(fw.Plan):
    def model(self):
        nn = fw.nn
        return nn.Sequential(nn.Linear(self.n_features, 4), nn.BatchNorm1d(4), nn.Linear(4, self.n_classes))

    def training_step(self, batch):
        return fw.losses.cross_entropy(self.net(batch.inputs), batch.targets)


def test_scaffold_has_no_say_in_running_statistics(federation):
    with experiment(
        federation, training_plan_class=Normed, aggregator=fw.aggregators.Scaffold(), round_limit=2
    ) as one:
        assert one.run() == 2
        assert numpy.abs(one.params()["net.1.running_mean"]).max() > 0
        assert numpy.isfinite(one.params()["net.1.running_var"]).all()
