"""Fed-BioMed's used cars: three dealers with a brand each predict prices together."""

from __future__ import annotations

import fedwasm as fw
from fedwasm import losses, nn


# Scales that hold for all dealers, as Fed-BioMed's tutorial has them: those of one dealer's cars would
# not do for the others.
MEAN = [2016.0, 35.0, 140.0, 57.0, 1.8, 0.5, 0.5]
DEVIATION = [4.0, 30.0, 50.0, 10.0, 0.7, 0.5, 0.5]


class Prices(fw.Plan):
    task = "regression"
    optimizer = fw.optim.Adam(lr=0.005)

    def model(self):
        return nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def data(self):
        return fw.Data(fw.reals(7), fw.reals(1))

    def predict(self, batch):
        return self.net((batch.inputs - MEAN) / DEVIATION)

    def training_step(self, batch):
        return losses.mse_loss(self.predict(batch), batch.targets)

    def metrics(self, batch):
        """The root of the mean squared error, in thousands of pounds."""
        return {"rmse": losses.mse_loss(self.predict(batch), batch.targets).sqrt()}


ARGS = {
    "epochs": 3,
    "loader_args": {"batch_size": 16},
    "test_ratio": 0.2,
    "test_on_local_updates": True,
    "test_on_global_updates": True,
    "random_seed": 5,
}


def test_dealers_of_three_brands_predict_prices_together(sites):
    experiment = fw.Experiment(
        tags=["cars"],
        target="price",
        training_plan_class=Prices,
        training_args=ARGS,
        round_limit=8,
        data_args={"standardize": False},
        progress=False,
        **sites.addresses,
    )
    experiment.run()
    # Prices deviate by 6 to 10 thousand pounds, noise alone by 0.8.
    assert experiment.metrics["explained_variance"] > 0.93
    assert experiment.metrics["rmse"] < 3
    curves = {}
    for row in experiment.history():
        curves.setdefault(row["node"], []).append(row["rmse"])
    assert {node: len(curve) for node, curve in curves.items()} == {
        "all nodes": 8, "site-1": 8, "site-2": 8, "site-3": 8,
    }
