"""A plan's class in this interpreter: the bits of its component, and what a debugger needs."""

from __future__ import annotations

import threading

import pytest
from conftest import DATA

import fedwasm as fw
from fedwasm import losses, nn

TRAINING = {"epochs": 2, "test_ratio": 0.2, "random_seed": 42}
SEEN: list[object] = []


class Cancer(fw.Plan):
    optimizer = fw.optim.Adam
    hidden: int = 8

    def model(self):
        return nn.Sequential(
            nn.Linear(self.n_features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.n_classes)
        )

    def training_step(self, batch):
        SEEN.append(threading.current_thread())
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


class Breaks(Cancer):
    def training_step(self, batch):
        if len(SEEN) > 20:
            raise LookupError("in the middle")
        return super().training_step(batch)


def job(plan, **options):
    return fw.LocalJob(
        plan, DATA / "breast_cancer.csv", target="benign", training_args=TRAINING, progress=False, **options
    )


def test_the_parameters_are_those_of_the_sandbox_bit_for_bit():
    in_sandbox = job(Cancer).start_training()
    SEEN.clear()
    here = job(Cancer, sandbox=False).start_training()
    assert here.params_sha256 == in_sandbox.params_sha256
    assert here.metrics == in_sandbox.metrics
    # Every batch came through Python, on the thread of the caller: pdb and print work there.
    assert len(SEEN) >= here.batches == 30
    assert set(SEEN) == {threading.main_thread()}


def test_an_exception_arrives_with_its_traceback():
    SEEN.clear()
    broken = job(Breaks, sandbox=False)
    SEEN.clear()
    with pytest.raises(LookupError, match="in the middle") as caught:
        broken.start_training()
    assert any(entry.name == "training_step" for entry in caught.traceback)


def test_only_a_class_runs_here():
    from conftest import PLANS

    with pytest.raises(fw.ConfigurationError, match="only a class"):
        job(PLANS / "logistic-regression.wasm", sandbox=False)
