"""MUSDB18 and MUSDB18-HQ: the solo recordings of one stem."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.audio.resample import resample
from instglow.data.solo import Split
from instglow.errors import DataError, DependencyError


class MusdbStem:
    """One stem of every song of MUSDB18's training part; its validation songs are held out.

    Args:
        root: folder that holds `train/` and `test/`, as MUSDB18 (.stem.mp4) or MUSDB18-HQ (.wav).
        stem: vocals, drums, bass or other.
    """

    def __init__(self, root: str, stem: str) -> None:
        if stem not in ("vocals", "drums", "bass", "other"):
            raise DataError(f"MUSDB18 has no stem {stem!r}: vocals, drums, bass and other")
        self.root = Path(root)
        self.stem = stem

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Tensor]:
        """See `SoloSource`."""
        for track in self._tracks("train" if split == "train" else "valid"):
            wave = torch.from_numpy(track.targets[self.stem].audio).float().mean(1)
            yield resample(wave, round(track.rate), sample_rate)

    def _tracks(self, split: str) -> list[Any]:
        if not (self.root / "train").is_dir():
            raise DataError(f"no MUSDB18 in {str(self.root)!r}: looked for its folder 'train'")
        if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
            raise DependencyError("musdb needs the programs ffmpeg and ffprobe: install FFmpeg")
        import musdb  # fails at import where ffmpeg is missing

        is_wav = not any((self.root / "train").glob("*.stem.mp4"))
        tracks = musdb.DB(str(self.root), subsets="train", split=split, is_wav=is_wav).tracks
        if not tracks:
            raise DataError(f"no song of split {split!r} in {str(self.root)!r}")
        return list(tracks)
