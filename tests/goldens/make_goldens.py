#!/usr/bin/env python3
"""What Python answers for photographs: `efficientnet_lite0.json`, by torch, torchvision and Pillow.

    python3 models/make.py && python3 models/make.py --run tests/goldens/make_goldens.py

The steps are those of TorchServe's image_classifier: Resize(256), CenterCrop(224), ToTensor,
Normalize, the model in evaluation mode, softmax, the five best. A picture that TorchServe refuses
(not RGB) goes through Pillow's `convert("RGB")` first. One with an EXIF orientation is there twice:
`orientation` is `as_stored` (TorchServe) or `applied` (what a viewer shows). Writes `images/` too: small variants of the photographs.
`probes` are elements of the normalised tensor, to tell a decoder's or resizer's error from the
model's; `abs_tol` is the tolerance of the probabilities, wider where decoders may differ: compare
by label, since two classes that are closer than that may change places.
The answers for the digits are in `models/samples/expected.json`, written by
`models/digits/train.py --samples`.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import PIL
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision import transforms

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "models"))
import mar  # noqa: E402

ARCHIVE = ROOT / "models" / "efficientnet_lite0.mar"
PHOTOS = ROOT / "models" / "samples" / "photos"
IMAGES = HERE / "images"

PREPROCESS = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)
# Channel, row and column of the elements that are written down.
PROBES = [(c, y, x) for c in range(3) for y, x in ((0, 0), (57, 201), (112, 112), (223, 96))]
# A JPEG decoder may differ from libjpeg-turbo in the last bit; a lossless one may not.
LOSSLESS, LOSSY, CMYK = 0.002, 0.02, 0.05


def main():
    torch.set_num_threads(1)
    model, labels = load()
    goldens = []
    for path in [PHOTOS / "flower.jpg", PHOTOS / "china.jpg", *write_variants()]:
        orientations = ("as_stored", "applied") if "exif" in path.name else ("as_stored",)
        for orientation in orientations:
            goldens.append(golden(model, labels, path, orientation))
            best = next(iter(goldens[-1]["top5"].items()))
            print(f"{best[1]:.4f}  {best[0]:20s} {orientation:10s} {path.relative_to(ROOT)}")
    versions = {
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    report = {"model": "efficientnet_lite0", "made_by": versions, "images": goldens}
    content = json.dumps(report, indent=1) + "\n"
    mar.replace(HERE / "efficientnet_lite0.json", content.encode())


def load():
    if not ARCHIVE.exists():
        raise SystemExit(f"{ARCHIVE} is not there: run python3 models/make.py first")
    with zipfile.ZipFile(ARCHIVE) as archive:
        model = torch.jit.load(io.BytesIO(archive.read("model.pt"))).eval()
        return model, json.loads(archive.read("index_to_name.json"))


def golden(model, labels, path, orientation):
    picture = Image.open(path)
    turned = ImageOps.exif_transpose(picture) if orientation == "applied" else picture
    tensor = PREPROCESS(turned.convert("RGB"))
    with torch.inference_mode():
        best = torch.softmax(model(tensor.unsqueeze(0)), dim=1).topk(5)
    indices = best.indices[0].tolist()
    tolerance = LOSSY if picture.format == "JPEG" else LOSSLESS
    return {
        "file": str(path.relative_to(ROOT)),
        "orientation": orientation,
        "mode": picture.mode,
        "size": list(picture.size),
        "abs_tol": CMYK if picture.mode == "CMYK" else tolerance,
        "top5": {labels[str(i)][-1]: p for i, p in zip(indices, best.values[0].tolist())},
        "classes": indices,
        "probes": [[c, y, x, tensor[c, y, x].item()] for c, y, x in PROBES],
    }


def write_variants():
    """Small pictures of the kinds that TorchServe refuses or gets wrong; yields their paths."""
    flower = Image.open(PHOTOS / "flower.jpg").resize((240, 160), Image.Resampling.LANCZOS)
    china = Image.open(PHOTOS / "china.jpg").resize((240, 160), Image.Resampling.LANCZOS)
    opaque = flower.copy()
    opaque.putalpha(255)
    lying = Image.Exif()
    lying[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
    yield save("flower_rgb.png", flower)
    yield save("flower_rgba_opaque.png", opaque)
    yield save("flower_palette.png", flower.quantize(64))
    yield save("flower.gif", flower.quantize(64))
    yield save("flower_lossless.webp", flower, lossless=True)
    yield save("flower_exif_6.jpg", flower.rotate(90, expand=True), quality=90, exif=lying)
    yield save("flower_cmyk.jpg", flower.convert("CMYK"), quality=90)
    yield save("china_grey.png", china.convert("L"))
    yield save("china_grey.jpg", china.convert("L"), quality=90)
    yield save("china_tall.png", china.crop((80, 0, 160, 160)))


def save(name, picture, **options):
    file = io.BytesIO()
    kinds = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP"}
    picture.save(file, kinds[name.rsplit(".", 1)[1]], optimize=True, **options)
    mar.replace(IMAGES / name, file.getvalue())
    return IMAGES / name


if __name__ == "__main__":
    main()
