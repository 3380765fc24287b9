"""Stems into files, piece by piece, all of them or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import soundfile
from torch import Tensor

from instglow.errors import OutputError
from instglow.files import Staged, as_output_error, check_writable

_FORMATS = {".wav": "RF64", ".flac": "FLAC"}
_RF64_AUTO_DOWNGRADE = 0x1210  # sndfile.h: on closing, write a plain wav header where 4 GiB suffice


class StemWriter:
    """Several files of equal rate and channels, written piece by piece, published all together.

    On a clean exit the files take their names; on any exception nothing is left behind, and
    files that had those names are as they were.

    Args:
        paths: where each stem goes, all in one folder; `.wav` (RF64 beyond 4 GiB) or `.flac`.
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
        (folder,) = {Path(path).parent for path in paths.values()}
        self.paths = {stem: Path(path) for stem, path in paths.items()}
        self.sample_rate, self.channels, self.subtype = sample_rate, channels, subtype
        self.overwrite = overwrite
        self._staged = Staged(folder)
        self._targets = [*self.paths.values()]
        self._files: dict[str, soundfile.SoundFile] = {}
        for path in self.paths.values():
            _check_target(path, subtype)
        self._refuse_existing(self.paths.values())

    def __enter__(self) -> StemWriter:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._staged)
            for stem, path in self.paths.items():
                with _as_output_error(path):
                    self._files[stem] = self._open(path)
                stack.callback(_abandon, self._files[stem])
            self._stack = stack.pop_all()
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
        self._targets.append(path)
        with _as_output_error(path):
            (self._staged.new / path.name).write_text(text, encoding="utf-8")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            for stem, file in self._files.items():
                with _as_output_error(self.paths[stem]):
                    file.close()
            self._refuse_existing(self._targets)  # someone else may have written there meanwhile

    def _refuse_existing(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if not self.overwrite and path.exists():
                raise OutputError(f"{path} exists already; use --overwrite or another folder")

    def _open(self, path: Path) -> soundfile.SoundFile:
        new = self._staged.new / path.name
        new.touch(exist_ok=False)  # libsndfile would not say why it cannot create a file
        format_ = _FORMATS[path.suffix.lower()]
        file = soundfile.SoundFile(
            new, "w", self.sample_rate, self.channels, self.subtype, format=format_
        )
        if format_ == "RF64":
            # soundfile has no public name for this; without it players that know no RF64
            # (browsers among them) refuse even the shortest stem.
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
        return file


def write(path: str | Path, wave: Tensor, sample_rate: int, subtype: str = "FLOAT") -> None:
    """(channels, samples) full scale ±1 -> a wav or flac file; one that is there is replaced."""
    target = {"wave": Path(path)}
    with StemWriter(target, sample_rate, wave.shape[0], subtype, overwrite=True) as writer:
        writer.write({"wave": wave})


def _check_target(path: Path, subtype: str) -> None:
    format_ = _FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; use .wav or .flac")
    if not soundfile.check_format(format_, subtype):
        raise OutputError(
            f"{path}: {path.suffix} cannot hold {subtype} samples; use PCM_24 or PCM_16"
            + ("" if format_ == "RF64" else ", or .wav")
        )
    check_writable(path)


def _abandon(file: soundfile.SoundFile) -> None:
    with contextlib.suppress(soundfile.SoundFileError, OSError):
        file.close()


def _as_output_error(path: Path) -> contextlib.AbstractContextManager[None]:
    # AssertionError is soundfile's for a short write
    return as_output_error(path, soundfile.SoundFileError, AssertionError)
