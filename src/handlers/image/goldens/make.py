"""Makes the pictures and pixels that classifier_tests.rs compares with.

Run with Pillow and numpy installed: `python3 make.py`. Made with Pillow 13.0.0; 12.3.0 gives the
same bytes: none of these pictures is so tall that Pillow 13 resizes the rows first.

Each NAME.EXT has a NAME.rgb (and photo.jpg a photo.gray): the bytes that TorchServe's
Resize(24) and CenterCrop((16, 20)) leave of the picture after `convert("RGB")` (`convert("L")`),
row by row.
"""
import os

import numpy as np
from PIL import Image

RESIZE, CROP = 24, (16, 20)


def scene(width, height, channels=3):
    """Smooth colours, a hard edge and some noise, the same on every run."""
    y, x = np.mgrid[0:height, 0:width]
    state, noise = 12345, np.empty((height, width, channels))
    for index in np.ndindex(noise.shape):
        state = (1103515245 * state + 12345) % 2**31
        noise[index] = state >> 24
    planes = [128 + 100 * np.sin(x / (3 + c)) * np.cos(y / (5 - c)) + 40 * (x > y)
              for c in range(channels)]
    return np.clip(np.stack(planes, -1) + noise / 8 - 8, 0, 255).astype(np.uint8)


def prepared(path, mode):
    image = Image.open(path).convert(mode)
    width, height = image.size
    if width <= height:
        size = (RESIZE, int(RESIZE * height / width))
    else:
        size = (int(RESIZE * width / height), RESIZE)
    if size != image.size:
        image = image.resize(size, Image.BILINEAR)
    top = int(round((size[1] - CROP[0]) / 2.0))
    left = int(round((size[0] - CROP[1]) / 2.0))
    return image.crop((left, top, left + CROP[1], top + CROP[0])).tobytes()


Image.fromarray(scene(61, 47)).save("photo.jpg", quality=80, subsampling=2)
Image.fromarray(scene(33, 40)).convert("CMYK").save("cmyk.jpg", quality=70)
Image.fromarray(scene(37, 29, 4), "RGBA").save("alpha.png", optimize=True)
Image.fromarray(scene(15, 22)).quantize(16).save("palette.gif")
Image.fromarray(scene(24, 31)[..., 0].astype(np.uint16) * 257).save("gray16.png")
for name in ["photo.jpg", "cmyk.jpg", "alpha.png", "palette.gif"]:
    open(name.split(".")[0] + ".rgb", "wb").write(prepared(name, "RGB"))
open("photo.gray", "wb").write(prepared("photo.jpg", "L"))
# Pillow clips 16-bit gray to 255; here its high byte counts, so the pixels are those of 8 bits.
gray = Image.fromarray(scene(24, 31)[..., 0]).convert("RGB")
gray.save("gray16.tmp.png")
open("gray16.rgb", "wb").write(prepared("gray16.tmp.png", "RGB"))
os.remove("gray16.tmp.png")
