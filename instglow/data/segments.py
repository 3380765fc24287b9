"""Recordings cut into the segments that a prior is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from instglow.errors import require


@dataclass(frozen=True)
class Gate:
    """An energy-based detector of silence.

    Args:
        below_loudest: dB under the loudest segment of its recording at which a segment is silent.
        floor: dBFS (root mean square) at which any segment is silent.

    Raises:
        ConfigError: for a level that is not below the loudest, and so no segment's.
    """

    below_loudest: float = 40.0
    floor: float = -60.0

    def __post_init__(self) -> None:
        require(self.below_loudest > 0, "gate.below_loudest", "above 0 dB", self.below_loudest)

    def __call__(self, levels: Tensor) -> Tensor:
        """(segments,) dBFS of one recording -> (segments,) whether each is kept."""
        return levels > max(self.floor, float(levels.max()) - self.below_loudest)


class Solo(NamedTuple):
    """A recording, and where segments of it that are not silent start.

    Attributes:
        wave: (channels, samples) int16, full scale ±32767; may be mapped from disk.
        starts: (segments,) samples; where the recording is shorter than a segment, 0 or nothing.
    """

    wave: Tensor
    starts: Tensor

    @classmethod
    def of(cls, wave: Tensor, samples: int, gate: Gate, measured: Tensor | None = None) -> Solo:
        """(channels, samples) int16, and its `levels` where somebody knows them already."""
        found = levels(wave, samples) if measured is None else measured
        return cls(wave, gate(found).nonzero()[:, 0] * (samples // 2))


def levels(wave: Tensor, samples: int) -> Tensor:
    """How loud the segments of a recording are, which overlap by half.

    Args:
        wave: (channels, samples) int16, full scale ±32767.
        samples: of a segment, at least 2; an odd one is measured without its last.

    Returns:
        (segments,) dBFS, root mean square; one figure for a recording shorter than a segment.
    """
    values, hop = wave.numpy(), samples // 2
    channels, length = values.shape
    if length < samples:
        halves, hop = values[:, None], length
    else:
        count = (length - samples) // hop + 2
        halves = values[:, : count * hop].reshape(channels, count, hop)
    energy = np.einsum("chs,chs->h", halves, halves, dtype=np.float64)
    power = energy if length < samples else (energy[:-1] + energy[1:]) / 2
    scale = channels * hop * 32767**2
    return torch.from_numpy(10 * np.log10(power / scale + 1e-20)).float()


class SoloSegments(Dataset[Tensor]):
    """Segments of equal length from solo recordings, silent ones left out.

    Recordings shorter than a segment are played one after another, and again until they fill one.

    Args:
        solos: of one sample rate.
        samples: of one segment.

    Attributes:
        recordings: how many they are.
        total: samples that they last together.
    """

    def __init__(self, solos: Sequence[Solo], samples: int) -> None:
        self.samples = samples
        self.recordings = len(solos)
        self.total = sum(solo.wave.shape[-1] for solo in solos)
        # repeated as often as this, the channels of any recording pool to what they did before
        self.channels = math.lcm(*(len(solo.wave) for solo in solos))
        long = [solo for solo in solos if solo.wave.shape[-1] >= samples]
        short = [
            solo.wave.repeat(self.channels // len(solo.wave), 1)
            for solo in solos
            if solo.wave.shape[-1] < samples and len(solo.starts)
        ]
        if short:
            joined = torch.cat(short, -1)
            joined = joined.repeat(1, -(-samples // joined.shape[-1]))
            starts = torch.arange(0, joined.shape[-1] - samples + 1, max(1, samples // 2))
            long.append(Solo(joined, starts))
        self.waves = [solo.wave for solo in long]
        # (segments, 2): number of the recording, first sample
        self.starts = torch.cat(
            [torch.empty(0, 2, dtype=torch.int64)]
            + [
                torch.stack([torch.full_like(solo.starts, number), solo.starts], 1)
                for number, solo in enumerate(long)
            ]
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Tensor:
        """-> (channels, samples) full scale ±1, of all recordings as many channels."""
        number, start = self.starts[index].tolist()
        segment = self.waves[number][:, start : start + self.samples].float() / 32767
        return segment.repeat(self.channels // len(segment), 1)


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the numbers 0 to `total` - 1, evenly spread.

    >>> spread(10, 3), spread(2, 3)
    ([1, 5, 8], [0, 1])
    """
    count = min(count, total)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]
