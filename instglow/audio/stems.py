"""Stems into files, piece by piece, all of them or none."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import soundfile
from torch import Tensor

from instglow.errors import OutputError
from instglow.files import Staged, as_bytes, as_output_error, check_writable

_FORMATS = {".wav": "RF64", ".flac": "FLAC"}
_MOST_SAMPLES = {"RF64": 2**62, "FLAC": 2**36 - 1}
_BLOCK = 2**16  # samples that are rescaled at once
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
        clip_mode: what becomes of samples beyond full scale, which integers cannot hold: "rescale"
            multiplies all stems by one gain, so that they still sum; "clamp" cuts them off.
        samples: that will be written at least; 0 where that is not known.

    Raises:
        OutputError: for a place that cannot be written to, or what a format cannot hold.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        sample_rate: int,
        channels: int,
        subtype: str = "FLOAT",
        overwrite: bool = False,
        clip_mode: str = "clamp",
        samples: int = 0,
    ) -> None:
        assert len(set(paths.values())) == len(paths), f"two stems in one file: {paths}"
        (folder,) = {Path(path).parent for path in paths.values()}
        self.paths = {stem: Path(path) for stem, path in paths.items()}
        self.sample_rate, self.channels, self.subtype = sample_rate, channels, subtype
        self.overwrite = overwrite
        self._rescales = clip_mode == "rescale" and subtype != "FLOAT"
        self._peak = 0.0
        self._staged = Staged(folder)
        self._targets = [*self.paths.values()]
        self._files: dict[str, soundfile.SoundFile] = {}
        for path in self.paths.values():
            _check_target(path, sample_rate, channels, subtype, samples)
        self._refuse_existing(self.paths.values())

    @property
    def gain(self) -> float:
        """What all stems are multiplied by, for what is written so far."""
        return 1 / max(1.0, self._peak) if self._rescales else 1.0

    def __enter__(self) -> StemWriter:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._staged)
            for stem, path in self.paths.items():
                with _as_output_error(path):
                    self._files[stem] = self._open(path, self._rescales)
                stack.callback(_abandon, self._files[stem])
            self._stack = stack.pop_all()
        return self

    def write(self, waves: Mapping[str, Tensor]) -> None:
        """Append to every stem (channels, samples) full scale ±1."""
        assert waves.keys() == self._files.keys(), (list(waves), list(self._files))
        for stem, wave in waves.items():
            assert wave.ndim == 2, f"{stem}: {tuple(wave.shape)} is not (channels, samples)"
            assert wave.shape[0] == self.channels, f"{stem}: {wave.shape[0]} channels"
            values = wave.detach().cpu().float().T.contiguous().numpy()
            self._peak = max(self._peak, float(abs(values).max(initial=0.0)))
            with _as_output_error(self.paths[stem]):
                self._files[stem].write(values)

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
                    if self._rescales:
                        self._rescale(self.paths[stem])
            self._refuse_existing(self._targets)  # someone else may have written there meanwhile

    def _refuse_existing(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if not self.overwrite and path.exists():
                raise OutputError(f"{path} exists already; use --overwrite or another folder")

    def _open(self, path: Path, floats: bool = False) -> soundfile.SoundFile:
        """The new file of a stem, or the floats that it is made of once the gain is known."""
        new = self._floats(path) if floats else self._staged.new / path.name
        new.touch(exist_ok=False)  # libsndfile would not say why it cannot create a file
        format_, subtype = _FORMATS[path.suffix.lower()], self.subtype
        if floats:
            format_, subtype = "RF64", "FLOAT"
        file = soundfile.SoundFile(
            as_bytes(new), "w", self.sample_rate, self.channels, subtype, format=format_
        )
        if format_ == "RF64":
            # soundfile has no public name for this; without it players that know no RF64
            # (browsers among them) refuse even the shortest stem.
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
        return file

    def _floats(self, path: Path) -> Path:
        return self._staged.new / f"{path.name}.floats"

    def _rescale(self, path: Path) -> None:
        with soundfile.SoundFile(as_bytes(self._floats(path))) as floats, self._open(path) as file:
            for block in floats.blocks(_BLOCK, dtype="float32", always_2d=True):
                file.write(block * self.gain)
        self._floats(path).unlink()


def write(path: str | Path, wave: Tensor, sample_rate: int, subtype: str = "FLOAT") -> None:
    """(channels, samples) full scale ±1 -> a wav or flac file; one that is there is replaced."""
    target = {"wave": Path(path)}
    with StemWriter(target, sample_rate, wave.shape[0], subtype, overwrite=True) as writer:
        writer.write({"wave": wave})


def _check_target(path: Path, sample_rate: int, channels: int, subtype: str, samples: int) -> None:
    suffix = path.suffix.lower()
    format_ = _FORMATS.get(suffix)
    if format_ is None:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; use .wav or .flac")
    if not soundfile.check_format(format_, subtype):
        raise OutputError(
            f"{path}: {suffix} cannot hold {subtype} samples; use PCM_24 or PCM_16"
            + ("" if format_ == "RF64" else ", or .wav")
        )
    remedy = "use .wav" if suffix != ".wav" else "mix it down"
    try:
        # the library itself knows best; FLAC has its limits, and libsndfile others
        soundfile.SoundFile(
            io.BytesIO(), "w", sample_rate, channels, subtype, format=format_
        ).close()
    except soundfile.SoundFileError:
        raise OutputError(
            f"{path}: {suffix} cannot hold {channels} channels at {sample_rate} Hz; {remedy}"
        ) from None
    if samples > _MOST_SAMPLES[format_]:
        raise OutputError(
            f"{path}: {suffix} holds at most {_MOST_SAMPLES[format_]} samples, not {samples}; "
            f"{remedy}"
        )
    check_writable(path)


def _abandon(file: soundfile.SoundFile) -> None:
    with contextlib.suppress(soundfile.SoundFileError, OSError):
        file.close()


def _as_output_error(path: Path) -> contextlib.AbstractContextManager[None]:
    # AssertionError is soundfile's for a short write
    return as_output_error(path, soundfile.SoundFileError, AssertionError)
