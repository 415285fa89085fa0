"""What scikit-learn makes of the tables of the tests of plans.

    python host/python/tests/plans/oracle.py

Writes expected.json beside it. Needs scikit-learn; the file in the tree comes from scikit-learn
1.9.1 on NumPy 2.4.6. Arguments that scikit-learn weighs against the sum over rows are those of the
plans times or over the number of rows, as the plans' descriptions say.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy
from sklearn import cluster, decomposition, linear_model, metrics, naive_bayes, neural_network, svm

from tables import table, weights

warnings.simplefilter("ignore")
found: dict[str, dict] = {}


def keep(name: str, **arrays) -> None:
    found[name] = {key: numpy.asarray(value).tolist() for key, value in arrays.items()}


def linear(name: str, model) -> None:
    keep(name, coef_=model.coef_, intercept_=model.intercept_)


def trained(model, steps: int, layers: list[tuple[int, int]], x, y) -> None:
    """So many steps of gradient descent on all rows, from the weights that the test has."""
    model.fit(x, y)
    model.coefs_ = [weights(outputs, inputs).T.astype("float64") for inputs, outputs in layers]
    model.intercepts_ = [numpy.zeros(outputs) for _, outputs in layers]
    model._optimizer = neural_network._stochastic_optimizers.SGDOptimizer(
        model.coefs_ + model.intercepts_, model.learning_rate_init, momentum=0.0, nesterov=False
    )
    for _ in range(steps):
        model.partial_fit(x, y)


x, y = (each.astype("float64") for each in table("diabetes"))
n = len(x)
linear("LinearRegression", linear_model.LinearRegression().fit(x, y))
linear("Ridge", linear_model.Ridge(alpha=0.05 * n).fit(x, y))
linear("Lasso", linear_model.Lasso(alpha=2.0, tol=1e-10, max_iter=100_000).fit(x, y))
mlp = neural_network.MLPRegressor(
    hidden_layer_sizes=(8,), solver="sgd", batch_size=n, max_iter=1, learning_rate_init=0.01, momentum=0,
    shuffle=False, alpha=0.5,
)
trained(mlp, 20, [(10, 8), (8, 1)], x, (y - y.mean()) / y.std())
keep("MLPRegressor", coefs_0=mlp.coefs_[0], coefs_1=mlp.coefs_[1], intercepts_1=mlp.intercepts_[1])

x, y = (each.astype("float64") for each in table("breast_cancer"))
n = len(x)
linear("LogisticRegression", linear_model.LogisticRegression(C=2 / (0.01 * n), tol=1e-10, max_iter=10_000).fit(x, y))
linear("LinearSVM", svm.LinearSVC(C=1 / (0.1 * n), intercept_scaling=100, tol=1e-8, max_iter=1_000_000).fit(x, y))
linear("Perceptron", linear_model.Perceptron(shuffle=False, max_iter=2, tol=None).fit(x, y))
model = naive_bayes.GaussianNB(var_smoothing=1e-3).fit(x, y)
keep("GaussianNB", theta_=model.theta_, var_=model.var_, class_prior_=model.class_prior_,
     loss=metrics.log_loss(y, model.predict_proba(x)), accuracy=model.score(x, y))
model = naive_bayes.BernoulliNB().fit(x, y)
keep("BernoulliNB", feature_log_prob_=model.feature_log_prob_, class_log_prior_=model.class_log_prior_,
     loss=metrics.log_loss(y, model.predict_proba(x)), accuracy=model.score(x, y))
model = decomposition.PCA(3).fit(x)
keep("PCA", components_=model.components_, explained_variance_=model.explained_variance_,
     explained_variance_ratio_=model.explained_variance_ratio_, mean_=model.mean_)
model = cluster.KMeans(3, init=weights(3, 30, scale=2.0).astype("float64"), n_init=1, max_iter=4, tol=0).fit(x)
keep("KMeans", cluster_centers_=model.cluster_centers_)

x = table("breast_cancer", standardised=False)[0].astype("float64")
keep("Moments", mean_=x.mean(0), covariance_=numpy.cov(x.T))

x, y = (each.astype("float64") for each in table("digits"))
mlp = neural_network.MLPClassifier(
    hidden_layer_sizes=(8,), solver="sgd", batch_size=len(x), max_iter=1, learning_rate_init=0.5, momentum=0,
    shuffle=False, alpha=0.5,
)
trained(mlp, 20, [(64, 8), (8, 10)], x, y)
keep("MLPClassifier", coefs_1=mlp.coefs_[1], intercepts_0=mlp.intercepts_[0], intercepts_1=mlp.intercepts_[1])

text = json.dumps(found, separators=(",", ":")).replace("},", "},\n") + "\n"
(Path(__file__).parent / "expected.json").write_text(text)
