"""A recurrent network that classifies sequences: a row's columns are time steps, one after the
other, and a linear layer scores the last output under the cross-entropy loss."""

import fedwasm as fw
from fedwasm import losses, nn


class Lstm(fw.Plan):
    name = "lstm"
    optimizer = fw.optim.Adam
    step: int = 1  # columns of a time step: those of the first step, then those of the second
    units: int = 64  # units of the layer

    def data(self):
        return fw.Data(fw.reals(self.n_features // self.step, self.step), fw.classes())

    def model(self):
        self.recurrent = nn.LSTM(self.step, self.units, batch_first=True)
        self.output = nn.Linear(self.units, self.n_classes)

    def training_step(self, batch):
        return losses.cross_entropy(self.predict(batch), batch.targets)

    def predict(self, batch):
        outputs, _ = self.recurrent(batch.inputs)
        return self.output(outputs[:, -1])
