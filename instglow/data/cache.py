"""Recordings decoded and resampled once, kept on disk for every later run.

A recording is two files: `<name>.npy`, (channels, samples) int16, and `<name>.json`, which says
what it was made from and how the other looks. Both are written beside, then renamed, under a lock;
an entry that does not match its note (a run was killed, a disk was full, a source was changed) is
made again. So runs share a folder at any time, and it may be deleted at any time.

No later run reads all of an entry: to check it, size and time of change must be those of the note,
and so must the checksum of a sample that is spread over the file; and how loud its segments are is
kept beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor

from instglow.data.recording import Decoded, Recording
from instglow.data.segments import levels
from instglow.files import replacing

USER = "user"
"""Stands for the user's cache folder, so that a stored configuration holds on other machines."""

_FORMAT = 2  # another one makes every entry again: for a better resampling, say
_HEADER = 128  # bytes before the samples, the same for every shape up to 10^30
_PIECES, _PIECE = 16, 4096  # of the sample that is checked, and bytes of each


class Cache:
    """A folder of decoded recordings.

    Args:
        folder: made when something is kept.

    Attributes:
        trouble: why the folder cannot be written, once that was found out; recordings are then
            handed out all the same, in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trouble: OSError | None = None

    @classmethod
    def named(cls, folder: str | None) -> Cache | None:
        """As a configuration names it: a folder, "user" for the user's own, or None for none."""
        if folder is None:
            return None
        return cls(user_cache_path("instglow") / "recordings" if folder == USER else Path(folder))

    def fetch(self, recording: Recording, sample_rate: int) -> Decoded:
        """The whole recording, mapped from disk.

        Raises:
            AudioError, DataError, DependencyError: for a recording that is broken; nothing is kept.
        """
        decoded: Decoded | None = None
        try:
            source = _source(recording, sample_rate)
            path = self._path(source)
            if (kept := _open(path, source)) is not None:
                return kept
            path.parent.mkdir(parents=True, exist_ok=True)
            # One lock for all entries of a sub-folder: thousands of entries need 256 of them.
            with FileLock(path.parent / ".lock"):
                if (kept := _open(path, source)) is not None:  # another run was faster
                    return kept
                decoded = recording.decoded(sample_rate)
                _write(path, decoded, source)
                if (kept := _open(path, source)) is not None:
                    return kept
        except OSError as error:
            # A source that is gone fails here too; decoding it says so better.
            if decoded is None:
                decoded = recording.decoded(sample_rate)
            self.trouble = error
        assert decoded is not None
        return decoded

    def levels(self, decoded: Decoded, samples: int) -> Tensor:
        """What `segments.levels` measures, kept by the recording's digest."""
        path = self.folder / decoded.digest[:2] / f"{decoded.digest[:32]}-{samples}.npy"
        try:
            return torch.from_numpy(np.load(path))
        except (OSError, ValueError, EOFError):
            measured = levels(decoded.wave, samples)
        try:
            with replacing(path) as beside, beside.open("wb") as file:
                np.save(file, measured.numpy(), allow_pickle=False)
        except OSError as error:
            self.trouble = error
        return measured

    def _path(self, source: dict[str, Any]) -> Path:
        """Without sizes and times: what was made from a changed file takes the old one's place."""
        identity = {**source, "files": [file["path"] for file in source["files"]]}
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.npy"


def _source(recording: Recording, sample_rate: int) -> dict[str, Any]:
    """What an entry is made from; OSError for a file that is not there."""
    files = [{"path": str(path.resolve()), **_state(path)} for path in recording.files]
    return {"format": _FORMAT, "files": files, "stem": recording.stem, "sample_rate": sample_rate}


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _open(path: Path, source: dict[str, Any]) -> Decoded | None:
    """An entry, mapped; None if it is not there, or not what its note says."""
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if note["source"] != source or note["entry"] != _state(path):
            return None
        # numpy's maps keep a file open each, and a process may have a thousand; torch's do not
        values = torch.from_file(
            str(path), shared=False, size=note["entry"]["bytes"] // 2, dtype=torch.int16
        )
        if note["checksum"] != _checksum(values.numpy().view(np.uint8)):
            return None
        return Decoded(values[_HEADER // 2 :].view(note["channels"], -1), note["digest"])
    # RuntimeError: torch's for a file that cannot be mapped
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _checksum(content: np.ndarray) -> str:
    """(bytes,) -> of pieces evenly spread over them, the first and the last included."""
    starts = np.linspace(0, max(0, len(content) - _PIECE), _PIECES).astype(int)
    pieces = b"".join(content[start : start + _PIECE].tobytes() for start in starts)
    return hashlib.sha256(pieces).hexdigest()


def _write(path: Path, decoded: Decoded, source: dict[str, Any]) -> None:
    """Both files of an entry; the caller has the lock, so nobody else writes these names."""
    file = io.BytesIO()
    np.save(file, decoded.wave.numpy().astype("<i2", copy=False), allow_pickle=False)
    content = file.getbuffer()
    assert len(content) == _HEADER + 2 * decoded.wave.numel(), (len(content), decoded.wave.shape)
    # The note last: without it, or with an old one, an entry counts as none.
    with replacing(path) as beside:
        beside.write_bytes(content)
    note = {
        "source": source,
        "entry": _state(path),
        "checksum": _checksum(np.frombuffer(content, np.uint8)),
        "channels": len(decoded.wave),
        "digest": decoded.digest,
    }
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(note, indent=1), encoding="utf-8")
