"""The shipped plans against scikit-learn: ``oracle.py`` made ``expected.json``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest

import fedwasm as fw

from tables import TARGETS, table, weights

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The tables as CSV files, with the very float32 numbers that the oracle has."""
    folder = tmp_path_factory.mktemp("tables")
    made = {}
    for name, target in TARGETS.items():
        x, y = table(name)
        if name == "diabetes":
            scaled = (y - y.mean()) / y.std()
            made["scaled"] = _write(folder / "scaled.csv", x, scaled, target), target
        made[name] = _write(folder / f"{name}.csv", x, y, target), target
    x, y = table("breast_cancer", standardised=False)
    made["raw"] = _write(folder / "raw.csv", x, y, "benign"), "benign"
    return made


def _write(path, x, y, target):
    header = ",".join([*(f"x{nth}" for nth in range(x.shape[1])), target])
    numpy.savetxt(path, numpy.column_stack([x, y]), "%.17g", delimiter=",", header=header, comments="")
    return path


def trained(plan, file, params=None, model_args=None, optimizer_args=None, epochs=1, batch_size=64, **loader):
    """The parameters after training on all rows of a file as they are."""
    path, target = file
    job = fw.LocalJob(
        plan,
        path,
        target=target,
        data_args={"standardize": False},
        model_args=model_args or {},
        training_args={
            "epochs": epochs,
            "loader_args": {"batch_size": batch_size, **loader},
            "optimizer_args": optimizer_args or {},
            "test_ratio": 0.0,
            "random_seed": 1,
        },
        params=params,
        progress=False,
    )
    job.start_training()
    return job.params()


def near(plan, fitted, rtol=1e-4, atol=1e-4):
    """Whether arrays are those of scikit-learn, relative to the largest element of each."""
    for name, expected in EXPECTED[plan].items():
        if not hasattr(fitted, name):
            continue
        expected = numpy.asarray(expected)
        numpy.testing.assert_allclose(
            numpy.ravel(getattr(fitted, name)), expected.ravel(), rtol=rtol,
            atol=atol * numpy.abs(expected).max(), err_msg=f"{plan}.{name}",
        )


def test_least_squares_are_those_of_scikit_learn(files):
    plans = fw.plans
    params = trained(plans.LinearRegression, files["diabetes"])
    near("LinearRegression", plans.LinearRegression.finish(params), atol=2e-4)
    near("Ridge", plans.Ridge.finish(params, alpha=0.05))
    # Predictions come from the sums, too.
    path, target = files["diabetes"]
    scores = fw.evaluate(plans.LinearRegression, params, path, target=target)
    x, y = table("diabetes")
    left = y - x @ EXPECTED["LinearRegression"]["coef_"] - EXPECTED["LinearRegression"]["intercept_"]
    assert scores["mean_square_error"] == pytest.approx((left**2).mean(), rel=1e-5)
    scores = fw.evaluate(plans.Ridge, params, path, target=target, model_args={"alpha": 0.05})
    left = y - x @ EXPECTED["Ridge"]["coef_"] - EXPECTED["Ridge"]["intercept_"]
    assert scores["mean_square_error"] == pytest.approx((left**2).mean(), rel=1e-5)


def test_a_lasso_finds_the_same_columns(files):
    steps = {"lr": 0.1, "momentum": 0.9, "schedule": "cosine", "schedule_steps": 600}
    params = trained(fw.plans.Lasso, files["diabetes"], model_args={"alpha": 2.0}, optimizer_args=steps,
                     epochs=600, batch_size=512)
    fitted = fw.plans.Lasso.finish(params, tol=0.2)
    near("Lasso", fitted, rtol=1e-2, atol=5e-3)
    assert ((fitted.coef_ == 0) == (numpy.asarray(EXPECTED["Lasso"]["coef_"]) == 0)).all()


def test_linear_classifiers_are_those_of_scikit_learn(files):
    plans, file = fw.plans, files["breast_cancer"]
    params = trained(plans.LogisticRegression, file, model_args={"alpha": 0.01}, optimizer_args={"lr": 0.3, "momentum": 0.9},
                     epochs=300, batch_size=1024)
    near("LogisticRegression", plans.LogisticRegression.finish(params), rtol=1e-3, atol=1e-3)
    params = trained(plans.LinearSVM, file, model_args={"alpha": 0.1}, optimizer_args={"lr": 0.03, "momentum": 0.9},
                     epochs=300, batch_size=1024)
    near("LinearSVM", plans.LinearSVM.finish(params), rtol=1e-2, atol=5e-3)
    # Scikit-learn starts from zeros.
    start = {"coef": numpy.zeros((2, 30), "float32"), "intercept": numpy.zeros(2, "float32")}
    params = trained(plans.Perceptron, file, start, epochs=2, batch_size=1, shuffle=False)
    near("Perceptron", plans.Perceptron.finish(params), rtol=1e-5, atol=1e-5)


def test_multilayer_perceptrons_take_the_steps_of_scikit_learn(files):
    start = {
        "net.0.weight": weights(8, 64), "net.0.bias": numpy.zeros(8, "float32"),
        "net.2.weight": weights(10, 8), "net.2.bias": numpy.zeros(10, "float32"),
    }

    class Classifier(fw.plans.MLPClassifier):
        hidden_layer_sizes = (8,)
        optimizer = fw.optim.SGD

    params = trained(Classifier, files["digits"], start, {"alpha": 0.5}, {"lr": 0.5}, 20, 2048)
    fitted = Classifier.finish(params)
    for name in ("coefs_1", "intercepts_0", "intercepts_1"):
        kind, nth = name.rsplit("_", 1)
        found, expected = getattr(fitted, kind + "_")[int(nth)], EXPECTED["MLPClassifier"][name]
        numpy.testing.assert_allclose(found, expected, atol=2e-4)

    class Regressor(fw.plans.MLPRegressor):
        hidden_layer_sizes = (8,)
        optimizer = fw.optim.SGD

    start = {
        "net.0.weight": weights(8, 10), "net.0.bias": numpy.zeros(8, "float32"),
        "net.2.weight": weights(1, 8), "net.2.bias": numpy.zeros(1, "float32"),
    }
    params = trained(Regressor, files["scaled"], start, {"alpha": 0.5}, {"lr": 0.01}, 20, 512)
    fitted = Regressor.finish(params)
    for name in ("coefs_0", "coefs_1", "intercepts_1"):
        kind, nth = name.rsplit("_", 1)
        found, expected = getattr(fitted, kind + "_")[int(nth)], EXPECTED["MLPRegressor"][name]
        numpy.testing.assert_allclose(found, expected, atol=1e-4)


def test_naive_bayes_is_that_of_scikit_learn(files):
    plans, file = fw.plans, files["breast_cancer"]
    params = trained(plans.GaussianNB, file)
    near("GaussianNB", plans.GaussianNB.finish(params, var_smoothing=1e-3))
    n = len(table("breast_cancer")[0])
    params = trained(plans.BernoulliNB, file)
    near("BernoulliNB", plans.BernoulliNB.finish(params, smoothing=1 / n), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("plan", "args"), [("GaussianNB", {"var_smoothing": 1e-3}), ("BernoulliNB", {"smoothing": 1 / 569})]
)
def test_naive_bayes_predicts_as_that_of_scikit_learn(files, plan, args):
    path, target = files["breast_cancer"]
    plan_class, expected = getattr(fw.plans, plan), EXPECTED[plan]
    params = trained(plan_class, files["breast_cancer"])
    scores = fw.evaluate(plan_class, params, path, target=target, model_args=args)
    assert scores["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert scores["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-9)


def test_moments_are_those_of_numpy_after_a_second_round(files):
    plan = fw.plans.Moments
    params = trained(plan, files["raw"], params=trained(plan, files["raw"]))
    x, _ = table("breast_cancer", standardised=False)
    near("Moments", plan.finish(params, n_samples=len(x)), rtol=1e-4, atol=1e-7)


def test_principal_components_are_those_of_scikit_learn(files):
    params = trained(fw.plans.PCA, files["breast_cancer"])
    near("PCA", fw.plans.PCA.finish(params, n_components=3, n_samples=569))


def test_k_means_takes_the_steps_of_scikit_learn(files):
    params = {"shares": numpy.ones(3, "float32"), "sums": weights(3, 30, scale=2.0)}
    for _ in range(4):
        params = trained(fw.plans.KMeans, files["breast_cancer"], params, {"n_clusters": 3})
    near("KMeans", fw.plans.KMeans.finish(params))


@pytest.mark.parametrize("name", fw.plans.__all__)
def test_plans_keep_the_promises_of_every_plan(name):
    assert "FAILED" not in fw.plan.test(getattr(fw.plans, name))
