"""Fed-BioMed's comparison: each site alone, the federation, and all rows in one place."""

from __future__ import annotations

import numpy

import fedwasm as fw
import site_data


def test_a_federation_is_better_than_its_sites_and_near_to_all_rows_together(sites, data, tmp_path):
    header, rows = site_data.table("digits")
    held_out = site_data.write_table(tmp_path / "held-out.csv", header, rows[::5])
    args = {"loader_args": {"batch_size": 32}, "optimizer_args": {"lr": 0.005}, "random_seed": 1}
    scores = {}

    def score(name, params):
        # Pixels are scaled by hand: scales of a site are not those of the others.
        scores[name] = fw.evaluate(fw.plans.MLPClassifier, params, held_out, target="digit",
                                   model_args={"n_classes": 10})["accuracy"]

    for site in ("site-1", "site-2", "site-3"):
        job = fw.LocalJob(
            fw.plans.MLPClassifier,
            sites.directory / f"{site}-digits.csv",
            target="digit",
            training_args={**args, "epochs": 10},
            model_args={"n_classes": 10},
            data_args={"standardize": False},
        )
        job.start_training()
        score(site, job.params())
    experiment = fw.Experiment(
        tags=["digits"],
        target="digit",
        training_plan_class=fw.plans.MLPClassifier,
        model_args={"n_classes": 10},
        training_args={**args, "epochs": 2},
        round_limit=5,
        data_args={"standardize": False},
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    score("federation", experiment.params())
    job = fw.LocalJob(
        fw.plans.MLPClassifier,
        data.digits,
        target="digit",
        training_args={**args, "epochs": 10},
        model_args={"n_classes": 10},
        data_args={"standardize": False},
    )
    job.start_training()
    score("pooled", job.params())
    alone = [scores[site] for site in ("site-1", "site-2", "site-3")]
    assert scores["federation"] > max(alone) - 0.005, scores
    assert scores["federation"] > scores["pooled"] - 0.03, scores
    assert numpy.mean(alone) < scores["federation"], scores
