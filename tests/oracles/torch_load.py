"""Parameters of models in networks of PyTorch, against `fedwasm predict --scores`.

    FEDWASM=target/debug/fedwasm python -B tests/oracles/torch_load.py

Needs torch. `load_state_dict(strict=True)` takes params.safetensors into the same network written in
torch.nn; its scores of scaled rows must agree within 1e-5.
"""

import csv
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import torch
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
CANCER = ROOT / "examples/data/breast_cancer.csv"
TOLERANCE = 1e-5
FEDWASM = os.environ["FEDWASM"]


class Linear(nn.Module):
    def __init__(self, params):
        super().__init__()
        outputs, inputs = params["linear.weight"].shape
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(x)


class Mlp(nn.Module):
    def __init__(self, params):
        super().__init__()
        hidden, inputs = params["hidden.weight"].shape
        self.hidden = nn.Linear(inputs, hidden)
        self.output = nn.Linear(hidden, params["output.weight"].shape[0])

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


def safetensors(path):
    """Tensors of float32 by name (github.com/huggingface/safetensors, Format)."""
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32", entry
            start, end = entry["data_offsets"]
            values = torch.frombuffer(bytearray(data[8 + n + start : 8 + n + end]), dtype=torch.float32)
            tensors[name] = values.reshape(entry["shape"])
    return tensors


def check(plan, target, network, folder):
    out, scores = folder / plan, folder / f"{plan}.csv"
    wasm = ROOT / f"plugins/dist/{plan}.wasm"
    run = [FEDWASM, "local", "--plan", wasm, "--data", CANCER, "--target", target, "--seed", "1", "--out", out]
    subprocess.run(run, check=True, capture_output=True)
    run = [FEDWASM, "predict", out, "--data", CANCER, "--scores", "--out", scores]
    subprocess.run(run, check=True, capture_output=True)
    with open(CANCER, encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    scales = json.loads((out / "model/preprocessing.json").read_text())["columns"]
    columns = [names.index(scale["name"]) for scale in scales]
    x = torch.tensor([[float(row[at]) for at in columns] for row in rows], dtype=torch.float64)
    mean = torch.tensor([scale["mean"] for scale in scales], dtype=torch.float64)
    std = torch.tensor([scale["std"] for scale in scales], dtype=torch.float64)
    params = safetensors(out / "model/params.safetensors")
    module = network(params)
    module.load_state_dict(params, strict=True)
    with torch.no_grad():
        got = module(((x - mean) / std).float())
    with open(scores, encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    wanted = [at for at, name in enumerate(names) if name.startswith("score_")] or [names.index("predicted")]
    said = torch.tensor([[float(row[at]) for at in wanted] for row in rows])
    worst = (got - said).abs().max().item()
    print(f"{plan:<20} {worst:.1e}")
    assert got.shape == said.shape and worst < TOLERANCE, (got.shape, said.shape)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check("logistic-regression", "benign", Linear, folder)
        check("linear-regression", "mean_radius", Linear, folder)
        check("mlp", "benign", Mlp, folder)


if __name__ == "__main__":
    main()
