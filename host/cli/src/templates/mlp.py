"""A multilayer perceptron: two linear layers, the first rectified, under the cross-entropy loss."""

import fedwasm as fw
from fedwasm import losses, nn


class Mlp(fw.Plan):
    name = "mlp"
    hidden: int = 128  # units of the hidden layer

    def model(self):
        return nn.Sequential(
            nn.Linear(self.n_features, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.n_classes),
        )

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)
