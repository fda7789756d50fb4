"""What the servers serve: the 4-16-3 network and resnet18, as each of them takes it.

Run by inference.py in the environment of `models/make.py --run`, because tracing needs torch:

    python3 models/make.py --run .make/compare/archives.py FOLDER PHOTO

`mlp.mar` and `resnet18.mar` are what Torchfront and TorchServe load; TorchServe's base_handler cannot
read a plain JSON list, so that `torchserve/mlp.mar` brings the handler that its users write.
`bfloat16/` is for Torchfront alone. `*.pt` are the same TorchScript files for LitServe. The weights of
resnet18 are random (with a fixed seed): they make no difference to the time, and nothing has to be
fetched. `expected.json` is what Python's torch answers.
"""

import io
import json
import pathlib
import sys
import zipfile

import torch
import torchvision
from PIL import Image
from torchvision import transforms

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "models"))
import mar  # noqa: E402

MLP_HANDLER = '''\
import torch
from ts.torch_handler.base_handler import BaseHandler


class Rows(BaseHandler):
    """base_handler for JSON lists: what a request's body holds is one sample."""

    def preprocess(self, data):
        return torch.as_tensor([row.get("data") or row.get("body") for row in data])
'''
SAMPLE = [0.1, -0.2, 0.3, 0.4]
PREPROCESS = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def mlp():
    """The TorchScript file of the committed archive."""
    with zipfile.ZipFile(ROOT / "tests/goldens/archives/mlp.mar") as archive:
        return archive.read("model.pt")


def resnet18():
    torch.manual_seed(18)
    module = torchvision.models.resnet18(weights=None).eval()
    with torch.no_grad():
        # So that some classes stand out, as in a trained network.
        module.fc.weight.mul_(4)
        return mar.torchscript_bytes(torch.jit.trace(module, torch.zeros(1, 3, 224, 224)))


def write(folder, name, script, handler, files=None, **fields):
    manifest = mar.manifest(name, handler, **fields)
    mar.write(folder / f"{name}.mar", manifest, {"model.pt": script, **(files or {})})


def run(script, sample):
    with torch.inference_mode():
        return torch.jit.load(io.BytesIO(script))(sample)[0]


def main(folder, photo):
    torch.set_num_threads(1)
    folder = pathlib.Path(folder)
    network, images = mlp(), resnet18()
    bfloat16 = {"model-config.yaml": "precision: bfloat16\n"}
    for store in (folder, folder / "torchserve", folder / "bfloat16"):
        store.mkdir(parents=True, exist_ok=True)
    write(folder, "mlp", network, "base_handler")
    write(folder, "resnet18", images, "image_classifier")
    own = {"rows.py": MLP_HANDLER}
    write(folder / "torchserve", "mlp", network, "rows.py", own)
    write(folder / "torchserve", "resnet18", images, "image_classifier")
    config = {"configFile": "model-config.yaml"}
    write(folder / "bfloat16", "mlp", network, "base_handler", bfloat16, **config)
    write(folder / "bfloat16", "resnet18", images, "image_classifier", bfloat16, **config)
    (folder / "mlp.pt").write_bytes(network)
    (folder / "resnet18.pt").write_bytes(images)
    picture = PREPROCESS(Image.open(photo).convert("RGB")).unsqueeze(0)
    expected = {
        "torch": torch.__version__,
        "sample": SAMPLE,
        "mlp": run(network, torch.tensor([SAMPLE])).tolist(),
        "resnet18": torch.softmax(run(images, picture), 0).tolist(),
    }
    # Last: what is there is complete.
    mar.replace(folder / "expected.json", json.dumps(expected).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
