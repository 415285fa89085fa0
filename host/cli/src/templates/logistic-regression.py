"""Softmax regression: one linear layer under the cross-entropy loss."""

import fedwasm as fw
from fedwasm import losses, nn


class LogisticRegression(fw.Plan):
    name = "logistic-regression"

    def model(self):
        return nn.Linear(self.n_features, self.n_classes)

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)
