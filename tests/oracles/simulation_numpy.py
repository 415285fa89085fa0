"""The rounds of tests/bench/simulation.rs as a bare loop in NumPy: softmax regression, federated
averaging, batches in a new order each time. No node, no message, no check: what the arithmetic takes.

    simulation_numpy.py DATA.csv NODES PER_ROUND ROUNDS EPOCHS BATCH_SIZE

Prints one object: the median of a round in milliseconds, the largest memory in MiB, the accuracy on the
rows that all nodes hold out. Everything is prepared before the first round. Needs NumPy.
"""
import json
import resource
import sys
import time

import numpy as np


def prepared(data, rows, random):
    """A node's training rows and held-out rows, scaled by the training rows, as float32."""
    rows = random.permutation(rows)
    n_test = len(rows) // 5
    test, train = data[rows[:n_test]], data[rows[n_test:]]
    mean, std = train[:, :-1].mean(axis=0), train[:, :-1].std(axis=0)
    std[std == 0] = 1
    scaled = lambda part: ((part[:, :-1] - mean) / std).astype(np.float32)
    return scaled(train), train[:, -1].astype(int), scaled(test), test[:, -1].astype(int)


def train(w, b, x, y, epochs, batch_size, random, lr=np.float32(0.1)):
    w, b = w.copy(), b.copy()
    for _ in range(epochs):
        order = random.permutation(len(y))
        for start in range(0, len(y), batch_size):
            batch = order[start : start + batch_size]
            inputs = x[batch]
            scores = inputs @ w + b
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            scores[np.arange(len(batch)), y[batch]] -= 1
            scores /= np.float32(len(batch))
            w -= lr * (inputs.T @ scores)
            b -= lr * scores.sum(axis=0)
    return w, b


def main(path, n_nodes, per_round, rounds, epochs, batch_size):
    random = np.random.default_rng(42)
    data = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    pieces = np.array_split(random.permutation(len(data)), n_nodes)
    nodes = [prepared(data, rows, random) for rows in pieces]
    w, b = np.zeros((data.shape[1] - 1, 10), np.float32), np.zeros(10, np.float32)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        sampled = np.sort(random.choice(n_nodes, per_round, replace=False))
        n = sum(len(nodes[node][1]) for node in sampled)
        sum_w, sum_b = np.zeros(w.shape), np.zeros(b.shape)
        for node in sampled:
            x, y, _, _ = nodes[node]
            new_w, new_b = train(w, b, x, y, epochs, batch_size, random)
            sum_w += len(y) / n * new_w
            sum_b += len(y) / n * new_b
        w, b = sum_w.astype(np.float32), sum_b.astype(np.float32)
        times.append(time.perf_counter() - start)
    right = sum(int((np.argmax(x @ w + b, axis=1) == y).sum()) for _, _, x, y in nodes)
    held_out = sum(len(y) for _, _, _, y in nodes)
    times.sort()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": times[len(times) // 2] * 1e3, "mib": memory, "accuracy": right / held_out}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
