"""One stem of many songs, `<song>/<stem>.wav`, and what readers of songs share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from torch import Tensor

from instglow.data.recording import Recording
from instglow.data.solo import AUDIO_SUFFIXES, SoloSource, Split
from instglow.data.songs import Song, SongSet
from instglow.errors import AudioError, DataError, DependencyError

MIXTURE = "mixture"


class MultitrackStem(SoloSource):
    """One stem of every song of a folder, `<song>/<stem>.wav` for instance; songs may lack it.

    Args:
        folder: of the songs.
        stem: name of the files without their ending; upper and lower case are the same.
        held_out: folder of other songs to measure on; without it some of `folder` are.
    """

    def __init__(self, folder: str, stem: str, held_out: str | None = None) -> None:
        self.folder = Path(folder)
        self.stem = stem.lower()
        self.held_out = Path(held_out) if held_out else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        if split == "train":
            yield from self._stems(self.folder)
        elif self.held_out:
            yield from self._stems(self.held_out)

    def _stems(self, folder: Path) -> list[Recording]:
        found, others = [], set()
        for song in subfolders(folder):
            paths = {path: path.stem.lower() for path in audio_files(song)}
            others |= set(paths.values())
            match [path for path, stem in paths.items() if stem == self.stem]:
                case [path]:
                    found.append(Recording.of_file(path))
                case [path, other, *_]:
                    found.append(Recording.unusable(path, twice(path, other)))
        if not found:
            there = ", ".join(sorted(others - {MIXTURE})) or "none"
            raise DataError(
                f"no stem {self.stem!r} in {str(folder)!r}: looked for <song>/{self.stem}.wav, "
                f".flac and the like; its stems are: {there}"
            )
        return found


def gather(name: str, places: Iterable[Path], build: Callable[[Path], Song]) -> SongSet:
    """A dataset of the songs that can be built; the others are left out, with the reason.

    Args:
        name: of the dataset.
        places: a file or folder for each song, at least one.
        build: makes its song, or raises AudioError, DataError or DependencyError.

    Raises:
        DataError: where no song is left, with the first reason.
    """
    songs: list[Song] = []
    skipped: dict[str, str] = {}
    for place in places:
        try:
            songs.append(build(place))
        except (AudioError, DataError, DependencyError) as error:  # noqa: PERF203 - one song each
            skipped[place.name] = str(error)
    if not songs:
        first = next(iter(skipped))
        raise DataError(
            f"{name}: none of its {len(skipped)} songs can be used; {first!r}: {skipped[first]}"
        )
    return SongSet(name, sorted(songs, key=lambda song: song.name), skipped)


def subfolders(folder: Path) -> list[Path]:
    """Folders right below a folder, by name, without hidden ones; DataError if it is none."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(f"no folder {str(folder)!r} ({error.strerror}); check the path") from None
    return [path for path in found if not path.name.startswith(".")]


def audio_files(folder: Path) -> list[Path]:
    """Recordings right in a folder, by name; not the hidden `._bass.wav` that macOS leaves."""
    return sorted(
        path
        for path in folder.glob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )


def twice(path: Path, other: Path) -> str:
    """The complaint about two files of one name."""
    return f"{path.name} and {other.name} are one stem; remove one of them"
