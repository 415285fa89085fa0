"""Fed-BioMed's tutorials with scikit-learn's models: regressors and classifiers by name."""

from __future__ import annotations

import numpy
import pytest

import fedwasm as fw


def run(sites, plan, tag, target, rounds, optimizer_args=None, **options):
    experiment = fw.Experiment(
        tags=[tag],
        target=target,
        training_plan_class=plan,
        training_args={
            "epochs": 1,
            "loader_args": {"batch_size": 16},
            "optimizer_args": optimizer_args or {},
            "test_ratio": 0.2,
            "test_on_global_updates": True,
            "random_seed": 3,
        },
        round_limit=rounds,
        **options,
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    return experiment


def test_a_regressor_explains_the_progression_of_patients(sites):
    experiment = run(sites, fw.plans.LinearRegression, "diabetes", "progression", 1)
    assert experiment.metrics["explained_variance"] > 0.4
    lasso = run(sites, fw.plans.Lasso, "diabetes", "progression", 15, {"lr": 0.02}, model_args={"alpha": 10.0})
    assert lasso.metrics["explained_variance"] > 0.35
    coef = fw.plans.Lasso.finish(lasso.params(), tol=0.5).coef_
    assert 2 <= (coef == 0).sum() <= 6


@pytest.mark.parametrize(
    ("plan", "rounds", "floor"),
    [
        (fw.plans.LogisticRegression, 10, 0.955),
        (fw.plans.Perceptron, 10, 0.94),
        (fw.plans.LinearSVM, 10, 0.955),
        (fw.plans.GaussianNB, 1, 0.92),
        (fw.plans.BernoulliNB, 1, 0.91),
    ],
)
def test_classifiers_find_benign_tumours(sites, plan, rounds, floor):
    # Fed-BioMed's FedSGDClassifier finds 0.956 of them.
    lr = {"lr": 0.05} if rounds > 1 else {}
    experiment = run(sites, plan, "breast_cancer", "benign", rounds, lr, model_args={"n_classes": 2})
    assert experiment.metrics["accuracy"] > floor


def test_a_perceptron_of_layers_reads_digits_of_sites_that_have_different_ones(sites):
    experiment = run(sites, fw.plans.MLPClassifier, "digits", "digit", 6, {"lr": 0.005}, model_args={"n_classes": 10})
    assert experiment.metrics["accuracy"] > 0.93


def test_sums_of_sites_are_those_of_all_rows(sites, data):
    """One round, and the moments are NumPy's of the whole table."""
    experiment = fw.Experiment(
        tags=["diabetes"],
        target="progression",
        training_plan_class=fw.plans.Moments,
        training_args={"epochs": 1, "random_seed": 1},
        round_limit=2,
        data_args={"standardize": False},
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    rows = numpy.loadtxt(data.diabetes, delimiter=",", skiprows=1)[:, :-1]
    found = fw.plans.Moments.finish(experiment.params(), n_samples=len(rows))
    numpy.testing.assert_allclose(found.mean_, rows.mean(0), rtol=1e-6)
    numpy.testing.assert_allclose(found.covariance_, numpy.cov(rows.T), rtol=1e-4, atol=1e-4)
