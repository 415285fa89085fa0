"""Functions of PyTorch for tests: modules that are one expression, and their inputs.

Each takes its modules, then its inputs. Together they call most of what the table of ATen has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

SEQUENCE = (8, 16)
IMAGE = (6, 8, 8)
SCORES = (5,)

ELEMENTS = (
    F.gelu,
    F.silu,
    F.elu,
    F.leaky_relu,
    F.softplus,
    F.hardtanh,
    F.mish,
    F.hardswish,
    F.selu,
    F.hardsigmoid,
    F.relu6,
    F.logsigmoid,
    F.celu,
    F.tanhshrink,
    F.softsign,
    torch.sigmoid,
    torch.tanh,
)


def assigned(x):
    y = F.relu(x * 2) * 1
    y[:, 0] += 1
    y[:, 1:3] = 0.5
    return y.masked_fill_(y > 2, 0.0)


def moved(x):
    parts = [
        x.roll(2, 1),
        x.tril(),
        x.flip(1, 2),
        x.narrow(1, 1, 3),
        x[:, ::2],
        x[:, -3:-1],
        x[..., None, :].squeeze(2),
    ]
    return torch.cat(parts, 1).cumsum(1).repeat_interleave(2, 1) + x.new_zeros(1, 1, 16)


def arithmetic(x):
    truth = (x > 0).logical_and(x < 1).logical_xor(x > 0.5)
    return (
        torch.log1p(x.abs())
        + torch.expm1(-x.abs())
        + torch.log2(x.abs() + 1)
        + truth.float() * x
        + torch.addcmul(x, x, x, value=0.5)
        + torch.lerp(x, x * 2, 0.3)
        + x.pow(3)
        + 2**x
        + x.clamp(min=0)
        + torch.maximum(x, -x)
        + (x.square().mean(1, keepdim=True) + 1).rsqrt()
        + (3 - x)
    )


def reduced(x):
    return torch.stack(
        [
            x.sum((1, 2)),
            x.mean((1, 2)),
            x.amax((1, 2)),
            x.var(1).mean(1),
            x.std((1, 2), unbiased=False),
            x.max(1)[0].sum(1),
            x.norm(dim=(1, 2)),
            x.logsumexp((1, 2)),
            x.argmax(1).float().sum(1),
            x.softmax(-1).square().sum((1, 2)),
            x.abs().sum((1, 2)),
            x.flatten(1).norm(1, dim=1),
        ],
        1,
    )


def indexed(x):
    chosen = torch.tensor([1, 3])
    index = torch.tensor([[0], [2]]).expand(2, 16)[None]
    return (
        x[:, [0, 2]] + x[:, chosen] + x.index_select(1, chosen) + x.gather(1, index.expand(x.size(0), -1, -1))
    )


def padded(x):
    modes = ("reflect", "replicate", "circular", "constant")
    return torch.cat([F.pad(x, (2, 1, 1, 2), mode=mode) for mode in modes], 1)[..., 1:-1]


def attended(x):
    mask = torch.ones(8, 8).tril() > 0
    return F.scaled_dot_product_attention(
        x, x, x, is_causal=True, scale=0.3
    ) + F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def losses(scores):
    classes = scores.detach().argmax(1)
    shares = scores.detach().softmax(1)
    logs = F.log_softmax(scores, 1)
    return (
        F.cross_entropy(scores, classes, label_smoothing=0.1)
        + F.nll_loss(logs, classes)
        + F.cross_entropy(scores, classes, weight=torch.arange(1.0, 6.0), ignore_index=3)
        + F.cross_entropy(scores, shares)
        + F.cross_entropy(scores, classes, reduction="sum")
        + F.mse_loss(scores, shares)
        + F.l1_loss(scores, shares, reduction="sum")
        + F.smooth_l1_loss(scores, shares, beta=0.5)
        + F.huber_loss(scores, shares, delta=2.0)
        + F.binary_cross_entropy_with_logits(scores, shares, pos_weight=torch.arange(5.0))
        + F.binary_cross_entropy(scores.sigmoid(), shares)
        + F.kl_div(logs, shares, reduction="batchmean")
        + F.kl_div(logs, shares)
        + F.poisson_nll_loss(scores, shares)
        + F.soft_margin_loss(scores, shares.sign())
    )


CASES: dict[str, tuple[Callable[..., Any], list[nn.Module], tuple[int, ...]]] = {
    "elements": (lambda x: torch.cat([f(x) for f in ELEMENTS], -1), [], SEQUENCE),
    "gates": (lambda x: F.gelu(F.glu(x, -1), approximate="tanh"), [], SEQUENCE),
    "prelu": (lambda p, x: p(x), [nn.PReLU(8)], SEQUENCE),
    "arithmetic": (arithmetic, [], SEQUENCE),
    "reductions": (reduced, [], SEQUENCE),
    "layout": (moved, [], SEQUENCE),
    "assignments": (assigned, [], SEQUENCE),
    "indices": (indexed, [], SEQUENCE),
    "padding": (padded, [], IMAGE),
    "pixels": (lambda x: F.pixel_unshuffle(F.pixel_shuffle(x[:, :4], 2), 2), [], IMAGE),
    "parts": (
        lambda x: torch.cat([*x.chunk(3, 1), *x.split([2, 6], 1), *x.unsqueeze(2).unbind(1)[:2]], 1),
        [],
        SEQUENCE,
    ),
    "products": (
        lambda b, x: b(x, x) + (x @ x.mT).sum(-1, keepdim=True) + torch.einsum("bij,kj->bik", x, x[0, :3]),
        [nn.Bilinear(16, 16, 3)],
        SEQUENCE,
    ),
    "norms": (
        lambda a, b, c, d, e, x: e(d(c(b(a(x))))),
        [
            nn.GroupNorm(2, 6),
            nn.InstanceNorm2d(6, affine=True),
            nn.LayerNorm([8, 8]),
            nn.GroupNorm(3, 6, affine=False),
            nn.InstanceNorm2d(6),
        ],
        IMAGE,
    ),
    "batch-norms": (
        lambda a, b, c, x: c(b(a(x)).mean(3)),
        [
            nn.BatchNorm2d(6, momentum=0.3, eps=1e-3),
            nn.BatchNorm2d(6, track_running_stats=False),
            nn.BatchNorm1d(6, affine=False),
        ],
        IMAGE,
    ),
    "weight-norm": (lambda e, x: e(x), [nn.utils.parametrizations.weight_norm(nn.Linear(16, 3))], SEQUENCE),
    "convolutions": (
        lambda a, b, c, x: c(b(a(x))),
        [
            nn.Conv2d(6, 6, 3, padding="same", groups=6),
            nn.Conv2d(6, 6, 3, padding=1, dilation=2),
            nn.Conv2d(6, 4, 2, stride=2, padding=1, padding_mode="circular"),
        ],
        IMAGE,
    ),
    "one-axis": (
        lambda a, b, c, x: c(b(a(x))),
        [nn.Conv1d(8, 8, 3, padding=1, groups=2), nn.ConvTranspose1d(8, 4, 4, 2, 1), nn.AvgPool1d(2)],
        SEQUENCE,
    ),
    "three-axes": (
        lambda a, b, x: b(a(x.unsqueeze(1))).mean((3, 4)),
        [nn.Conv3d(1, 2, 3, padding=1), nn.MaxPool3d(2)],
        IMAGE,
    ),
    "pools": (
        lambda x: (
            F.adaptive_max_pool2d(F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2, 1, count_include_pad=False), 2)
            + F.adaptive_avg_pool2d(x, (2, 1))
        ),
        [],
        IMAGE,
    ),
    "resizing": (
        lambda x: (
            F.interpolate(x, scale_factor=2, mode="bilinear")
            + F.interpolate(x, scale_factor=2)
            + F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=True)
        ),
        [],
        IMAGE,
    ),
    "attention": (attended, [], SEQUENCE),
    "heads": (lambda m, x: m(x, x, x)[0], [nn.MultiheadAttention(16, 4, batch_first=True)], SEQUENCE),
    "padded-heads": (
        lambda m, x: m(x, x, x, key_padding_mask=x[:, :, 0] > 1.5, need_weights=False)[0],
        [nn.MultiheadAttention(16, 4, batch_first=True)],
        SEQUENCE,
    ),
    "decoder": (
        lambda d, x: d(x, x),
        [
            nn.TransformerDecoderLayer(
                16, 4, 32, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
            )
        ],
        SEQUENCE,
    ),
    "recurrent": (
        lambda a, b, c, x: (
            a(x)[0]
            + b(x.transpose(0, 1))[0].transpose(0, 1)
            + c(x, (torch.ones(1, x.size(0), 16), x[:, 0].unsqueeze(0)))[0]
        ),
        [nn.RNN(16, 16, batch_first=True), nn.GRU(16, 16), nn.LSTM(16, 16, batch_first=True)],
        SEQUENCE,
    ),
    "cells": (lambda c, x: c(x[:, 0])[0], [nn.LSTMCell(16, 4)], SEQUENCE),
    "new": (
        lambda x: (
            x
            + torch.arange(16.0)
            + torch.eye(16)[0]
            + torch.linspace(0, 1, 16)
            + torch.full_like(x, 2)
            + torch.tensor([1.0, 2.0]).repeat(8)
            + F.one_hot(torch.tensor(3), 16)
        ),
        [],
        SEQUENCE,
    ),
    "losses": (losses, [], SCORES),
}


class Expression(nn.Module):
    """A case as a module. ``scale`` gives it a gradient where it has no parameters."""

    def __init__(self, f: Callable[..., Any], modules: list[nn.Module]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.parts = nn.ModuleList(modules)
        self.f = f

    def forward(self, x):
        made = self.f(*self.parts, x * self.scale)
        return made.flatten(1) if made.ndim > 1 else made.reshape(-1, 1) + x.flatten(1)[:, :1]
