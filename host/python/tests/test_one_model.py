"""One multilayer perceptron, written in all ways that there are: the same parameters, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import PLANS, ROOT, Federation
from site_data import Files

import fedwasm as fw
from fedwasm import losses, nn

HIDDEN = 128  # units of the hidden layer, as the plan in Rust has by default
TRAINING = {"epochs": 5, "random_seed": 11, "optimizer_args": {"lr": 0.05}, "loader_args": {"batch_size": 32}}


class Mlp(fw.Plan):
    """As `plugins/mlp`."""

    optimizer = fw.optim.SGD

    def model(self):
        return nn.Sequential(nn.Linear(self.n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.n_classes))

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


def of_torch() -> Any:
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    example = (torch.zeros(4, 64), torch.zeros(4, dtype=torch.int64))
    return fw.torch.plan(layers, torch.nn.CrossEntropyLoss(), torch.optim.SGD, example=example)


def guest(language: str) -> Path:
    plan = ROOT / f"tests/guests/{language}/mlp.wasm"
    if not plan.is_file():
        pytest.skip(f"the plan in {language} is missing; tests/guests/{language}/build.sh builds it")
    return plan


WAYS = {
    "class": lambda: Mlp,
    "torch": of_torch,
    "c": lambda: guest("c"),
    "javascript": lambda: guest("javascript"),
}


def bits(params: dict[str, Any]) -> list[bytes]:
    """Parameters in their order, whatever they are called."""
    assert [value.shape for value in params.values()] == [(HIDDEN, 64), (HIDDEN,), (10, HIDDEN), (10,)]
    return [value.tobytes() for value in params.values()]


@pytest.mark.parametrize("way", [*WAYS, "class without a sandbox"])
def test_five_epochs_on_digits(way: str, data: Files):
    def trained(plan: Any, **options: Any) -> fw.LocalJob:
        options = {"target": "digit", "training_args": TRAINING, "progress": False, **options}
        return fw.LocalJob(plan, data.digits, **options).start_training()

    rust = trained(PLANS / "mlp.wasm")
    if way == "class without a sandbox":
        other = trained(Mlp, sandbox=False)
    else:
        other = trained(WAYS[way]())
    assert bits(other.params) == bits(rust.params)
    assert other.metrics == rust.metrics and rust.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("way", WAYS)
def test_a_federation_of_three_sites(way: str, sites: Federation):
    def run(plan: Any) -> dict[str, Any]:
        experiment = fw.Experiment(
            tags="digits",
            training_plan_class=plan,
            target="digit",
            model_args={} if way == "torch" and plan is not rust else {"n_classes": 10},
            training_args={**TRAINING, "epochs": 1},
            round_limit=2,
            progress=False,
            **sites.network,
        )
        experiment.run()
        return experiment.params()

    rust = PLANS / "mlp.wasm"
    assert bits(run(WAYS[way]())) == bits(run(rust))
