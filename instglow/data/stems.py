"""Songs as folders of files, one file a stem: `<song>/<stem>.wav`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from instglow.audio.io import AudioFile
from instglow.data.recording import Recording
from instglow.data.solo import Split, every_tenth
from instglow.data.songs import Excerpt, Song, SongSet
from instglow.errors import AudioError, DataError, DependencyError

SUFFIXES = {".wav", ".flac"}
MIXTURE = "mixture"

# Programs end a stem at a block of their own, so its last milliseconds are padding and can be cut.
# What differs by more is another take, or starts elsewhere: its scores would be wrong.
_END = 0.05  # seconds


class FileSong(Song):
    """A song whose stems are files, or sums of files.

    Files that differ by at most 0.05 s in length are cut to the shortest.

    Args:
        name: see `Song`.
        stems: stem -> its files, at least one.
        mixture: file of the mixture; without one the mixture is the sum of the stems.

    Raises:
        AudioError: for a file that cannot be read, or files of different sample rate, channels or
            length.
    """

    def __init__(
        self, name: str, stems: Mapping[str, Sequence[Path]], mixture: Path | None = None
    ) -> None:
        self.name = name
        self.stems = tuple(sorted(stems))
        self._files = {stem: tuple(stems[stem]) for stem in self.stems}
        self._mixture = mixture
        paths = [path for stem in self.stems for path in self._files[stem]]
        self.files = (mixture, *paths) if mixture else tuple(paths)
        self.sample_rate, self.samples = _common(self.files)

    def read(self, start: int, count: int) -> Excerpt:
        """See `Song`."""
        stems = {
            stem: _sum(_read(path, start, count) for path in paths)
            for stem, paths in self._files.items()
        }
        if self._mixture is None:
            return Excerpt(_sum(stems.values()), stems)
        return Excerpt(_read(self._mixture, start, count), stems)


class MultitrackStem:
    """One stem of every song of a folder, `<song>/<stem>.wav` or `.flac`; songs may lack it.

    Args:
        folder: of the songs.
        stem: name of the files without their ending; upper and lower case are the same.
        held_out: folder of other songs to measure on; without it every tenth song that has the
            stem is held out, as `SoloFolder` does.
    """

    def __init__(self, folder: str, stem: str, held_out: str | None = None) -> None:
        self.folder = Path(folder)
        self.stem = stem.lower()
        self.held_out = Path(held_out) if held_out else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        if self.held_out:
            yield from self._stems(self.folder if split == "train" else self.held_out)
        else:
            yield from every_tenth(self._stems(self.folder), split)

    def _stems(self, folder: Path) -> list[Recording]:
        found, others = [], set()
        for song in subfolders(folder):
            paths = {path: path.stem.lower() for path in _audio_files(song)}
            others |= set(paths.values())
            match [path for path, stem in paths.items() if stem == self.stem]:
                case [path]:
                    found.append(Recording.of_file(path))
                case [path, other, *_]:
                    found.append(Recording.unusable(path, _twice(path, other)))
        if not found:
            there = ", ".join(sorted(others - {MIXTURE})) or "none"
            raise DataError(
                f"no stem {self.stem!r} in {str(folder)!r}: looked for <song>/{self.stem}.wav and "
                f".flac; its stems are: {there}"
            )
        return found


def folder_songs(folder: Path) -> SongSet:
    """Songs as `folder/<song>/<stem>.wav` or `.flac`, with a file `mixture` or without.

    Stems are named by their files, in lower case. A song without stems, or with files that are
    broken or do not fit each other, is left out, with the reason.

    Raises:
        DataError: without a single song.
    """
    places = subfolders(folder)
    if not any(_audio_files(place) for place in places):
        raise DataError(f"no songs in {str(folder)!r}: looked for <song>/<stem>.wav and .flac")
    return gather(folder.resolve().name, places, _song)


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
        # DependencyError: a broken wav is one that perhaps ffmpeg could read
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


def _audio_files(folder: Path) -> list[Path]:
    """Without hidden ones: macOS leaves a `._bass.wav` beside a `bass.wav`."""
    return sorted(
        path
        for path in folder.glob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _song(folder: Path) -> Song:
    files: dict[str, Path] = {}
    for path in _audio_files(folder):
        stem = path.stem.lower()
        if stem in files:
            raise DataError(_twice(files[stem], path))
        files[stem] = path
    mixture = files.pop(MIXTURE, None)
    if not files:
        raise DataError("no stems: looked for <stem>.wav and .flac")
    return FileSong(folder.name, {stem: [path] for stem, path in files.items()}, mixture)


def _twice(path: Path, other: Path) -> str:
    return f"{path.name} and {other.name} are one stem; remove one of them"


def _common(paths: Sequence[Path]) -> tuple[int, int]:
    """Sample rate in Hz and samples that all files have."""
    lengths: dict[Path, int] = {}
    shape: tuple[int, int] | None = None
    for path in paths:
        with AudioFile(path) as file:
            lengths[path] = file.samples
            shape = shape or (file.sample_rate, file.channels)
            for value, expected, unit in zip(
                (file.sample_rate, file.channels), shape, ("Hz", "channels"), strict=True
            ):
                if value != expected:
                    raise AudioError(
                        f"{paths[0].name} has {expected} {unit}, {path.name} has {value}; "
                        "export them alike"
                    )
    assert shape is not None, "a song without files"
    sample_rate = shape[0]
    shortest, longest = (choose(lengths, key=lengths.__getitem__) for choose in (min, max))
    if lengths[longest] - lengths[shortest] > _END * sample_rate:
        raise AudioError(
            f"{longest.name} lasts {lengths[longest] / sample_rate:.3f} s, "
            f"{shortest.name} {lengths[shortest] / sample_rate:.3f} s; export them alike"
        )
    return sample_rate, lengths[shortest]


def _read(path: Path, start: int, count: int) -> Tensor:
    with AudioFile(path) as file:
        return file.read(start, count)


def _sum(waves: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(waves)).sum(0)
