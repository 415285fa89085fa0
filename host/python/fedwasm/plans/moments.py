"""Means, variances and covariances of the rows of all sites, and what follows from them."""

from __future__ import annotations

from typing import Any, Mapping

from ..data import Batch, Data, reals
from ..nn import Parameter
from ..tensors import Tensor, eye, zeros
from ..training_plan import Plan
from ._parts import Fitted


class Moments(Plan):
    """Mean and covariance of the columns, of one round. A second round takes the products about the
    mean of the first: do it for columns whose mean is large beside their deviation, because sums are
    kept as float32."""

    task = "moments"

    def model(self):
        d = self.n_features
        self.mean, self.shift = Parameter(zeros(d)), Parameter(zeros(d))
        self.products = Parameter(zeros(d, d))

    def data(self) -> Data:
        return Data(reals(self.n_features))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.inputs.double()
        # From the mean at the start of the round, which all sites have.
        far = x - self.mean.double()
        return {"mean": x.sum(0), "shift": far.sum(0), "products": far.T @ far}

    def predict(self, batch: Batch) -> Tensor:
        """The rows, standardised."""
        return self._standardised(batch)[0]

    def testing_step(self, batch: Batch) -> Tensor:
        """The mean negative log-likelihood of a column, if it were normal, less a constant."""
        rows, variance = self._standardised(batch)
        return (rows.square() + variance.log()).mean() / 2

    def _standardised(self, batch: Batch) -> tuple[Tensor, Tensor]:
        squares = (self.products * eye(self.n_features)).sum(0)
        variance = (squares - self.shift.square()).clamp(min=1e-12)
        return (batch.inputs - self.mean) / variance.sqrt(), variance

    @classmethod
    def finish(cls, params: Mapping[str, Any], n_samples: int | None = None) -> Fitted:
        """``mean_``, ``var_`` and ``covariance_``: divided by the number of rows, or by one less if
        ``n_samples`` says how many they were."""
        import numpy

        mean, shift, products = (
            numpy.asarray(params[name], "float64") for name in ("mean", "shift", "products")
        )
        covariance = products - numpy.outer(shift, shift)
        if n_samples is not None:
            covariance = covariance * (n_samples / (n_samples - 1))
        return Fitted(mean_=mean, var_=covariance.diagonal(), covariance_=covariance)


class PCA(Moments):
    """Principal components, from the covariance of all sites; ``finish`` finds them."""

    @classmethod
    def finish(
        cls, params: Mapping[str, Any], n_components: int | None = None, n_samples: int | None = None
    ) -> Fitted:
        """``components_`` [components, features], ``explained_variance_``,
        ``explained_variance_ratio_`` and ``mean_``."""
        import numpy

        moments = super().finish(params, n_samples)
        variances, vectors = numpy.linalg.eigh(moments.covariance_)
        variances, components = variances[::-1], vectors.T[::-1]
        # The largest element of a component is positive, as in scikit-learn.
        largest = numpy.abs(components).argmax(1)
        components = components * numpy.sign(components[range(len(components)), largest])[:, None]
        return Fitted(
            components_=components[:n_components],
            explained_variance_=variances[:n_components],
            explained_variance_ratio_=(variances / variances.sum())[:n_components],
            mean_=moments.mean_,
        )
