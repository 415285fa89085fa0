"""Plans by the names of scikit-learn's estimators: ``fw.LocalJob(fw.plans.Ridge, ...)``.

Each is a class of :class:`fedwasm.Plan` like one of your own; its source is its description. There
are two kinds. Plans of an optimizer are trained in epochs: ``LogisticRegression``, ``Lasso``,
``Perceptron``, ``LinearSVM``, ``MLPClassifier``, ``MLPRegressor``. The others take sums over the rows
of a site, so that one round of a federation gives what one computation on all rows would give:
``LinearRegression``, ``Ridge``, ``GaussianNB``, ``BernoulliNB``, ``Moments``, ``PCA``, and ``KMeans``
with a step of Lloyd's algorithm in each round.

Arguments have scikit-learn's names where they mean the same. Numbers that scikit-learn weighs
against the count of rows are weighed against their mean here, because no site knows the rows of
all. ``finish(params)`` turns the parameters into arrays by scikit-learn's names: ``coef_``.

A typed attribute is an argument of the plan (``model_args={"alpha": 0.1}``); another one is changed
in a class of your own: ``class Wide(fw.plans.MLPClassifier): hidden_layer_sizes = (256, 64)``.
"""

from __future__ import annotations

from .bayes import BernoulliNB as BernoulliNB, GaussianNB as GaussianNB
from .clusters import KMeans as KMeans
from .least_squares import LinearRegression as LinearRegression, Ridge as Ridge
from .linear import (
    Lasso as Lasso,
    LinearSVM as LinearSVM,
    LogisticRegression as LogisticRegression,
    Perceptron as Perceptron,
)
from .moments import PCA as PCA, Moments as Moments
from .neural import MLPClassifier as MLPClassifier, MLPRegressor as MLPRegressor

__all__ = [
    "BernoulliNB",
    "GaussianNB",
    "KMeans",
    "Lasso",
    "LinearRegression",
    "LinearSVM",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "Moments",
    "PCA",
    "Perceptron",
    "Ridge",
]
