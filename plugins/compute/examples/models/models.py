#!/usr/bin/env python3
"""The models of `main.rs` in PyTorch, both measured in turn.

    cargo build --release --example models
    python3 examples/models/models.py [--rounds 15] [--model NAME] [--all-cores]

Prints, for each model and instruction set, the least time of an epoch (processor time with one
thread, wall time with all cores), the ratio, and the losses after the same epochs.
"""
import os
import subprocess
import sys
import time

import argparse

HELD = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
MODELS = ["logistic", "mlp-64-32-10", "mlp-784-128-10", "mlp-784-512-10", "cnn", "resnet", "unet", "lstm", "transformer"]


def worker(name, threads):
    import numpy as np
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)

    def number(n, seed):
        h = (np.arange(n, dtype=np.uint64) + seed * 0x9E3779B9) & 0xFFFFFFFF
        h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
        h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
        return (h ^ (h >> 16)) / 4294967296.0 - 0.5

    def floats(sizes, seed, scale):
        n = int(np.prod(sizes))
        return torch.tensor((number(n, seed) * scale).astype(np.float32)).reshape(sizes)

    def classes(sizes, seed, most):
        n = int(np.prod(sizes))
        return torch.tensor(((number(n, seed) + 0.5) * most).astype(np.int64)).reshape(sizes)

    weights = []

    def weight(*sizes):
        inputs = int(np.prod(sizes)) // sizes[0]
        weights.append(floats(sizes, 100 + len(weights), 2.0 / inputs**0.5).requires_grad_())

    def all_of(n, value):
        weights.append(torch.full((n,), value).requires_grad_())

    tokens, target, most, optimizer = None, (), 10, "sgd"
    if name == "logistic":
        rows, batch, row, most = 569, 32, (30,), 2
        weight(2, 30), all_of(2, 0.0)
        w = weights

        def loss(x, y):
            return F.cross_entropy(F.linear(x, w[0], w[1]), y)

    elif name.startswith("mlp"):
        n, hidden, _ = map(int, name.split("-")[1:])
        rows, batch = (1797, 32) if n == 64 else (6400, 64)
        row = (n,)
        weight(hidden, n), all_of(hidden, 0.0), weight(10, hidden), all_of(10, 0.0)
        w = weights

        def loss(x, y):
            return F.cross_entropy(F.linear(F.relu(F.linear(x, w[0], w[1])), w[2], w[3]), y)

    elif name == "cnn":
        rows, batch, row = 6400, 64, (1, 28, 28)
        weight(8, 1, 5, 5), all_of(8, 0.0), weight(16, 8, 5, 5), all_of(16, 0.0)
        weight(10, 256), all_of(10, 0.0)
        w = weights

        def loss(x, y):
            x = F.relu(F.max_pool2d(F.conv2d(x, w[0], w[1]), 2))
            x = F.relu(F.max_pool2d(F.conv2d(x, w[2], w[3]), 2))
            return F.cross_entropy(F.linear(x.flatten(1), w[4], w[5]), y)

    elif name == "resnet":
        rows, batch, row, optimizer = 320, 32, (3, 32, 32), "momentum"
        weight(16, 3, 3, 3), all_of(16, 1.0), all_of(16, 0.0)
        weight(16, 16, 3, 3), all_of(16, 1.0), all_of(16, 0.0)
        weight(10, 256), all_of(10, 0.0)
        w = weights

        def loss(x, y):
            x = F.relu(F.batch_norm(F.conv2d(x, w[0], padding=1), None, None, w[1], w[2], True))
            h = F.batch_norm(F.conv2d(x, w[3], padding=1), None, None, w[4], w[5], True)
            x = F.avg_pool2d(F.relu(x + h), 8)
            return F.cross_entropy(F.linear(x.flatten(1), w[6], w[7]), y)

    elif name == "unet":
        rows, batch, row, target, most, optimizer = 40, 8, (1, 64, 64), (64, 64), 2, "momentum"
        for f, c in [(16, 1), (16, 16), (32, 16), (32, 32)]:
            weight(f, c, 3, 3), all_of(f, 0.0)
        weight(32, 16, 2, 2), all_of(16, 0.0), weight(16, 32, 3, 3), all_of(16, 0.0)
        weight(2, 16, 1, 1), all_of(2, 0.0)
        w = weights

        def step(x, nth):
            return F.relu(F.conv2d(x, w[nth], w[nth + 1], padding=1))

        def loss(x, y):
            fine = step(step(x, 0), 2)
            x = step(step(F.max_pool2d(fine, 2), 4), 6)
            x = F.conv_transpose2d(x, w[8], w[9], stride=2)
            x = step(torch.cat([fine, x], 1), 10)
            return F.cross_entropy(F.conv2d(x, w[12], w[13]), y)

    elif name.startswith("lstm"):
        rows, batch, row, optimizer = 160, 32, (100, 16), "adam"
        weight(256, 16), weight(256, 64), all_of(256, 0.0), weight(10, 64), all_of(10, 0.0)
        w = weights
        fused = torch.zeros(256)

        def loss(x, y):
            hidden = cell = None
            if name == "lstm-fused":
                state = torch.zeros(1, len(x), 64)
                all_w = [w[0], w[1], w[2], fused]
                _, hidden, _ = torch.lstm(x, (state, state), all_w, True, 1, 0.0, True, False, True)
                return F.cross_entropy(F.linear(hidden[0], w[3], w[4]), y)
            for nth in range(100):
                gates = F.linear(x[:, nth], w[0], w[2])
                if hidden is not None:
                    gates = gates + F.linear(hidden, w[1])
                i, f, g, o = gates.chunk(4, 1)
                i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
                cell = i * g if cell is None else f * cell + i * g
                hidden = o * cell.tanh()
            return F.cross_entropy(F.linear(hidden, w[3], w[4]), y)

    else:
        rows, batch, row, target, most, optimizer, tokens = 320, 32, (64,), (64,), 256, "adam", 256
        weight(256, 64), weight(64, 64)
        for _ in range(2):
            all_of(64, 1.0), all_of(64, 0.0), weight(192, 64), all_of(192, 0.0)
            weight(64, 64), all_of(64, 0.0), all_of(64, 1.0), all_of(64, 0.0)
            weight(256, 64), all_of(256, 0.0), weight(64, 256), all_of(64, 0.0)
        all_of(64, 1.0), all_of(64, 0.0), weight(256, 64), all_of(256, 0.0)
        w = weights

        def block(x, w):
            h = F.linear(F.layer_norm(x, (64,), w[0], w[1]), w[2], w[3])
            q, k, v = h.reshape(len(x), 64, 3, 4, 16).permute(2, 0, 3, 1, 4)
            h = F.scaled_dot_product_attention(q, k, v)
            x = x + F.linear(h.transpose(1, 2).reshape(len(x), 64, 64), w[4], w[5])
            h = F.gelu(F.linear(F.layer_norm(x, (64,), w[6], w[7]), w[8], w[9]))
            return x + F.linear(h, w[10], w[11])

        def loss(x, y):
            x = F.embedding(x, w[0]) + w[1]
            x = block(block(x, w[2:14]), w[14:26])
            scores = F.linear(F.layer_norm(x, (64,), w[26], w[27]), w[28], w[29])
            return F.cross_entropy(scores.reshape(-1, 256), y.reshape(-1))

    x = floats((rows, *row), 1, 2.0) if tokens is None else classes((rows, *row), 1, tokens)
    y = classes((rows, *target), 2, most)
    if optimizer == "adam":
        # The fastest of its three.
        rule = torch.optim.Adam(weights, lr=0.001, fused=True)
    elif optimizer == "momentum":
        rule = torch.optim.SGD(weights, lr=0.01, momentum=0.9)
    else:
        rule = torch.optim.SGD(weights, lr=0.01 if name == "cnn" else 0.05)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for start in range(0, rows, batch):
            rule.zero_grad()
            now = loss(x[start : start + batch], y[start : start + batch])
            now.backward()
            rule.step()
        last = now.item()
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        print(processor * 1e3, wall * 1e3, last, flush=True)


class Contender:
    def __init__(self, arguments, held):
        environment = {**os.environ, **(HELD if held else {})}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.least, self.losses = [float("inf")] * 2, []

    def epoch(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        *times, loss = map(float, self.process.stdout.readline().split())
        self.least = [min(pair) for pair in zip(self.least, times)]
        self.losses.append(loss)
        return times[1]


def measure(name, threads, levels, rounds, seconds):
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(here, "../../target"))
    ours = os.path.join(target, "release/examples/models")
    contenders = {}
    for level in levels:
        held = level == "avx2"
        ours_name = name.removesuffix("-fused")
        contenders["ours", level] = Contender([ours, ours_name, level, str(threads)], held)
        other = [sys.executable, os.path.abspath(__file__), "--worker", name, str(threads)]
        contenders["torch", level] = Contender(other, held)
    end = time.monotonic() + seconds
    done = 0
    while done < 3 or (done < rounds and time.monotonic() < end):
        for contender in contenders.values():
            # Short ones several times, so that each turn has warm caches.
            first = contender.epoch()
            for _ in range(min(20, int(30 / first))):
                contender.epoch()
        done += 1
    nth = 0 if threads == 1 else 1
    for level in levels:
        a, b = contenders["ours", level], contenders["torch", level]
        apart = max(abs(x - y) / abs(y) for x, y in list(zip(a.losses, b.losses))[:2])
        ratio = b.least[nth] / a.least[nth]
        print(
            f"{name:16} {level:7} {threads} thread(s): ours {a.least[nth]:9.3f} ms, torch {b.least[nth]:9.3f} ms,"
            f" ratio {ratio:6.2f}; losses {a.losses[0]:.6f} {b.losses[0]:.6f}, apart {apart:.1e}",
            flush=True,
        )
    for contender in contenders.values():
        contender.process.stdin.close()
        contender.process.wait()


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--worker":
        return worker(sys.argv[2], int(sys.argv[3]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=30, help="at most, for a model")
    parser.add_argument("--model", action="append")
    parser.add_argument("--level", action="append")
    parser.add_argument("--all-cores", action="store_true")
    of = parser.parse_args()
    threads = os.cpu_count() if of.all_cores else 1
    for name in of.model or MODELS:
        measure(name, threads, of.level or ["avx512", "avx2"], of.rounds, of.seconds)


if __name__ == "__main__":
    main()
