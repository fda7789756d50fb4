"""The network of `digits.mar`: three small convolutions and two linear layers, 47,000 weights."""

from torch import Tensor, nn

# MNIST's own mean and deviation, also in model-config.yaml.
MEAN, STD = 0.1307, 0.3081


class Digits(nn.Module):
    """N x 1 x 28 x 28, normalised, to N x 10 logits."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(block(1, 16, 5), block(16, 32, 3), block(32, 48, 3))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(48 * 3 * 3, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def block(inputs, outputs, size):
    """Convolution, batch normalisation, ReLU, and half the width and height."""
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))
