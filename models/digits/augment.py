"""Makes MNIST's digits look like what people send: drawn off centre, thick or thin, on any ground.

MNIST is white on black and centred. A drawing in a browser or a photograph of paper is mostly
black on white, of another size and stroke, and never centred; half of what the network sees is
therefore inverted.
"""

import math

import torch
from torch.nn import functional as F


def augment(pictures, random):
    """N x 1 x 28 x 28 in 0..1 with ink 1, to the same shape with any polarity."""
    pictures = change_stroke(pictures, random)
    pictures = move(pictures, random)
    return light(pictures, random)


def uniform(count, low, high, random):
    return torch.rand(count, 1, 1, 1, generator=random) * (high - low) + low


def change_stroke(pictures, random):
    """Thickens or thins the strokes and hardens their edges, each picture by its own amount."""
    thick = F.max_pool2d(pictures, 3, stride=1, padding=1)
    thin = -F.max_pool2d(-pictures, 3, stride=1, padding=1)
    amount = uniform(len(pictures), -0.5, 1.0, random)
    pictures = torch.where(
        amount > 0, torch.lerp(pictures, thick, amount), torch.lerp(pictures, thin, -amount)
    )
    return (pictures * uniform(len(pictures), 1.0, 2.0, random)).clamp(max=1.0)


def move(pictures, random):
    """Turns, slants, stretches and shifts, in one bilinear sampling."""
    count = len(pictures)

    def pick(low, high):
        return uniform(count, low, high, random).flatten()

    turn, slant = pick(-15, 15) * (math.pi / 180), pick(-0.2, 0.2)
    size, stretch = pick(0.6, 1.25), pick(0.8, 1.25)
    wide, high = 1 / (size * stretch.sqrt()), stretch.sqrt() / size
    # A smaller digit has more room to be elsewhere. 1.0 is half the width of the picture.
    room = 0.2 + 0.5 * (1 - size).clamp(min=0)
    right, down = pick(-1, 1) * room, pick(-1, 1) * room
    rows = [
        torch.stack([turn.cos() * wide, (slant - turn.sin()) * wide, right * wide], dim=1),
        torch.stack([turn.sin() * high, turn.cos() * high, down * high], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def light(pictures, random):
    """Gives some pictures a grey ground, weak ink and noise, and inverts half of all."""
    count = len(pictures)
    plain = uniform(count, 0, 1, random) < 0.6
    ground = torch.where(plain, 0.0, uniform(count, 0.0, 0.3, random))
    ink = torch.where(plain, 1.0, uniform(count, 0.6, 1.0, random))
    noise = torch.where(plain, 0.0, uniform(count, 0.0, 0.08, random))
    pictures = ground + (ink - ground) * pictures
    pictures = pictures + noise * torch.randn(pictures.shape, generator=random)
    inverted = uniform(count, 0, 1, random) < 0.5
    return torch.where(inverted, 1 - pictures, pictures).clamp(0.0, 1.0)
