"""Where solo recordings come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from instglow.audio.io import read
from instglow.audio.resample import resample
from instglow.errors import AudioError, DataError

Split = Literal["train", "held-out"]

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".m4a", ".opus"}


class SoloSource(Protocol):
    """Solo recordings of one instrument."""

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Tensor]:
        """One recording after the other, each (samples,) mono at that rate, full scale ±1."""
        ...


class SoloFolder:
    """Every recording below a folder; sub-folders too.

    Args:
        folder: of the recordings.
        held_out: folder of other recordings to measure on; without it every tenth recording of
            `folder`, by name, is held out (with fewer than ten, the last one; a lone recording is
            measured on its last tenth and trained on the rest).
    """

    def __init__(self, folder: str, held_out: str | None = None) -> None:
        self.folder = Path(folder)
        self.held_out = Path(held_out) if held_out else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Tensor]:
        """See `SoloSource`; a file that cannot be read stops with its name."""
        if self.held_out:
            paths = _audio_files(self.folder if split == "train" else self.held_out)
            yield from (_mono(path, sample_rate) for path in paths)
            return
        paths = _audio_files(self.folder)
        if len(paths) == 1:
            wave = _mono(paths[0], sample_rate)
            cut = len(wave) * 9 // 10
            yield wave[:cut] if split == "train" else wave[cut:]
            return
        held_out = set(paths[9::10] or paths[-1:])
        for path in paths:
            if (path in held_out) == (split == "held-out"):
                yield _mono(path, sample_rate)

    def everything(self, sample_rate: int) -> Iterator[Tensor]:
        """All recordings of `folder`, whatever is held out."""
        return (_mono(path, sample_rate) for path in _audio_files(self.folder))


def _audio_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(
            f"no folder {str(folder)!r}: put solo recordings of the instrument there, "
            "or name another with --data.source.folder"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise DataError(
            f"no recordings in {str(folder)!r}: looked for {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return paths


def _mono(path: Path, sample_rate: int) -> Tensor:
    try:
        wave, rate = read(path)
    except AudioError as error:
        raise DataError(f"{error} (a training recording)") from error
    return resample(wave.mean(0), rate, sample_rate)
