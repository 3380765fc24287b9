"""Recordings cut into the segments that a prior is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from instglow.errors import DataError


@dataclass(frozen=True)
class Gate:
    """An energy-based detector of silence.

    Args:
        below_loudest: dB under the loudest segment of its recording at which a segment is silent.
        floor: dBFS (root mean square) at which any segment is silent.
    """

    below_loudest: float = 40.0
    floor: float = -60.0

    def __call__(self, levels: Tensor) -> Tensor:
        """(segments,) dBFS of one recording -> (segments,) whether each is kept."""
        return levels > max(self.floor, float(levels.max()) - self.below_loudest)


class SoloSegments(Dataset[Tensor]):
    """Segments of equal length from solo recordings, silent ones left out.

    Args:
        recordings: each (samples,) full scale ±1, of one sample rate.
        samples: of one segment.
        gate: which segments are silent.

    Raises:
        DataError: where nothing is long and loud enough.
    """

    def __init__(self, recordings: Sequence[Tensor], samples: int, gate: Gate) -> None:
        self.samples = samples
        # 16 bits hold a recording in a quarter to half the memory, and are what most came in
        self.recordings = [_to_int16(wave) for wave in recordings]
        self.starts: list[tuple[int, int]] = []
        for number, wave in enumerate(recordings):
            windows = wave.unfold(0, samples, samples // 2) if len(wave) >= samples else wave[:0]
            if not len(windows):
                continue
            kept = gate(20 * windows.square().mean(1).clamp(min=1e-20).sqrt().log10())
            self.starts += [(number, int(i) * (samples // 2)) for i in kept.nonzero()[:, 0]]
        if not self.starts:
            longest = max((len(wave) for wave in recordings), default=0)
            raise DataError(
                f"no segment to train on: {len(recordings)} recordings, the longest of {longest} "
                f"samples, a segment needs {samples} that are not silent; add recordings or "
                "shorten data.seconds"
            )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Tensor:
        """-> (samples,) full scale ±1."""
        number, start = self.starts[index]
        return self.recordings[number][start : start + self.samples].float() / 32767


def _to_int16(wave: Tensor) -> Tensor:
    return (wave.clamp(-1, 1) * 32767).round().to(torch.int16)
