"""Preprocessing of pictures: decoders and resizers, speed and distance to Pillow, on one core.

    make compare WHAT=pictures [ARGS="--rounds 5"]

A photograph of 500 x 375 is decoded, resized, cropped and normalised by Pillow and torchvision, as in
TorchServe's image_classifier, and by Torchfront; and the libraries that could do a step are compared
(examples/pictures.rs). Of each 60 runs the fastest counts, so that what else runs on the machine does
not; rounds alternate, and their medians are told. Everything runs on one core with one thread. Needs
the Python environment that TorchServe needs (`WHAT=inference` says how to make it).
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import command_line
import machine
import peers

PHOTOGRAPH = machine.ROOT / "models/samples/photos/china.jpg"

# Runs in the environment with Pillow and torchvision: writes the pictures, or times them.
PYTHON = r'''
import io, json, pathlib, sys, time
import PIL, torch, torchvision
from PIL import Image
from torchvision import transforms

what, folder, photograph = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
kinds = {
    "photo.jpg": ("JPEG", {"quality": 90}),
    "photo_444.jpg": ("JPEG", {"quality": 90, "subsampling": 0}),
    "photo_progressive.jpg": ("JPEG", {"quality": 90, "progressive": True}),
    "photo.png": ("PNG", {}),
    "photo.webp": ("WEBP", {"quality": 90}),
    "photo.bmp": ("BMP", {}),
}
preprocess = transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
])
if what == "write":
    photo = Image.open(photograph).convert("RGB").resize((500, 375), Image.Resampling.LANCZOS)
    for name, (kind, options) in kinds.items():
        photo.save(folder / name, kind, **options)
        (folder / f"{name}.rgb").write_bytes(Image.open(folder / name).tobytes())
    resized = photo.resize((341, 256), Image.Resampling.BILINEAR)
    (folder / "resize.rgb").write_bytes(resized.tobytes())
    (folder / "resize.size").write_text("341x256")
    versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__,
                "torch": torch.__version__.split("+")[0]}
    print(json.dumps(versions))
    sys.exit()

def fastest(run):
    times = []
    for _ in range(60):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1e3)
    return min(times)

def say(picture, step, ms):
    line = {"picture": picture, "step": step, "by": "Pillow", "ms": ms, "greatest": 0, "mean": 0.0}
    print(json.dumps(line))

for name in kinds:
    content = (folder / name).read_bytes()
    say(name, "pixels", fastest(lambda: Image.open(io.BytesIO(content)).load()))
    say(name, "preprocess", fastest(lambda: preprocess(Image.open(io.BytesIO(content)))))
photo = Image.open(folder / "photo.bmp")
photo.load()
say("resize", "pixels", fastest(lambda: photo.resize((341, 256), Image.Resampling.BILINEAR)))
'''


def main(arguments):
    parser = command_line.parser("pictures", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args(arguments)
    python = peers.TORCHSERVE / "bin/python"
    if not peers.can_import(python, "torch", "torchvision", "PIL"):
        sys.exit(peers.TORCHSERVE_SETUP)
    machine.build("--example", "pictures")
    cores = machine.pin(1)
    conditions = machine.describe(cores)
    with tempfile.TemporaryDirectory() as folder:
        versions = json.loads(run(python, "-c", PYTHON, "write", folder, PHOTOGRAPH)[-1])
        rounds = []
        for number in range(flags.rounds):
            print(f"round {number + 1} of {flags.rounds}", file=sys.stderr)
            lines = run(python, "-c", PYTHON, "time", folder, PHOTOGRAPH)
            lines += run(machine.release() / "examples/pictures", folder)
            rounds.append([json.loads(line) for line in lines])
    print(report(rounds, conditions, versions))


def run(*command):
    words = [str(word) for word in command]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def report(rounds, conditions, versions):
    """Markdown: a table for each picture and step, and the ratio of the whole."""
    found = {}
    for lines in rounds:
        for line in lines:
            key = (line["picture"], line["step"], line["by"])
            found.setdefault(key, []).append(line)
    text = [
        f"{conditions['date']}, {conditions['processor']}, one core, load "
        f"{conditions['load_before']} before the start, torchfront {conditions['commit']}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". {len(rounds)} alternating rounds; medians of the fastest of 60.",
        "",
        "| picture, 500 x 375 | step | by | ms | greatest difference | mean difference |",
        "|---|---|---|--:|--:|--:|",
    ]
    for (picture, step, by), lines in sorted(found.items()):
        times = [line["ms"] for line in lines if line["ms"] is not None]
        took = f"{statistics.median(times):.3f}" if times else "cannot"
        far = lines[0]
        greatest = far.get("greatest", "")
        mean = f"{far['mean']:.4f}" if far.get("mean") is not None else ""
        text.append(f"| {picture} | {step} | {by} | {took} | {greatest} | {mean} |")
    text.append("")
    for picture in sorted({key[0] for key in found if key[1] == "preprocess"}):
        ours, theirs = (found[picture, "preprocess", by] for by in ("torchfront", "Pillow"))
        ratios = [a["ms"] / b["ms"] for a, b in zip(ours, theirs)]
        text.append(
            f"{picture}: Torchfront takes {statistics.median(ratios):.2f} of the time of Pillow and "
            f"torchvision ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return "\n".join(text)


if __name__ == "__main__":
    main(sys.argv[1:])
