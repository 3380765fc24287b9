"""Small pictures of stems, on the mel scale."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torchaudio.functional as F
from torch import Tensor
from torch.nn.functional import interpolate

from instglow.audio.frontend import Frontend

WIDTH, HEIGHT = 360, 140  # pixels
HIGHEST = 11000.0  # Hz
RANGE = 70.0  # dB from the darkest to the brightest colour

_WINDOW = 0.08  # seconds, at least: neighbouring notes of a bass are a few Hz apart
_BANDS = 100  # more would be narrower than the FFT's resolution at the low end
_FLOOR = 1e-12  # power; -120 dB, below the colour scale of anything audible


def decibels(wave: Tensor, sample_rate: int) -> Tensor:
    """(channels, samples) full scale ±1 -> (HEIGHT, WIDTH) power in dB, lowest frequency first."""
    n_fft = 2 ** math.ceil(math.log2(_WINDOW * sample_rate))
    frontend = Frontend(sample_rate, n_fft, n_fft // 2)
    power = torch.zeros(frontend.bins, frontend.frames(wave.shape[-1]))
    for channel in wave.detach().cpu().float():  # one by one: a third of the memory
        power += frontend.magnitude(channel).square() / wave.shape[0]
    highest = min(HIGHEST, sample_rate / 2)
    bank = F.melscale_fbanks(frontend.bins, 0.0, highest, _BANDS, sample_rate)  # (bins, bands)
    picture = interpolate(
        (bank.T @ power)[None, None], (HEIGHT, WIDTH), mode="bilinear", antialias=True
    )
    return 10 * picture[0, 0].clamp(min=_FLOOR).log10()


def save(path: Path, picture: Tensor, brightest: float) -> None:
    """`decibels` -> a PNG whose colours end at `brightest`, dB, and RANGE below."""
    from matplotlib.image import imsave  # slow to import; needs no display

    imsave(
        path,
        picture.numpy(),
        vmin=brightest - RANGE,
        vmax=brightest,
        cmap="magma",
        origin="lower",
    )
