#!/usr/bin/env python3
"""Pictures of odd sizes in every format, and what Python makes of them: `pictures.zip`, `pictures.json`.

    python3 models/make.py && python3 models/make.py --run tests/goldens/make_pictures.py

For each picture: the CRC-32 of the 224 x 224 pixels that TorchServe's Resize(256) and
CenterCrop(224) leave of it (row by row, RGB), and the probabilities of `archives/tiny_convnet.mar`
and of efficientnet_lite0 (the five best), by torch, torchvision and Pillow. `read` is false where
Torchfront does not know the format, `exact` where its pixels differ a little. `torchserve` is false
where TorchServe refuses the picture because it is not RGB: it goes through `convert("RGB")` first
then. Of 16-bit gray the high byte counts and floats are clipped, which `convert` does not do.
"""

import io
import json
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import mar  # noqa: E402
from make_goldens import PREPROCESS, load  # noqa: E402

CROP = transforms.Compose(PREPROCESS.transforms[:2])

# Width and height.
SIZES = [
    (1, 1), (1, 5000), (5000, 1), (3, 4000), (4000, 3), (2, 3), (7, 5), (100, 100),
    (255, 255), (256, 256), (257, 257), (255, 257), (257, 255), (256, 257), (257, 256),
    (256, 300), (300, 256), (223, 225), (500, 375), (375, 500), (300, 700), (700, 300),
    (520, 1100), (512, 1024), (600, 1201), (1100, 260), (260, 800), (333, 1000),
]  # fmt: skip

# What Pillow reads and Torchfront answers with 400.
NOT_READ = (".ppm", ".qoi", "zstd.tif", "group3.tif")
# Decoded with another IDCT than libjpeg-turbo's: pixels differ by some levels.
NOT_EXACT = ("_jpeg.tif",)


def scene(width, height):
    """Slopes, edges and a few dots: hard for a resizer, easy to compress."""
    y, x = np.mgrid[0:height, 0:width]
    unit = max(min(width, height) // 5, 3)
    slopes = [(x // (c + 1) + y // (3 - c)) % 511 for c in range(3)]
    picture = np.abs(255 - np.stack(slopes, -1)) * 3 // 4
    picture += 60 * ((x // unit + y // (unit + 2)) % 2)[..., None]
    dots = ((x % 37 == 5) & (y % 29 == 7))[..., None]
    return np.clip(picture - 90 * dots, 0, 255).astype(np.uint8)


def files():
    """Name and bytes of every picture."""
    for width, height in SIZES:
        rgb = Image.fromarray(scene(width, height))
        yield f"{width}x{height}.rgb.png", saved(rgb, "PNG", optimize=True)
        yield f"{width}x{height}.jpg", saved(rgb, "JPEG", quality=75)
    for name, content in kinds(87, 65):
        yield f"87x65.{name}", content


def kinds(width, height):
    rgb = Image.fromarray(scene(width, height))
    gray = rgb.convert("L")
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize((width, height)))
    wide = np.asarray(gray).astype(np.uint16) * 257
    palette = rgb.quantize(40)
    yield "progressive.jpg", saved(rgb, "JPEG", quality=85, progressive=True)
    yield "444.jpg", saved(rgb, "JPEG", quality=85, subsampling=0)
    yield "422.jpg", saved(rgb, "JPEG", quality=85, subsampling=1)
    yield "gray.jpg", saved(gray, "JPEG", quality=85)
    yield "cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG", quality=90)
    yield "restarts.jpg", saved(rgb, "JPEG", quality=85, restart_marker_blocks=3)
    yield "rgb_stored.jpg", saved(rgb, "JPEG", quality=85, keep_rgb=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif_6.jpg", saved(rgb, "JPEG", quality=85, exif=exif)
    yield "rgba.png", saved(alpha, "PNG")
    yield "la.png", saved(alpha.convert("LA"), "PNG")
    yield "gray.png", saved(gray, "PNG")
    yield "palette.png", saved(palette, "PNG")
    yield "palette_4bit.png", saved(rgb.quantize(9), "PNG", bits=4)
    yield "palette_transparent.png", saved(palette, "PNG", transparency=3)
    yield "transparent_colour.png", saved(rgb, "PNG", transparency=rgb.getpixel((0, 0)))
    yield "bilevel.png", saved(gray.convert("1"), "PNG")
    yield "gray16.png", saved(Image.fromarray(wide), "PNG")
    yield "rgb16.png", rgb16(np.asarray(rgb))
    yield "lossy.webp", saved(rgb, "WEBP", quality=80)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)
    yield "palette.gif", saved(palette, "GIF")
    frames = [palette, palette.rotate(180)]
    yield "animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "transparent.gif", saved(palette, "GIF", transparency=5)
    yield "rgb.bmp", saved(rgb, "BMP")
    yield "gray.bmp", saved(gray, "BMP")
    yield "palette.bmp", saved(palette, "BMP")
    yield "bilevel.bmp", saved(gray.convert("1"), "BMP")
    yield "rgba.bmp", saved(alpha, "BMP")
    yield "rgb.tif", saved(rgb, "TIFF")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"):
        yield f"rgb_{compression}.tif", saved(rgb, "TIFF", compression=compression)
    yield "gray.tif", saved(gray, "TIFF")
    yield "gray_lzw_predicted.tif", saved(gray, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "bilevel.tif", saved(gray.convert("1"), "TIFF")
    yield "bilevel_group4.tif", saved(gray.convert("1"), "TIFF", compression="group4")
    yield "bilevel_group3.tif", saved(gray.convert("1"), "TIFF", compression="group3")
    yield "palette.tif", saved(palette, "TIFF")
    yield "rgba.tif", saved(alpha, "TIFF")
    yield "la.tif", saved(alpha.convert("LA"), "TIFF")
    yield "cmyk.tif", saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "gray16.tif", saved(Image.fromarray(wide), "TIFF")
    floats = np.asarray(gray).astype(np.float32) * 1.2 - 20.25
    yield "float.tif", saved(Image.fromarray(floats), "TIFF")
    yield "rgb_big_endian.tif", big_endian(np.asarray(rgb))
    yield "rgb.ppm", saved(rgb, "PPM")
    yield "rgb.qoi", saved(rgb, "QOI")


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def rgb16(pixels):
    """A PNG of 16 bits a channel, which Pillow reads and does not write."""
    height, width, _ = pixels.shape
    wide = (pixels.astype(">u2") * 257 - (pixels > 0) * 57).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        crc = zlib.crc32(name + content).to_bytes(4, "big")
        file += len(content).to_bytes(4, "big") + name + content + crc
    return file


def big_endian(pixels):
    """An uncompressed TIFF in Motorola's order, one strip."""
    height, width, _ = pixels.shape
    data = pixels.tobytes()
    entries = [
        (256, 3, 1, width << 16), (257, 3, 1, height << 16), (258, 3, 3, 8 + len(data)),
        (259, 3, 1, 1 << 16), (262, 3, 1, 2 << 16), (273, 4, 1, 8), (277, 3, 1, 3 << 16),
        (278, 3, 1, height << 16), (279, 4, 1, len(data)),
    ]  # fmt: skip
    bits = b"\0\x08" * 3
    ifd = len(entries).to_bytes(2, "big")
    for tag, kind, count, value in entries:
        ifd += tag.to_bytes(2, "big") + kind.to_bytes(2, "big")
        ifd += count.to_bytes(4, "big") + value.to_bytes(4, "big")
    offset = 8 + len(data) + len(bits)
    return b"MM\0*" + offset.to_bytes(4, "big") + data + bits + ifd + bytes(4)


def as_rgb(picture):
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        clipped = np.clip(np.asarray(picture), 0, 255)
        return Image.fromarray(clipped.astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def main():
    torch.set_num_threads(1)
    model, labels = load()
    with zipfile.ZipFile(HERE / "archives" / "tiny_convnet.mar") as archive:
        tiny = torch.jit.load(io.BytesIO(archive.read("model.pt"))).eval()
    goldens, packed = [], io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files():
            entry = zipfile.ZipInfo(name, mar.ZIP_TIME)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            goldens.append(golden(name, content, model, labels, tiny))
    versions = {
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    report = {"made_by": versions, "pictures": goldens}
    mar.replace(HERE / "pictures.zip", packed.getvalue())
    mar.replace(HERE / "pictures.json", (json.dumps(report, indent=0) + "\n").encode())
    print(f"{len(goldens)} pictures, {len(packed.getvalue())} bytes")


def golden(name, content, model, labels, tiny):
    picture = Image.open(io.BytesIO(content))
    rgb = as_rgb(picture)
    tensor = PREPROCESS(rgb).unsqueeze(0)
    with torch.inference_mode():
        three = torch.softmax(tiny(tensor), dim=1)[0].tolist()
        best = torch.softmax(model(tensor), dim=1)[0].topk(5)
    return {
        "file": name,
        "mode": picture.mode,
        "torchserve": picture.mode == "RGB",
        "read": not name.endswith(NOT_READ),
        "exact": not name.endswith(NOT_EXACT),
        "crop_crc32": zlib.crc32(CROP(rgb).tobytes()),
        "tiny_convnet": dict(zip("abc", three)),
        "efficientnet_lite0": {
            labels[str(i)][-1]: p for i, p in zip(best.indices.tolist(), best.values.tolist())
        },
    }


if __name__ == "__main__":
    main()
