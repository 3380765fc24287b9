"""Recordings cut into the segments that a prior is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from instglow.data.recording import to_int16
from instglow.errors import DataError

_WINDOWS = 64  # measured at once, so that a long recording is not in memory as floats


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
        recordings: each (samples,) of one sample rate, full scale ±1; or int16, full scale
            ±32767, which is held as it is and so may be mapped from disk.
        samples: of one segment.
        gate: which segments are silent.

    Raises:
        DataError: where nothing is long and loud enough.
    """

    def __init__(self, recordings: Sequence[Tensor], samples: int, gate: Gate) -> None:
        self.samples = samples
        self.recordings = [
            wave if wave.dtype == torch.int16 else to_int16(wave) for wave in recordings
        ]
        hop = max(1, samples // 2)
        starts = [torch.empty(0, 2, dtype=torch.int64)]
        for number, wave in enumerate(self.recordings):
            if len(wave) < samples:
                continue
            kept = gate(_levels(wave.unfold(0, samples, hop))).nonzero()[:, 0]
            starts.append(torch.stack([torch.full_like(kept, number), kept * hop], 1))
        self.starts = torch.cat(starts)  # (segments, 2): number of the recording, first sample
        if not len(self.starts):
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
        number, start = self.starts[index].tolist()
        return self.recordings[number][start : start + self.samples].float() / 32767


def _levels(windows: Tensor) -> Tensor:
    """(windows, samples) int16 -> (windows,) dBFS, root mean square."""
    power = torch.cat([(w.float() / 32767).square().mean(1) for w in windows.split(_WINDOWS)])
    return 10 * power.clamp(min=1e-20).log10()
