"""Least squares from sums: one round, and the weights are those of all rows together."""

from __future__ import annotations

from typing import Any, Mapping

from .. import functional as F
from ..nn import Parameter
from ..tensors import Tensor, cat, eye, ones, zeros
from ..training_plan import Batch, Plan
from ._parts import Fitted

# Directions in which the inputs vary less than this part of their whole variation do not count: sums
# are kept as float32, and have nothing but rounding there.
_LEAST = 1e-6
# Newton's iteration doubles the correct digits in each step; so many reach `_LEAST`.
_STEPS = 42


class LinearRegression(Plan):
    """Least squares, of one round: sites give the mean products of their columns, and the weights are
    computed from the mean over all rows. Directions that do not vary have no weight, as in
    scikit-learn."""

    task = "regression"

    def model(self):
        width = self.n_features + 1
        self.products = Parameter(zeros(width, width))
        self.moments = Parameter(zeros(width, 1))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        x, y = self._columns(batch), batch.targets.double()
        return {"products": x.T @ x, "moments": x.T @ y}

    def predict(self, batch: Batch) -> Tensor:
        weights = self._inverse(self.products.double()) @ self.moments.double()
        return (self._columns(batch) @ weights).float()

    def testing_step(self, batch: Batch) -> Tensor:
        return F.mse_loss(self.predict(batch), batch.targets)

    def _columns(self, batch: Batch) -> Tensor:
        """The inputs and a column of ones."""
        return cat([batch.inputs, ones(batch.inputs.shape[0], 1)], 1).double()

    def _inverse(self, matrix: Tensor) -> Tensor:
        """The inverse of a symmetric matrix by Newton's iteration (Schulz 1933)."""
        trace = (matrix * eye(self.n_features + 1).double()).sum().clamp(min=1e-30)
        found = matrix / trace.square()
        for _ in range(_STEPS):
            found = found * 2 - found @ matrix @ found
        return found

    @classmethod
    def finish(cls, params: Mapping[str, Any]) -> Fitted:
        """``coef_`` [features] and ``intercept_``."""
        import numpy

        products = numpy.asarray(params["products"], "float64")
        # The largest eigenvalue is at most the trace, and of the same order.
        inverse = numpy.linalg.pinv(products, rcond=_LEAST, hermitian=True)
        weights = inverse @ numpy.asarray(params["moments"], "float64")[:, 0]
        return Fitted(coef_=weights[:-1], intercept_=weights[-1])


class Ridge(LinearRegression):
    """Least squares with a penalty: ``alpha`` weighs the squared norm of the weights against the mean
    squared error, as in ``ElasticNet(alpha, l1_ratio=0)``. ``Ridge`` of scikit-learn weighs it
    against the sum over n rows: ``alpha / n``."""

    alpha: float = 0.001  # weight of the squared norm of the weights

    def _inverse(self, matrix: Tensor) -> Tensor:
        d = self.n_features
        # All diagonal elements but the last, which is the intercept's.
        penalised = F.pad(eye(d), (0, 1, 0, 1)).double()
        return super()._inverse(matrix + penalised * self.alpha)

    @classmethod
    def finish(cls, params: Mapping[str, Any], alpha: float | None = None) -> Fitted:
        """``coef_`` [features] and ``intercept_``, of any ``alpha``: the sums do not depend on it."""
        import numpy

        alpha = cls.alpha if alpha is None else alpha
        products = numpy.asarray(params["products"], "float64")
        penalty = alpha * numpy.eye(len(products))
        penalty[-1, -1] = 0
        return super().finish({**params, "products": products + penalty})
