"""Stems into files, piece by piece, all of them or none."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import soundfile
from torch import Tensor

from instglow.errors import OutputError

_FORMATS = {".wav": "RF64", ".flac": "FLAC"}
_RF64_AUTO_DOWNGRADE = 0x1210  # sndfile.h: on closing, write a plain wav header where 4 GiB suffice


class StemWriter:
    """Several files of equal rate and channels, written piece by piece, published all together.

    On a clean exit the files take their names; on any exception nothing is left behind, and
    files that had those names are as they were.

    Args:
        paths: where each stem goes; `.wav` (RF64 beyond 4 GiB) or `.flac`.
        sample_rate: Hz.
        channels: of every stem.
        subtype: of soundfile: FLOAT (wav only), PCM_24 or PCM_16.
        overwrite: replace files that exist; otherwise they are an OutputError, raised here.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        sample_rate: int,
        channels: int,
        subtype: str = "FLOAT",
        overwrite: bool = False,
    ) -> None:
        assert len(set(paths.values())) == len(paths), f"two stems in one file: {paths}"
        self.paths = {stem: Path(path) for stem, path in paths.items()}
        self.sample_rate, self.channels, self.subtype = sample_rate, channels, subtype
        self.overwrite = overwrite
        self._temporary: dict[Path, Path] = {}  # where it goes -> where it is written
        self._files: dict[str, soundfile.SoundFile] = {}
        self._created: list[Path] = []
        for path in self.paths.values():
            _check_target(path, subtype)
        self._refuse_existing(self.paths.values())

    def __enter__(self) -> StemWriter:
        try:
            for stem, path in self.paths.items():
                with _as_output_error(path):
                    self._open(stem, path)
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, waves: Mapping[str, Tensor]) -> None:
        """Append to every stem (channels, samples) full scale ±1."""
        assert waves.keys() == self._files.keys(), (list(waves), list(self._files))
        for stem, wave in waves.items():
            assert wave.ndim == 2, f"{stem}: {tuple(wave.shape)} is not (channels, samples)"
            assert wave.shape[0] == self.channels, f"{stem}: {wave.shape[0]} channels"
            with _as_output_error(self.paths[stem]):
                self._files[stem].write(wave.detach().cpu().float().T.contiguous().numpy())

    def add_text(self, path: Path, text: str) -> None:
        """Write a small file that is published with the stems or not at all."""
        with _as_output_error(path):
            self._beside(path).write_text(text, encoding="utf-8")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._discard()  # nothing is left to discard once all is published

    def _refuse_existing(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if not self.overwrite and path.exists():
                raise OutputError(f"{path} exists already; use --overwrite or another folder")

    def _open(self, stem: str, path: Path) -> None:
        missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            self._created.append(folder)
            folder.mkdir(exist_ok=True)
        temporary = self._beside(path)
        temporary.touch(exist_ok=False)  # libsndfile would not say why it cannot create a file
        format_ = _FORMATS[path.suffix.lower()]
        file = soundfile.SoundFile(
            temporary, "w", self.sample_rate, self.channels, self.subtype, format=format_
        )
        self._files[stem] = file
        if format_ == "RF64":
            # soundfile has no public name for this; without it players that know no RF64
            # (browsers among them) refuse even the shortest stem.
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)

    def _beside(self, path: Path) -> Path:
        self._temporary[path] = _hidden(path)
        return self._temporary[path]

    def _publish(self) -> None:
        for stem, file in self._files.items():
            with _as_output_error(self.paths[stem]):
                file.close()
        self._refuse_existing(self._temporary)  # someone else may have written there meanwhile
        replaced: list[Path] = []
        with contextlib.ExitStack() as undo:
            for path, temporary in self._temporary.items():
                with _as_output_error(path):
                    if path.exists():
                        kept = _hidden(path)
                        undo.callback(_put_back, kept, path)
                        path.replace(kept)
                        replaced.append(kept)
                    else:
                        undo.callback(path.unlink, missing_ok=True)
                    temporary.replace(path)
            undo.pop_all()  # from here on the new files stay, whatever happens
        self._created.clear()
        for kept in replaced:
            kept.unlink()

    def _discard(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(soundfile.SoundFileError, OSError):
                file.close()
        for temporary in self._temporary.values():
            temporary.unlink(missing_ok=True)
        for folder in reversed(self._created):
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()


def write(path: str | Path, wave: Tensor, sample_rate: int, subtype: str = "FLOAT") -> None:
    """(channels, samples) full scale ±1 -> a wav or flac file; one that is there is replaced."""
    target = {"wave": Path(path)}
    with StemWriter(target, sample_rate, wave.shape[0], subtype, overwrite=True) as writer:
        writer.write({"wave": wave})


def _hidden(path: Path) -> Path:
    """A new name in the same folder."""
    return path.with_name(f".instglow-{secrets.token_hex(6)}.part")


def _put_back(kept: Path, path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # interrupted before it was moved away
        kept.replace(path)


def _check_target(path: Path, subtype: str) -> None:
    format_ = _FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; use .wav or .flac")
    if not soundfile.check_format(format_, subtype):
        raise OutputError(
            f"{path}: {path.suffix} cannot hold {subtype} samples; use PCM_24 or PCM_16"
            + ("" if format_ == "RF64" else ", or .wav")
        )
    with _as_output_error(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; remove it or choose another folder")
        folder = next(f for f in (path.parent, *path.parent.parents) if f.exists())
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, not a folder; choose another folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: no permission to write there; choose another folder")


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    """Whatever a disk can do wrong, in one line. AssertionError: soundfile's for a short write."""
    try:
        yield
    except (soundfile.SoundFileError, OSError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or "disk full?"
        raise OutputError(
            f"cannot write {path} ({reason}); make room or choose another folder"
        ) from None
