"""Songs whose true stems are known: what a separation is measured on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from instglow.errors import AudioError


class Excerpt(NamedTuple):
    """A part of a song; all of one shape, (channels, samples) full scale ±1."""

    mixture: Tensor
    stems: dict[str, Tensor]


class Song(ABC):
    """One song, read piece by piece; an open file is closed again after each reading.

    Attributes:
        name: unique in its dataset; may serve as the name of a folder.
        stems: names of the stems it has, sorted.
        sample_rate: Hz.
        samples: per channel.
        note: what a user should know about how it was read; may be empty.
        files: all that it is read from; scores of earlier runs count while these are unchanged.
    """

    name: str
    stems: tuple[str, ...]
    sample_rate: int
    samples: int
    files: tuple[Path, ...]
    note: str = ""

    @abstractmethod
    def read(self, start: int, count: int) -> Excerpt:
        """Samples start ... start + count - 1 of the mixture and of every stem.

        Raises:
            AudioError: for a file that is damaged after all.
        """


def require_numbers(song: str, waves: Mapping[str, Tensor], start: int, sample_rate: int) -> None:
    """An AudioError where a stem, (channels, samples) from `start` on, holds what is no number."""
    for name, wave in waves.items():
        bad = ~wave.isfinite().all(0)
        if bad.any():
            seconds = (start + int(bad.int().argmax())) / sample_rate
            raise AudioError(
                f"{song}: {name} is not a number or infinite at {seconds:.3f} s; export it again"
            )


@dataclass(frozen=True)
class SongSet:
    """A dataset.

    Attributes:
        name: for tables: "MUSDB18-HQ test", "Slakh2100 test", a folder's name.
        songs: sorted by name.
        skipped: folder or song -> why it is left out, in one line.
    """

    name: str
    songs: list[Song]
    skipped: dict[str, str] = field(default_factory=dict)
