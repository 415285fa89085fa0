"""Calls that mean the same in PyTorch and here: each is run with either library.

`oracles/write_cases.py` writes what PyTorch gives; `test_write_cases.py` compares.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy

Case = Callable[..., Any]


def numbers(*shape: int, seed: int = 0) -> numpy.ndarray:
    """Numbers between -1 and 1, the same everywhere."""
    n = math.prod(shape)
    wave = numpy.sin(numpy.arange(n) * 1.37 + seed * 0.71 + 0.2)
    return wave.astype("float32").reshape(shape)


X = numbers(4, 6)
Y = numbers(4, 6, seed=1)
POSITIVE = numpy.abs(numbers(4, 6, seed=2)) + 0.1
COLUMN = numbers(4, 1, seed=3)
ROW = numbers(6, seed=4)
CLASSES = numpy.array([0, 2, 5, 3])
IMAGES = numbers(2, 4, 8, 8, seed=5)
VOLUMES = numbers(2, 2, 4, 4, 4, seed=6)
STEPS = numbers(3, 5, 4, seed=7)
WORDS = numpy.array([[0, 3, 1], [2, 2, 4]])
MASK = numbers(4, 6, seed=8) > 0

# Functions of elements, reductions and layout: name, what is called with the library `t`, its `F` and
# tensors of these arrays.
FUNCTIONS: dict[str, tuple[Case, tuple]] = {
    "add": (lambda t, F, x, y: x + y, (X, Y)),
    "add broadcast": (lambda t, F, x, y: x + y, (X, COLUMN)),
    "add number": (lambda t, F, x: 2 + x + 1, (X,)),
    "sub": (lambda t, F, x, y: (1 - x) - (y - 2), (X, Y)),
    "mul": (lambda t, F, x, y: 3 * x * y * 0.5, (X, Y)),
    "div": (lambda t, F, x, y: x / y + 1 / y + x / 3, (X, POSITIVE)),
    "pow": (lambda t, F, x: x**2 + x**0.5 + 2**x, (POSITIVE,)),
    "pow tensors": (lambda t, F, x, y: x**y, (POSITIVE, Y)),
    "neg abs": (lambda t, F, x: -x + abs(x) + x.abs(), (X,)),
    "matmul": (lambda t, F, x, y: x @ y.T, (X, Y)),
    "matmul batch": (lambda t, F, x: x @ x.transpose(-2, -1), (STEPS,)),
    "compare": (lambda t, F, x, y: (x < y).float() + (x >= 0).float() * 2 + (x != y).float(), (X, Y)),
    "logic": (lambda t, F, x, y: ((x > 0) & (y > 0) | ~(x > y)).float(), (X, Y)),
    "int and float": (lambda t, F, k, r: k.unsqueeze(1) * r + k.unsqueeze(1) / 2, (CLASSES, ROW)),
    "int sums": (lambda t, F, k: (k + 1).sum().float() + (k * k).float().mean(), (CLASSES,)),
    "int compare": (lambda t, F, k: (k == 2).float().sum() + (k > 1.5).sum().float(), (CLASSES,)),
    "bool sum": (lambda t, F, m: m.sum().float() + m.float().mean(1), (MASK,)),
    "where": (lambda t, F, m, x, y: t.where(m, x, y) + t.where(m, x, t.zeros_like(x)), (MASK, X, Y)),
    "where number": (lambda t, F, m, x: t.where(m, x, 0.5), (MASK, X)),
    "masked_fill": (lambda t, F, m, x: x.masked_fill(m, -3.0), (MASK, X)),
    "maximum": (lambda t, F, x, y: t.maximum(x, y) - t.minimum(x, y), (X, Y)),
    "clamp": (lambda t, F, x: t.clamp(x, -0.3, 0.4) + x.clamp(min=0.1), (X,)),
    "exp log": (lambda t, F, x: x.exp() + x.log() + t.exp(x) - t.log(x), (POSITIVE,)),
    "sqrt": (lambda t, F, x: x.sqrt() + t.rsqrt(x) + x.square() + x.reciprocal() + x.sign(), (POSITIVE,)),
    "relu": (lambda t, F, x: F.relu(x) + x.relu() + F.leaky_relu(x, 0.2) + F.relu6(x * 9), (X,)),
    "elu": (lambda t, F, x: F.elu(x) + F.elu(x, 0.5) + F.selu(x), (X,)),
    "gelu": (lambda t, F, x: F.gelu(x) + F.gelu(x, approximate="tanh") + F.silu(x), (X,)),
    "sigmoid": (lambda t, F, x: x.sigmoid() + t.tanh(x) + F.softplus(x) + F.logsigmoid(x), (X,)),
    "softplus beta": (lambda t, F, x: F.softplus(x, beta=2), (X,)),
    "rare": (lambda t, F, x: F.mish(x) + F.hardtanh(x * 3) + F.hardsigmoid(x * 5) + F.hardswish(x * 5), (X,)),
    "softsign": (lambda t, F, x: F.softsign(x) + F.tanhshrink(x) + F.softmin(x, 1), (X,)),
    "prelu": (lambda t, F, x, w: F.prelu(x, w), (IMAGES, numbers(4, seed=9))),
    "glu": (lambda t, F, x: F.glu(x, 1), (X,)),
    "softmax": (lambda t, F, x: F.softmax(x, dim=1) + F.log_softmax(x, dim=0), (X,)),
    "normalize": (lambda t, F, x: F.normalize(x) + F.normalize(x, dim=0), (X,)),
    "cosine_similarity": (lambda t, F, x, y: F.cosine_similarity(x, y), (X, Y)),
    "sum": (lambda t, F, x: x.sum() + x.sum(1) + x.sum(dim=(0, 1)) + x.sum(1, keepdim=True)[:, 0], (X,)),
    "mean": (lambda t, F, x: x.mean() + x.mean(dim=1, keepdim=True) + x.mean((0, 1)), (X,)),
    "amax": (lambda t, F, x: x.amax(1) - x.amin(1) + x.max() - x.min(), (X,)),
    "max": (lambda t, F, x: x.max(1).values + x.max(dim=1)[1] + x.min(1)[0] + x.min(1).indices, (X,)),
    "argmax": (lambda t, F, x: x.argmax(1) + x.argmin(dim=1) + x.argmax(), (X,)),
    "logsumexp": (lambda t, F, x: x.logsumexp(1), (X,)),
    "var": (lambda t, F, x: x.var() + x.var(1) + x.var(1, unbiased=False) + x.std(dim=1), (X,)),
    "var keepdim": (lambda t, F, x: x.var(dim=(2, 3), keepdim=True) + x.std(dim=1, keepdim=True), (IMAGES,)),
    "norm": (lambda t, F, x: x.norm() + x.norm(p=1, dim=1) + x.norm(dim=1), (X,)),
    "reshape": (lambda t, F, x: x.reshape(2, -1) + x.view(2, 12) + x.view([-1, 12]), (X,)),
    "flatten": (lambda t, F, x: x.flatten(1) + x.flatten(1, 2).flatten(1), (IMAGES,)),
    "unflatten": (lambda t, F, x: x.unflatten(1, (2, 3)).sum(2), (X,)),
    "unsqueeze": (lambda t, F, x: x.unsqueeze(1).squeeze(1) + x.unsqueeze(-1).squeeze(-1), (X,)),
    "permute": (lambda t, F, x: x.permute(0, 2, 3, 1) + x.transpose(1, 3).transpose(1, 2), (IMAGES,)),
    "expand": (lambda t, F, x: x.expand(-1, 6) * x.expand(2, 4, 5)[0, :, :1], (COLUMN,)),
    "repeat": (lambda t, F, x: x.repeat(2, 3), (X,)),
    "index": (lambda t, F, x: x[:, 0] + x[:, -1] + x[0, 1] + x[-1][0], (X,)),
    "slice": (lambda t, F, x: x[:, 1:3] + x[..., -2:] + x[:, :100][:, 2:4] + x[:, ::3], (X,)),
    "slice steps": (lambda t, F, x: x[:, 1::2] * x[:, :-1:2], (X,)),
    "none": (lambda t, F, x: (x[:, None] + x[:, :, None]).sum((1, 2)) + x[..., None][:, 0, 0], (X,)),
    "index by tensor": (lambda t, F, x, k: x[k] + x.index_select(1, k)[:, :1], (X, CLASSES % 4)),
    "select narrow": (lambda t, F, x: x.select(1, 2) + x.narrow(1, 3, 2).sum(1), (X,)),
    "split": (lambda t, F, x: x.split([1, 5], 1)[1].sum(1) + x.split([2, 2, 2], dim=1)[2].sum(1), (X,)),
    "chunk": (lambda t, F, x: x.chunk(3, dim=1)[1] * x.chunk(3, 1)[2], (X,)),
    "cat stack": (lambda t, F, x, y: t.cat([x, y], dim=1)[:, 3:9] + t.stack([x, y], 1).sum(1), (X, Y)),
    "gather": (lambda t, F, x, k: x.gather(1, k.unsqueeze(1)), (X, CLASSES)),
    "scatter_add": (lambda t, F, x, k: x.scatter_add(1, k.unsqueeze(1), x[:, :1]), (X, CLASSES)),
    "full": (lambda t, F, x: t.full((4, 6), 2.0) + t.zeros(4, 6) + t.ones(6) + t.full_like(x, 3), (X,)),
    "arange eye": (lambda t, F, x: x[:, :4] @ t.eye(4) + t.arange(4), (X,)),
    "tril triu": (lambda t, F, x: t.tril(x) - t.triu(x, 1), (X,)),
    "pad": (lambda t, F, x: F.pad(x, (1, 2)) + F.pad(x[:, :1], (2, 6), value=1.5), (X,)),
    "pad planes": (lambda t, F, x: F.pad(x, (1, 0, 2, 1)), (IMAGES,)),
    "one_hot": (lambda t, F, k: F.one_hot(k, 7).float(), (CLASSES,)),
    "to": (lambda t, F, x: (x * 3).long().float() + x.double().float() + x.bool().float(), (X,)),
    "detach": (lambda t, F, x: x.detach() + x.clone().contiguous(), (X,)),
    "functions of elements": (
        lambda t, F, x, y: (
            t.add(x, y) + t.sub(x, y) * t.mul(x, y) / t.div(x, y) + t.pow(t.abs(x), 2) + t.relu(x)
        ),
        (X, Y),
    ),
    "functions of axes": (
        lambda t, F, x: (
            t.sum(x, 1)
            + t.mean(x, dim=1)
            + t.amax(x, 1)
            - t.amin(x, 1)
            + t.max(x, 1)[0]
            + t.min(x, dim=1).values
            + t.argmax(x, 1)
            + t.argmin(x, dim=1)
            + t.logsumexp(x, 1)
            + t.var(x, 1)
            + t.std(x, dim=1)
            + t.norm(x, dim=1)
            + t.max(x, x * 2)[:, 0]
        ),
        (X,),
    ),
    "functions of layout": (
        lambda t, F, x: (
            t.flatten(t.unsqueeze(x, 1), 1)
            + t.squeeze(t.reshape(x, (4, 6, 1)), -1)
            + t.transpose(t.permute(x, (1, 0)), 0, 1)
            + t.cat(t.split(x, [2, 4], dim=1), 1)
            + t.cat(t.chunk(x, 2, 1), 1)
        ),
        (X,),
    ),
    "functions of products": (
        lambda t, F, x, s: (
            t.mm(x, t.transpose(x, 0, 1))
            + t.bmm(s, t.transpose(s, 1, 2)).sum()
            + t.outer(x[:, 0], x[:, 1])
            + t.dot(x[0], x[1])
        ),
        (X, STEPS),
    ),
    "functions of indices": (
        lambda t, F, x, k, m: (
            t.gather(x, 1, t.unsqueeze(k, 1))
            + t.index_select(x, 1, k)
            + t.scatter_add(x, 1, t.unsqueeze(k, 1), x[:, :1])[:, :4]
            + t.masked_fill(x, m, 0.5)[:, 2:]
        ),
        (X, CLASSES, MASK),
    ),
    "functions of truth": (
        lambda t, F, m, n: (t.logical_and(m, n) | t.logical_not(t.logical_or(m, n))).float(),
        (MASK, numbers(4, 6, seed=12) > 0),
    ),
    # Losses.
    "cross_entropy": (lambda t, F, x, k: F.cross_entropy(x, k), (X, CLASSES)),
    "cross_entropy weight": (
        lambda t, F, x, k, w: F.cross_entropy(x, k, weight=w.detach()),
        (X, CLASSES, abs(ROW)),
    ),
    "cross_entropy ignored": (lambda t, F, x, k: F.cross_entropy(x, k, ignore_index=2), (X, CLASSES)),
    "cross_entropy none": (lambda t, F, x, k: F.cross_entropy(x, k, reduction="none"), (X, CLASSES)),
    "cross_entropy smooth": (lambda t, F, x, k: F.cross_entropy(x, k, label_smoothing=0.1), (X, CLASSES)),
    "cross_entropy soft": (lambda t, F, x, y: F.cross_entropy(x, F.softmax(y, 1)), (X, Y)),
    "nll_loss": (lambda t, F, x, k: F.nll_loss(F.log_softmax(x, 1), k, reduction="sum"), (X, CLASSES)),
    "mse_loss": (lambda t, F, x, y: F.mse_loss(x, y) + F.mse_loss(x, y, reduction="sum"), (X, Y)),
    "l1_loss": (lambda t, F, x, y: F.l1_loss(x, y) + F.l1_loss(x, y, reduction="none"), (X, Y)),
    "huber_loss": (
        lambda t, F, x, y: F.huber_loss(x, y, delta=0.3) + F.smooth_l1_loss(x, y, beta=0.3),
        (X, Y),
    ),
    "bce": (
        lambda t, F, x, m: (
            F.binary_cross_entropy_with_logits(x, m.float()) + F.binary_cross_entropy(x.sigmoid(), m.float())
        ),
        (X, MASK),
    ),
    "bce weight": (
        lambda t, F, x, m, w: F.binary_cross_entropy_with_logits(x, m.float(), pos_weight=w),
        (X, MASK, abs(ROW)),
    ),
    "kl_div": (
        lambda t, F, x, y: (
            F.kl_div(F.log_softmax(x, 1), F.softmax(y, 1), reduction="batchmean")
            + F.kl_div(F.log_softmax(x, 1), F.softmax(y, 1), reduction="sum")
        ),
        (X, Y),
    ),
    "kl_div mean": (
        lambda t, F, x, y: F.kl_div(
            F.log_softmax(x, 1), F.log_softmax(y, 1), reduction="mean", log_target=True
        ),
        (X, Y),
    ),
    "gaussian_nll_loss": (lambda t, F, x, y, v: F.gaussian_nll_loss(x, y, v, full=True), (X, Y, POSITIVE)),
    "poisson_nll_loss": (lambda t, F, x, y: F.poisson_nll_loss(x, y), (X, POSITIVE)),
    # Windows and products.
    "linear": (
        lambda t, F, x, w, b: F.linear(x, w, b) + F.linear(x, w),
        (X, numbers(3, 6, seed=10), numbers(3)),
    ),
    "bilinear": (
        lambda t, F, x, y, w, b: F.bilinear(x, y, w, b),
        (X, Y, numbers(3, 6, 6, seed=11), numbers(3)),
    ),
    "embedding": (lambda t, F, k, w: F.embedding(k, w), (WORDS, numbers(5, 3))),
    "layer_norm": (lambda t, F, x, w, b: F.layer_norm(x, (6,), w, b), (X, ROW, numbers(6))),
    "group_norm": (lambda t, F, x: F.group_norm(x, 2) + F.instance_norm(x), (IMAGES,)),
    "batch_norm": (lambda t, F, x, m, v: F.batch_norm(x, m, v), (X, ROW, abs(ROW) + 0.5)),
    "attention": (
        lambda t, F, q, k: (
            F.scaled_dot_product_attention(q, k, k) + F.scaled_dot_product_attention(q, k, k, is_causal=True)
        ),
        (STEPS, STEPS * 2),
    ),
    "attention mask": (
        lambda t, F, q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m),
        (STEPS, numpy.tril(numpy.ones((5, 5), bool))),
    ),
    "conv1d": (lambda t, F, x, w: F.conv1d(x, w, padding=1), (STEPS, numbers(2, 5, 3))),
    "conv2d": (
        lambda t, F, x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=2),
        (IMAGES, numbers(6, 2, 3, 3), numbers(6)),
    ),
    "conv2d wide": (
        lambda t, F, x, w: F.conv2d(x, w, padding=(0, 2), dilation=(1, 2)),
        (IMAGES, numbers(3, 4, 1, 3)),
    ),
    "conv3d": (lambda t, F, x, w: F.conv3d(x, w), (VOLUMES, numbers(3, 2, 2, 2, 2))),
    "conv_transpose2d": (
        lambda t, F, x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        (IMAGES, numbers(4, 3, 3, 3)),
    ),
    "max_pool": (lambda t, F, x: F.max_pool2d(x, 2) + F.max_pool2d(x, 3, 2, 1), (IMAGES,)),
    "avg_pool": (
        lambda t, F, x: F.avg_pool2d(x, 2) + F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False),
        (IMAGES,),
    ),
    "adaptive": (
        lambda t, F, x: F.adaptive_avg_pool2d(x, (3, 2)) + F.adaptive_max_pool2d(x, (3, 2)),
        (IMAGES,),
    ),
    "pool1d": (lambda t, F, x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2), (STEPS,)),
    "pool3d": (lambda t, F, x: F.max_pool3d(x, 2) + F.avg_pool3d(x, 2), (VOLUMES,)),
    "interpolate": (
        lambda t, F, x: F.interpolate(x, scale_factor=2) + F.interpolate(x, size=(16, 16), mode="bilinear"),
        (IMAGES,),
    ),
}

# Modules: what makes one with the library's `nn`, and its inputs. Parameters are set by `numbers`.
MODULES: dict[str, tuple[Case, tuple]] = {
    "Linear": (lambda nn: nn.Linear(6, 3), (X,)),
    "Linear without bias": (lambda nn: nn.Linear(6, 3, bias=False), (X,)),
    "Bilinear": (lambda nn: nn.Bilinear(6, 6, 2), (X, Y)),
    "Conv1d": (lambda nn: nn.Conv1d(5, 3, 2, stride=2), (STEPS,)),
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, 3, padding=1, groups=2), (IMAGES,)),
    "Conv2d same": (lambda nn: nn.Conv2d(4, 3, (3, 5), padding="same", dilation=2, bias=False), (IMAGES,)),
    "Conv3d": (lambda nn: nn.Conv3d(2, 3, 2), (VOLUMES,)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(5, 3, 2, stride=2), (STEPS,)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), (IMAGES,)),
    "ConvTranspose3d": (lambda nn: nn.ConvTranspose3d(2, 3, 2), (VOLUMES,)),
    "Embedding": (lambda nn: nn.Embedding(5, 3), (WORDS,)),
    "Embedding with padding": (lambda nn: nn.Embedding(5, 3, padding_idx=4), (WORDS % 4,)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(6), (X,)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4, affine=False), (IMAGES,)),
    "BatchNorm3d": (lambda nn: nn.BatchNorm3d(2, eps=1e-3), (VOLUMES,)),
    "LayerNorm": (lambda nn: nn.LayerNorm(6), (X,)),
    "LayerNorm planes": (lambda nn: nn.LayerNorm([8, 8], elementwise_affine=False), (IMAGES,)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), (IMAGES,)),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(5), (STEPS,)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(4, affine=True), (IMAGES,)),
    "InstanceNorm3d": (lambda nn: nn.InstanceNorm3d(2), (VOLUMES,)),
    "Dropout": (lambda nn: nn.Dropout(0.5), (X,)),
    "RNN": (lambda nn: nn.RNN(4, 3), (STEPS,)),
    "LSTM": (lambda nn: nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True), (STEPS,)),
    "GRU": (lambda nn: nn.GRU(4, 3, batch_first=True), (STEPS,)),
    "MultiheadAttention": (
        lambda nn: nn.MultiheadAttention(4, 2, batch_first=True),
        (STEPS, STEPS * 2, STEPS),
    ),
    "MultiheadAttention steps first": (lambda nn: nn.MultiheadAttention(4, 2), (STEPS, STEPS, STEPS)),
    "TransformerEncoderLayer": (lambda nn: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (STEPS,)),
    "TransformerEncoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", norm_first=True), 2, nn.LayerNorm(4)
        ),
        (STEPS,),
    ),
    "PReLU": (lambda nn: nn.PReLU(4), (IMAGES,)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (IMAGES,)),
    "Sequential": (
        lambda nn: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2), nn.Softmax(dim=1)),
        (X,),
    ),
    "activations": (
        lambda nn: nn.Sequential(
            nn.LeakyReLU(0.1),
            nn.ELU(),
            nn.GELU(),
            nn.SiLU(),
            nn.Tanh(),
            nn.Softplus(),
            nn.Sigmoid(),
            nn.ReLU6(),
            nn.Hardswish(),
            nn.Mish(),
            nn.LogSigmoid(),
            nn.Hardtanh(-0.5, 0.5),
            nn.Identity(),
        ),
        (X,),
    ),
    "windows": (
        lambda nn: nn.Sequential(
            nn.ZeroPad2d(1),
            nn.MaxPool2d(2),
            nn.Upsample(scale_factor=2),
            nn.AvgPool2d(2),
            nn.ConstantPad2d((1, 0, 0, 1), 0.5),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Unflatten(1, (4, 4)),
        ),
        (IMAGES,),
    ),
    "CosineSimilarity": (lambda nn: nn.CosineSimilarity(), (X, Y)),
    "CrossEntropyLoss": (lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1), (X, CLASSES)),
    "Sequential of linear and softmax": (
        lambda nn: nn.Sequential(nn.Linear(6, 6), nn.Flatten(), nn.LogSoftmax(dim=1)),
        (X,),
    ),
    "MSELoss": (lambda nn: nn.MSELoss(reduction="sum"), (X, Y)),
    "BCEWithLogitsLoss": (lambda nn: nn.BCEWithLogitsLoss(), (X, abs(Y))),
    "KLDivLoss": (lambda nn: nn.KLDivLoss(reduction="batchmean"), (X, abs(Y))),
}


def flat(made: Any) -> list[Any]:
    """The tensors of a result in order."""
    if isinstance(made, (tuple, list)):
        return [each for part in made for each in flat(part)]
    return [] if made is None else [made]
