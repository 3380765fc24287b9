"""Songs as folders of files: `<song>/<stem>.wav`, with a file `mixture` or without."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor

from instglow.audio.io import SILENCE, AudioFile
from instglow.audio.resample import resample
from instglow.data.songs import Excerpt, Song, SongSet
from instglow.data.stems import MIXTURE, audio_files, gather, subfolders, twice
from instglow.errors import AudioError, DataError

# Programs end a stem at a block of their own, so its last milliseconds are padding and can be cut.
# What differs by more is another take, or starts elsewhere: its scores would be wrong.
_END = 0.05  # seconds

_MIXDOWNS = ("mix", "mixdown")  # other names of a mixture
_PROBE = 20.0  # seconds from the middle of a song that tell a mixture from a stem
_SAME = 0.01  # of the energy: -20 dB, what lossy encoding may change


class FileSong(Song):
    """A song whose stems are files, or sums of files.

    Files that differ by at most 0.05 s in length are cut to the shortest.

    Args:
        name: see `Song`.
        stems: stem -> its files, at least one.
        mixture: file of the mixture; without one the mixture is the sum of the stems.
        align: fit files of unlike format to each other: resample to the mixture's rate, or the
            highest; take mono for every channel; pad with silence to the longest.

    Raises:
        AudioError: for a file that cannot be read, or files of different sample rate, channels or
            length.
    """

    def __init__(
        self,
        name: str,
        stems: Mapping[str, Sequence[Path]],
        mixture: Path | None = None,
        align: bool = False,
    ) -> None:
        self.name = name
        self.stems = tuple(sorted(stems))
        self._files = {stem: tuple(stems[stem]) for stem in self.stems}
        self._mixture = mixture
        paths = [path for stem in self.stems for path in self._files[stem]]
        self.files = (mixture, *paths) if mixture else tuple(paths)
        formats = {path: _format(path) for path in self.files}
        self.sample_rate = formats[self.files[0]][0]
        if align and not mixture:
            self.sample_rate = max(rate for rate, _, _ in formats.values())
        self._channels = max(channels for _, channels, _ in formats.values())
        if align:
            _check_channels(formats, self._channels)
            self.samples = max(-(-n * self.sample_rate // rate) for rate, _, n in formats.values())
        else:
            self.samples = _shortest(formats)

    def read(self, start: int, count: int) -> Excerpt:
        """See `Song`."""
        stems = {
            stem: _sum(self._read(path, start, count) for path in paths)
            for stem, paths in self._files.items()
        }
        if self._mixture is None:
            return Excerpt(_sum(stems.values()), stems)
        return Excerpt(self._read(self._mixture, start, count), stems)

    def _read(self, path: Path, start: int, count: int) -> Tensor:
        with AudioFile(path) as file:
            if file.sample_rate == self.sample_rate:
                first = min(start, file.samples)
                wave = file.read(first, min(count, file.samples - first))
            else:
                wave = file.read(0, file.samples)
                wave = resample(wave, file.sample_rate, self.sample_rate)[:, start : start + count]
        wave = nnf.pad(wave, (0, count - wave.shape[1]))
        return wave.expand(self._channels, -1)


def folder_songs(
    folder: Path, names: Mapping[str, Sequence[str]] | None = None, align: bool = False
) -> SongSet:
    """Songs as `folder/<song>/<stem>.wav`, `.flac`, `.mp3` ..., with a file `mixture` or without.

    Stems are named by their files, in lower case. A file called `mix` or `mixdown`, or one that is
    the sum of the others, is no stem: it is the mixture, where no file is called so. A song without
    stems, or with files that are broken or do not fit each other, is left out, with the reason.

    Args:
        folder: of the songs.
        names: stem, or "mixture" -> names of its files without their endings, of which it is the
            sum; `*` and `?` stand for any characters. Files of other names are passed over.
        align: see `FileSong`.

    Raises:
        DataError: without a single song.
    """
    places = subfolders(folder)
    if not any(audio_files(place) for place in places):
        raise DataError(f"no songs in {str(folder)!r}: looked for <song>/<stem>.wav, .flac, ...")
    return gather(folder.resolve().name, places, partial(_song, names=names, align=align))


def _song(folder: Path, names: Mapping[str, Sequence[str]] | None, align: bool) -> Song:
    found = audio_files(folder)
    files = _named(found, names) if names else _by_stem(found)
    mixtures = files.pop(MIXTURE, [])
    if len(mixtures) > 1:
        raise DataError(twice(*mixtures[:2]))
    mixture = mixtures[0] if mixtures else None
    other = None if names else _mixdown(files, align)
    if other:
        del files[other.stem.lower()]
    if not files:
        there = ", ".join(path.name for path in found) or "none"
        wanted = ", ".join(n for name in names.values() for n in name) if names else "<stem>.wav"
        raise DataError(f"no stems: looked for {wanted}, its files are: {there}")
    song = FileSong(folder.name, files, mixture or other, align)
    if other:
        song.note = f"{other.name} is a mixture, not a stem: " + (
            f"left out beside {mixture.name}" if mixture else "taken for that of the song"
        )
    return song


def _by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in paths:
        if others := files.get(path.stem.lower()):
            raise DataError(twice(others[0], path))
        files[path.stem.lower()] = [path]
    return files


def _named(paths: Sequence[Path], names: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """Those that are called as wanted; brackets are nothing special, as names often have some."""
    files: dict[str, list[Path]] = {}
    for stem, wanted in names.items():
        patterns = [re.escape(n).replace(r"\*", ".*").replace(r"\?", ".") for n in wanted]
        matching = re.compile("|".join(patterns), re.IGNORECASE)
        if of_stem := [path for path in paths if matching.fullmatch(path.stem)]:
            files[stem] = of_stem
            _by_stem(of_stem)  # not twice, as wav and as flac
    return files


def _mixdown(files: Mapping[str, Sequence[Path]], align: bool) -> Path | None:
    """The file that is the sum of the others, by its name or by what it holds."""
    for name in _MIXDOWNS:
        if name in files:
            return files[name][0]
    if len(files) < 3:  # of two equal files, none is a sum
        return None
    song = FileSong("", files, align=align)
    count = min(song.samples, round(_PROBE * song.sample_rate))
    excerpt = song.read((song.samples - count) // 2, count)
    sounding = {name: w for name, w in excerpt.stems.items() if w.abs().max() > SILENCE}
    for name, wave in sounding.items() if len(sounding) > 2 else ():
        rest = 2 * wave - excerpt.mixture  # the file without the sum of the others
        if rest.square().sum() < _SAME * wave.square().sum():
            return files[name][0]
    return None


def _format(path: Path) -> tuple[int, int, int]:
    """Sample rate in Hz, channels, samples."""
    with AudioFile(path) as file:
        file.refuse_damage()  # silence in its place is fine to listen to, and wrong to score
        return file.sample_rate, file.channels, file.samples


def _check_channels(formats: Mapping[Path, tuple[int, int, int]], channels: int) -> None:
    for path, (_, its, _) in formats.items():
        if its not in (1, channels):
            raise AudioError(
                f"{path.name} has {its} channels, another file {channels}; only mono can be "
                "aligned with more: mix it down"
            )


def _shortest(formats: Mapping[Path, tuple[int, int, int]]) -> int:
    """The samples that all files have, where they are alike."""
    first, shape = next(iter(formats.items()))
    for path, values in formats.items():
        for value, expected, unit in zip(values[:2], shape, ("Hz", "channels"), strict=False):
            if value != expected:
                raise AudioError(
                    f"{first.name} has {expected} {unit}, {path.name} has {value}; export them "
                    "alike, or evaluate with --align"
                )
    lengths = {path: samples for path, (_, _, samples) in formats.items()}
    shortest, longest = (choose(lengths, key=lengths.__getitem__) for choose in (min, max))
    if lengths[longest] - lengths[shortest] > _END * shape[0]:
        raise AudioError(
            f"{longest.name} lasts {lengths[longest] / shape[0]:.3f} s, {shortest.name} "
            f"{lengths[shortest] / shape[0]:.3f} s; export them alike, or evaluate with --align"
        )
    return lengths[shortest]


def _sum(waves: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(waves)).sum(0)
