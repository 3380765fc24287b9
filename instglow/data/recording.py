"""One solo recording, decoded when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from instglow.audio.io import read
from instglow.audio.resample import resample
from instglow.errors import AudioError, DataError

_PROPORTIONAL = 1e-5  # of the energy, -50 dB, may differ between channels that count as one


class Decoded(NamedTuple):
    """What a recording holds.

    Attributes:
        wave: (channels, samples) int16, full scale ±32767. 16 bits hold a recording in a quarter to
            half the memory, and are what most came in.
        digest: of these samples; a copy of the recording has the same one.
    """

    wave: Tensor
    digest: str

    @classmethod
    def of(cls, wave: Tensor) -> Decoded:
        """(channels, samples) or (samples,), full scale ±1; what is beyond is clipped."""
        rounded = (torch.atleast_2d(wave).clamp(-1, 1) * 32767).round()
        samples = rounded.to(torch.int16).contiguous()
        return cls(samples, hashlib.sha256(samples.numpy().data).hexdigest())


@dataclass(frozen=True)
class Recording:
    """A solo recording that nobody has decoded yet.

    Args:
        files: what it is decoded from; while none of them changes, neither does the recording.
        decode: -> (channels, samples) full scale ±1, and the sample rate in Hz; raises AudioError,
            DataError or DependencyError where the files are broken.
        stem: which part of the files it is, where they hold several.
    """

    files: tuple[Path, ...]
    decode: Callable[[], tuple[Tensor, int]]
    stem: str = ""

    @classmethod
    def of_file(cls, path: Path) -> Recording:
        """All of a file."""
        return cls((path,), partial(read, path))

    @classmethod
    def unusable(cls, path: Path, reason: str) -> Recording:
        """A place of a dataset that is broken before anything is decoded; decoding says so."""
        return cls((path,), partial(_refuse, reason))

    def decoded(self, sample_rate: int) -> Decoded:
        """All of it at that rate, in as many channels as its pooled spectrogram needs.

        Raises:
            AudioError, DataError, DependencyError: for files that are broken.
        """
        wave, rate = self.decode()
        if not wave.isfinite().all():
            raise AudioError(f"{self.files[0]}: not a number or infinite; export it again")
        return Decoded.of(resample(in_few_channels(wave), rate, sample_rate))


def in_few_channels(wave: Tensor) -> Tensor:
    """Channels that are multiples of one another -> one with the spectrogram pooled of them.

    `separate` pools channels as the root mean square of their spectrograms, so a source that is
    panned, or of opposite sign in two channels, is as loud as one in the middle. One channel says
    the same in half the space. Channels that differ in more than a factor are all kept.

    Args:
        wave: (channels, samples).

    Returns:
        (1, samples), or `wave` itself.
    """
    energy = wave.square().sum(1)
    loudest = wave[energy.argmax()]
    if len(wave) == 1 or not energy.any():
        return wave[:1]
    gains = wave @ loudest / energy.max()  # (channels,)
    if (wave - gains[:, None] * loudest).square().sum() > _PROPORTIONAL * energy.sum():
        return wave
    return gains.square().mean().sqrt() * loudest[None]


def _refuse(reason: str) -> NoReturn:
    raise DataError(reason)
