"""Files and folders that are there whole or not at all: written beside their place, then moved."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from instglow.errors import OutputError

STAGING = ".instglow"
"""Inside the folder that is written to: on its disk, so that moving is renaming."""


def as_bytes(path: Path) -> str | bytes:
    """What a C library is to open: soundfile would refuse the name of a file that is not UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


@contextlib.contextmanager
def as_output_error(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Whatever a disk can do wrong, in one line.

    Args:
        path: that the line names.
        kinds: of exceptions beside OSError that mean the same.
    """
    faults: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except Timeout:  # an OSError as well, but no fault of the disk
        raise
    except faults as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or "disk full?"
        raise OutputError(
            f"cannot write {path} ({reason}); make room or choose another folder"
        ) from None


def check_writable(path: Path) -> None:
    """An OutputError where no file of that name could be written."""
    with as_output_error(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; remove it or choose another name")
        folder = next(f for f in path.parents if f.exists())
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, not a folder; choose another folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: no permission to write there; choose another folder")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`: what is written there takes the place of `path` in the end.

    After an exception `path` is as it was. What a killed run left behind is overwritten.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all.

    Raises:
        OutputError: where it cannot be written.
    """
    with as_output_error(path), replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


class Staged:
    """New contents of a folder, which show all together or not at all.

    On a clean exit the files and folders in `new` move into the folder and replace those of the
    same names; on any exception the folder is as it was. The next run undoes what a killed one
    left, or finishes it where it had begun to move.

    Args:
        folder: made if missing, and unmade after an exception.

    Attributes:
        new: where to write.

    Raises:
        OutputError: where it cannot be written, or another process is writing there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._staging = folder / STAGING
        self.new, self._ready, self._old, self._gone = (
            self._staging / name for name in ("new", "ready", "old", "gone")
        )
        self._alone = FileLock(self._staging / "lock", timeout=0)

    def __enter__(self) -> Staged:
        places = (self._staging, self.folder, *self.folder.parents)
        self._made = [place for place in places if not place.exists()]
        try:
            with as_output_error(self.folder):
                self._staging.mkdir(parents=True, exist_ok=True)
                self._alone.acquire()
                if self._ready.is_dir():
                    self._move()
                for leftover in (self.new, self._ready, self._old, self._gone):
                    shutil.rmtree(leftover, ignore_errors=True)
                self.new.mkdir()
        except Timeout:
            self._leave()
            raise OutputError(
                f"another process is writing to {self.folder}; wait for it, or choose another "
                "folder"
            ) from None
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with as_output_error(self.folder):
                    self._publish()
                self._made.clear()
        finally:
            self._leave()

    def remove(self, name: str) -> None:
        """Delete something from the folder, at once; a deletion half done never shows."""
        with as_output_error(self.folder):
            self._gone.mkdir()
            (self.folder / name).replace(self._gone / name)
            _sync(self.folder)

    def _publish(self) -> None:
        for path in [*self.new.rglob("*"), self.new]:
            _sync(path)
        self.new.rename(self._ready)  # from here on a killed run is finished by the next
        self._move()
        _sync(self.folder)

    def _move(self) -> None:
        self._old.mkdir(exist_ok=True)
        with contextlib.ExitStack() as undo:
            # Files first: the index of a page says whose the folders beside it are.
            for source in sorted(self._ready.iterdir(), key=lambda path: (path.is_dir(), path)):
                target, old = self.folder / source.name, self._old / source.name
                undo.callback(_put_back, source, target, old)
                if target.exists() or target.is_symlink():
                    target.replace(old)
                source.replace(target)
            undo.pop_all()

    def _leave(self) -> None:
        if self._alone.is_locked:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._alone.release()
        for folder in self._made:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()


def moved_away(folder: Path) -> Path:
    """Where what a folder held is for the moment in which `Staged` puts the new in its place."""
    return folder / STAGING / "old"


def _put_back(source: Path, target: Path, old: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # interrupted before it was moved
        if not source.exists():
            target.replace(source)
    with contextlib.suppress(FileNotFoundError):
        old.replace(target)


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
