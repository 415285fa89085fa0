"""Linear regression: one linear layer under the mean squared error."""

import fedwasm as fw
from fedwasm import losses, nn


class LinearRegression(fw.Plan):
    name = "linear-regression"
    task = "regression"

    def model(self):
        return nn.Linear(self.n_features, self.n_outputs)

    def training_step(self, batch):
        return losses.mse_loss(self.net(batch.inputs), batch.targets)
