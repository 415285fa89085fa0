#!/usr/bin/env python3
"""Writes plugins/compute/src/tests/torch_values.txt: what PyTorch computes for every operation of
the tensor library, forward and backward, and for its optimizers, clipping and schedules.

Run by hand, with PyTorch and NumPy: `python3 plugins/compute/tests/torch_values.py`. The same
versions give the same file. Everything is computed in float64 from inputs that float32 has exactly,
so that the library's distance from it is its own rounding.

A line is `CASE PART DTYPE SIZES : ELEMENTS`. Parts: in0, in1, ... inputs; out the output; seed the
gradient of the output; g0, g1, ... gradients of the inputs that are floating-point.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
rng = np.random.default_rng(20261128)
lines = []
INT, BOOL = torch.int64, torch.bool


def write(case, part, tensor):
    tensor = tensor.detach()
    dtype = {torch.float64: "f", INT: "i", BOOL: "b"}[tensor.dtype]
    number = (lambda x: f"{x:.15g}") if dtype == "f" else (lambda x: str(int(x)))
    sizes = " ".join(map(str, tensor.shape))
    elements = " ".join(map(number, tensor.flatten().tolist()))
    lines.append(f"{case} {part} {dtype} {sizes} : {elements}".replace("  ", " "))


def r(*shape, least=-32, most=32):
    """Multiples of 1/16: exact in float32, and with equal ones among them."""
    return torch.tensor(rng.integers(least, most + 1, shape) / 16)


def ints(*shape, most):
    return torch.tensor(rng.integers(0, most, shape))


def bools(*shape):
    return torch.tensor(rng.integers(0, 2, shape).astype(bool))


names = set()


def case(name, f, *inputs):
    assert name not in names, name
    names.add(name)
    inputs = [x.clone() for x in inputs]
    for nth, x in enumerate(inputs):
        write(name, f"in{nth}", x)
        if x.is_floating_point():
            x.requires_grad_()
    out = f(*inputs)
    write(name, "out", out)
    if not out.requires_grad:
        return
    seed = r(*out.shape, least=-16, most=16)
    write(name, "seed", seed)
    out.backward(seed)
    for nth, x in enumerate(inputs):
        if x.is_floating_point():
            write(name, f"g{nth}", x.grad if x.grad is not None else torch.zeros_like(x))


# Element by element.
some = lambda: torch.cat([r(3, 6), torch.tensor([[0.0, -0.0, 1.0, -1.0, 2.5, -20.0]])])
positive = lambda: r(3, 6, least=1, most=64)
for name, f in {
    "neg": torch.neg, "exp": torch.exp, "square": torch.square, "abs": torch.abs,
    "sign": torch.sign, "add_scalar": lambda x: x + 1.25, "mul_scalar": lambda x: x * -0.75,
    "clamp": lambda x: x.clamp(-1, 0.5), "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.125), "elu": lambda x: F.elu(x, 1.5),
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus,
    "pow_scalar_3": lambda x: x**3, "pow_scalar_2": lambda x: x**2,
}.items():
    case(name, f, some())
for name, f in {
    "ln": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal,
    "pow_scalar_half": lambda x: x**0.5, "pow_scalar_any": lambda x: x**-1.7,
}.items():
    case(name, f, positive())
for name, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul}.items():
    case(name, f, r(3, 4), r(3, 4))
    case(f"{name}_broadcast", f, r(2, 3, 1), r(4))
case("div", torch.div, r(3, 4), positive()[:, :4])
case("div_broadcast", torch.div, r(2, 1, 3), r(2, 4, 1, least=1))
case("pow", torch.pow, positive(), r(3, 6))
case("pow_broadcast", torch.pow, r(4, 1, least=1), r(3))
case("max", torch.maximum, r(4, 5, most=16, least=-16), r(4, 5, most=16, least=-16))
case("max_broadcast", torch.maximum, r(4, 5), r(5))
case("min", torch.minimum, r(4, 5, most=16, least=-16), r(4, 5, most=16, least=-16))
case("where", torch.where, bools(3, 4), r(3, 4), r(4))
case("where_scalar", torch.where, bools(2, 1, 4), r(3, 1), r())
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    case(f"compare_{name}", getattr(torch, name), ints(5, 4, most=3).double(), ints(4, most=3).double())

# Reductions.
for name, f in {
    "sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "amin": torch.amin,
    "logsumexp": torch.logsumexp,
}.items():
    case(f"{name}_1", lambda x, f=f: f(x, 1), r(3, 11, 2))
    case(f"{name}_02_keep", lambda x, f=f: f(x, (0, 2), keepdim=True), r(3, 2, 5))
    case(f"{name}_all", lambda x, f=f: f(x, (0, 1)), ints(4, 5, most=6).double())
for correction in (0, 1):
    case(f"variance_{correction}", lambda x, c=correction: x.var((0, 2), correction=c), r(3, 2, 5))
case("variance_all", lambda x: x.var(correction=1), r(3, 4))
case("argmax_1", lambda x: x.argmax(1), ints(3, 4, 2, most=4).double())
case("argmax_0", lambda x: x.argmax(0, keepdim=True), ints(6, 3, most=4).double())

# Products.
case("matmul", torch.matmul, r(3, 5), r(5, 4))
case("matmul_long", torch.matmul, r(2, 600), r(600, 2))
case("matmul_batch", torch.matmul, r(2, 3, 4), r(2, 4, 2))
case("matmul_one_right", torch.matmul, r(2, 3, 2, 4), r(4, 3))
case("matmul_one_left", torch.matmul, r(2, 4), r(3, 4, 2))
case("matmul_broadcast", torch.matmul, r(2, 1, 3, 4), r(3, 4, 2))
case("matmul_row", torch.matmul, r(4), r(2, 4, 3))
case("matmul_column", torch.matmul, r(2, 3, 4), r(4))
case("matmul_dot", torch.matmul, r(7), r(7))
t = lambda x: x.transpose(-1, -2)
case("matmul_left", lambda a, b: t(a) @ b, r(2, 5, 3), r(5, 4))
case("matmul_right", lambda a, b: a @ t(b), r(2, 3, 5), r(4, 5))
case("matmul_both", lambda a, b: t(a) @ t(b), r(2, 5, 3), r(2, 4, 5))
case("linear", F.linear, r(4, 5), r(3, 5), r(3))
case("linear_deep", F.linear, r(2, 3, 5), r(4, 5))
case("linear_one", F.linear, r(5), r(2, 5), r(2))

# Convolutions.
case("conv1d", F.conv1d, r(2, 3, 9), r(4, 3, 3), r(4))
case("conv1d_all", lambda x, w, b: F.conv1d(x, w, b, 2, 2, 2, 2), r(2, 4, 11), r(6, 2, 3), r(6))
case("conv2d", F.conv2d, r(2, 2, 6, 5), r(3, 2, 3, 2), r(3))
case("conv2d_stride", lambda x, w: F.conv2d(x, w, None, (2, 3), (1, 2)), r(1, 2, 6, 8), r(2, 2, 3, 3))
case("conv2d_dilation", lambda x, w, b: F.conv2d(x, w, b, 1, 2, (2, 1)), r(1, 1, 6, 5), r(2, 1, 3, 2), r(2))
case("conv2d_depthwise", lambda x, w: F.conv2d(x, w, None, 1, 1, 1, 3), r(2, 3, 4, 4), r(3, 1, 3, 3))
case("conv3d", lambda x, w, b: F.conv3d(x, w, b, (1, 2, 1), (0, 1, 1)), r(1, 2, 3, 5, 4), r(2, 2, 2, 3, 2), r(2))
case("conv_transpose1d", F.conv_transpose1d, r(2, 3, 5), r(3, 2, 3), r(2))
case("conv_transpose2d", lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1), r(1, 2, 3, 4), r(2, 3, 3, 3), r(3))
case("conv_transpose2d_all", lambda x, w: F.conv_transpose2d(x, w, None, (2, 3), (1, 0), (1, 2), 2, (2, 1)), r(1, 4, 3, 2), r(4, 1, 3, 2))
case("conv_transpose3d", lambda x, w: F.conv_transpose3d(x, w, None, 2), r(1, 2, 2, 2, 3), r(2, 1, 2, 2, 2))

# Pooling and sampling.
tied = lambda *shape: ints(*shape, most=6).double()
case("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, 1), tied(2, 2, 9))
case("max_pool2d", lambda x: F.max_pool2d(x, 2), tied(2, 2, 4, 6))
case("max_pool2d_all", lambda x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0)), tied(1, 2, 5, 6))
case("max_pool3d", lambda x: F.max_pool3d(x, 2, 1), tied(1, 1, 3, 4, 3))
case("avg_pool1d", lambda x: F.avg_pool1d(x, 3, 2, 1), r(2, 2, 8))
case("avg_pool2d", lambda x: F.avg_pool2d(x, 2), r(1, 2, 4, 6))
case("avg_pool2d_existing", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), r(1, 2, 5, 6))
case("avg_pool3d", lambda x: F.avg_pool3d(x, 2, 1), r(1, 1, 3, 4, 3))
case("adaptive_avg1d", lambda x: F.adaptive_avg_pool1d(x, 3), r(2, 2, 7))
case("adaptive_avg2d", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), r(1, 2, 5, 7))
case("adaptive_avg3d", lambda x: F.adaptive_avg_pool3d(x, (2, 1, 3)), r(1, 1, 3, 2, 4))
case("adaptive_max2d", lambda x: F.adaptive_max_pool2d(x, (3, 2)), tied(1, 2, 5, 7))
for mode, dims in (("nearest", 1), ("nearest", 2), ("nearest", 3), ("linear", 1), ("bilinear", 2), ("trilinear", 3)):
    corners = (None,) if mode == "nearest" else (False, True)
    from_, to = ((2, 2, 3), (3, 4, 5)) if dims == 3 else ((4, 5), (7, 3)) if dims == 2 else ((5,), (8,))
    for corner in corners:
        name = f"up_{mode}{dims}" + ("_corners" if corner else "")
        case(name, lambda x, m=mode, c=corner, s=to: F.interpolate(x, s, mode=m, align_corners=c), r(1, 2, *from_))

# Norms and softmax.
case("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-5), r(4, 3, 2, 2), r(3), r(3))
case("batch_norm_rows", lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-3), r(6, 3), r(3), r(3))
case("batch_norm_by", lambda x, m, v, w, b: (x - m.view(1, 3, 1)) / (v.view(1, 3, 1) + 1e-5).sqrt() * w.view(1, 3, 1) + b.view(1, 3, 1), r(4, 3, 2), r(3), r(3, least=4), r(3), r(3))
case("layer_norm", lambda x, w, b: F.layer_norm(x, (6,), w, b), r(2, 3, 6), r(6), r(6))
case("layer_norm_2", lambda x, w, b: F.layer_norm(x, (3, 4), w, b, 1e-3), r(2, 3, 4), r(3, 4), r(3, 4))
case("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), r(2, 4, 3), r(4), r(4))
case("instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b), r(2, 3, 2, 3), r(3), r(3))
case("softmax", lambda x: F.softmax(x, 1), r(3, 5))
case("softmax_0", lambda x: F.softmax(x, 0), r(4, 2, 2))
case("log_softmax", lambda x: F.log_softmax(x, 1), r(3, 5))
case("log_softmax_1", lambda x: F.log_softmax(x, 1), r(2, 4, 3))

# Indices and layout.
case("embedding", lambda w, i: F.embedding(i, w), r(5, 3), ints(2, 4, most=5))
case("gather", lambda x, i: x.gather(1, i), r(3, 5), ints(2, 4, most=5))
case("gather_0", lambda x, i: x.gather(0, i), r(3, 2, 2), ints(4, 1, 2, most=3))
case("scatter_add", lambda x, i, y: x.scatter_add(1, i, y), r(3, 4), ints(2, 5, most=4), r(2, 5))
case("concat", lambda a, b, c: torch.cat([a, b, c], 1), r(2, 3, 2), r(2, 1, 2), r(2, 2, 2))
case("stack", lambda a, b: torch.stack([a, b], 1), r(2, 3), r(2, 3))
case("split", lambda x: torch.cat(torch.split(x, [1, 2, 1], 1)[::2], 1), r(3, 4, 2))
case("slice", lambda x: x[:, 1:8:3], r(2, 9, 2))
case("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5), r(2, 2, 3))
case("permute", lambda x: x.permute(2, 0, 1), r(2, 3, 4))
case("permute_4", lambda x: x.permute(0, 2, 1, 3), r(2, 3, 2, 4))
case("reshape", lambda x: x.reshape(4, 3), r(2, 6))
case("expand", lambda x: x.expand(3, 2, 4), r(2, 1))

# Losses.
for reduction in ("mean", "sum", "none"):
    case(f"cross_entropy_{reduction}", lambda x, c, m=reduction: F.cross_entropy(x, c, reduction=m), r(5, 4), ints(5, most=4))
    case(f"mse_{reduction}", lambda x, y, m=reduction: F.mse_loss(x, y, reduction=m), r(3, 4), r(3, 4))
weights = torch.tensor([0.5, 2.0, 0.25, 1.5])
classes = torch.tensor([0, 3, -100, 1, 2, 3])
case("cross_entropy_weights", lambda x, c: F.cross_entropy(x, c, weights, ignore_index=-100), r(6, 4), classes)
case("cross_entropy_pixels", lambda x, c: F.cross_entropy(x, c, weights, ignore_index=1), r(2, 4, 2, 3), ints(2, 2, 3, most=4))
case("cross_entropy_large", F.cross_entropy, r(3, 3) * 512, ints(3, most=3))
case("nll", lambda x, c: F.nll_loss(x, c, weights, ignore_index=-100), r(6, 4), classes)
case("bce", F.binary_cross_entropy_with_logits, r(3, 4) * 4, r(3, 4, least=0, most=16))
case("mae", F.l1_loss, r(3, 4), r(3, 4))
case("huber", lambda x, y: F.huber_loss(x, y, delta=0.75), r(4, 5), r(4, 5))
case("kl", lambda x, t: F.kl_div(x, t, reduction="batchmean"), r(3, 4), r(3, 4, least=0, most=16))


def dice(p, t):
    both, all_ = (p * t).sum((2, 3)), p.sum((2, 3)) + t.sum((2, 3))
    return (1 - (2 * both + 1) / (all_ + 1)).mean()


case("dice", dice, r(2, 2, 3, 3, least=0, most=16), bools(2, 2, 3, 3).double())


# Numbers that are not.
nan, inf = float("nan"), float("inf")
odd = torch.tensor([nan, inf, -inf, 0.0, -0.0, 1.5])
for name, f in {
    "relu": F.relu, "exp": torch.exp, "ln": torch.log, "sqrt": torch.sqrt, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "abs": torch.abs, "clamp": lambda x: x.clamp(-1, 0.5),
    "gelu": F.gelu, "softplus": F.softplus, "square": torch.square, "elu": lambda x: F.elu(x, 1.5),
}.items():
    case(f"odd_{name}", lambda x, f=f: f(x).detach(), odd)
for name, f in {"max": torch.maximum, "min": torch.minimum}.items():
    case(f"odd_{name}", lambda a, b, f=f: f(a, b).detach(), odd.view(6, 1), odd)
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    case(f"odd_compare_{name}", getattr(torch, name), odd.view(6, 1), odd)
rows = torch.tensor([[1.0, nan, 2.0], [inf, 0.0, -inf], [-inf, -inf, -inf], [nan, nan, 0.0]])
for name, f in {
    "sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "amin": torch.amin,
    "logsumexp": torch.logsumexp, "argmax": torch.argmax,
}.items():
    case(f"odd_{name}", lambda x, f=f: f(x, 1).detach(), rows)
for name, f in {"sum": torch.sum, "mean": torch.mean, "logsumexp": torch.logsumexp}.items():
    case(f"empty_{name}", lambda x, f=f: f(x, 1), torch.zeros(2, 0))
case("empty_matmul", torch.matmul, torch.zeros(2, 0), torch.zeros(0, 3))
case("empty_softmax", lambda x: F.softmax(x, 1), torch.zeros(0, 3))
case("empty_conv", F.conv1d, torch.zeros(0, 2, 5), r(3, 2, 3), r(3))
case("empty_linear", F.linear, torch.zeros(0, 4), r(3, 4), r(3))


# Optimizers: four steps along given gradients.
O = torch.optim
for name, make in {
    "sgd": lambda p: O.SGD(p, 0.1), "sgd_decay": lambda p: O.SGD(p, 0.1, weight_decay=0.25),
    "sgd_momentum": lambda p: O.SGD(p, 0.1, 0.9, weight_decay=0.25),
    "sgd_nesterov": lambda p: O.SGD(p, 0.1, 0.9, nesterov=True),
    "adam": lambda p: O.Adam(p, 0.01), "adam_decay": lambda p: O.Adam(p, 0.01, (0.8, 0.99), 1e-6, 0.25),
    "adamw": lambda p: O.AdamW(p, 0.01, weight_decay=0.25),
    "adagrad": lambda p: O.Adagrad(p, 0.1, 0.5, 0.25),
    "rmsprop": lambda p: O.RMSprop(p, 0.01), "rmsprop_momentum": lambda p: O.RMSprop(p, 0.01, 0.9, 1e-6, 0.25, 0.5),
}.items():
    value = r(5).requires_grad_()
    write(f"optim_{name}", "in0", value)
    optimizer = make([value])
    for step in range(4):
        value.grad = r(5)
        write(f"optim_{name}", f"seed{step}", value.grad)
        optimizer.step()
        write(f"optim_{name}", f"out{step}", value)
for name, clip in {
    "norm": lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5), "none": lambda p: torch.nn.utils.clip_grad_norm_(p, 1e3),
    "value": lambda p: torch.nn.utils.clip_grad_value_(p, 0.5),
}.items():
    values = [torch.zeros(2, 3, requires_grad=True), torch.zeros(4, requires_grad=True)]
    for nth, value in enumerate(values):
        value.grad = r(*value.shape)
        write(f"clip_{name}", f"in{nth}", value.grad)
    norm = clip(values)
    for nth, value in enumerate(values):
        write(f"clip_{name}", f"out{nth}", value.grad)
    if norm is not None:
        write(f"clip_{name}", "norm", norm)
S = O.lr_scheduler
for name, make in {
    "step": lambda o: S.StepLR(o, 3, 0.5), "cosine": lambda o: S.CosineAnnealingLR(o, 8, 0.1),
    "warmup": lambda o: S.LinearLR(o, 0.25, 1.0, 4),
}.items():
    optimizer = O.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule = make(optimizer)
    rates = []
    for _ in range(9):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    write(f"schedule_{name}", "out", torch.tensor(rates))

path = Path(__file__).resolve().parents[1] / "src/tests/torch_values.txt"
path.write_text("\n".join(lines) + "\n")
print(f"{len(names)} cases, {path.stat().st_size} bytes, PyTorch {torch.__version__}")
