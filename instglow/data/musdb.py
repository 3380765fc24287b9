"""MUSDB18 and MUSDB18-HQ: the solo recordings of one stem, and whole songs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from instglow.audio.decode import excerpt, stream_formats
from instglow.data.recording import Recording
from instglow.data.solo import SoloSource, Split
from instglow.data.song_folders import FileSong
from instglow.data.songs import Excerpt, Song, SongSet
from instglow.data.stems import MIXTURE, gather, subfolders
from instglow.errors import AudioError, DataError

STEMS = ("vocals", "drums", "bass", "other")
SUFFIX = ".stem.mp4"
_STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")  # as a file .stem.mp4 holds them


class MusdbStem(SoloSource):
    """One stem of every song of MUSDB18's training part; its validation songs are held out.

    Args:
        root: folder that holds `train/` and `test/`, as MUSDB18 (.stem.mp4) or MUSDB18-HQ (.wav).
        stem: vocals, drums, bass or other.
    """

    def __init__(self, root: str, stem: str) -> None:
        if stem not in STEMS:
            raise DataError(f"MUSDB18 has no stem {stem!r}: vocals, drums, bass and other")
        self.root = Path(root)
        self.stem = stem

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        folder = _part(self.root, "train")
        validation = _validation_songs()
        files = _stem_files(folder)
        found = [
            place
            for place in files or subfolders(folder)
            if (place.name.removesuffix(SUFFIX) in validation) == (split == "held-out")
        ]
        if not found:
            raise DataError(
                f"no song of musdb's {'training' if split == 'train' else 'validation'} split in "
                f"{str(folder)!r}; check that the dataset is complete"
            )
        for place in found:
            if files:
                yield Recording((place,), partial(_decode, place, self.stem), self.stem)
            else:
                yield Recording.of_file(place / f"{self.stem}.wav")


class MusdbSong(Song):
    """A song of MUSDB18, as a file .stem.mp4; only the part asked for is kept in memory.

    Read through musdb where the programs that it needs are installed, and otherwise through PyAV:
    the same samples.

    Raises:
        AudioError: for a file that FFmpeg cannot read, or that lacks streams.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name.removesuffix(SUFFIX)
        self.stems = tuple(sorted(STEMS))
        self.files = (path,)
        self._path = path.absolute()
        found = stream_formats(path)
        if len(found) != len(_STREAMS):
            raise AudioError(
                f"{path}: {len(found)} audio streams, {len(_STREAMS)} needed "
                f"({', '.join(_STREAMS)}); copy it again"
            )
        formats = {(stream.sample_rate, stream.channels) for stream in found}
        if len(formats) > 1:
            differing = ", ".join(f"{rate} Hz × {channels}" for rate, channels in sorted(formats))
            raise AudioError(f"{path}: streams of different format ({differing}); copy it again")
        ((self.sample_rate, self._channels),) = formats
        self.samples = min(stream.samples for stream in found)  # decoders give up to a packet more
        self._track = _track(self._path)

    def read(self, start: int, count: int) -> Excerpt:
        """See `Song`."""
        assert 0 <= start <= start + count <= self.samples, (start, count, self.samples)
        waves = {name: self._stream(name, start, count) for name in _STREAMS}
        return Excerpt(waves[MIXTURE], {stem: waves[stem] for stem in self.stems})

    def stem(self, name: str) -> Tensor:
        """(channels, samples) of all of one stem."""
        return self._stream(name, 0, self.samples)

    def _stream(self, name: str, start: int, count: int) -> Tensor:
        number, seconds = _STREAMS.index(name), (start / self.sample_rate, count / self.sample_rate)
        if self._track is None:
            values = excerpt(self._path, number + 1, start, count)
            values = np.rint(values * 32768).clip(-32768, 32767) / 32768  # 16 bits, as musdb has
        else:
            index = self._track.info.audio_stream_idx()[number]
            try:
                values = self._track.load_audio(str(self._path), index, *seconds)
            except (ValueError, Warning):  # musdb's for a file that is gone or broken since
                raise AudioError(f"{self._path}: cannot be read any more; copy it again") from None
        # musdb drops dimensions of size 1
        wave = torch.from_numpy(values).float().reshape(-1, self._channels)
        if len(wave) != count:
            raise AudioError(
                f"{self._path}: from {seconds[0]:.3f} s on, {len(wave)} of {count} samples can be "
                "decoded; copy it again"
            )
        return wave.T.contiguous()


def musdb_songs(root: Path, subset: str = "test") -> SongSet:
    """The songs of MUSDB18 (.stem.mp4, see `MusdbSong`) or of MUSDB18-HQ (.wav).

    MUSDB18-HQ's files are read as they are: the same samples as through musdb, without a process
    for each file and excerpt. A song that cannot be read is left out, with the reason.

    Args:
        root: folder that holds `train/` and `test/`.
        subset: train or test.

    Raises:
        DataError: without a single song.
    """
    if subset not in ("train", "test"):
        raise DataError(f"MUSDB18 has no part {subset!r}: train and test")
    folder = _part(root, subset)
    if files := _stem_files(folder):
        return gather(f"MUSDB18 {subset}", files, MusdbSong)
    folders = subfolders(folder)
    if not folders:
        raise DataError(f"no songs in {str(folder)!r}: looked for *{SUFFIX} and <song>/*.wav")
    return gather(f"MUSDB18-HQ {subset}", folders, _hq_song)


def _decode(path: Path, stem: str) -> tuple[Tensor, int]:
    song = MusdbSong(path)
    return song.stem(stem), song.sample_rate


def _validation_songs() -> set[str]:
    """Names of musdb's own validation songs; without importing it, which ffmpeg is needed for."""
    spec = find_spec("musdb")
    assert spec is not None, "musdb is a dependency"
    assert spec.submodule_search_locations is not None
    settings = Path(spec.submodule_search_locations[0]) / "configs" / "mus.yaml"
    return set(yaml.safe_load(settings.read_text(encoding="utf-8"))["validation_tracks"])


def _hq_song(folder: Path) -> Song:
    files = {stem: [folder / f"{stem}.wav"] for stem in STEMS}
    return FileSong(folder.name, files, folder / f"{MIXTURE}.wav")


def _part(root: Path, subset: str) -> Path:
    folder = root / subset
    if not folder.is_dir():
        raise DataError(f"no MUSDB18 in {str(root)!r}: looked for its folder {subset!r}")
    return folder


def _stem_files(folder: Path) -> list[Path]:
    """MUSDB18's files; none in MUSDB18-HQ."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def _track(path: Path) -> Any:
    """The song as musdb reads it; None without the programs that musdb needs at its import."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        return None
    import musdb

    # absolute: ffmpeg takes "a:b.stem.mp4" for a protocol, and "-a.stem.mp4" for an option
    return musdb.MultiTrack(path=str(path), name=path.name.removesuffix(SUFFIX), stem_id=0)
