"""Prints how rows are dealt to the nodes of a simulation, as host/simulation/src/partition.rs expects.

An independent implementation of its rules; NumPy's own functions cut the pieces. Needs NumPy and
seeds_and_shuffle.py beside it.
"""
import math

import numpy as np

from seeds_and_shuffle import chacha20_words, seed, shuffle

CLASSES = [0, 1, 0, 2, 1, 0, 0, 2, 0, 1, 0, 0, 2, 2, 1, 0, 1, 1, 2, 0]


class Draws:
    def __init__(self, random_seed):
        self.words = chacha20_words(seed("partition", random_seed))

    def permutation(self, items):
        return shuffle(list(items), self.words)

    def uniform(self):
        word = next(self.words) | next(self.words) << 32
        return (word >> 11) / 2**53

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())

    def log_gamma(self, shape):
        """Marsaglia and Tsang 2000."""
        if shape < 1:
            return self.log_gamma(shape + 1) + math.log(1 - self.uniform()) / shape
        d = shape - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x = self.normal()
            v = (1 + c * x) ** 3
            if v <= 0:
                continue
            u = 1 - self.uniform()
            if math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return math.log(d * v)

    def dirichlet(self, alpha, n):
        logs = np.array([self.log_gamma(alpha) for _ in range(n)])
        parts = np.exp(logs - logs.max())
        return parts / parts.sum()


def iid(n_nodes, random_seed):
    return np.array_split(Draws(random_seed).permutation(range(len(CLASSES))), n_nodes)


def dirichlet(alpha, n_nodes, random_seed):
    draws, nodes = Draws(random_seed), [[] for _ in range(n_nodes)]
    for c in np.unique(CLASSES):
        rows = draws.permutation(np.flatnonzero(np.array(CLASSES) == c))
        cuts = (np.cumsum(draws.dirichlet(alpha, n_nodes)) * len(rows)).astype(int)[:-1]
        for node, piece in zip(nodes, np.split(np.array(rows), cuts)):
            node.extend(piece)
    return nodes


def shards(per_node, n_nodes, random_seed):
    pieces = np.array_split(np.argsort(CLASSES, kind="stable"), n_nodes * per_node)
    order = Draws(random_seed).permutation(range(len(pieces)))
    own = [order[at : at + per_node] for at in range(0, len(order), per_node)]
    return [np.concatenate([pieces[shard] for shard in of]) for of in own]


def sizes(lengths, random_seed):
    rows = Draws(random_seed).permutation(range(len(CLASSES)))
    return np.split(np.array(rows), np.cumsum(lengths))[:-1]


def show(name, nodes):
    print(f"const {name}: [&[u64]; {len(nodes)}] =")
    print("    [" + ", ".join("&" + str(sorted(int(row) for row in node)) for node in nodes) + "];")


if __name__ == "__main__":
    show("IID", iid(3, 42))
    show("DIRICHLET", dirichlet(0.5, 3, 42))
    show("SHARP", dirichlet(0.01, 4, 42))
    show("SHARDS", shards(2, 4, 42))
    show("SIZES", sizes([7, 2, 3], 42))
