"""Naive Bayes from sums: one round, and the model is that of all rows together."""

from __future__ import annotations

import math
from typing import Any, Mapping

from .. import functional as F
from ..nn import Parameter
from ..tensors import Tensor, ones, zeros
from ..training_plan import Batch, Plan
from ._parts import Fitted, one_of


class GaussianNB(Plan):
    """Columns that are normal in each class, of one round. ``var_smoothing`` times the largest
    variance of a column is added to all variances."""

    task = "classification"
    var_smoothing: float = 1e-9  # part of the largest variance that all get

    def model(self):
        n, d = self.n_classes, self.n_features
        self.shares = Parameter(ones(n))
        self.sums, self.squares = Parameter(zeros(n, d)), Parameter(ones(n, d))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        x, one = batch.inputs.double(), one_of(batch.targets, self.n_classes).double()
        return {"shares": one.sum(0), "sums": one.T @ x, "squares": one.T @ x.square()}

    def predict(self, batch: Batch) -> Tensor:
        """Logarithms of the joint probabilities."""
        x, sums, squares = batch.inputs.double(), self.sums.double(), self.squares.double()
        shares = self.shares.double().clamp(min=1e-12)
        means = sums / shares.unsqueeze(1)
        variances = (squares / shares.unsqueeze(1) - means.square()).clamp(min=0)
        whole = squares.sum(0) - sums.sum(0).square()
        variances = variances + whole.amax() * self.var_smoothing
        # The sum over columns of (x - mean)² / variance.
        far = x.square() @ (1 / variances).T - x @ (means / variances).T * 2
        far = far + (means.square() / variances).sum(1)
        prior = shares.log() - (variances * (2 * math.pi)).log().sum(1) / 2
        return (prior - far / 2).float()

    def testing_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.predict(batch), batch.targets)

    @classmethod
    def finish(cls, params: Mapping[str, Any], var_smoothing: float = 1e-9) -> Fitted:
        """``class_prior_`` [classes], ``theta_`` and ``var_`` [classes, features], ``epsilon_``."""
        import numpy

        shares, sums, squares = (
            numpy.asarray(params[name], "float64") for name in ("shares", "sums", "squares")
        )
        means = sums / shares[:, None]
        epsilon = var_smoothing * (squares.sum(0) - sums.sum(0) ** 2).max()
        variances = numpy.maximum(squares / shares[:, None] - means**2, 0) + epsilon
        return Fitted(class_prior_=shares, theta_=means, var_=variances, epsilon_=epsilon)


class BernoulliNB(Plan):
    """Columns that are on, above ``binarize``, or off, of one round. ``smoothing`` is how many rows
    with all columns on, and with all off, each class gets, as a part of all rows: scikit-learn's
    ``alpha`` is the number of such rows, ``alpha / n``."""

    task = "classification"
    binarize: float = 0.0  # what is above is on
    smoothing: float = 0.001  # rows that each class gets, as a part of all rows

    def model(self):
        n, d = self.n_classes, self.n_features
        self.shares, self.on = Parameter(ones(n)), Parameter(ones(n, d) * 0.5)

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        one = one_of(batch.targets, self.n_classes)
        return {"shares": one.sum(0), "on": one.T @ self._on(batch)}

    def predict(self, batch: Batch) -> Tensor:
        """Logarithms of the joint probabilities."""
        on, shares = self._on(batch), self.shares.clamp(min=1e-12)
        rates = (self.on + self.smoothing) / (shares + self.smoothing * 2).unsqueeze(1)
        scores = on @ rates.log().T + (1 - on) @ (1 - rates).log().T
        return scores + shares.log()

    def _on(self, batch: Batch) -> Tensor:
        return (batch.inputs > self.binarize).float()

    def testing_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.predict(batch), batch.targets)

    @classmethod
    def finish(cls, params: Mapping[str, Any], smoothing: float = 0.001) -> Fitted:
        """``class_log_prior_`` [classes] and ``feature_log_prob_`` [classes, features]."""
        import numpy

        shares, on = (numpy.asarray(params[name], "float64") for name in ("shares", "on"))
        rates = (on + smoothing) / (shares + 2 * smoothing)[:, None]
        return Fitted(class_log_prior_=numpy.log(shares), feature_log_prob_=numpy.log(rates))
