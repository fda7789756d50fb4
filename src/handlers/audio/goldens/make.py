#!/usr/bin/env python3
"""Writes the sounds of the tests and what Python reads and resamples of them.

    PYTHON make.py

Needs torch, torchaudio 2.11 and soundfile.
"""

from pathlib import Path

import numpy
import soundfile
import torch
from torchaudio.functional import resample

HERE = Path(__file__).resolve().parent
RATE = 44_100


def main():
    times = numpy.arange(2205) / RATE
    noise = numpy.random.default_rng(0).normal(0, 0.05, times.size)
    left = 0.4 * numpy.sin(2 * numpy.pi * 440 * times) + noise
    right = 0.3 * numpy.sin(2 * numpy.pi * 9000 * times) + noise
    stereo = numpy.stack([left, right], axis=1)
    file = HERE / "tone_44100_stereo.flac"
    soundfile.write(file, stereo, RATE, subtype="PCM_16")
    read, rate = soundfile.read(file, dtype="float32")
    assert rate == RATE
    mono = torch.from_numpy(read).mean(dim=1)
    (HERE / "tone_44100_mono.f32").write_bytes(mono.numpy().astype("<f4").tobytes())
    for to in (8_000, 16_000, 48_000):
        other = resample(mono, RATE, to).numpy().astype("<f4")
        (HERE / f"tone_{to}.f32").write_bytes(other.tobytes())


if __name__ == "__main__":
    main()
