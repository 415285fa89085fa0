"""The float64 twin of a cross-validation of plugins/logistic-regression: two
epochs of softmax regression with momentum on each fold of breast_cancer.csv,
batches in file order, scored on the rows that the fold holds out.

Writes tests/data/folds_numpy.json: loss and accuracy of every fold, their mean
and their standard deviation (divisor n - 1). Needs numpy.
"""
import csv
import json
import pathlib
import statistics

import numpy as np

from seeds_and_shuffle import folds

ROOT = pathlib.Path(__file__).parent.parent.parent
FEATURES, CLASSES, BATCH, LR, MOMENTUM, EPOCHS = 30, 2, 32, 0.1, 0.9, 2
FOLDS, SEED = 5, 42


def probabilities(x, weight, bias):
    scores = x @ weight.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def train(x, y):
    # Start values that float32 holds exactly: multiples of 1/64.
    weight = np.array([[(7 * c + 3 * k) % 11 - 5 for k in range(FEATURES)] for c in range(CLASSES)]) / 64
    bias = np.array([0.25, -0.125])
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    for _ in range(EPOCHS):
        for start in range(0, len(x), BATCH):
            xb, yb = x[start : start + BATCH], y[start : start + BATCH]
            g = (probabilities(xb, weight, bias) - np.eye(CLASSES)[yb]) / len(xb)
            velocity = [MOMENTUM * v + d for v, d in zip(velocity, [g.T @ xb, g.sum(0)])]
            weight, bias = weight - LR * velocity[0], bias - LR * velocity[1]
    return weight, bias


if __name__ == "__main__":
    rows = list(csv.reader(open(ROOT / "examples/data/breast_cancer.csv")))[1:]
    table = np.array(rows, dtype=np.float64)
    scores = []
    for held_out in folds(len(table), FOLDS, SEED):
        test = np.isin(np.arange(len(table)), held_out)
        x, y = table[:, :-1], table[:, -1].astype(int)
        x = (x - x[~test].mean(0)) / x[~test].std(0)
        p = probabilities(x[test], *train(x[~test], y[~test]))
        loss = -np.log(p[np.arange(test.sum()), y[test]]).mean()
        accuracy = (p.argmax(1) == y[test]).mean()
        scores.append({"rows": int(test.sum()), "loss": float(loss), "accuracy": float(accuracy)})
    result = {"folds": scores}
    for name, of in [("mean", statistics.mean), ("std", statistics.stdev)]:
        result[name] = {key: of(fold[key] for fold in scores) for key in ["accuracy", "loss"]}
    target = ROOT / "tests/data/folds_numpy.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(target)
