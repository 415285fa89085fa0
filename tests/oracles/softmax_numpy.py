"""The float64 twin of plugins/logistic-regression: one epoch of softmax
regression with momentum on breast_cancer.csv, in file order, all rows.

Writes tests/data/softmax_numpy.json. Needs numpy.
"""
import csv
import json
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
FEATURES, CLASSES, BATCH, LR, MOMENTUM = 30, 2, 32, 0.1, 0.9

rows = list(csv.reader(open(ROOT / "examples/data/breast_cancer.csv")))[1:]
table = np.array(rows, dtype=np.float64)
x, y = table[:, :-1], table[:, -1].astype(int)
x = (x - x.mean(0)) / x.std(0)

# Start values that float32 holds exactly: multiples of 1/64.
weight = np.array([[(7 * c + 3 * k) % 11 - 5 for k in range(FEATURES)] for c in range(CLASSES)]) / 64
bias = np.array([0.25, -0.125])

velocity = None
for start in range(0, len(x), BATCH):
    xb, yb = x[start : start + BATCH], y[start : start + BATCH]
    scores = xb @ weight.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    g = (p - np.eye(CLASSES)[yb]) / len(xb)
    gradient = [g.T @ xb, g.sum(0)]
    velocity = gradient if velocity is None else [MOMENTUM * v + d for v, d in zip(velocity, gradient)]
    weight, bias = weight - LR * velocity[0], bias - LR * velocity[1]

target = ROOT / "tests/data/softmax_numpy.json"
target.write_text(json.dumps({"weight": weight.tolist(), "bias": bias.tolist()}, indent=1) + "\n")
print(target)
