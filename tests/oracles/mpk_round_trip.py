"""Reads with Fed-BioMed what fedwasm wrote, and the other way round.

    python tests/oracles/mpk_round_trip.py target/debug/fedwasm

Needs PyPI fedbiomed 6.4.1 (with declearn[torch]<2.9, msgpack, numpy, torch). Without it the script says
`skipped` and ends well: `.ci/run` calls it wherever it runs.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from fedbiomed.common.models import TorchModel
    from fedbiomed.common.serializer import Serializer
except ImportError as error:
    print(f"mpk round trip: SKIPPED, fedbiomed cannot be imported here ({error})")
    sys.exit(0)

root = pathlib.Path(__file__).resolve().parents[2]
binary = pathlib.Path(sys.argv[1]).resolve()
plan = root / "plugins/dist/logistic-regression.wasm"
data = root / "examples/data/breast_cancer.csv"


def fedwasm(*args):
    command = [binary, "--json", *args, "--plan", plan, "--data", data, "--target", "benign"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(lines.splitlines()[-1])


with tempfile.TemporaryDirectory() as scratch:
    ours = pathlib.Path(scratch) / "out/params.mpk"
    fedwasm("local", "--seed", "7", "--out", ours.parent)
    loaded = Serializer.load(str(ours))
    assert list(loaded) == ["researcher_id", "model_weights"], list(loaded)
    assert Serializer.dumps(loaded) == ours.read_bytes(), "Fed-BioMed writes other bytes"

    # Their Torch plans load it: the model of a plan takes the weights and nothing is missing.
    model = torch.nn.Sequential()
    model.add_module("linear", torch.nn.Linear(30, 2))
    TorchModel(model).set_weights(loaded["model_weights"])
    assert torch.equal(model.linear.weight, loaded["model_weights"]["linear.weight"])

    # Other numbers, written there and read here: the class with the larger score wins. Those of a
    # scikit-learn plan are NumPy arrays of float64.
    args = pathlib.Path(scratch) / "args.toml"
    args.write_text("[model]\nn_classes = 2\n")
    weights = {name: torch.zeros_like(value) for name, value in loaded["model_weights"].items()}
    weights["linear.bias"][1] = 1.0
    arrays = {name: value.numpy().astype(np.float64) for name, value in weights.items()}
    for content in {"researcher_id": "r", "model_weights": weights}, arrays:
        theirs = pathlib.Path(scratch) / "theirs.mpk"
        Serializer.dump(content, str(theirs))
        metrics = fedwasm("evaluate", "--params", theirs, "--args", args)["metrics"]
        assert abs(metrics["accuracy"] - 357 / 569) < 1e-12, metrics
        assert metrics["recall"] == 1.0, metrics

print("mpk round trip: equal bytes there and here")
