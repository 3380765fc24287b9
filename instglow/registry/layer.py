"""One folder of priors, and how a prior gets into it and out of it whole.

A prior is written to `.name.new`; the one it replaces is moved to `.name.old`; then the new one is
moved to `name`. A process that is killed in between leaves `.name.old` alone in its place, which
reading then falls back to; the next writer moves it back. What is being deleted is called
`.name.gone` first, so that a deletion half done never looks like a prior.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from instglow.errors import PriorExists, PriorNotFound, RegistryError
from instglow.registry.card import CARD, NAME, WEIGHTS

_LEFTOVER = re.compile(rf"\.({NAME})\.(old|new|gone)")
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
        try:
            children = [child.name for child in self.path.iterdir()]
        except OSError:
            return []
        visible = {child for child in children if not child.startswith(".")}
        hidden = {found[1] for child in children if (found := _LEFTOVER.fullmatch(child))}
        return sorted(name for name in visible | hidden if self.folder(name))

    def folder(self, name: str) -> Path | None:
        """Where that prior is, or None."""
        place, old = self.path / name, self.path / f".{name}.old"
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
        """Write a prior's files, all of them or, if anything goes wrong, none."""
        target = self.path / name
        with self._locked(f"write prior {name!r} to"):
            if target.exists() or target.is_symlink():
                if not _is_prior(target):
                    raise RegistryError(f"{target} is there and holds no prior; move it away")
                if not replace:
                    raise PriorExists(
                        f"prior {name!r} is there already, in {target}; "
                        "--replace puts the new one in its place"
                    )
            new = self.path / f".{name}.new"
            new.mkdir()
            for file, content in files.items():
                _write(new / file, content)
            _sync(new)
            if target.exists() or target.is_symlink():
                target.rename(self.path / f".{name}.old")
            new.rename(target)
            _sync(self.path)
        return target

    def remove(self, name: str) -> None:
        """Delete a prior."""
        target = self.path / name
        with self._locked(f"remove prior {name!r} from"):
            if not _is_prior(target):
                raise PriorNotFound(f"no prior {name!r} in {self.path}; somebody else removed it")
            target.rename(self.path / f".{name}.gone")
            _sync(self.path)

    @contextlib.contextmanager
    def _locked(self, purpose: str) -> Iterator[None]:
        """The folder for this process alone, tidied up before and after."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock", timeout=_PATIENCE):
                self._recover()
                try:
                    yield
                finally:
                    self._recover()
        except Timeout as error:
            raise RegistryError(
                f"cannot {purpose} {self.path}: another process has been writing there for "
                f"{_PATIENCE:g} s; try again when it is done"
            ) from error
        except OSError as error:
            raise RegistryError(
                f"cannot {purpose} {self.path}: {error.strerror or error}; "
                "make room or permit it, or name another folder with --registry"
            ) from error

    def _recover(self) -> None:
        """Put back what a killed replacement had moved away; delete what is only a leftover."""
        for leftover in sorted(self.path.iterdir()):
            found = _LEFTOVER.fullmatch(leftover.name)
            if not found:
                continue
            target = self.path / found[1]
            if found[2] == "old" and not target.exists():
                leftover.rename(target)
            else:
                _delete(leftover)


def _is_prior(folder: Path) -> bool:
    try:
        return (folder / CARD).exists() or (folder / WEIGHTS).exists()
    except OSError:  # may not be looked into; reading its card will say so
        return True


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
