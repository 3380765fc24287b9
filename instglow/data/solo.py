"""Where solo recordings come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from instglow.data.recording import Recording
from instglow.errors import DataError

Split = Literal["train", "held-out"]

AUDIO_SUFFIXES = {
    *(".wav", ".flac", ".aif", ".aiff", ".ogg", ".oga", ".opus"),
    *(".mp3", ".m4a", ".aac", ".wma"),
}


class SoloSource(Protocol):
    """Solo recordings of one instrument.

    A configuration can only name classes whose `recordings` has exactly this signature.
    """

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """The recordings of a split, always in the same order.

        A source that has none held out gives none for "held-out"; then some of the others are held
        out, by what can be used of them. A source that makes its recordings out of nothing may give
        tensors, each (channels, samples) or (samples,) at that rate, full scale ±1; they are held
        in memory.

        Raises:
            DataError: where there are none to train on. A broken one fails when it is decoded.
        """
        ...


class SoloFolder(SoloSource):
    """Every recording below a folder; sub-folders too.

    Args:
        folder: of the recordings.
        held_out: folder of other recordings to measure on; without it some of `folder` are.
    """

    def __init__(self, folder: str, held_out: str | None = None) -> None:
        self.folder = Path(folder)
        self.held_out = Path(held_out) if held_out else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        if split == "train":
            yield from _files(self.folder, "--data.source.folder of fit, --data of add-prior")
        elif self.held_out:
            yield from _files(self.held_out, "--data.source.held_out")


def _files(folder: Path, option: str) -> list[Recording]:
    if not folder.is_dir():
        raise DataError(
            f"no folder {str(folder)!r}: put solo recordings of the instrument there, "
            f"or name another folder ({option})"
        )
    paths = sorted(
        path
        for path in folder.rglob("*")
        # macOS leaves a `._take.wav` beside a `take.wav`
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise DataError(
            f"no recordings in {str(folder)!r}: looked for {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return [Recording.of_file(path) for path in paths]
