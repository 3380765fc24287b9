"""MIDI files, read in one place; those that nothing can read are passed over, counted and named."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instglow.errors import DataError, DependencyError


class Pieces:
    """MIDI files below a folder.

    Args:
        folder: of them; folders below it count.
        names: which of them, paths relative to it; None for all.

    Attributes:
        names: sorted.
        unreadable: those that were read and could not be, each with the reason.

    Raises:
        DataError: where the folder lacks one of `names`, or holds no MIDI file.
        DependencyError: where pretty_midi is not installed.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        there = midi_files(folder)
        if missing := sorted(set(names or ()) - set(there)):
            raise DataError(f"{folder} has no {missing[0]!r}; choose from its {len(there)} files")
        self.folder = folder
        self.names = there if names is None else sorted(set(names))
        self.unreadable: dict[str, str] = {}
        if not self.names:
            raise DataError(f"{folder} holds no MIDI file; put .mid files there")
        _reader()

    def tracks(self, name: str) -> list[Any]:
        """The `pretty_midi.Instrument`s of a piece, times in seconds; none if it is unreadable."""
        try:
            return read_midi(self.folder / name)
        except DataError as error:
            self.unreadable[name] = repr(error.__cause__)
            return []

    def report(self) -> None:
        """Say on stderr which pieces were passed over."""
        if self.unreadable:
            first = ", ".join(f"{name} ({why})" for name, why in sorted(self.unreadable.items()))
            print(
                f"instglow: passed over {len(self.unreadable)} of {len(self.names)} MIDI files in "
                f"{self.folder}, which cannot be read: {first}",
                file=sys.stderr,
            )


def midi_files(folder: Path) -> list[str]:
    """Paths of the MIDI files below a folder, relative to it, sorted."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi")]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_midi(path: Path) -> list[Any]:
    """The `pretty_midi.Instrument`s of a file, times in seconds.

    Raises:
        DataError: for a file that cannot be read.
        DependencyError: where pretty_midi is not installed.
    """
    reader = _reader()
    try:
        with warnings.catch_warnings():  # an odd order of its tracks does no harm
            warnings.simplefilter("ignore")
            tracks: list[Any] = reader.PrettyMIDI(str(path)).instruments
    # mido's parser raises whatever a malformed file leads it into: KeySignatureError for an odd
    # key, a plain Exception, and the errors of a dozen Python types
    except Exception as error:
        raise DataError(f"cannot read MIDI file {path}: {error!r}; repair or remove it") from error
    return tracks


def _reader() -> Any:
    try:
        import pretty_midi
    except ImportError as error:
        raise DependencyError(
            "reading MIDI files needs pretty_midi: pip install 'instglow[render]'"
        ) from error
    return pretty_midi
