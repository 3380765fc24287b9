"""Slakh2100 and its redux: songs of bass, drums, guitar and piano, the paper's Slakh2100-submix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from instglow.data.songs import Song, SongSet
from instglow.data.stems import FileSong, gather
from instglow.errors import DataError

_CLASSES = {"Bass": "bass", "Drums": "drums", "Guitar": "guitar", "Piano": "piano"}
_METADATA = "metadata.yaml"


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
    files: dict[str, list[Path]] = {}
    for name, entry in _stems(folder / _METADATA).items():
        stem = _CLASSES.get(entry["inst_class"])
        if stem is None:
            continue
        if path := _find(folder / "stems", name):
            files.setdefault(stem, []).append(path)
        elif entry.get("audio_rendered", True):
            raise DataError(f"stems/{name} ({stem}) is neither there as flac nor as wav")
        # else: Slakh lists stems that its instruments could not play
    if not files:
        raise DataError(f"none of its stems is {', '.join(_CLASSES.values())}")
    return FileSong(folder.name, files)


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
