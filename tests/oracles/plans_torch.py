"""The PyTorch twins of the shipped plans: one epoch each of `fedwasm local`.

    /tmp/vt/bin/python -B tests/oracles/plans_torch.py    # -B: no __pycache__

Writes tests/data/plans_torch.json. Needs numpy and torch; the file in the tree comes from torch
2.15.0 on numpy 2.5.1. The jobs are those of tests/it/accuracy.rs: random_seed 42, a fifth of the
rows held out, inputs standardised on the others (images as a whole), initial parameters drawn as
the plans draw them, batches in the order of seeds_and_shuffle.py. Everything else is PyTorch's:
layers, losses, autograd, torch.optim.SGD.

For each parameter: its L2 norm, and elements at a stride of a thousandth of its length.
"""
import csv
import gzip
import itertools
import json
import pathlib
import struct

import numpy as np
import torch
from torch import nn

from seeds_and_shuffle import chacha20_words, seed, shuffle

ROOT = pathlib.Path(__file__).parent.parent.parent
TARGET = ROOT / "tests/data/plans_torch.json"
SEED, TEST_RATIO = 42, 0.2

torch.set_num_threads(1)


def table(name):
    rows = list(csv.reader(open(ROOT / "examples/data" / name)))[1:]
    values = np.array(rows, dtype=np.float64)
    return values[:, :-1], values[:, -1]


def images():
    def idx(name, offset):
        path = ROOT / "examples/data/mnist10k" / name
        return np.frombuffer(gzip.open(path).read(), np.uint8, offset=offset)

    pixels = idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    return (pixels / np.float64(255)), idx("train-labels-idx1-ubyte.gz", 8)


def split(x, y, as_whole):
    """The rows to train on, standardised, in ascending order."""
    rows = shuffle(list(range(len(x))), chacha20_words(seed("split", SEED)))
    train = sorted(rows[int(len(x) * TEST_RATIO) :])
    x, y = x[train], y[train]
    if as_whole:
        # Pixels are handed out in float32 before they are standardised.
        x = x.astype(np.float32).astype(np.float64)
        mean, std = x.mean(), x.std()
    else:
        mean, std = x.mean(0), x.std(0)
        std[std == 0] = 1
    return torch.from_numpy(((x - mean) / std).astype(np.float32)), y


def draw(model):
    """U(-k, k), k = 1/√inputs, for each layer its weight and then its bias."""
    words = chacha20_words(seed("init", SEED))
    for layer in model.modules():
        if not isinstance(layer, (nn.Linear, nn.Conv2d)):
            continue
        bound = np.float32(1) / np.sqrt(np.float32(layer.weight[0].numel()))
        for parameter in (layer.weight, layer.bias):
            bits = np.array(list(itertools.islice(words, parameter.numel())), dtype=np.uint32)
            unit = (bits >> 8).astype(np.float32) / np.float32(2**23) - np.float32(1)
            parameter.data = torch.from_numpy(unit * bound).reshape(parameter.shape)


def train(model, x, y, loss, batch, **sgd):
    optimizer = torch.optim.SGD(model.parameters(), **sgd)
    order = shuffle(
        list(range(len(x))), chacha20_words(seed("shuffle", SEED, struct.pack("<I", 1)))
    )
    for first in range(0, len(x), batch):
        rows = order[first : first + batch]
        optimizer.zero_grad()
        loss(model(x[rows]), y[rows]).backward()
        optimizer.step()


def record(named):
    result = {}
    for name, parameter in named:
        values = parameter.detach().double().ravel()
        stride = max(1, len(values) // 1000)
        result[name] = {"norm": values.norm().item(), "elements": values[::stride].tolist()}
    return result


class Svm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(30)), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x @ self.weight + self.bias


def classifier(layers, data, batch, as_whole=False, shape=None, **sgd):
    x, y = split(*data, as_whole)
    if shape:
        x = x.reshape(-1, *shape)
    model = nn.Sequential(layers)
    draw(model)
    y = torch.from_numpy(y.astype(np.int64))
    train(model, x, y, nn.functional.cross_entropy, batch, **sgd)
    return record(model.named_parameters())


def main():
    from collections import OrderedDict as Layers

    mlp = Layers(hidden=nn.Linear(784, 128), relu=nn.ReLU(), output=nn.Linear(128, 10))
    cnn = Layers(
        conv1=nn.Conv2d(1, 8, 5), pool1=nn.MaxPool2d(2), relu1=nn.ReLU(),
        conv2=nn.Conv2d(8, 16, 5), pool2=nn.MaxPool2d(2), relu2=nn.ReLU(),
        flatten=nn.Flatten(), output=nn.Linear(256, 10),
    )
    result = {
        "logistic-regression": classifier(
            Layers(linear=nn.Linear(30, 2)), table("breast_cancer.csv"), 32, lr=0.1
        ),
        "mlp": classifier(
            mlp, images(), 64, True, lr=0.1, momentum=0.5, nesterov=True, weight_decay=1e-4
        ),
        "cnn": classifier(cnn, images(), 64, True, (1, 28, 28), lr=0.05),
    }
    x, y = split(*table("diabetes.csv"), False)
    model = nn.Sequential(Layers(linear=nn.Linear(10, 1)))
    draw(model)
    y = torch.from_numpy(y.astype(np.float32))[:, None]
    train(model, x, y, nn.functional.mse_loss, 32, lr=0.01)
    result["linear-regression"] = record(model.named_parameters())

    x, y = split(*table("breast_cancer.csv"), False)
    svm, sides = Svm(), torch.from_numpy((2 * y - 1).astype(np.float32))

    def hinge(distances, sides):
        margin = nn.functional.relu(1 - sides * distances).mean()
        return margin + 0.001 / 2 * (svm.weight**2).sum()

    train(svm, x, sides, hinge, 32, lr=0.05)
    result["linear-svm"] = record(svm.named_parameters())
    TARGET.write_text(json.dumps(result) + "\n")
    print(TARGET, TARGET.stat().st_size)


main()
