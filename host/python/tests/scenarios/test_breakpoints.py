"""Stopping an experiment, and going on from its breakpoint as if nothing had happened."""

from __future__ import annotations

import numpy

import fedwasm as fw


def experiment(sites, folder):
    return fw.Experiment(
        tags=["digits"],
        target="digit",
        training_plan_class=fw.plans.MLPClassifier,
        model_args={"n_classes": 10},
        training_args={
            "epochs": 1,
            "optimizer_args": {"keep_state": True},
            "test_ratio": 0.2,
            "test_on_global_updates": True,
            "random_seed": 4,
        },
        aggregator=fw.aggregators.Scaffold(server_lr=0.8),
        round_limit=4,
        save_breakpoints=True,
        out=folder,
        progress=False,
        **sites.addresses,
    )


def test_an_experiment_goes_on_from_its_breakpoint_to_the_same_bits(sites, tmp_path):
    whole = experiment(sites, tmp_path / "whole")
    assert whole.run() == 4
    with experiment(sites, tmp_path / "stopped") as stopped:
        stopped.run_once()
        stopped.run_once()
    # The arguments are in the breakpoint; plan and addresses are not.
    resumed = fw.Experiment.load_breakpoint(
        tmp_path / "stopped", fw.plans.MLPClassifier, progress=False, **sites.addresses
    )
    assert resumed.run() == 2
    for name, value in whole.params().items():
        assert numpy.array_equal(value, resumed.params()[name]), name
