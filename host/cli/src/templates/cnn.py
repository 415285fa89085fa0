"""A convolutional network for small images, such as MNIST: two convolutions, each pooled and
rectified, and a linear layer under the cross-entropy loss."""

import fedwasm as fw
from fedwasm import losses, nn


class Cnn(fw.Plan):
    name = "cnn"
    channels: int = 1  # channels of an image: 1 for grey, 3 for colours
    size: int = 28  # lines and columns of an image
    filters1: int = 8  # filters of the first convolution
    filters2: int = 16  # filters of the second convolution

    def data(self):
        return fw.Data(fw.reals(self.channels, self.size, self.size), fw.classes())

    def model(self):
        # A convolution of 5 x 5 and a pool of 2 x 2 leave (size - 4) / 2 lines.
        size = ((self.size - 4) // 2 - 4) // 2
        return nn.Sequential(
            nn.Conv2d(self.channels, self.filters1, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(self.filters1, self.filters2, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(self.filters2 * size * size, self.n_classes),
        )

    def training_step(self, batch):
        return losses.cross_entropy(self.net(batch.inputs), batch.targets)
