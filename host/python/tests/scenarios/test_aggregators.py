"""An aggregator of one's own, written in Python."""

from __future__ import annotations

import numpy

import fedwasm as fw

ARGS = {"epochs": 1, "optimizer_args": {"lr": 0.1}, "test_ratio": 0.2, "random_seed": 9}


class EqualSites(fw.aggregators.Aggregator):
    """Each site counts the same, whatever its rows."""

    def __init__(self) -> None:
        self.seen: list[dict] = []

    def aggregate(self, updates):
        self.seen.append({node: update.params for node, update in updates.items()})
        names = next(iter(self.seen[-1].values()))
        return {name: numpy.mean([params[name] for params in self.seen[-1].values()], 0) for name in names}


def test_an_aggregator_in_python_decides_the_next_model(sites):
    aggregator = EqualSites()
    experiment = fw.Experiment(
        tags=["breast_cancer"],
        target="benign",
        training_plan_class=fw.plans.LogisticRegression,
        model_args={"n_classes": 2},
        training_args=ARGS,
        aggregator=aggregator,
        round_limit=2,
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    assert [sorted(seen) for seen in aggregator.seen] == [["site-1", "site-2", "site-3"]] * 2
    last = aggregator.seen[-1]
    for name, value in experiment.params().items():
        assert numpy.array_equal(value, numpy.mean([last[site][name] for site in sorted(last)], 0)), name
