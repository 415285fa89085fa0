"""Modules of PyTorch for tests: each with inputs and targets of some rows, and its loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.net(x)


class LeNet(nn.Module):
    """LeCun et al. 1998, with ReLU and maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return self.fc3(x)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet18(nn.Module):
    """He et al. 2016 for images of 32 by 32; ``width`` is 64 in the paper."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages, inputs = [], width
        for nth in range(4):
            outputs = width * 2**nth
            stride = 1 if nth == 0 else 2
            stages.append(nn.Sequential(Residual(inputs, outputs, stride), Residual(outputs, outputs, 1)))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Ronneberger et al. 2015, small; one way up is a transposed convolution, the other bilinear."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = double_convolution(1, 8)
        self.down2 = double_convolution(8, 16)
        self.bottom = double_convolution(16, 32)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.out2 = double_convolution(32, 16)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.out1 = double_convolution(24, 8)
        self.mask = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(self.pool(one))
        x = self.bottom(self.pool(two))
        x = self.out2(torch.cat([self.up2(x), two], 1))
        x = self.out1(torch.cat([self.up1(x), one], 1))
        return self.mask(x)


class DenseBlock(nn.Module):
    """Huang et al. 2017: each layer sees all before."""

    def __init__(self, growth: int = 4, layers: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        for nth in range(layers):
            self.norms.append(nn.BatchNorm2d(8 + nth * growth))
            self.convs.append(nn.Conv2d(8 + nth * growth, growth, 3, padding=1, bias=False))
        self.fc = nn.Linear(8 + layers * growth, 10)

    def forward(self, x):
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs):
            features.append(conv(torch.relu(norm(torch.cat(features, dim=1)))))
        x = F.avg_pool2d(torch.cat(features, dim=1), 2)
        return self.fc(x.mean(dim=(2, 3)))


class Words(nn.Module):
    """Words to a class by a recurrent layer: its last outputs, or its last states."""

    def __init__(self, cell: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.rnn = cell(16, 24, batch_first=True, **options)
        self.fc = nn.Linear(24 * (1 + self.rnn.bidirectional), 4)

    def forward(self, x):
        outputs, states = self.rnn(self.embedding(x))
        if self.rnn.bidirectional:
            return self.fc(outputs[:, -1])
        hidden = states[0] if isinstance(states, tuple) else states
        return self.fc(hidden[-1])


class Encoder(nn.Module):
    """PyTorch's own transformer encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.position = nn.Parameter(torch.zeros(1, 12, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        return self.fc(self.encoder(self.embedding(x) + self.position).mean(1))


class Vae(nn.Module):
    """Kingma and Welling 2014 with convolutions. In evaluation the latent variables are their means."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.mean, self.deviation = nn.Linear(16 * 49, 8), nn.Linear(16 * 49, 8)
        self.decoder = nn.Sequential(
            nn.Linear(8, 16 * 49),
            nn.Unflatten(1, (16, 7, 7)),
            nn.ConvTranspose2d(16, 8, 3, 2, 1, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        hidden = self.encoder(x)
        mean, deviation = self.mean(hidden), torch.exp(0.5 * self.deviation(hidden))
        latent = mean + torch.randn_like(deviation) * deviation if self.training else mean
        return self.decoder(latent), mean, deviation


def images(rows: int, channels: int, size: int) -> torch.Tensor:
    return torch.rand(rows, channels, size, size)


def words(rows: int) -> torch.Tensor:
    return torch.randint(0, 50, (rows, 12))


def classes(n: int) -> Callable[[int], torch.Tensor]:
    return lambda rows: torch.randint(0, n, (rows,))


# Name: the module, inputs and targets of so many rows, and the loss.
MODELS: dict[str, tuple] = {
    "mlp": (Mlp, lambda rows: torch.randn(rows, 64), classes(10), nn.CrossEntropyLoss()),
    "lenet": (LeNet, lambda rows: images(rows, 1, 28), classes(10), nn.CrossEntropyLoss()),
    "resnet18": (ResNet18, lambda rows: images(rows, 3, 32), classes(10), nn.CrossEntropyLoss()),
    "unet": (
        UNet,
        lambda rows: images(rows, 1, 32),
        lambda rows: (images(rows, 1, 32) > 0.5).float(),
        nn.BCEWithLogitsLoss(),
    ),
    "dense": (DenseBlock, lambda rows: images(rows, 3, 16), classes(10), nn.CrossEntropyLoss()),
    "lstm": (
        lambda: Words(nn.LSTM, num_layers=2, bidirectional=True),
        words,
        classes(4),
        nn.CrossEntropyLoss(),
    ),
    "gru": (lambda: Words(nn.GRU), words, classes(4), nn.CrossEntropyLoss()),
    "encoder": (Encoder, words, classes(4), nn.CrossEntropyLoss(label_smoothing=0.1)),
}
