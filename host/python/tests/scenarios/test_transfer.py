"""Fed-BioMed's transfer learning: features from elsewhere are frozen, sites train what follows."""

from __future__ import annotations

import numpy

import fedwasm as fw
from fedwasm import losses, nn


class Pretraining(fw.Plan):
    """Reads the digits 0 to 4."""

    optimizer = fw.optim.Adam(lr=0.002)

    def model(self):
        self.features = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.head = nn.Linear(64, self.n_classes)

    def data(self):
        return fw.Data(fw.reals(64), fw.classes())

    def predict(self, batch):
        return self.head(self.features(batch.inputs))

    def training_step(self, batch):
        return losses.cross_entropy(self.predict(batch), batch.targets)


class Transfer(Pretraining):
    """Reads all digits with features that stay as they are."""

    def model(self):
        super().model()
        self.features.freeze()


def test_frozen_features_stay_and_a_new_head_reads_all_digits(sites, data, tmp_path):
    rows = numpy.loadtxt(data.digits, delimiter=",", skiprows=1)
    small = rows[rows[:, -1] < 5]
    header = open(data.digits).readline().strip()
    numpy.savetxt(tmp_path / "small.csv", small, "%g", delimiter=",", header=header, comments="")
    first = fw.LocalJob(
        Pretraining,
        tmp_path / "small.csv",
        target="digit",
        data_args={"standardize": False},
        training_args={"epochs": 15, "loader_args": {"batch_size": 32}, "random_seed": 1},
    )
    assert first.start_training().metrics["accuracy"] > 0.95

    experiment = fw.Experiment(
        tags=["digits"],
        target="digit",
        training_plan_class=Transfer,
        model_args={"n_classes": 10},
        training_args={
            "epochs": 2,
            "loader_args": {"batch_size": 32},
            "optimizer_args": {"lr": 0.01},
            "test_ratio": 0.2,
            "test_on_global_updates": True,
            "random_seed": 1,
        },
        round_limit=8,
        data_args={"standardize": False},
        progress=False,
        **sites.addresses,
    )
    start = {name: value for name, value in first.params().items() if name.startswith("features")}
    head = {"head.weight": numpy.zeros((10, 64), "float32"), "head.bias": numpy.zeros(10, "float32")}
    experiment.import_model({**start, **head})
    experiment.run()
    params = experiment.params()
    for name, value in start.items():
        assert numpy.array_equal(params[name], value), name
    assert numpy.abs(params["head.weight"]).max() > 0.1
    assert experiment.metrics["accuracy"] > 0.92
