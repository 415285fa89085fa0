"""Models as they are written for PyTorch, moved by their imports: the same bits in a component and here."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fedwasm as fw
import fedwasm as torch
import fedwasm.nn as nn
import fedwasm.nn.functional as F


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super(BasicBlock, self).__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, self.expansion * planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(self.expansion * planes),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, num_blocks, num_classes=10):
        super().__init__()
        self.in_planes = 8
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(block, 8, num_blocks[0], stride=1)
        self.layer2 = self._make_layer(block, 16, num_blocks[1], stride=2)
        self.linear = nn.Linear(16 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                pass

    def _make_layer(self, block, planes, num_blocks, stride):
        strides = [stride] + [1] * (num_blocks - 1)
        layers = []
        for stride in strides:
            layers.append(block(self.in_planes, planes, stride))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer1(out)
        out = self.layer2(out)
        out = F.avg_pool2d(out, 4)
        out = out.view(out.size(0), -1)
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(out.view(out.size(0), 16, 4, 4), 1), 1))


class Images(fw.Plan):
    def model(self):
        return ResNet(BasicBlock, [1, 1], self.n_classes)

    def data(self):
        return fw.Data(fw.reals(3, 32, 32), fw.classes())

    def training_step(self, batch):
        return nn.CrossEntropyLoss()(self.net(batch.inputs), batch.targets)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=16):
        super().__init__()
        position = np.arange(max_len)[:, None]
        div = np.exp(np.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = np.zeros((1, max_len, d_model))
        pe[0, :, 0::2] = np.sin(position * div)
        pe[0, :, 1::2] = np.cos(position * div)
        self.register_buffer("pe", fw.tensor(pe))

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.n_head, self.n_embd = n_head, n_embd

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split([self.n_embd] * 3, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / fw.sqrt(k.size(-1)))
        mask = torch.tril(torch.ones(T, T)).view(1, 1, T, T)
        att = att.masked_fill(mask == 0, float("-inf"))
        att = F.softmax(att, dim=-1)
        y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.c_proj(y)


class Language(fw.Plan):
    task = "language"
    length = 12
    heads: int = 2
    width: int = 8
    dropout: float = 0.1

    def model(self):
        self.wte = nn.Embedding(20, self.width)
        self.wpe = nn.Parameter(torch.randn(1, self.length, self.width) * 0.02)
        self.drop = nn.Dropout(self.dropout)
        self.blocks = nn.ModuleList(
            [
                nn.ModuleDict(
                    {"ln": nn.LayerNorm(self.width), "attn": CausalSelfAttention(self.width, self.heads)}
                )
                for _ in range(2)
            ]
        )
        self.ln_f = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, 20, bias=False)

    def data(self):
        return fw.Data(fw.integers(self.length), fw.classes(self.length))

    def forward(self, words):
        x = self.drop(self.wte(words) + self.wpe)
        for block in self.blocks:
            x = x + block["attn"](block["ln"](x))
        return self.head(self.ln_f(x))

    def training_step(self, batch):
        logits = self.forward(batch.inputs)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), batch.targets.view(-1))

    def predict(self, batch):
        return self.forward(batch.inputs).flatten(1)


class Vae(fw.Plan):
    task = "generation"
    latent: int = 2

    def data(self):
        return fw.Data(fw.reals(self.n_features))

    def model(self):
        self.enc = nn.Sequential(nn.Linear(self.n_features, 16), nn.ReLU())
        self.mu, self.logvar = nn.Linear(16, self.latent), nn.Linear(16, self.latent)
        self.dec = nn.Sequential(
            nn.Linear(self.latent, 16), nn.ReLU(), nn.Linear(16, self.n_features), nn.Sigmoid()
        )

    def training_step(self, batch):
        x = batch.inputs
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        bce = F.binary_cross_entropy(self.dec(z), x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (bce + kld) / batch.rows

    def predict(self, batch):
        return self.dec(self.mu(self.enc(batch.inputs)))


class Loop(fw.Plan):
    steps = 6

    def model(self):
        self.cell = nn.Linear(1 + 4, 4)
        self.out = nn.Linear(4, self.n_classes)

    def data(self):
        return fw.Data(fw.reals(self.steps, 1), fw.classes())

    def predict(self, batch):
        x = batch.inputs
        h = torch.zeros(x.size(0), 4)
        for t in range(x.size(1)):
            h = torch.tanh(self.cell(torch.cat((x[:, t], h), dim=1)))
        return self.out(h)

    def training_step(self, batch):
        return F.cross_entropy(self.predict(batch), batch.targets)


class Shared(fw.Plan):
    def model(self):
        self.enc = nn.Linear(self.n_features, 3)
        self.pos = PositionalEncoding(4)

    def data(self):
        return fw.Data(fw.reals(self.n_features))

    def training_step(self, b):
        h = self.enc(b.inputs)
        back = F.linear(h, self.enc.weight.t())
        p = self.pos(h.unsqueeze(-1).expand(-1, -1, 4)).mean()
        return F.mse_loss(back, b.inputs) + p * 0

    def predict(self, b):
        return self.enc(b.inputs)


def rows(*shape, whole=0):
    n = math.prod(shape)
    wave = (np.sin(np.arange(n) * 0.7) + 1) / 2
    return (wave * whole).astype("int64").reshape(shape) if whole else wave.astype("float32").reshape(shape)


LABELS = np.arange(20) % 3
PLANS = {
    Images: {"inputs": rows(20, 3, 32, 32), "label": LABELS},
    Language: {"inputs": rows(20, 12, whole=20), "label": rows(20, 12, whole=20)},
    Vae: {"inputs": rows(20, 5), "label": LABELS},
    Loop: {"inputs": rows(20, 6, 1), "label": LABELS},
    Shared: {"inputs": rows(20, 4), "label": LABELS},
}


@pytest.mark.parametrize("plan", PLANS)
def test_models_of_pytorch_compute_the_same_bits(plan):
    arrays = PLANS[plan]
    training = {"epochs": 2, "random_seed": 4, "test_ratio": 0.2, "loader_args": {"batch_size": 8}}
    results = []
    for sandbox in (True, False):
        job = fw.LocalJob(
            plan,
            arrays,
            inputs=["inputs"],
            target="label",
            training_args=training,
            data_args={"standardize": False},
            sandbox=sandbox,
            progress=False,
        )
        results.append(job.start_training())
    component, here = results
    assert component.metrics == here.metrics
    for name, value in component.params.items():
        assert value.tobytes() == here.params[name].tobytes(), name
