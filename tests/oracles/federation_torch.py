"""The PyTorch twin of small federations: five nodes with two digits each.

    /tmp/v2/bin/python -B tests/oracles/federation_torch.py    # -B: no __pycache__

Writes tests/data/federation_torch.json. Needs numpy, torch and declearn; the
file in the tree comes from torch 2.15.0 and declearn 2.8.0 on numpy 2.4.6 and
Python 3.11.

The experiments are those of tests/it/aggregators.rs: digits.csv, node n has
the labels 2n and 2n + 1, softmax regression, batches of 32, learning rate
0.05, a quarter of the rows held out, inputs standardised at each node,
random_seed 42. Models are torch.nn.Linear in float32, gradients are autograd's
(that of FedProx's term, too), steps are torch.optim.SGD's, and SCAFFOLD's
control variates are declearn's. Means over nodes are taken in float64 and
rounded to float32. Seeds and shuffles come from seeds_and_shuffle.py.

`accuracy` is that of the aggregated parameters after each round, over the
held-out rows of all nodes together; `weights` has the first five numbers and
the L2 norms of the parameters after some rounds.
"""
import copy
import csv
import functools
import itertools
import json
import pathlib
import struct

import numpy as np
import torch
from declearn.model.torch import TorchVector
from declearn.optimizer.modules import ScaffoldClientModule, ScaffoldServerModule

from seeds_and_shuffle import chacha20_words, seed, shuffle

ROOT = pathlib.Path(__file__).parent.parent.parent
TARGET = ROOT / "tests/data/federation_torch.json"
SEED, NODES, FEATURES, CLASSES = 42, 5, 64, 10
BATCH, LR, TEST_RATIO = 32, 0.05, 0.25

torch.set_num_threads(1)


def initial_model():
    words = chacha20_words(seed("init", SEED))
    bound = np.float32(1) / np.sqrt(np.float32(FEATURES))
    model = torch.nn.Linear(FEATURES, CLASSES)
    for parameter in (model.weight, model.bias):
        bits = np.array(list(itertools.islice(words, parameter.numel())), dtype=np.uint32)
        unit = (bits >> 8).astype(np.float32) / np.float32(2**23) - np.float32(1)
        parameter.data = torch.from_numpy(unit * bound).reshape(parameter.shape)
    return model


def standardized(x, train):
    mean, std = x[train].mean(0), x[train].std(0)
    std[std == 0] = 1
    return torch.from_numpy(((x - mean) / std).astype(np.float32))


@functools.cache
def batches(n_rows, round_, epochs):
    """Row numbers of every batch of a round; all epochs draw from one stream."""
    words = chacha20_words(seed("shuffle", SEED, struct.pack("<I", round_)))
    orders = [shuffle(list(range(n_rows)), words) for _ in range(epochs)]
    return [order[i : i + BATCH] for order in orders for i in range(0, n_rows, BATCH)]


class Node:
    def __init__(self, table, momentum, mu, scaffold):
        x, y = table[:, :-1], torch.from_numpy(table[:, -1].astype(np.int64))
        rows = shuffle(list(range(len(x))), chacha20_words(seed("split", SEED)))
        n_test = int(len(x) * TEST_RATIO)
        test, train = sorted(rows[:n_test]), sorted(rows[n_test:])
        x = standardized(x, train)
        self.train_x, self.train_y = x[train], y[train]
        self.test_x, self.test_y = x[test], y[test]
        self.mu = mu
        self.scaffold = ScaffoldClientModule() if scaffold else None
        # Both live on between rounds, and with them the momentum.
        self.model = initial_model()
        self.sgd = torch.optim.SGD(self.model.parameters(), LR, momentum)

    def train(self, start, round_, epochs):
        self.model.load_state_dict(start.state_dict())
        for rows in batches(len(self.train_x), round_, epochs):
            self.sgd.zero_grad()
            scores = self.model(self.train_x[rows])
            loss = torch.nn.functional.cross_entropy(scores, self.train_y[rows])
            if self.mu:
                pairs = zip(self.model.parameters(), start.parameters())
                loss = loss + self.mu / 2 * sum(((w - w0.detach()) ** 2).sum() for w, w0 in pairs)
            loss.backward()
            if self.scaffold:
                named = dict(self.model.named_parameters())
                gradients = TorchVector({name: p.grad.clone() for name, p in named.items()})
                for name, gradient in self.scaffold.run(gradients).coefs.items():
                    named[name].grad.copy_(gradient)
            self.sgd.step()
        return self.model

    def n_right(self, model):
        with torch.no_grad():
            return int((model(self.test_x).argmax(1) == self.test_y).sum())


def mean(models, shares):
    """The mean in float64, rounded to float32."""
    averaged = copy.deepcopy(models[0])
    with torch.no_grad():
        for into, *of in zip(averaged.parameters(), *(model.parameters() for model in models)):
            total = sum(share * w.double() for share, w in zip(shares, of))
            into.copy_(total / sum(shares))
    return averaged


def record(model):
    weight, bias = (p.detach().double().ravel() for p in (model.weight, model.bias))
    return {
        "weight": weight[:5].tolist(),
        "weight_norm": weight.norm().item(),
        "bias": bias[:5].tolist(),
        "bias_norm": bias.norm().item(),
    }


def federation(rounds=20, epochs=5, momentum=0.0, mu=0.0, scaffold=False):
    rows = list(csv.reader(open(ROOT / "examples/data/digits.csv")))[1:]
    table = np.array(rows, dtype=np.float64)
    parts = [table[(table[:, -1] // 2).astype(int) == n] for n in range(NODES)]
    nodes = [Node(part, momentum, mu, scaffold) for part in parts]
    server = ScaffoldServerModule() if scaffold else None
    model = initial_model()
    result = {"accuracy": [], "weights": {}}
    for round_ in range(1, rounds + 1):
        if server:
            sent = server.collect_aux_var()
            for node in nodes:
                node.scaffold.process_aux_var(sent)
        trained = [node.train(model, round_, epochs) for node in nodes]
        # With server_lr = 1, x - 1/5 Σ (x - y_i) is the plain mean of the y_i.
        model = mean(trained, [1 if scaffold else len(node.train_x) for node in nodes])
        if server:
            received = [node.scaffold.collect_aux_var() for node in nodes]
            server.process_aux_var(functools.reduce(lambda a, b: a + b, received))
        n_right = sum(node.n_right(model) for node in nodes)
        result["accuracy"].append(n_right / sum(len(node.test_y) for node in nodes))
        if round_ in (1, rounds):
            result["weights"][str(round_)] = record(model)
    return result


if __name__ == "__main__":
    result = {
        "fedavg": federation(),
        "fedprox": federation(mu=0.1),
        "scaffold": federation(scaffold=True),
        "keep_state": federation(rounds=3, epochs=1, momentum=0.9),
    }
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    print(TARGET)
