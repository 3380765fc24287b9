"""Files that are there whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from instglow.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all.

    Raises:
        OutputError: where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; name another place") from error


def check_writable(path: Path) -> None:
    """An OutputError where `write_text` would find no place to write to."""
    place = path.absolute().parent
    while not place.exists():
        place = place.parent
    if path.is_dir() or not place.is_dir() or not os.access(place, os.W_OK):
        raise OutputError(f"cannot write {path}; name another place")
