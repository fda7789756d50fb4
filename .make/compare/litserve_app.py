"""The same two models in LitServe, tuned: batches, two workers, one thread each.

    python litserve_app.py PORT FOLDER WORKERS

Run by inference.py in LitServe's environment. `COMPARE_TORCH` names the packages of another
environment, for a torch that this one lacks. The photograph comes as multipart/form-data: LitServe
takes no raw body.
"""

import io
import os
import sys

if "COMPARE_TORCH" in os.environ and os.environ["COMPARE_TORCH"] not in sys.path:
    # Last, so that LitServe's own packages win.
    sys.path.append(os.environ["COMPARE_TORCH"])

import litserve  # noqa: E402
import torch  # noqa: E402


class Mlp(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(1)
        self.model = torch.jit.load(os.path.join(sys.argv[2], "mlp.pt"))

    def decode_request(self, request):
        return torch.as_tensor(request)

    def predict(self, batch):
        with torch.inference_mode():
            return self.model(batch)

    def encode_response(self, output):
        return output.tolist()


class Resnet18(litserve.LitAPI):
    def setup(self, device):
        from torchvision import transforms

        torch.set_num_threads(1)
        self.model = torch.jit.load(os.path.join(sys.argv[2], "resnet18.pt"))
        self.preprocess = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
            ]
        )

    def decode_request(self, request):
        from PIL import Image

        return self.preprocess(Image.open(io.BytesIO(request["data"].file.read())))

    def predict(self, batch):
        with torch.inference_mode():
            return torch.softmax(self.model(batch), dim=1)

    def encode_response(self, output):
        values, classes = torch.topk(output, 5)
        return dict(zip(map(str, classes.tolist()), values.tolist()))


if __name__ == "__main__":
    server = litserve.LitServer(
        [
            Mlp(max_batch_size=32, batch_timeout=0.001, api_path="/predictions/mlp"),
            Resnet18(max_batch_size=8, batch_timeout=0.02, api_path="/predictions/resnet18"),
        ],
        accelerator="cpu",
        workers_per_device=int(sys.argv[3]),
        timeout=60,
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
