"""A strategy of one's own: which nodes train in a round."""

from __future__ import annotations

import fedwasm as fw


class OneAfterTheOther(fw.strategies.Strategy):
    """Each round leaves another node out."""

    def sample_nodes(self, from_nodes, round_i):
        return [node for nth, node in enumerate(from_nodes) if nth != round_i % len(from_nodes)]


def test_a_strategy_in_python_chooses_the_nodes_of_each_round(sites):
    experiment = fw.Experiment(
        tags=["breast_cancer"],
        target="benign",
        training_plan_class=fw.plans.LogisticRegression,
        model_args={"n_classes": 2},
        training_args={"epochs": 1, "optimizer_args": {"lr": 0.1}, "random_seed": 2},
        node_selection_strategy=OneAfterTheOther(),
        round_limit=3,
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    trained = [sorted(replies) for replies in experiment.training_replies().values()]
    assert trained == [["site-1", "site-3"], ["site-1", "site-2"], ["site-2", "site-3"]]
