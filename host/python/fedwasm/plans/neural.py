"""Multilayer perceptrons."""

from __future__ import annotations

from typing import Any, Mapping

from .. import functional as F
from .. import nn, optim
from ..tensors import Tensor
from ..training_plan import Batch, Plan
from ._parts import Fitted


class _Perceptrons(Plan):
    optimizer = optim.Adam
    hidden_layer_sizes = (100,)
    activation = nn.ReLU
    alpha: float = 0.0001  # weight of half of the squared norm of the weights, over the rows of a batch

    def layers(self, outputs: Any) -> nn.Sequential:
        """Linear layers with the activation between them."""
        layers, width = [], self.n_features
        for size in self.hidden_layer_sizes:
            layers += [nn.Linear(width, size), self.activation()]
            width = size
        return nn.Sequential(*layers, nn.Linear(width, outputs))

    def training_step(self, batch: Batch) -> Tensor:
        weights = [layer.weight for layer in self.net if isinstance(layer, nn.Linear)]
        squares = sum(weight.square().sum() for weight in weights)
        # Scikit-learn divides by the rows of the batch, too.
        return self.testing_step(batch) + squares * (self.alpha / 2 / batch.inputs.shape[0])

    @staticmethod
    def finish(params: Mapping[str, Any]) -> Fitted:
        """``coefs_``, a matrix [inputs, outputs] for each layer, and ``intercepts_``."""
        coefs = [value.T for name, value in params.items() if name.endswith("weight")]
        return Fitted(
            coefs_=coefs,
            intercepts_=[value for name, value in params.items() if name.endswith("bias")],
        )


class MLPClassifier(_Perceptrons):
    """Layers of ``hidden_layer_sizes`` and a score for each class; ``alpha`` weighs half of the
    squared norm of the weights, over the rows of a batch."""

    task = "classification"

    def model(self):
        return self.layers(self.n_classes)

    def testing_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.predict(batch), batch.targets)


class MLPRegressor(_Perceptrons):
    """Layers of ``hidden_layer_sizes`` and a number; half of the mean squared error, and ``alpha`` as
    in :class:`MLPClassifier`."""

    task = "regression"

    def model(self):
        return self.layers(1)

    def testing_step(self, batch: Batch) -> Tensor:
        return F.mse_loss(self.predict(batch), batch.targets) / 2
