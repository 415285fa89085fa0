"""Linear models that an optimizer trains."""

from __future__ import annotations

from typing import Any, Mapping

from .. import functional as F
from .. import optim
from ..nn import Parameter
from ..tensors import Tensor, randn, where, zeros
from ..training_plan import Batch, Plan
from ._parts import Fitted, one_of


class _LinearClassifier(Plan):
    task = "classification"
    optimizer = optim.SGD(lr=0.1)

    def model(self):
        n, d = self.n_classes, self.n_features
        self.coef, self.intercept = Parameter(zeros(n, d)), Parameter(zeros(n))

    def predict(self, batch: Batch) -> Tensor:
        return F.linear(batch.inputs, self.coef, self.intercept)

    def margins(self, batch: Batch) -> Tensor:
        """The score of each class, with the other sign for classes that are not the row's."""
        return self.predict(batch) * (one_of(batch.targets, self.n_classes) * 2 - 1)

    def penalty(self) -> Tensor:
        """Half of ``alpha`` times the squared norm of the weights, without the intercepts."""
        return self.coef.square().sum() * (self.alpha / 2)

    @staticmethod
    def finish(params: Mapping[str, Any]) -> Fitted:
        """``coef_`` [classes, features] and ``intercept_``; one row for two classes."""
        coef, intercept = params["coef"], params["intercept"]
        of_one = slice(1, None) if len(coef) == 2 else slice(None)
        return Fitted(coef_=coef[of_one], intercept_=intercept[of_one])


class LogisticRegression(_LinearClassifier):
    """Softmax regression. ``alpha`` weighs the squared norm of the weights against the mean loss: of
    n rows and three or more classes it is ``1 / (n C)``, of two classes ``2 / (n C)``."""

    alpha: float = 0.0  # weight of the squared norm of the weights

    def training_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.predict(batch), batch.targets) + self.penalty()

    def testing_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.predict(batch), batch.targets)

    @staticmethod
    def finish(params: Mapping[str, Any]) -> Fitted:
        """``coef_`` [classes, features] and ``intercept_``; of two classes, the second less the
        first, as scikit-learn has them."""
        coef, intercept = params["coef"], params["intercept"]
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return Fitted(coef_=coef, intercept_=intercept)


class Perceptron(_LinearClassifier):
    """One perceptron a class, each against the rest: a row that is on the wrong side, or on neither,
    moves it. In batches of one row with ``lr`` 1 it is Rosenblatt's algorithm, but for the start: from
    zeros all rows are on neither side, and small numbers tell sides apart."""

    optimizer = optim.SGD(lr=1.0)

    def model(self):
        n, d = self.n_classes, self.n_features
        self.coef, self.intercept = Parameter(randn(n, d) * 0.1), Parameter(randn(n) * 0.1)

    def training_step(self, batch: Batch) -> Tensor:
        margins = self.margins(batch)
        return where(margins <= 0, -margins, 0.0).sum(1).mean()


class LinearSVM(_LinearClassifier):
    """A linear support vector machine, each class against the rest. ``alpha`` weighs half of the
    squared norm of the weights against the mean of the squared hinge: ``1 / (n C)`` of
    ``LinearSVC`` with n rows, which also penalises the intercept."""

    alpha: float = 0.0001  # weight of half of the squared norm of the weights

    def training_step(self, batch: Batch) -> Tensor:
        return (1 - self.margins(batch)).relu().square().sum(1).mean() + self.penalty()

    def testing_step(self, batch: Batch) -> Tensor:
        return (1 - self.margins(batch)).relu().square().sum(1).mean()


class Lasso(Plan):
    """Least squares with ``alpha`` times the absolute values of the weights, as scikit-learn's
    ``Lasso``. A schedule that ends at 0 (``optimizer_args={"schedule": "cosine", ...}``) brings
    weights that should be 0 close to it; ``finish`` sets them to 0."""

    task = "regression"
    optimizer = optim.SGD(lr=0.1)
    alpha: float = 1.0  # weight of the absolute values of the weights

    def model(self):
        self.coef = Parameter(zeros(1, self.n_features))
        self.intercept = Parameter(zeros(1))

    def predict(self, batch: Batch) -> Tensor:
        return F.linear(batch.inputs, self.coef, self.intercept)

    def training_step(self, batch: Batch) -> Tensor:
        return self.testing_step(batch) + self.coef.abs().sum() * self.alpha

    def testing_step(self, batch: Batch) -> Tensor:
        return F.mse_loss(self.predict(batch), batch.targets) / 2

    @staticmethod
    def finish(params: Mapping[str, Any], tol: float = 1e-3) -> Fitted:
        """``coef_`` [features], 0 where it is not beyond ``tol``, and ``intercept_``."""
        coef = params["coef"][0]
        return Fitted(coef_=coef * (abs(coef) > tol), intercept_=params["intercept"][0])
