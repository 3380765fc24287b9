"""One solo recording, decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from instglow.audio.io import read
from instglow.audio.resample import resample
from instglow.errors import AudioError, DataError


@dataclass(frozen=True)
class Recording:
    """A solo recording that nobody has decoded yet.

    Args:
        files: what it is decoded from; while none of them changes, neither does the recording.
        decode: -> (channels, samples) full scale ±1, and the sample rate in Hz; raises AudioError,
            DataError or DependencyError where the files are broken.
        stem: which part of the files it is, where they hold several.
        tenths: the part of it that is meant, the first tenth and the one after the last.
    """

    files: tuple[Path, ...]
    decode: Callable[[], tuple[Tensor, int]]
    stem: str = ""
    tenths: tuple[int, int] = (0, 10)

    @classmethod
    def of_file(cls, path: Path) -> Recording:
        """All of a file."""
        return cls((path,), partial(read, path))

    @classmethod
    def unusable(cls, path: Path, reason: str) -> Recording:
        """A place of a dataset that is broken before anything is decoded; decoding says so."""
        return cls((path,), partial(_refuse, reason))

    def wave(self, sample_rate: int) -> Tensor:
        """-> (samples,) mono at that rate, full scale ±1: the part that is meant."""
        return self.part(self.whole(sample_rate))

    def whole(self, sample_rate: int) -> Tensor:
        """-> (samples,) mono at that rate, full scale ±1: all that the files hold.

        Raises:
            AudioError, DataError, DependencyError: for files that are broken.
        """
        wave, rate = self.decode()
        mono = wave.mean(0)
        if not mono.isfinite().all():
            raise AudioError(f"{self.files[0]}: not a number or infinite; export it again")
        return resample(mono, rate, sample_rate)

    def part(self, wave: Tensor) -> Tensor:
        """(samples,) of the whole recording -> those of the part that is meant."""
        first, last = (len(wave) * tenth // 10 for tenth in self.tenths)
        return wave[first:last]


def to_int16(wave: Tensor) -> Tensor:
    """(samples,) full scale ±1 -> (samples,) int16, full scale ±32767; beyond is clipped.

    16 bits hold a recording in a quarter to half the memory, and are what most came in.
    """
    return (wave.clamp(-1, 1) * 32767).round().to(torch.int16)


def _refuse(reason: str) -> NoReturn:
    raise DataError(reason)
