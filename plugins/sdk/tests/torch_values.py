#!/usr/bin/env python3
"""Writes plugins/sdk/tests/torch_values.txt: what PyTorch computes for layers, losses, optimizers and
rounds of training of the SDK, and for a round of each plan that we ship. Other modules are in
module_values.py.

Run by hand, with PyTorch and NumPy: `python3 plugins/sdk/tests/torch_values.py`. The same versions
give the same file. Everything is computed in float64 from inputs that float32 has exactly, so that
the SDK's distance from it is the SDK's own rounding.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
rng = np.random.default_rng(20240519)
tensors = {}


def keep(name, tensor):
    assert name not in tensors, name
    tensors[name] = tensor.detach().numpy().copy()


def sixteenths(*shape, most=32):
    """Multiples of 1/16: exact in float32, and with equal ones among them."""
    return torch.tensor(rng.integers(-most, most + 1, shape) / 16)


def parameters_of(module):
    names = ("weight", "bias", "running_mean", "running_var")
    found = [(name, getattr(module, name, None)) for name in names]
    return [(name, tensor) for name, tensor in found if tensor is not None]


def fill(module):
    """Gives a module parameters that float32 has exactly."""
    for name, parameter in parameters_of(module):
        if isinstance(parameter, torch.nn.Parameter):
            parameter.data = sixteenths(*parameter.shape, most=16)


def step(name, module, inputs):
    """One forward and backward of a module, with a gradient of the outputs by chance."""
    keep(f"{name}.inputs", inputs)
    if inputs.is_floating_point():
        inputs.requires_grad_()
    module.zero_grad()
    outputs = module(inputs)
    gradient = sixteenths(*outputs.shape, most=16)
    outputs.backward(gradient)
    keep(f"{name}.outputs", outputs)
    keep(f"{name}.gradient", gradient)
    if inputs.is_floating_point():
        keep(f"{name}.inputs_gradient", inputs.grad)
    for key, parameter in parameters_of(module):
        if isinstance(parameter, torch.nn.Parameter):
            keep(f"{name}.{key}_gradient", parameter.grad)


def layer(name, module, inputs):
    fill(module)
    for key, parameter in parameters_of(module):
        keep(f"{name}.{key}", parameter)
    step(name, module, inputs)


def layers():
    nn = torch.nn
    layer("linear", nn.Linear(7, 5), sixteenths(6, 7))
    layer("conv2d", nn.Conv2d(2, 3, 3), sixteenths(2, 2, 5, 6))
    layer("conv2d_stride_2", nn.Conv2d(2, 2, 3, stride=2), sixteenths(2, 2, 8, 7))
    layer("conv2d_padding_1", nn.Conv2d(1, 3, 3, padding=1), sixteenths(2, 1, 4, 5))
    layer("conv2d_stride_3_padding_2", nn.Conv2d(2, 2, 4, stride=3, padding=2),
          sixteenths(2, 2, 6, 5))
    layer("conv2d_kernel_1", nn.Conv2d(3, 2, 1, stride=2), sixteenths(2, 3, 3, 4))
    # Whole numbers: most windows have equal elements.
    layer("max_pool2d_2", nn.MaxPool2d(2), sixteenths(2, 2, 4, 6, most=2))
    layer("max_pool2d_3", nn.MaxPool2d(3), sixteenths(1, 2, 7, 8))
    layer("avg_pool2d_2", nn.AvgPool2d(2), sixteenths(2, 2, 4, 6))
    layer("avg_pool2d_3", nn.AvgPool2d(3), sixteenths(1, 2, 7, 8))
    layer("relu", nn.ReLU(), sixteenths(4, 6, most=3))
    layer("sigmoid", nn.Sigmoid(), 4 * sixteenths(4, 6))
    layer("tanh", nn.Tanh(), 2 * sixteenths(4, 6))
    layer("flatten", nn.Flatten(), sixteenths(2, 2, 3, 2))
    layer("embedding", nn.Embedding(5, 3), torch.tensor(rng.integers(0, 5, (4, 3))))

    for name, module, shape in [("batch_norm1d", nn.BatchNorm1d(4), (6, 4)),
                                ("batch_norm2d", nn.BatchNorm2d(3), (3, 3, 2, 5))]:
        fill(module)
        for key, parameter in parameters_of(module):
            keep(f"{name}.{key}", parameter)
        for nth in (1, 2):
            step(f"{name}.{nth}", module, sixteenths(*shape) + nth)
            keep(f"{name}.{nth}.running_mean", module.running_mean)
            keep(f"{name}.{nth}.running_var", module.running_var)
        module.eval()
        step(f"{name}.prediction", module, sixteenths(*shape))


def loss(name, function, scores, targets):
    keep(f"{name}.scores", scores)
    keep(f"{name}.targets", targets)
    scores.requires_grad_()
    value = function(scores, targets)
    value.backward()
    keep(f"{name}.loss", value.reshape(1))
    keep(f"{name}.gradient", scores.grad)


def losses():
    classes = lambda n, rows: torch.tensor(rng.integers(0, n, rows))
    loss("cross_entropy", F.cross_entropy, 2 * sixteenths(6, 4), classes(4, 6))
    loss("cross_entropy_large", F.cross_entropy, 64 * sixteenths(5, 3), classes(3, 5))
    binary = lambda scores, targets: F.binary_cross_entropy_with_logits(
        scores, targets.to(scores).reshape(scores.shape))
    loss("binary_cross_entropy_classes", binary, 4 * sixteenths(8, 1), classes(2, 8))
    loss("binary_cross_entropy_reals", binary, 4 * sixteenths(4, 3),
         torch.tensor(rng.integers(0, 17, (4, 3)) / 16))
    # Right by far: what is left of the loss is log(1 + exp(-|s|)).
    sure = torch.tensor([[18.0], [-20.0], [25.0], [-40.0]])
    loss("binary_cross_entropy_sure", binary, sure, torch.tensor([1, 0, 1, 0]))
    # Equal ones among them.
    for name, function in [("mse", F.mse_loss), ("mae", F.l1_loss),
                           ("huber", lambda x, y: F.huber_loss(x, y, delta=0.75))]:
        targets = sixteenths(5, 2)
        outputs = targets + sixteenths(5, 2) * torch.tensor(rng.integers(0, 4, (5, 2)) > 0)
        loss(name, function, outputs, targets)


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd_weight_decay": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.25)),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.75, weight_decay=0.125)),
    "sgd_nesterov": (torch.optim.SGD,
                     dict(lr=0.1, momentum=0.75, nesterov=True, weight_decay=0.125)),
    "adam": (torch.optim.Adam, {}),
    "adam_options": (torch.optim.Adam,
                     dict(lr=0.05, betas=(0.5, 0.75), eps=0.125, weight_decay=0.25)),
    "adamw": (torch.optim.AdamW, {}),
    "adamw_options": (torch.optim.AdamW,
                      dict(lr=0.05, betas=(0.5, 0.75), eps=0.125, weight_decay=0.25)),
    "adagrad": (torch.optim.Adagrad, {}),
    "adagrad_options": (torch.optim.Adagrad,
                        dict(lr=0.05, lr_decay=0.5, eps=0.125, weight_decay=0.25)),
    "rms_prop": (torch.optim.RMSprop, {}),
    "rms_prop_options": (torch.optim.RMSprop,
                         dict(lr=0.05, alpha=0.5, eps=0.125, weight_decay=0.25)),
    "rms_prop_momentum": (torch.optim.RMSprop,
                          dict(lr=0.05, alpha=0.5, momentum=0.75, weight_decay=0.125)),
}
STEPS = 6


def optimizers():
    start, gradients = sixteenths(5), sixteenths(STEPS, 5)
    # A weight without a gradient: only decay moves it.
    gradients[:, 0] = 0
    keep("optimizers.start", start)
    keep("optimizers.gradients", gradients)
    for name, (rule, options) in OPTIMIZERS.items():
        value = start.clone().requires_grad_()
        optimizer = rule([value], **options)
        after = []
        for gradient in gradients:
            value.grad = gradient.clone()
            optimizer.step()
            after.append(value.detach().clone())
        keep(f"optimizers.{name}", torch.stack(after))


def rounds():
    """Rounds of a small network, as a plan trains them: plain, with FedProx and with SCAFFOLD."""
    rng = np.random.default_rng(20261128)
    rows, n_classes = 8, 3
    whole = lambda most, *shape: torch.tensor(rng.integers(-most, most + 1, shape) / 16)
    inputs, classes = whole(32, STEPS, rows, 6), torch.tensor(rng.integers(0, n_classes, (STEPS, rows)))
    keep("two.inputs", inputs)
    keep("two.targets", classes)
    start = {"first.weight": whole(16, 5, 6), "first.bias": whole(16, 5),
             "last.weight": whole(16, 3, 5), "last.bias": whole(16, 3)}
    for name, tensor in start.items():
        keep(f"two.start.{name}", tensor)

    def train(name, rule, options, correct=lambda step, key, value: None, clip=None):
        values = {key: tensor.clone().requires_grad_() for key, tensor in start.items()}
        optimizer = rule(values.values(), **options)
        losses = []
        for step, (x, y) in enumerate(zip(inputs, classes)):
            optimizer.zero_grad()
            hidden = torch.tanh(F.linear(x, values["first.weight"], values["first.bias"]))
            loss = F.cross_entropy(F.linear(hidden, values["last.weight"], values["last.bias"]), y)
            loss.backward()
            for key, value in values.items():
                correct(step, key, value)
            if clip is not None:
                torch.nn.utils.clip_grad_value_(values.values(), clip[0])
                torch.nn.utils.clip_grad_norm_(values.values(), clip[1])
            optimizer.step()
            losses.append(loss.detach())
        keep(f"{name}.losses", torch.stack(losses))
        for key, value in values.items():
            keep(f"{name}.end.{key}", value)
        return optimizer

    train("two", torch.optim.SGD, dict(lr=0.1, momentum=0.5, weight_decay=0.01))
    train("clipped", torch.optim.SGD, dict(lr=0.5), clip=(0.05, 0.1))

    def proximal(step, key, value):
        value.grad += 0.75 * (value.detach() - start[key])

    train("fedprox", torch.optim.SGD, dict(lr=0.1), proximal)

    sums = {key: torch.zeros_like(tensor) for key, tensor in start.items()}
    variates = {key: (whole(8, *tensor.shape), whole(8, *tensor.shape)) for key, tensor in start.items()}
    for nth, (of_all, own) in enumerate(variates.values()):
        keep(f"scaffold.aux_in.{2 * nth}", of_all)
        keep(f"scaffold.aux_in.{2 * nth + 1}", own)

    def scaffold(step, key, value):
        sums[key] += value.grad
        of_all, own = variates[key]
        value.grad += of_all - own

    train("scaffold", torch.optim.SGD, dict(lr=0.1), scaffold)
    for nth, total in enumerate(sums.values()):
        keep(f"scaffold.aux_out.{nth}", total / STEPS)

    # Two rounds of one optimizer: what it keeps goes on.
    values = {key: tensor.clone().requires_grad_() for key, tensor in start.items()}
    optimizer = torch.optim.Adam(values.values(), lr=0.01)
    for nth_round in (1, 2):
        losses = []
        for x, y in zip(inputs, classes):
            optimizer.zero_grad()
            hidden = torch.tanh(F.linear(x, values["first.weight"], values["first.bias"]))
            loss = F.cross_entropy(F.linear(hidden, values["last.weight"], values["last.bias"]), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        keep(f"adam_round{nth_round}.losses", torch.stack(losses))
        for key, value in values.items():
            keep(f"adam_round{nth_round}.end.{key}", value)


def plans():
    """A round of each plan that we ship, on whole batches of rows by chance."""
    rng = np.random.default_rng(20261129)
    nn, steps = torch.nn, 4
    whole = lambda *shape, most=16: torch.tensor(rng.integers(-most, most + 1, shape) / 16)
    cross_entropy = lambda model: lambda x, y: F.cross_entropy(model(x), y)

    def train(name, model, loss, inputs, targets, options, penalty=lambda: 0,
              rule=torch.optim.SGD):
        for key, parameter in model.named_parameters():
            parameter.data = whole(*parameter.shape, most=8) / 4
            keep(f"plans.{name}.start.{key}", parameter)
        keep(f"plans.{name}.inputs", inputs)
        keep(f"plans.{name}.targets", targets)
        optimizer = rule(model.parameters(), **options)
        losses = []
        for x, y in zip(inputs, targets):
            optimizer.zero_grad()
            value = loss(x, y)
            (value + penalty()).backward()
            optimizer.step()
            losses.append(value.detach())
        keep(f"plans.{name}.losses", torch.stack(losses))
        for key, parameter in model.named_parameters():
            keep(f"plans.{name}.end.{key}", parameter)

    class Svm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(1))

        def loss(self, x, y):
            return F.relu(1 - (2 * y - 1) * (x @ self.weight + self.bias)).mean()

    rows, columns = 8, 5
    inputs = lambda: whole(steps, rows, columns, most=32)
    classes = lambda n: torch.tensor(rng.integers(0, n, (steps, rows)))
    momentum = dict(lr=0.05, momentum=0.9, weight_decay=0.01)

    model = nn.Sequential()
    model.add_module("hidden", nn.Linear(columns, 7))
    model.add_module("relu", nn.ReLU())
    model.add_module("output", nn.Linear(7, 3))
    train("mlp", model, cross_entropy(model), inputs(), classes(3), momentum)

    model = nn.Sequential()
    model.add_module("linear", nn.Linear(columns, 3))
    train("logistic-regression", model, cross_entropy(model), inputs(), classes(3), momentum)

    model = nn.Sequential()
    model.add_module("linear", nn.Linear(columns, 1))
    train("linear-regression", model, lambda x, y: F.mse_loss(model(x), y), inputs(),
          whole(steps, rows, 1, most=32), dict(lr=0.05))

    svm = Svm()
    train("linear-svm", svm, svm.loss, inputs(), classes(2), dict(lr=0.05),
          lambda: 0.125 * (svm.weight ** 2).sum())

    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(1, 2, 5))
    model.add_module("pool1", nn.MaxPool2d(2))
    model.add_module("relu1", nn.ReLU())
    model.add_module("conv2", nn.Conv2d(2, 3, 5))
    model.add_module("pool2", nn.MaxPool2d(2))
    model.add_module("relu2", nn.ReLU())
    model.add_module("flatten", nn.Flatten())
    model.add_module("output", nn.Linear(3, 3))
    train("cnn", model, cross_entropy(model), whole(steps, rows, 1, 16, 16), classes(3), momentum)

    # Some gradients are 0 but for rounding, which a small eps would make steps of.
    adam = dict(lr=0.05, eps=0.125)

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.LSTM(2, 4, num_layers=2, batch_first=True)
            self.output = nn.Linear(4, 3)

        def forward(self, x):
            return self.output(self.recurrent(x)[0][:, -1])

    model = Lstm()
    train("lstm", model, cross_entropy(model), whole(steps, rows, 3, 2, most=32), classes(3), adam,
          rule=torch.optim.Adam)

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(columns, 8))
            self.shift = nn.Parameter(torch.zeros(columns, 8))
            layer = lambda: nn.TransformerEncoderLayer(
                8, 2, 6, dropout=0, activation="gelu", batch_first=True, norm_first=True)
            self.layers = nn.ModuleList([layer(), layer()])
            self.norm, self.output = nn.LayerNorm(8), nn.Linear(8, 3)

        def forward(self, x):
            x = x[:, :, None] * self.scale + self.shift
            for layer in self.layers:
                x = layer(x)
            return self.output(self.norm(x).mean(1))

    model = Transformer()
    train("transformer", model, cross_entropy(model), inputs(), classes(3), adam,
          rule=torch.optim.AdamW)

    class Block(nn.Sequential):
        def __init__(self, channels, filters):
            super().__init__()
            self.add_module("conv1", nn.Conv2d(channels, filters, 3, padding=1, bias=False))
            self.add_module("norm1", nn.InstanceNorm2d(filters, affine=True))
            self.add_module("relu1", nn.ReLU())
            self.add_module("conv2", nn.Conv2d(filters, filters, 3, padding=1, bias=False))
            self.add_module("norm2", nn.InstanceNorm2d(filters, affine=True))
            self.add_module("relu2", nn.ReLU())

    class Unet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList([Block(1, 2), Block(2, 4), Block(4, 8)])
            self.widen = nn.ModuleList([nn.ConvTranspose2d(4, 2, 2, stride=2),
                                        nn.ConvTranspose2d(8, 4, 2, stride=2)])
            self.up = nn.ModuleList([Block(4, 2), Block(8, 4)])
            self.output = nn.Conv2d(2, 3, 1)

        def forward(self, x):
            first = self.down[0](x)
            second = self.down[1](F.max_pool2d(first, 2))
            third = self.down[2](F.max_pool2d(second, 2))
            second = self.up[1](torch.cat([second, self.widen[1](third)], 1))
            return self.output(self.up[0](torch.cat([first, self.widen[0](second)], 1)))

    model = Unet()
    masks = torch.tensor(rng.integers(0, 3, (steps, 2, 16, 16)))
    train("unet", model, cross_entropy(model), whole(steps, 2, 1, 16, 16), masks, adam,
          rule=torch.optim.Adam)


def write(path):
    """One tensor after the other: a line with name and shape, and lines of elements."""
    lines = [f"# Written by tests/torch_values.py with PyTorch {torch.__version__.split('+')[0]}."]
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


layers()
losses()
optimizers()
rounds()
plans()
write(Path(__file__).with_suffix(".txt"))
