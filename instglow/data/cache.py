"""Recordings decoded and resampled once, kept on disk for every later run.

A recording is two files: `<name>.npy`, (samples,) int16 mono, and `<name>.json`, which says what it
was made from and the checksum of the other. Both are written beside, then renamed, under a lock; an
entry that does not match its note (a run was killed, a disk was full, a source was changed) is made
again. So runs share a folder at any time, and it may be deleted at any time.
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

from instglow.data.recording import Recording, to_int16
from instglow.files import replacing

USER = "user"
"""Stands for the user's cache folder, so that a stored configuration holds on other machines."""

_FORMAT = 1  # another one makes every entry again: for a better resampling, say
_HEADER = 128  # bytes before the samples, the same for every length up to 10^40


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

    def fetch(self, recording: Recording, sample_rate: int) -> Tensor:
        """-> (samples,) int16 mono, the part of the recording that is meant, mapped from disk.

        Raises:
            AudioError, DataError, DependencyError: for a recording that is broken; nothing is kept.
        """
        return recording.part(self._whole(recording, sample_rate))

    def _whole(self, recording: Recording, sample_rate: int) -> Tensor:
        wave: Tensor | None = None
        try:
            note = _note(recording, sample_rate)
            path = self._path(note)
            if (kept := _open(path, note)) is not None:
                return kept
            path.parent.mkdir(parents=True, exist_ok=True)
            # One lock for all entries of a sub-folder: thousands of entries need 256 of them.
            with FileLock(path.parent / ".lock"):
                if (kept := _open(path, note)) is not None:  # another run was faster
                    return kept
                wave = to_int16(recording.whole(sample_rate))
                _write(path, wave, note)
                if (kept := _open(path, note)) is not None:
                    return kept
        except OSError as error:
            # A source that is gone fails here too; decoding it says so better.
            if wave is None:
                wave = to_int16(recording.whole(sample_rate))
            self.trouble = error
        assert wave is not None
        return wave

    def _path(self, note: dict[str, Any]) -> Path:
        """Without sizes and times: what was made from a changed file takes the old one's place."""
        identity = {**note, "files": [file["path"] for file in note["files"]]}
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.npy"


def _note(recording: Recording, sample_rate: int) -> dict[str, Any]:
    """What an entry is made from; OSError for a file that is not there."""
    files = []
    for path in recording.files:
        status = path.stat()
        files.append(
            {
                "path": str(path.resolve()),
                "bytes": status.st_size,
                "mtime_ns": status.st_mtime_ns,
            }
        )
    return {"format": _FORMAT, "files": files, "stem": recording.stem, "sample_rate": sample_rate}


def _open(path: Path, note: dict[str, Any]) -> Tensor | None:
    """(samples,) int16 of an entry, mapped; None if it is not there, or not what the note says."""
    try:
        kept = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        # numpy's maps keep a file open each, and a process may have a thousand; torch's do not
        values = torch.from_file(
            str(path), shared=False, size=path.stat().st_size // 2, dtype=torch.int16
        )
    except (OSError, ValueError, RuntimeError):  # RuntimeError: torch's for an empty file
        return None
    # The checksum is of the whole file, so it vouches for header and length as well.
    if kept != {**note, "sha256": hashlib.sha256(values.numpy().data).hexdigest()}:
        return None
    return values[_HEADER // 2 :]


def _write(path: Path, wave: Tensor, note: dict[str, Any]) -> None:
    """Both files of an entry; the caller has the lock, so nobody else writes these names."""
    file = io.BytesIO()
    np.save(file, wave.numpy().astype("<i2", copy=False), allow_pickle=False)
    content = file.getbuffer()
    assert len(content) == _HEADER + 2 * len(wave), (len(content), len(wave))
    sidecar = {**note, "sha256": hashlib.sha256(content).hexdigest()}
    # The note last: without it, or with an old one, an entry counts as none.
    with replacing(path) as beside:
        beside.write_bytes(content)
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(sidecar, indent=1), encoding="utf-8")
