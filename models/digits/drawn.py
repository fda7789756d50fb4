"""Ten digits as a mouse draws them on a canvas: one stroke width, black on white, 280 x 280.

They come from no data set: an independent check that the model reads more than MNIST's hand.
"""

import math

from PIL import Image, ImageDraw

SIZE, SCALE = 280, 4


def arc(x, y, wide, high, start, end):
    """Points of an ellipse around (x, y); degrees, clockwise from the right."""
    angles = [math.radians(start + (end - start) * i / 24) for i in range(25)]
    return [(x + wide * math.cos(a), y + high * math.sin(a)) for a in angles]


# Strokes in a square of 1 x 1, y downwards.
STROKES = {
    0: [arc(0.5, 0.5, 0.2, 0.3, -90, 270)],
    1: [[(0.42, 0.3), (0.53, 0.19), (0.52, 0.8)]],
    2: [arc(0.48, 0.35, 0.19, 0.17, 190, 380) + [(0.3, 0.79), (0.72, 0.77)]],
    3: [arc(0.46, 0.34, 0.19, 0.15, 200, 440) + arc(0.46, 0.64, 0.22, 0.16, -85, 160)],
    4: [[(0.42, 0.2), (0.28, 0.55), (0.72, 0.54)], [(0.6, 0.28), (0.57, 0.82)]],
    5: [[(0.68, 0.2), (0.37, 0.21), (0.34, 0.45)] + arc(0.47, 0.6, 0.2, 0.18, 230, 500)],
    6: [[(0.6, 0.18), (0.42, 0.36)] + arc(0.48, 0.63, 0.17, 0.17, 200, 540)],
    7: [[(0.28, 0.24), (0.7, 0.22), (0.44, 0.82)]],
    8: [arc(0.5, 0.34, 0.15, 0.14, 90, 450) + arc(0.5, 0.64, 0.19, 0.16, -90, 270)],
    9: [arc(0.48, 0.36, 0.17, 0.16, 0, 360) + [(0.63, 0.5), (0.6, 0.82)]],
}


def draw(digit, pen=22, shift=(0, 0)):
    """The digit with a round pen of `pen` pixels, moved by `shift` pixels."""
    picture = Image.new("L", (SIZE * SCALE, SIZE * SCALE), 255)
    pencil = ImageDraw.Draw(picture)
    radius = pen * SCALE / 2
    for stroke in STROKES[digit]:
        points = [((x * SIZE + shift[0]) * SCALE, (y * SIZE + shift[1]) * SCALE) for x, y in stroke]
        pencil.line(points, fill=0, width=pen * SCALE, joint="curve")
        for x, y in points:
            pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill=0)
    return picture.reduce(SCALE)
