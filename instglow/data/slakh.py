"""Slakh2100 and its redux: whole songs as the paper's Slakh2100-submix, and single instruments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from instglow.data.recording import Recording
from instglow.data.solo import SoloSource, Split
from instglow.data.song_folders import FileSong
from instglow.data.songs import Song, SongSet
from instglow.data.stems import gather
from instglow.errors import DataError

_CLASSES = ("bass", "drums", "guitar", "piano")
_METADATA = "metadata.yaml"
_SPLITS = {"train": "train", "held-out": "validation"}


class SlakhInstrument(SoloSource):
    """What one class of instruments plays in every track of Slakh2100's training part.

    The tracks of its validation part are held out. All stems of the class in a track are one
    recording, their sum; tracks without one are passed over.

    Args:
        root: holds `train/TrackNNNNN/` and `validation/TrackNNNNN/`.
        instrument: a class as the metadata name it: bass, drums, guitar, piano, organ, brass, ...;
            upper and lower case are the same.
    """

    def __init__(self, root: str, instrument: str) -> None:
        self.root = Path(root)
        self.instrument = instrument.lower()

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        folder = self.root / _SPLITS[split]
        tracks = track_folders(folder)
        if not tracks:
            raise DataError(
                f"no Slakh2100 in {str(self.root)!r}: looked for {folder.name}/TrackNNNNN, "
                f"with {_METADATA}"
            )
        others: set[str] = set()
        found = [recording for track in tracks if (recording := self._recording(track, others))]
        if not found:
            raise DataError(
                f"no instrument {self.instrument!r} in the {len(tracks)} tracks of "
                f"{str(folder)!r}; its classes are: {', '.join(sorted(others))}"
            )
        yield from found

    def _recording(self, track: Path, others: set[str]) -> Recording | None:
        """The instrument in a track; adds the classes that it has to `others`."""
        try:
            stems = _stems(track / _METADATA)
            others |= {entry["inst_class"].lower() for entry in stems.values()}
            paths = _paths(track, stems, (self.instrument,)).get(self.instrument)
        except DataError as error:
            return Recording.unusable(track, f"{track}: {error}")
        return Recording(tuple(paths), partial(_mix, track.name, paths)) if paths else None


def _mix(name: str, paths: list[Path]) -> tuple[Tensor, int]:
    """(channels, samples) of the sum of some files, and their sample rate in Hz."""
    song = FileSong(name, {"": paths})
    return song.read(0, song.samples).mixture, song.sample_rate


def slakh_songs(root: Path, split: str = "test") -> SongSet:
    """Sub-mixes of the songs of one split; the mixture is the sum of these four, not Slakh's own.

    A stem that the song lacks is absent; a silent one is there. A song whose metadata or files are
    broken is left out, with the reason.

    Args:
        root: holds `<split>/TrackNNNNN/`, or is the folder of a split itself (BabySlakh too).
        split: train, validation, test or omitted.

    Raises:
        DataError: without a single song.
    """
    for folder in (root / split, root):
        if tracks := track_folders(folder):
            return gather(f"Slakh2100 {folder.resolve().name}", tracks, _song)
    raise DataError(
        f"no Slakh2100 in {str(root)!r}: looked for {split}/TrackNNNNN and TrackNNNNN, "
        f"with {_METADATA}"
    )


def track_folders(folder: Path) -> list[Path]:
    """Folders `TrackNNNNN`, by name; none if not one of them has metadata."""
    tracks = sorted(path for path in folder.glob("Track[0-9]*") if path.is_dir())
    return tracks if any((track / _METADATA).is_file() for track in tracks) else []


def _song(folder: Path) -> Song:
    paths = _paths(folder, _stems(folder / _METADATA), _CLASSES)
    if not paths:
        raise DataError(f"none of its stems is {', '.join(_CLASSES)}")
    return FileSong(folder.name, paths)


def _paths(
    track: Path, stems: Mapping[str, dict[str, Any]], wanted: Collection[str]
) -> dict[str, list[Path]]:
    """Class in lower case -> the files of a track that are of it, for the classes wanted."""
    paths: dict[str, list[Path]] = {}
    for name, entry in stems.items():
        stem = entry["inst_class"].lower()
        if stem not in wanted:
            continue
        if path := _find(track / "stems", name):
            paths.setdefault(stem, []).append(path)
        # BabySlakh says of no stem that it was rendered; the loudness is of those that were
        elif entry.get("audio_rendered", True) or "integrated_loudness" in entry:
            raise DataError(f"stems/{name} ({stem}) is neither there as flac nor as wav")
        # else: Slakh lists stems that its instruments could not play
    return paths


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in (".flac", ".wav"))
    return next((path for path in paths if path.is_file()), None)


def _stems(path: Path) -> dict[str, dict[str, Any]]:
    """Stem's file, without its ending -> what the metadata says of it, its class at least."""
    try:
        stems = yaml.safe_load(path.read_text(encoding="utf-8"))["stems"]
        if not all(isinstance(entry["inst_class"], str) for entry in stems.values()):
            raise TypeError("inst_class")
    except OSError as error:
        raise DataError(f"{path.name}: {error.strerror}; copy it again") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{path.name}: not YAML{line}; copy it again") from None
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{path.name}: not a list of stems with an inst_class each") from None
    return stems
