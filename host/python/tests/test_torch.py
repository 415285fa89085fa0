"""Modules of PyTorch as plans. Tests that need torch are skipped where it is not installed."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys

import fedwasm as fw
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/aten.md"
MARK = "<!-- from fedwasm.torch.covered() -->\n"


def test_page_of_functions_is_what_the_package_covers():
    rows = ["| ATen | becomes |", "|---|---|"]
    covered = fw.torch.covered()
    for name, group in itertools.groupby(covered, lambda overload: overload.partition(".")[0]):
        names = list(group)
        kinds = {covered[each] for each in names}
        overloads = (
            ""
            if names == [f"{name}.default"]
            else " " + " ".join(f"`.{each.partition('.')[2]}`" for each in names)
        )
        rows.append(f"| `{name}`{overloads} | {'; '.join(sorted(kinds))} |".replace("``", "`"))
    table = "\n".join(rows) + "\n"
    text = PAGE.read_text()
    before = text.split(MARK)[0] + MARK
    if os.environ.get("FEDWASM_BLESS"):
        PAGE.write_text(before + table)
    assert PAGE.read_text() == before + table, "FEDWASM_BLESS=1 writes it"
    assert len(covered) > 250 and all(covered.values())


def test_torch_is_imported_by_what_needs_it_alone():
    code = "import sys, fedwasm; fedwasm.torch.covered(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


torch = pytest.importorskip("torch")
sys.path.append(str(ROOT / "tests/oracles"))

import torch_plans  # noqa: E402
from fedwasm.data import Batch  # noqa: E402
from fedwasm.nn.module import Layer  # noqa: E402
from torch import nn  # noqa: E402
from torch_cases import CASES, Expression  # noqa: E402
from torch_models import MODELS, ResNet18, Vae  # noqa: E402

SMALL = {name: model for name, model in MODELS.items() if name != "resnet18"}
SMALL["small-resnet18"] = (lambda: ResNet18(4), *MODELS["resnet18"][1:])


@pytest.mark.parametrize("name", SMALL)
def test_an_epoch_gives_the_weights_of_pytorch(name):
    worst, _, _ = torch_plans.both(name, *SMALL[name], rows=40)
    assert worst < 1e-4, worst


@pytest.mark.parametrize("name", CASES)
def test_functions_compute_what_pytorch_computes(name):
    f, modules, shape = CASES[name]
    torch.manual_seed(3)
    module, x = Expression(f, modules), torch.randn(8, *shape)
    y = torch.randn(8, 1)

    def loss(outputs, targets):
        return (outputs * targets).square().mean()

    plan = fw.torch.plan(module, loss, example=(x, y), weights=True)
    settings = {"lr": 1e-3}
    before = {key: value.clone() for key, value in module.state_dict().items()}
    params = torch_plans.by_plan(plan, x, y, settings, sandbox=False)
    module.eval()
    scores = predicted(plan, x)
    assert torch.allclose(scores, module(x), rtol=1e-4, atol=1e-4), (scores - module(x)).abs().max()
    torch_plans.by_torch(module, loss, x, y, torch.optim.SGD, settings)
    after = {
        key: value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    assert list(params) == list(after)
    for key, value in after.items():
        # Against the step, which may be small.
        moved = (value - before[key]).abs().max().item()
        assert np.abs(params[key] - value.detach().numpy()).max() <= 1e-3 * moved + 1e-6, key


def predicted(plan, x):
    """Scores of the plan here, from the values that it starts from."""
    made = plan()
    made.net = made.model()
    for part in made.net.modules():
        if isinstance(part, Layer):
            part.draw()
    fw._native.begin(False)
    (name,) = made.data().inputs
    scores = made.predict(Batch(made.data(), {name: lambda: fw.tensor(x.numpy())}, {}))
    return torch.from_numpy(np.array(scores.numpy()))


def classifier(**options):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    return module, x, y, fw.torch.plan(module, nn.CrossEntropyLoss(), example=(x, y), **options)


def test_it_is_the_plan_that_one_would_write():
    class Written(fw.Plan):
        def model(self):
            return fw.nn.Sequential(
                fw.nn.Linear(self.n_features, 8), fw.nn.ReLU(), fw.nn.Linear(8, self.n_classes)
            )

        def training_step(self, batch):
            return fw.losses.cross_entropy(self.net(batch.inputs), batch.targets)

    _, x, y, plan = classifier()
    settings = {"lr": 0.1}
    imported = torch_plans.by_plan(plan, x, y, settings)
    written = torch_plans.by_plan(Written, x, y, settings)
    here = torch_plans.by_plan(plan, x, y, settings, sandbox=False)
    assert [f"net.{name}" for name in imported] == list(written)
    for a, b, c in zip(imported.values(), written.values(), here.values()):
        assert a.tobytes() == b.tobytes() == c.tobytes()


def test_the_same_module_gives_the_same_bytes():
    assert fw.plan.build(classifier()[3]) == fw.plan.build(classifier()[3])


def test_weights_come_back_into_the_module(tmp_path):
    module, x, y, plan = classifier(weights=True)
    job = fw.LocalJob(
        plan, {"x": x.numpy(), "y": y.numpy()}, target="y", data_args={"standardize": False}, progress=False
    )
    params = job.start_training().params
    job.export_model(tmp_path / "params.mpk")
    job.export_model(tmp_path / "params.safetensors")
    for source in params, tmp_path / "params.mpk", tmp_path / "params.safetensors":
        for made_of in module, plan:
            loaded = fw.torch.load(made_of, source)
            assert loaded is not module and isinstance(loaded, nn.Sequential)
            for name, value in loaded.state_dict().items():
                assert value.numpy().tobytes() == params[name].tobytes()
    assert not torch.equal(module[0].weight, loaded[0].weight)
    with pytest.raises(fw.ConfigurationError, match="Linear has no `0.weight`"):
        fw.torch.load(nn.Linear(4, 3), params)
    with pytest.raises(fw.ConfigurationError, match=r"`0.weight` is \[8, 4\] in the weights and \[9, 4\]"):
        fw.torch.load(nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3)), params)
    with pytest.raises(fw.ConfigurationError, match="no weights for `3.weight`"):
        fw.torch.load(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 3)), params)


def test_a_federation_gives_the_module_back(federation):
    module = nn.Sequential(nn.Linear(30, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    example = torch.zeros(4, 30), torch.zeros(4, dtype=torch.long)
    plan = fw.torch.plan(module, nn.CrossEntropyLoss(), torch.optim.Adam, example=example)
    experiment = fw.Experiment(
        tags="cancer",
        training_plan_class=plan,
        target="benign",
        training_args={"epochs": 1, "random_seed": 42, "loader_args": {"batch_size": 16}},
        round_limit=2,
        progress=False,
        **federation.network,
    )
    with experiment:
        assert experiment.run() == 2
        model = experiment.model()
        params = experiment.params()
    assert isinstance(model, nn.Sequential) and model is not module
    for name, value in model.state_dict().items():
        assert name.endswith("num_batches_tracked") or value.numpy().tobytes() == params[name].tobytes()
    assert params["1.running_mean"].any()


def test_tied_weights_are_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.scores = nn.Linear(4, 9, bias=False)
            self.scores.weight = self.table.weight

        def forward(self, x):
            return self.scores(self.table(x).mean(1))

    x, y = torch.randint(0, 9, (32, 5)), torch.randint(0, 9, (32,))
    module = Tied()
    plan = fw.torch.plan(module, nn.CrossEntropyLoss(), example=(x, y), weights=True)
    params = torch_plans.by_plan(plan, x, y, {"lr": 0.1})
    assert list(params) == ["table.weight"]
    torch_plans.by_torch(module, nn.CrossEntropyLoss(), x, y, torch.optim.SGD, {"lr": 0.1})
    assert np.abs(params["table.weight"] - module.table.weight.detach().numpy()).max() < 1e-6
    loaded = fw.torch.load(module, params)
    assert loaded.scores.weight is loaded.table.weight


def test_frozen_parts_stay_and_those_in_evaluation_too():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    module[0].requires_grad_(False)
    module[1].eval()
    plan = fw.torch.plan(module, nn.CrossEntropyLoss(), example=(x, y), weights=True)
    assert module[1].training is False and module.training
    params = torch_plans.by_plan(plan, x, y, {"lr": 0.1})
    assert (params["0.weight"] == module[0].weight.numpy()).all()
    assert (
        not (params["1.weight"] == 1).all()
        and not (params["3.weight"] == module[3].weight.detach().numpy()).all()
    )
    assert "1.running_mean" not in params
    module[0].requires_grad_(True)
    module[1].train().requires_grad_(False)
    with pytest.raises(fw.BuildError, match="batch normalisation `1` trains while its weights are frozen"):
        fw.torch.plan(module, nn.CrossEntropyLoss(), example=(x, y))


def test_a_module_computes_otherwise_in_evaluation():
    module, x = Vae(), torch.rand(8, 1, 28, 28)

    def loss(outputs, images):
        decoded, mean, deviation = outputs
        apart = 0.5 * (mean.square() + deviation.square() - 1 - 2 * deviation.log()).sum(1).mean()
        return nn.functional.binary_cross_entropy(decoded, images) + 0.01 * apart

    plan = fw.torch.plan(module, loss, torch.optim.Adam, example=(x, x), task="reconstruction", weights=True)
    module.eval()
    assert torch.allclose(predicted(plan, x), module(x)[0], atol=1e-5)
    text = str(fw.plan.inspect(plan))
    training, _, others = text.partition("\npredict\n")
    assert "randn_like" in training and "randn_like" not in others
    assert "optimizer adam" in training


def test_initial_values_are_drawn_as_pytorch_draws_or_are_the_modules():
    module, x, y, _ = classifier()
    loss = nn.CrossEntropyLoss()
    with torch.no_grad():
        module[2].weight.mul_(50)
    with pytest.raises(fw.BuildError, match="`2.weight` is not as a new Linear starts") as error:
        fw.torch.plan(module, loss, example=(x, y))
    assert 'weights=["2.weight"]' in error.value.help
    for weights in True, ["2"], ["2.weight"]:
        plan = fw.torch.plan(module, loss, example=(x, y), weights=weights)
        params = torch_plans.by_plan(plan, x, y, {"lr": 1e-20})
        assert (params["2.weight"] == module[2].weight.detach().numpy()).all()
        assert (params["0.weight"] == module[0].weight.detach().numpy()).all() == (weights is True)
    drawn = torch_plans.by_plan(
        fw.torch.plan(module, loss, example=(x, y), weights=False), x, y, {"lr": 1e-20}
    )
    assert 0.8 / 8**0.5 < np.abs(drawn["2.weight"]).max() <= 1 / 8**0.5

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift, self.other = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.randn(4))

        def forward(self, x):
            return x + self.shift + self.other

    with pytest.raises(fw.BuildError, match="not known from what `other` of Own is drawn"):
        fw.torch.plan(Own(), nn.MSELoss(), example=(x, x))
    fw.torch.plan(Own(), nn.MSELoss(), example=(x, x), weights=["other"])


@pytest.mark.parametrize("name", SMALL)
def test_new_modules_are_recognised_as_new(name):
    make, inputs, targets, loss = SMALL[name]
    fw.torch.plan(make(), loss, example=(inputs(4), targets(4)))


def test_mistakes_name_function_module_and_line():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(1)[0]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inner = nn.Linear(4, 4), Sorted()

        def forward(self, x):
            return self.inner(self.first(x))

    x, y = torch.randn(8, 4), torch.randint(0, 4, (8,))
    loss = nn.CrossEntropyLoss()
    with pytest.raises(fw.BuildError) as error:
        fw.torch.plan(Net(), loss, example=(x, y))
    line = Sorted.forward.__code__.co_firstlineno + 1
    assert re.search(
        rf"test_torch\.py:{line}: `aten\.sort\.\w+` is not covered, in `inner` \(Sorted\): "
        r"`return x\.sort\(1\)\[0\]`",
        str(error.value),
    ), error.value

    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(fw.BuildError, match="torch.export cannot follow the module") as error:
        fw.torch.plan(Branch(), loss, example=(x, y))
    assert error.value.line == Branch.forward.__code__.co_firstlineno + 1

    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(8, 2, 2).flatten(1)

    with pytest.raises(fw.BuildError, match="fixes the number of rows"):
        fw.torch.plan(Fixed(), loss, example=(x, y))

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return x * self.seen

    with pytest.raises(fw.BuildError, match="the module changes its buffer `seen`"):
        fw.torch.plan(Counts(), loss, example=(x, y))
    with pytest.raises(fw.BuildError, match="`example` is not a batch"):
        fw.torch.plan(nn.Linear(4, 4), loss, example=x)
    with pytest.raises(fw.BuildError, match="one score a row"):
        fw.torch.plan(
            nn.Linear(4, 1), lambda x, y: nn.functional.mse_loss(x[:, 0], y.float()), example=(x, y)
        )
    with pytest.raises(fw.BuildError, match="elements of int32"):
        fw.torch.plan(nn.Linear(4, 4), loss, example=(x.int(), y))
    with pytest.raises(fw.BuildError, match="torch.optim.LBFGS is not covered"):
        fw.torch.plan(nn.Linear(4, 4), loss, torch.optim.LBFGS, example=(x, y))


def test_large_constants_are_frozen_parameters():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Linear(80, 2)
            angles = torch.arange(80)[:, None] / torch.arange(1, 81)
            self.register_buffer("table", angles, persistent=False)

        def forward(self, x):
            return self.scores(x @ self.table)

    module, x, y = Positions(), torch.randn(16, 80), torch.randint(0, 2, (16,))
    plan = fw.torch.plan(module, nn.CrossEntropyLoss(), example=(x, y), weights=True)
    params = torch_plans.by_plan(plan, x, y, {"lr": 0.1})
    assert list(params) == ["scores.weight", "scores.bias", "table"]
    assert (params["table"] == module.table.numpy()).all()
    torch_plans.by_torch(module, nn.CrossEntropyLoss(), x, y, torch.optim.SGD, {"lr": 0.1})
    loaded = fw.torch.load(module, params)
    assert torch.allclose(loaded.scores.weight, module.scores.weight, atol=1e-4)


def test_settings_of_an_optimizer_are_the_plans_defaults():
    module, x, y, _ = classifier()
    adam = torch.optim.Adam(module.parameters(), lr=0.02, betas=(0.8, 0.99), weight_decay=0.1)
    plan = fw.torch.plan(module, nn.CrossEntropyLoss(), adam, example=(x, y))
    defaults = plan.optimizer.defaults
    assert {key: defaults[key] for key in ("lr", "beta1", "beta2", "weight_decay")} == {
        "lr": 0.02,
        "beta1": 0.8,
        "beta2": 0.99,
        "weight_decay": 0.1,
    }
    with pytest.raises(fw.BuildError, match="`amsgrad=True` of torch.optim.Adam is not covered"):
        fw.torch.plan(
            module, nn.CrossEntropyLoss(), torch.optim.Adam(module.parameters(), amsgrad=True), example=(x, y)
        )


def test_the_page_is_as_it_says(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "examples/data/digits.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/from-pytorch.md").read_text()
    blocks = re.findall(r"^```python,torch\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "from-pytorch.md", "exec"), names)
    assert float(capsys.readouterr().out.split()[-1]) > 0.9
    assert (tmp_path / "digits.wasm").stat().st_size < 1_000_000
    assert not torch.equal(names["net"][0].weight, names["trained"][0].weight)
