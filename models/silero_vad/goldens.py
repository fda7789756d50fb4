#!/usr/bin/env python3
"""Writes `sample.wav` and `expected.json`: what Python's torch says of it, part by part.

    python3 models/make.py --run models/silero_vad/goldens.py

The sample is the first four seconds of LibriSpeech's 1089-134686-0000 (CC BY 4.0), as
`tests/conformance/models/silero_vad` has it.
"""

import io
import json
import sys
import wave
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import mar  # noqa: E402
from on_pypi import SILERO_VAD as MODEL  # noqa: E402

SPEECH = HERE.parent.parent / "tests/conformance/models/silero_vad/cases/speech.in.f32"
RATE, SECONDS, CHUNK = 16_000, 4, 512


def main():
    torch.set_num_threads(1)
    samples = torch.frombuffer(bytearray(SPEECH.read_bytes()), dtype=torch.float32)
    samples = (samples[: RATE * SECONDS] * 32768).round().clamp(-32768, 32767).to(torch.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.numpy().astype("<i2").tobytes())
    mar.replace(HERE / "sample.wav", file.getvalue())
    model = torch.jit.load(io.BytesIO(MODEL.assemble())).eval()
    with torch.inference_mode():
        rows = [model(part, RATE)[0].tolist() for part in parts(samples.float() / 32768)]
    mar.replace(HERE / "expected.json", (json.dumps(rows) + "\n").encode())
    print(f"wrote sample.wav and expected.json: {len(rows)} parts, {sum(r[0] > 0.5 for r in rows)} of speech")


def parts(samples):
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK]
        yield torch.nn.functional.pad(part, (0, CHUNK - len(part))).unsqueeze(0)


if __name__ == "__main__":
    main()
