"""k-means over sites."""

from __future__ import annotations

from typing import Any, Mapping

from ..data import Batch, Data, reals
from ..nn import Parameter
from ..tensors import Tensor, ones, randn
from ..training_plan import Plan
from ._parts import Fitted, one_of

# Each batch counts this part of a row at each centre, so that a cluster without rows stays where it is.
_STAYS = 1e-6


class KMeans(Plan):
    """Lloyd's algorithm, a step in each round: sites give sums and shares of the rows that are nearest
    to each centre. The first centres are drawn from the standard normal distribution, for
    standardised rows."""

    task = "clusters"
    n_clusters: int = 8  # number of centres

    def model(self):
        n, d = self.n_clusters, self.n_features
        self.shares, self.sums = Parameter(ones(n)), Parameter(randn(n, d))

    def data(self) -> Data:
        return Data(reals(self.n_features))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        one = one_of(self.predict(batch).argmax(1), self.n_clusters)
        return {
            "shares": one.sum(0) + _STAYS,
            "sums": one.T @ batch.inputs + self._centres() * _STAYS,
        }

    def predict(self, batch: Batch) -> Tensor:
        """Squared distances [rows, clusters] with their sign changed: the nearest centre wins."""
        x, centres = batch.inputs, self._centres()
        products = x @ centres.T * 2 - centres.square().sum(1)
        return products - x.square().sum(1, keepdim=True)

    def testing_step(self, batch: Batch) -> Tensor:
        """The mean squared distance to the nearest centre."""
        return -self.predict(batch).amax(1).mean()

    def _centres(self) -> Tensor:
        return self.sums / self.shares.unsqueeze(1)

    @staticmethod
    def finish(params: Mapping[str, Any]) -> Fitted:
        """``cluster_centers_`` [clusters, features] and ``shares_`` of the rows."""
        shares = params["shares"]
        return Fitted(cluster_centers_=params["sums"] / shares[:, None], shares_=shares)
