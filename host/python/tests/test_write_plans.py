"""Plans written as classes: the issue's example against the plan in Rust, other tables, the same bytes."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import numpy
import pytest

import fedwasm as fw
from fedwasm import losses, nn
from fedwasm.plan import graph_bytes

ROOT = pathlib.Path(__file__).parents[3]
DIGITS = ROOT / "examples/data/digits.csv"
TRAINING = {"epochs": 5, "random_seed": 11, "loader_args": {"batch_size": 32}}


class Digits(fw.Plan):
    """A multilayer perceptron."""

    optimizer = fw.optim.Adam
    hidden: int = 64  # units of the hidden layer

    def model(self):
        return nn.Sequential(
            nn.Linear(self.n_features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.n_classes)
        )

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


class Mlp(Digits):
    """As `plugins/mlp`."""

    optimizer = fw.optim.SGD


def trained(plan, data=DIGITS, target="digit", **arguments):
    job = fw.LocalJob(plan, data, target=target, progress=False, **{"training_args": TRAINING, **arguments})
    return job.start_training()


def values(result):
    return [value.tobytes() for _, value in sorted(result.params.items())]


def test_mlp_has_the_parameters_of_the_plan_in_rust():
    arguments = {"model_args": {"hidden": 64}}
    rust = trained(str(ROOT / "plugins/dist/mlp.wasm"), **arguments)
    assert list(rust.params) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    traced = trained(Mlp, **arguments)
    assert list(traced.params) == ["net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"]
    here = trained(Mlp, sandbox=False, **arguments)
    assert values(traced) == values(rust) == values(here)
    assert traced.metrics == rust.metrics == here.metrics
    assert traced.metrics["accuracy"] > 0.8


def test_one_component_serves_other_tables_and_arguments():
    component = fw.plan.build(Digits)
    digits = trained(component)
    assert digits.params["net.0.weight"].shape == (64, 64)
    assert digits.metrics["accuracy"] > 0.9
    cancer = trained(component, ROOT / "examples/data/breast_cancer.csv", "benign", model_args={"hidden": 5})
    assert cancer.params["net.0.weight"].shape == (5, 30)
    assert cancer.params["net.2.weight"].shape == (2, 5)


def test_arguments_and_their_descriptions_are_announced():
    class Wide(fw.Plan):
        """Layers.

        depth: how deep
        """

        name = "wide-one"
        version = "1.2.3"
        hidden: int = fw.argument(8, doc="units")
        rate: float = 0  # share that is left out
        depth: int = 2
        flag: bool = False
        "whether it is"
        steps = 3

        def model(self):
            hidden = nn.Linear(self.n_features, self.hidden, bias=self.flag)
            return nn.Sequential(hidden, nn.Dropout(self.rate))

        def training_step(self, batch):
            return self.net(batch.inputs).mean() * self.depth

    arguments = [(each.name, each.kind, each.default, each.doc) for each in Wide.arguments()]
    assert arguments == [
        ("hidden", "integer", 8, "units"),
        ("rate", "real", 0.0, "share that is left out"),
        ("depth", "integer", 2, "how deep"),
        ("flag", "boolean", False, "whether it is"),
    ]

    class Listed(fw.Plan):
        widths: list[int] = [3, 4]

    assert [(each.kind, each.default) for each in Listed.arguments()] == [("integers", [3, 4])]
    text = str(fw.plan.inspect(Wide))
    assert text.startswith("plan wide-one 1.2.3: classification\n")
    assert "n_features: size = number of input columns" in text
    # It is not used, and so it is not announced.
    assert "n_classes" not in text


SOURCE = """\
import fedwasm as fw
from fedwasm import nn

from parts import Block


class Two(fw.Plan):
    width: int = 4

    def model(self):
        return nn.Sequential(Block(self.n_features, self.width), nn.Linear(self.width, self.n_classes))

    def training_step(self, batch):
        return fw.losses.cross_entropy(self.net(batch.inputs), batch.targets)
"""
PARTS = """\
from fedwasm import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(x).relu()
"""


def test_the_same_source_gives_the_same_bytes(tmp_path):
    built = []
    for folder in ("here", "there/deeper"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "two.py").write_text(SOURCE)
        (place / "parts.py").write_text(PARTS)
        for nth in range(2):
            environment = {**os.environ, "PYTHONHASHSEED": str(nth), "TZ": "Asia/Tokyo"}
            command = [sys.executable, "-m", "fedwasm", "build", "two.py", "-o", f"{nth}.wasm"]
            run = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
            assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
            built.append((place / f"{nth}.wasm").read_bytes())
    # From another working directory.
    command = [
        sys.executable,
        "-m",
        "fedwasm",
        "build",
        str(tmp_path / "here/two.py"),
        "-o",
        str(tmp_path / "x.wasm"),
    ]
    subprocess.run(command, cwd="/", check=True, capture_output=True)
    built.append((tmp_path / "x.wasm").read_bytes())
    assert len(set(built)) == 1
    text = str(fw.plan.inspect(built[0]))
    assert "; parts.py:9" in text and "; two.py:14" in text


def test_a_file_with_several_plans_needs_a_name(tmp_path):
    file = tmp_path / "plans.py"
    plan = "class {}(fw.Plan):\n    def training_step(self, batch):\n        return batch.inputs.mean()\n"
    file.write_text("import fedwasm as fw\n" + plan.format("One") + plan.format("Two"))
    command = [sys.executable, "-m", "fedwasm", "build", str(file)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == (
        f"error: {file} has several plans\nhelp: choose one by `--class NAME`: it has `One`, `Two`\n"
    )
    subprocess.run([*command, "--class", "Two"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "two.wasm").exists()


class Several(fw.Plan):
    """Several inputs, whole numbers, a mask as target, own metrics, frozen and local parts."""

    task = "segmentation"
    length = 5
    words: int = 11
    optimizer = fw.optim.AdamW(lr=0.01)

    def model(self):
        self.table = nn.Embedding(self.words, 3)
        self.table.freeze()
        self.bias = fw.Parameter(fw.randn(self.length) * 0.1).keep_local()
        self.ages = nn.Linear(1, self.length)
        return nn.Linear(3, 1)

    def data(self):
        return fw.Data(
            {"words": fw.integers(self.length), "age": fw.reals(1)}, {"mask": fw.classes(self.length)}
        )

    def logits(self, batch):
        words = self.table(batch["words"])
        return self.net(words).squeeze(-1) + self.bias + self.ages(batch.input("age"))

    def training_step(self, batch):
        return losses.binary_cross_entropy_with_logits(self.logits(batch), batch.targets.float())

    def predict(self, batch):
        return self.logits(batch).sigmoid()

    def metrics(self, batch):
        return {"right": ((self.logits(batch) > 0) == (batch.targets == 1)).float().mean()}


def test_several_inputs_frozen_and_local_parts(tmp_path):
    n = 60
    rng = numpy.random.default_rng(1)
    words = rng.integers(0, 11, (n, 5))
    arrays = {
        "words": words,
        "age": rng.normal(size=(n, 1)).astype("float32"),
        "mask": (words % 2).astype("int64"),
    }
    arguments = {
        "target": "mask",
        "inputs": ["words", "age"],
        "data_args": {"standardize": False},
        "training_args": {"epochs": 3, "random_seed": 2, "test_ratio": 0.2, "loader_args": {"batch_size": 8}},
    }
    results = [trained(Several, arrays, sandbox=sandbox, **arguments) for sandbox in (True, False)]
    assert values(results[0]) == values(results[1])
    assert results[0].metrics == results[1].metrics and 0 < results[0].metrics["right"] <= 1
    text = str(fw.plan.inspect(Several))
    assert "frozen" in text and "local" in text


class Sums(fw.Plan):
    """Means and squares in one round, without a gradient."""

    task = "regression"

    def model(self):
        self.mean = fw.Parameter(fw.zeros(self.n_features))
        self.square = fw.Parameter(fw.zeros(self.n_features))

    def statistics(self, batch):
        return {"mean": batch.inputs.sum(0), "square": batch.inputs.square().sum(0)}

    def predict(self, batch):
        return (batch.inputs - self.mean).sum(1, keepdim=True)


def test_statistics_become_means_over_all_rows():
    rng = numpy.random.default_rng(0)
    rows, target = rng.normal(size=(50, 4)).astype("float32"), numpy.zeros(50, "float32")
    training = {"epochs": 1, "random_seed": 1, "test_ratio": 0.0, "loader_args": {"batch_size": 7}}
    results = [
        trained(
            Sums,
            (rows, target),
            None,
            training_args=training,
            data_args={"standardize": False},
            sandbox=sandbox,
        )
        for sandbox in (True, False)
    ]
    assert values(results[0]) == values(results[1])
    numpy.testing.assert_allclose(results[0].params["mean"], rows.mean(0, dtype="float64"), rtol=1e-6)
    numpy.testing.assert_allclose(
        results[0].params["square"], (rows.astype("float64") ** 2).mean(0), rtol=1e-6
    )


class Modes(fw.Plan):
    """What asks whether it trains is traced both ways."""

    def model(self):
        return Noisy(nn.Linear(self.n_features, self.n_classes))

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


class Noisy(nn.Module):
    def __init__(self, inner):
        self.inner = inner

    def forward(self, x):
        if self.training:
            x = x + fw.randn_like(x) * 0.1
        return self.inner(x)


def test_a_branch_on_training_is_traced_both_ways():
    text = str(fw.plan.inspect(Modes))
    functions = text.split("\ntraining_step\n")[1]
    training, rest = functions.split("\npredict\n")
    assert "randn_like" in training and "randn_like" not in rest and "\ntesting_step\n" in rest
    assert values(trained(Modes)) == values(trained(Modes, sandbox=False))


class Starts(fw.Plan):
    """Own starts of parameters, of modules of the library, too; one weight frozen."""

    def model(self):
        net = nn.Sequential(nn.Linear(self.n_features, 4), nn.Tanh(), nn.Linear(4, self.n_classes))
        nn.init.xavier_uniform_(net[0].weight)
        nn.init.zeros_(net[0].bias)
        net[2].bias.requires_grad = False
        self.shift = fw.Parameter(numpy.array([1.0, 2.0, 3.0, 4.0]))
        return net

    def training_step(self, batch):
        hidden = self.net[1](self.net[0](batch.inputs) * self.shift)
        return losses.cross_entropy(self.net[2](hidden), batch.targets)

    def predict(self, batch):
        return self.net[2](self.net[1](self.net[0](batch.inputs) * self.shift))


def test_own_starts_and_single_frozen_parameters():
    none = {**TRAINING, "epochs": 1, "optimizer_args": {"lr": 1e-30}}
    start = trained(Starts, training_args=none).params
    bound = (6 / (64 + 4)) ** 0.5
    assert 0.9 * bound < abs(start["net.0.weight"]).max() <= bound
    assert abs(start["net.0.bias"]).max() < 1e-20
    assert start["shift"].tolist() == [1, 2, 3, 4]
    component, here = trained(Starts), trained(Starts, sandbox=False)
    assert values(component) == values(here)
    assert component.params["net.2.bias"].tobytes() == start["net.2.bias"].tobytes()
    assert component.params["net.2.weight"].tobytes() != start["net.2.weight"].tobytes()


class Distilled(Digits):
    """A target that no gradient goes through, class weights, and powers of sizes."""

    blocked = True
    sample = {"n_classes": 10}

    def training_step(self, batch):
        scores = self.net(batch.inputs) * self.hidden**-0.3
        if self.blocked:
            with fw.no_grad():
                soft = scores.softmax(1) ** 2
        else:
            soft = scores.softmax(1) ** 2
        weight = fw.tensor([1.0, 2.0] * 5)
        hard = nn.CrossEntropyLoss(weight)(scores, batch.targets)
        return hard + losses.mse_loss(scores.softmax(1), soft) / fw.sqrt(scores.shape[1])


class Undistilled(Distilled):
    blocked = False


def test_no_grad_constants_and_numbers_compute_the_same_bits():
    blocked, here = trained(Distilled), trained(Distilled, sandbox=False)
    assert values(blocked) == values(here)
    assert values(blocked) != values(trained(Undistilled))


def test_stubs_name_what_is_there():
    import ast

    from fedwasm import _native
    from fedwasm.nn import functions

    for module, path in ((functions, "nn/functions.pyi"), (_native, "_native.pyi")):
        tree = ast.parse((ROOT / "host/python/fedwasm" / path).read_text())
        named = {each.name for each in tree.body if isinstance(each, (ast.ClassDef, ast.FunctionDef))}
        missing = named - set(vars(module))
        assert not missing, missing
    classes = {
        name
        for name, each in vars(functions).items()
        if isinstance(each, type) and each.__module__ == functions.__name__
    }
    tree = ast.parse((ROOT / "host/python/fedwasm/nn/functions.pyi").read_text())
    assert {name for name in classes if name[0] != "_"} - {"Function"} == {
        each.name for each in tree.body if isinstance(each, ast.ClassDef)
    }


class ByArgument(fw.Plan):
    """The layers are an argument."""

    layers: list[str] = ["linear 8", "relu", "linear outputs"]

    def model(self):
        return nn.Described(self.n_features, self.layers, self.n_classes)

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)


def test_layers_can_be_an_argument():
    for layers, first in ((None, (8, 64)), (["linear 5", "tanh", "dropout 0.1", "linear outputs"], (5, 64))):
        arguments = {} if layers is None else {"model_args": {"layers": layers}}
        component, here = (trained(ByArgument, sandbox=sandbox, **arguments) for sandbox in (True, False))
        assert component.params["net.0.weight"].shape == first
        assert values(component) == values(here)

    class Constant(ByArgument):
        def model(self):
            return nn.Described(self.n_features, ["linear outputs"], self.n_classes)

    with pytest.raises(fw.BuildError, match="`nn.Described` of a constant"):
        fw.plan.build(Constant)


def test_building_takes_less_than_half_a_second():
    import time

    fw.plan.build(Digits)
    start = time.perf_counter()
    component = fw.plan.build(Digits)
    assert time.perf_counter() - start < 0.5
    assert len(graph_bytes(Digits)) < 1000 < len(component)


def test_a_class_that_fails_here_raises_its_own_exception():
    class Fails(Digits):
        def predict(self, batch):
            if batch.inputs.shape[0] == 7:
                raise KeyError("seven")
            return self.net(batch.inputs)

    # In the trace sizes are symbols, so it is refused there.
    with pytest.raises(fw.BuildError, match="Python cannot compare it"):
        fw.plan.build(Fails)

    calls = []

    class Breaks(Digits):
        def training_step(self, batch):
            calls.append(batch.inputs)
            if len(calls) > 2:
                raise KeyError("the third")
            return super().training_step(batch)

    with pytest.raises(KeyError, match="the third"):
        trained(Breaks, sandbox=False)
    # The first one is that of the trace.
    assert len(calls) == 3


def test_the_example_moves_from_torch_by_its_import():
    # A module as it is written for PyTorch.
    spec = importlib.util.find_spec("fedwasm.nn.functional")
    assert spec is not None
    from fedwasm.nn import functional as F

    assert F.relu is fw.functional.relu
    assert shutil.which("python3")
