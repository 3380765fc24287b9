"""The solos of every instrument of a dataset, and which of their segments are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from instglow.audio.io import read
from instglow.audio.resample import resample
from instglow.data.datasets import open_dataset
from instglow.data.recording import Decoded, in_few_channels
from instglow.data.segments import Gate, Solo, SoloSegments, spread
from instglow.data.solo import AUDIO_SUFFIXES
from instglow.data.songs import Song, require_numbers
from instglow.data.stems import MIXTURE
from instglow.errors import DataError

_ALL = 2**62


class SoloRecording(NamedTuple):
    """What is read at once: one recording of a solo, or a song with all its stems.

    Attributes:
        instruments: that it holds solos of.
        read: -> instrument -> (channels, samples) full scale ±1, and the sample rate in Hz.
    """

    instruments: tuple[str, ...]
    read: Callable[[], tuple[dict[str, Tensor], int]]


@dataclass(frozen=True)
class SoloSet:
    """A dataset.

    Attributes:
        name: for titles.
        recordings: all there are, in a fixed order.
        skipped: folder or song -> why it is left out, in one line.
    """

    name: str
    recordings: list[SoloRecording]
    skipped: dict[str, str]

    @property
    def instruments(self) -> list[str]:
        """Sorted."""
        return sorted({name for one in self.recordings for name in one.instruments})


def open_solos(folder: Path, instruments: Collection[str] = (), split: str = "test") -> SoloSet:
    """The solos of a folder `<instrument>/...` of recordings, or the stems of a set of songs.

    It is a set of songs, which `open_dataset` reads, by the first of these that decides:

    1. a recording `mixture.*`, MUSDB18's `*.stem.mp4` or Slakh's `metadata.yaml`, one or two
       folders down: songs;
    2. a sub-folder called as one of `instruments`: solos;
    3. several sub-folders that all hold the same recordings, two at least, whose names have no
       digit (a digit numbers recordings, such as `take1.wav`): songs;
    4. otherwise solos, the sub-folders being instruments. A sub-folder may have its own.

    Args:
        folder: of the dataset.
        instruments: names that are known to be some.
        split: of the songs, where the dataset has several.

    Raises:
        DataError: for a folder that is missing or holds neither.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {str(folder)!r}: name one of <instrument>/*.wav or of songs")
    folders = [path for path in sorted(folder.iterdir()) if _visible(path) and path.is_dir()]
    if _holds_songs(folder, folders, instruments):
        songs = open_dataset(folder, split)
        found = [SoloRecording(song.stems, partial(_stems, song)) for song in songs.songs]
        return SoloSet(songs.name, found, dict(songs.skipped))
    found, skipped = [], {}
    for path in folders:
        files = [file for file in sorted(path.rglob("*")) if _is_recording(file)]
        if not files:
            skipped[path.name] = "no recordings in it"
        found += [SoloRecording((path.name,), partial(_solo, path.name, file)) for file in files]
    if not found:
        raise DataError(
            f"no solos in {str(folder)!r}: it needs a sub-folder for each instrument that holds "
            f"{' '.join(sorted(AUDIO_SUFFIXES))} files, or songs with their stems"
        )
    return SoloSet(folder.resolve().name, found, skipped)


class SegmentSampling:
    """How many segments each recording should give, so that all are drawn on alike.

    Args:
        recordings: all of a dataset, in the order that they are asked in.
        segments: wanted of each instrument; 0 for all there are.
    """

    def __init__(self, recordings: Sequence[SoloRecording], segments: int) -> None:
        self.segments = segments
        self.recordings = Counter(name for one in recordings for name in one.instruments)
        self.asked: Counter[str] = Counter()
        self.found: Counter[str] = Counter()

    def wanted(self, recording: SoloRecording) -> dict[str, int]:
        """Instrument -> segments to take, more where earlier ones had too few; asked once each."""
        self.asked.update(recording.instruments)
        return {
            name: self.segments * self.asked[name] // self.recordings[name] - self.found[name]
            if self.segments
            else _ALL
            for name in recording.instruments
        }


def cut(wave: Tensor, rate: int, to_rate: int, samples: int, most: int, gate: Gate) -> Tensor:
    """Evenly spread segments of one recording that are not silent, as training cuts them.

    Args:
        wave: (channels, samples) full scale ±1.
        rate: of it, Hz.
        to_rate: of the segments, Hz.
        samples: of one segment.
        most: segments.
        gate: which are silent.

    Returns:
        (segments, channels, samples); none of a recording that is too short or silent.
    """
    whole = Decoded.of(resample(in_few_channels(wave), rate, to_rate)).wave
    if whole.shape[-1] < samples:
        return wave.new_empty(0, len(whole), samples)
    found = SoloSegments([Solo.of(whole, samples, gate)], samples)
    chosen = [found[number] for number in spread(len(found), most)]
    return torch.stack(chosen) if chosen else wave.new_empty(0, len(whole), samples)


def _holds_songs(folder: Path, folders: list[Path], instruments: Collection[str]) -> bool:
    for depth in ("*/", "*/*/"):
        signs = ("*.stem.mp4", "metadata.yaml")
        if any(_visible(file) for sign in signs for file in folder.glob(depth + sign)):
            return True
        if any(_is_recording(file) for file in folder.glob(f"{depth}{MIXTURE}.*")):
            return True
    if any(path.name in instruments for path in folders):
        return False
    names = [{file.stem for file in path.iterdir() if _is_recording(file)} for path in folders]
    names = [found for found in names if found]
    return (
        len(names) > 1
        and all(found == names[0] for found in names)
        and len(names[0]) > 1
        and not any(character.isdigit() for name in names[0] for character in name)
    )


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and _visible(path) and path.is_file()


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")  # what a desktop or a copy leaves behind


def _solo(instrument: str, path: Path) -> tuple[dict[str, Tensor], int]:
    wave, rate = read(path)
    require_numbers(str(path), {"its sound": wave}, 0, rate)
    return {instrument: wave}, rate


def _stems(song: Song) -> tuple[dict[str, Tensor], int]:
    stems = song.read(0, song.samples).stems
    require_numbers(song.name, stems, 0, song.sample_rate)
    return stems, song.sample_rate
