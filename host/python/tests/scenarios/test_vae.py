"""Fed-BioMed's variational autoencoder: images are compressed to a few numbers and drawn again."""

from __future__ import annotations

import fedwasm as fw
from fedwasm import functional as F
from fedwasm import nn


class VariationalAutoencoder(nn.Module):
    def __init__(self, hidden, latent) -> None:
        self.fc1 = nn.Linear(784, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, 784)

    def encode(self, x):
        hidden = F.relu(self.fc1(x))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z)))

    def forward(self, x):
        mean, log_variance = self.encode(x)
        z = mean + (log_variance / 2).exp() * fw.randn_like(mean) if self.training else mean
        return self.decode(z), mean, log_variance


class Vae(fw.Plan):
    task = "reconstruction"
    optimizer = fw.optim.Adam(lr=0.002)
    hidden: int = 128  # units of the hidden layers
    latent: int = 12  # numbers that an image becomes

    def model(self):
        return VariationalAutoencoder(self.hidden, self.latent)

    def data(self):
        return fw.Data(fw.reals(784))

    def training_step(self, batch):
        logits, mean, log_variance = self.net(batch.inputs)
        drawn = F.binary_cross_entropy_with_logits(logits, batch.inputs, reduction="none").sum(1)
        prior = (1 + log_variance - mean.square() - log_variance.exp()).sum(1) / -2
        return (drawn + prior).mean()

    def predict(self, batch):
        return F.sigmoid(self.net(batch.inputs)[0])


def test_an_autoencoder_learns_to_draw_digits_again(sites, data):
    experiment = fw.Experiment(
        tags=["images"],
        inputs=["image"],
        target="label",  # which the plan does not ask for
        training_plan_class=Vae,
        training_args={
            "epochs": 1,
            "loader_args": {"batch_size": 20},
            "test_ratio": 0.1,
            "test_on_global_updates": True,
            "random_seed": 1,
        },
        round_limit=3,
        data_args={"standardize": False},
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    losses = [row["loss"] for row in experiment.history() if row["node"] == "all nodes"]
    # Fed-BioMed's tutorial goes from 195 to 147. An image that is not understood costs 206: the
    # entropy of each pixel by itself.
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 150
