"""One folder of priors, and how a prior gets into it and out of it whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from instglow.errors import PriorExists, PriorNotFound, RegistryError
from instglow.files import Staged, as_output_error, moved_away
from instglow.registry.card import CARD, WEIGHTS

_PATIENCE = 60.0
"""Seconds to wait for another process that writes to the same folder."""


@dataclass(frozen=True)
class Layer:
    """A folder of priors.

    Args:
        path: need not exist; writing creates it.
        label: how users know it, such as "user data".
        read_only: never written to, whatever the file system would allow.
        asked: the user named it for this call: if it cannot be used, no other will do.
    """

    path: Path
    label: str
    read_only: bool = False
    asked: bool = False

    def names(self) -> list[str]:
        """Names of the folders in here that hold a prior, sound or not."""
        found = set()
        for folder in (self.path, moved_away(self.path)):
            with contextlib.suppress(OSError):
                found |= {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return sorted(name for name in found if self.folder(name))

    def folder(self, name: str) -> Path | None:
        """Where that prior is, or None."""
        place, old = self.path / name, moved_away(self.path) / name
        # twice at `place`: a replacement may have come to its end between the first two looks
        return next((folder for folder in (place, old, place) if _is_prior(folder)), None)

    def writable(self) -> bool:
        """Whether a prior could be put here, as far as permissions tell."""
        if self.read_only:
            return False
        path = self.path.absolute()
        existing = next(p for p in (path, *path.parents) if os.access(p, os.F_OK))
        return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)

    def place(self, name: str, files: Mapping[str, bytes], replace: bool) -> Path:
        """Write a prior's files, all of them or, if anything goes wrong, none.

        Raises:
            PriorExists: where there is one, unless it is to be replaced.
            RegistryError: where something else is in its place, or another process holds the lock.
            OutputError: where it cannot be written.
        """
        target = self.path / name
        with self._alone(), Staged(self.path) as staged:
            if target.exists() or target.is_symlink():
                if not _is_prior(target):
                    raise RegistryError(f"{target} is there and holds no prior; move it away")
                if not replace:
                    raise PriorExists(
                        f"prior {name!r} is there already, in {target}; "
                        "--replace puts the new one in its place"
                    )
            with as_output_error(self.path):
                (staged.new / name).mkdir()
                for file, content in files.items():
                    (staged.new / name / file).write_bytes(content)
        return target

    def remove(self, name: str) -> None:
        """Delete a prior.

        Raises:
            PriorNotFound: where it is not there.
            RegistryError: where another process holds the lock.
            OutputError: where it cannot be deleted.
        """
        target = self.path / name
        with self._alone(), Staged(self.path) as staged:
            if not _is_prior(target):
                raise PriorNotFound(f"no prior {name!r} in {self.path}; somebody else removed it")
            staged.remove(name)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder for this process alone; others wait."""
        lock = FileLock(self.path / ".lock", timeout=_PATIENCE)
        with contextlib.ExitStack() as stack:
            try:
                with as_output_error(self.path):
                    self.path.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(lock)
            except Timeout as error:
                raise RegistryError(
                    f"cannot write to {self.path}: another process has been writing there for "
                    f"{_PATIENCE:g} s; try again when it is done"
                ) from error
            yield


def _is_prior(folder: Path) -> bool:
    try:
        return (folder / CARD).exists() or (folder / WEIGHTS).exists()
    except OSError:  # may not be looked into; reading its card will say so
        return True
