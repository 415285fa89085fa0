#!/usr/bin/env python3
"""Writes plugins/sdk/tests/module_values.txt: what the modules of PyTorch compute, which gradients they
have, what their parameters are called, and how far apart their initial values lie.

Run by hand, with PyTorch and NumPy: `python3 plugins/sdk/tests/module_values.py`. The same versions
give the same file. Everything is computed in float64 from values that float32 has exactly, so that
the SDK's distance from it is the SDK's own rounding.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
rng = np.random.default_rng(20261128)
tensors = {}


def keep(name, tensor):
    assert name not in tensors, name
    tensors[name] = tensor.detach().numpy().copy()


def sixteenths(*shape, most=32):
    """Multiples of 1/16: exact in float32."""
    return torch.tensor(rng.integers(-most, most + 1, shape) / 16)


def state_of(module):
    state = module.state_dict(keep_vars=True).items()
    return [(key, tensor) for key, tensor in state if not key.endswith("num_batches_tracked")]


def fill(name, module, most=16):
    """Gives a module parameters that float32 has exactly, and keeps them."""
    for key, tensor in state_of(module):
        if isinstance(tensor, nn.Parameter):
            tensor.data = sixteenths(*tensor.shape, most=most)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        module.weight.data[module.padding_idx] = 0
    for key, tensor in state_of(module):
        keep(f"{name}.{key}", tensor)


def keep_gradients(name, module):
    for key, tensor in state_of(module):
        if isinstance(tensor, nn.Parameter):
            keep(f"{name}.{key}_gradient", tensor.grad)


def step(name, module, inputs, compute=None):
    """A forward and backward of a module, with a gradient of the outputs by chance."""
    keep(f"{name}.inputs", inputs)
    inputs = inputs.clone()
    if inputs.is_floating_point():
        inputs.requires_grad_()
    module.zero_grad()
    outputs = (compute or module)(inputs)
    gradient = sixteenths(*outputs.shape, most=16)
    outputs.backward(gradient)
    keep(f"{name}.outputs", outputs)
    keep(f"{name}.gradient", gradient)
    if inputs.is_floating_point():
        keep(f"{name}.inputs_gradient", inputs.grad)
    keep_gradients(name, module)


def layer(name, module, inputs, compute=None, most=16):
    fill(name, module, most)
    step(name, module, inputs, compute)


def convolutions():
    layer("conv1d", nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2), sixteenths(2, 2, 9))
    layer("conv2d_groups",
          nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=2),
          sixteenths(2, 4, 5, 4))
    layer("conv3d", nn.Conv3d(1, 2, 2, padding=1, bias=False), sixteenths(2, 1, 2, 3, 2))
    layer("conv_transpose1d", nn.ConvTranspose1d(3, 2, 3, stride=2), sixteenths(2, 3, 4))
    layer("conv_transpose2d",
          nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=(1, 0), groups=2),
          sixteenths(2, 4, 3, 2))
    layer("conv_transpose3d", nn.ConvTranspose3d(2, 1, 2, dilation=2, bias=False),
          sixteenths(1, 2, 2, 1, 2))


def pooling():
    layer("max_pool1d", nn.MaxPool1d(3, stride=2, padding=1), sixteenths(2, 2, 8))
    layer("max_pool2d", nn.MaxPool2d((2, 3), stride=(1, 2)), sixteenths(1, 2, 4, 7))
    layer("max_pool3d", nn.MaxPool3d(2), sixteenths(1, 2, 4, 2, 5))
    layer("avg_pool1d", nn.AvgPool1d(3, stride=2, padding=1), sixteenths(2, 2, 8))
    layer("avg_pool2d", nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
          sixteenths(1, 2, 5, 6))
    layer("avg_pool3d", nn.AvgPool3d(2), sixteenths(1, 2, 4, 2, 5))
    layer("adaptive_avg_pool1d", nn.AdaptiveAvgPool1d(3), sixteenths(2, 2, 7))
    layer("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((2, 3)), sixteenths(1, 2, 5, 4))
    layer("adaptive_avg_pool3d", nn.AdaptiveAvgPool3d(1), sixteenths(1, 2, 2, 3, 2))
    layer("adaptive_max_pool2d", nn.AdaptiveMaxPool2d(2), sixteenths(1, 2, 5, 4))
    layer("upsample_nearest1d", nn.Upsample(scale_factor=3), sixteenths(2, 2, 3))
    layer("upsample_linear2d", nn.Upsample(scale_factor=2, mode="bilinear"),
          sixteenths(1, 2, 3, 2))
    layer("upsample_linear3d", nn.Upsample(scale_factor=2, mode="trilinear"),
          sixteenths(1, 1, 2, 3, 2))


def norms():
    for name, module, shape in [
        ("batch_norm3d", nn.BatchNorm3d(3, eps=0.125, momentum=0.25), (2, 3, 2, 1, 2)),
        ("batch_norm_plain", nn.BatchNorm1d(2, affine=False), (3, 2, 4)),
    ]:
        fill(name, module)
        for nth in (1, 2):
            step(f"{name}.{nth}", module, sixteenths(*shape) + nth)
            keep(f"{name}.{nth}.running_mean", module.running_mean)
            keep(f"{name}.{nth}.running_var", module.running_var)
        module.eval()
        step(f"{name}.prediction", module, sixteenths(*shape))
    layer("layer_norm", nn.LayerNorm(6), sixteenths(2, 3, 6))
    layer("layer_norm_two", nn.LayerNorm([3, 4], eps=0.125), sixteenths(2, 3, 4))
    layer("layer_norm_plain", nn.LayerNorm(5, elementwise_affine=False), sixteenths(3, 5))
    layer("group_norm", nn.GroupNorm(2, 4), sixteenths(2, 4, 3, 2))
    layer("group_norm_plain", nn.GroupNorm(3, 3, affine=False), sixteenths(2, 3, 4))
    layer("instance_norm", nn.InstanceNorm2d(3), sixteenths(2, 3, 2, 3))
    layer("instance_norm_affine", nn.InstanceNorm1d(3, affine=True), sixteenths(2, 3, 5))


def functions():
    layer("embedding_padding", nn.Embedding(4, 3, padding_idx=1),
          torch.tensor([[1, 0, 3], [2, 1, 1]]))
    layer("leaky_relu", nn.LeakyReLU(0.25), sixteenths(3, 5))
    layer("elu", nn.ELU(0.5), sixteenths(3, 5))
    layer("gelu", nn.GELU(), sixteenths(3, 5))
    layer("silu", nn.SiLU(), sixteenths(3, 5))
    layer("softplus", nn.Softplus(), sixteenths(3, 5))


def recurrent():
    first = lambda module: lambda x: module(x)[0]
    for name, kind in [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)]:
        module = kind(3, 4, batch_first=True)
        layer(name, module, sixteenths(2, 5, 3), first(module))
        module = kind(3, 2, num_layers=2, bidirectional=True, batch_first=True)
        layer(f"{name}_deep", module, sixteenths(3, 4, 3), first(module))
        states(f"{name}_states", kind(2, 3, num_layers=2, batch_first=True))
    # More steps than an operation has inputs.
    module = nn.GRU(1, 1, batch_first=True)
    layer("gru_long", module, sixteenths(1, 70, 1), first(module))


def states(name, module):
    """From given states to the last ones, whose gradients are given."""
    fill(name, module)
    kinds = ["hidden", "cell"] if isinstance(module, nn.LSTM) else ["hidden"]
    inputs = sixteenths(2, 3, 2)
    start = [sixteenths(2, 2, 3).requires_grad_() for _ in kinds]
    gradients = [sixteenths(2, 2, 3, most=16) for _ in kinds]
    _, last = module(inputs, tuple(start) if len(start) == 2 else start[0])
    last = last if len(start) == 2 else [last]
    torch.autograd.backward(list(last), gradients)
    keep(f"{name}.inputs", inputs)
    for kind, before, after, gradient in zip(kinds, start, last, gradients):
        keep(f"{name}.start.{kind}", before)
        keep(f"{name}.start.{kind}_gradient", before.grad)
        keep(f"{name}.last.{kind}", after)
        keep(f"{name}.last.{kind}_gradient", gradient)
    keep_gradients(name, module)


def attention():
    attention = lambda: nn.MultiheadAttention(6, 2, batch_first=True)
    module = attention()
    layer("attention", module, sixteenths(2, 4, 6), lambda x: module(x, x, x)[0], most=8)
    module = attention()
    mask = torch.ones(4, 4).triu(1).bool()
    layer("attention_causal", module, sixteenths(2, 4, 6),
          lambda x: module(x, x, x, attn_mask=mask)[0], most=8)

    # Queries of three positions, keys and values of four; the last key of the second row is padding.
    module = attention()
    keys, values = sixteenths(2, 4, 6), sixteenths(2, 4, 6)
    padding = torch.tensor([[False] * 4, [False] * 3 + [True]])
    keep("attention_masked.keys", keys)
    keep("attention_masked.values", values)
    layer("attention_masked", module, sixteenths(2, 3, 6),
          lambda x: module(x, keys, values, key_padding_mask=padding)[0], most=8)
    added = sixteenths(4, 4, most=16)
    module = attention()
    keep("attention_added.mask", added)
    layer("attention_added", module, sixteenths(1, 4, 6),
          lambda x: module(x, x, x, attn_mask=added)[0], most=8)

    layer("encoder_layer", nn.TransformerEncoderLayer(6, 3, 5, dropout=0, batch_first=True),
          sixteenths(2, 4, 6), most=8)
    layer("encoder_layer_first",
          nn.TransformerEncoderLayer(6, 2, 5, dropout=0, activation="gelu", batch_first=True,
                                     norm_first=True),
          sixteenths(2, 3, 6), most=8)


def starts():
    """The standard deviation of the initial values of each parameter, over many modules."""
    torch.manual_seed(20261128)
    for name, module in [
        ("linear", lambda: nn.Linear(7, 5)),
        ("conv2d", lambda: nn.Conv2d(4, 6, 3, groups=2)),
        ("conv_transpose2d", lambda: nn.ConvTranspose2d(4, 6, 3, groups=2)),
        ("batch_norm", lambda: nn.BatchNorm1d(3)),
        ("layer_norm", lambda: nn.LayerNorm(3)),
        ("embedding", lambda: nn.Embedding(5, 3)),
        ("lstm", lambda: nn.LSTM(3, 5)),
        ("attention", lambda: nn.MultiheadAttention(6, 2)),
        ("encoder_layer", lambda: nn.TransformerEncoderLayer(6, 2, 5)),
    ]:
        drawn = {}
        for _ in range(4000):
            for key, tensor in state_of(module()):
                drawn.setdefault(key, []).append(tensor.detach().flatten())
        for key, values in drawn.items():
            values = torch.cat(values)
            keep(f"start.{name}.{key}", torch.stack([values.mean(), values.std()]))


def write(path):
    """One tensor after the other: a line with name and shape, and lines of elements."""
    lines = [f"# Written by tests/module_values.py with PyTorch {torch.__version__.split('+')[0]}."]
    for name, array in tensors.items():
        lines.append(" ".join([name, *map(str, array.shape)]))
        line = ""
        for element in array.ravel():
            text = f"{element:.9g}"
            if len(line) + len(text) > 98:
                lines.append(line)
                line = ""
            line += " " + text
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")


convolutions()
pooling()
norms()
functions()
recurrent()
attention()
starts()
write(Path(__file__).with_suffix(".txt"))
