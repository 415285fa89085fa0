#!/usr/bin/env python3
"""What `main.rs` beside it prints, for PyTorch: python3 examples/sums/sums.py"""
import numpy as np
import torch

torch.set_num_threads(1)


def numbers(shape, seed):
    h = (np.arange(np.prod(shape), dtype=np.uint64) + seed * 0x9E3779B9) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    x = ((h ^ (h >> 16)) / 4294967296.0 - 0.5).astype(np.float32)
    return torch.tensor(x).reshape(shape)


def row(name, f, *inputs):
    exact = f(*(x.double() for x in inputs))
    error = (f(*inputs).double() - exact).abs().max() / exact.abs().mean()
    print(f"{name}: {error:.1e}")


for k in [36_864, 1_600_000]:
    row(f"product, k = {k}", torch.matmul, numbers((8, k), 1), numbers((k, 8), 2))
row(
    "weights of a convolution, k = 36864",
    lambda x, g: torch.nn.grad.conv2d_weight(x, (8, 1, 5, 5), g),
    numbers((64, 1, 28, 28), 3),
    numbers((64, 8, 24, 24), 4),
)
