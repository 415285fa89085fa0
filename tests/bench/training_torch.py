"""Time per epoch of the same models in PyTorch, for `cargo bench --bench training`.

One thread, batches as slices of tensors, no DataLoader. Prints one JSON object: milliseconds by
model, the fastest of a few epochs.
"""
import json
import sys
import time

import torch
from torch import nn

torch.set_num_threads(1)


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(8, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 10),
    )


def mlp(inputs, hidden):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10))


MODELS = {
    "logistic": (lambda: nn.Linear(30, 2), (569, 30), 2, 32, 20),
    "mlp-digits": (lambda: mlp(64, 32), (1797, 64), 10, 32, 10),
    "mlp-784": (lambda: mlp(784, 128), (6400, 784), 10, 64, 8),
    "cnn": (cnn, (6400, 1, 28, 28), 10, 64, 3),
}

times = {}
for name, (build, shape, classes, batch, epochs) in MODELS.items():
    torch.manual_seed(0)
    x, y = torch.rand(shape), torch.randint(classes, shape[:1])
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    best = float("inf")
    for _ in range(epochs):
        start = time.perf_counter()
        order = torch.randperm(len(x))
        for first in range(0, len(x), batch):
            rows = order[first : first + batch]
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()
        best = min(best, time.perf_counter() - start)
    times[name] = best * 1e3
json.dump(times, sys.stdout)
