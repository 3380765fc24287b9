"""Where solo recordings come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
        """The recordings of a split, always in the same order; none of them is in both.

        A source that makes its recordings out of nothing may give tensors, each (samples,) mono at
        that rate, full scale ±1; they are held in memory.

        Raises:
            DataError: where there are none. A broken one fails when it is decoded.
        """
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

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        if self.held_out:
            yield from _files(self.folder if split == "train" else self.held_out)
        else:
            yield from every_tenth(_files(self.folder), split)

    def everything(self) -> Iterator[Recording]:
        """All recordings of `folder`, whatever is held out."""
        return iter(_files(self.folder))


def every_tenth(recordings: Sequence[Recording], split: Split) -> list[Recording]:
    """One split: every tenth is held out, or the last; of a lone recording its last tenth."""
    if len(recordings) == 1:
        return [replace(recordings[0], tenths=(0, 9) if split == "train" else (9, 10))]
    last = len(recordings) - 1
    held_out = set(range(9, len(recordings), 10)) or {last}
    return [r for i, r in enumerate(recordings) if (i in held_out) == (split == "held-out")]


def _files(folder: Path) -> list[Recording]:
    if not folder.is_dir():
        raise DataError(
            f"no folder {str(folder)!r}: put solo recordings of the instrument there, "
            "or name another folder (--data.source.folder of fit, --data of add-prior)"
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
