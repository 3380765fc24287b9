"""Recordings in and out of files, streaming: three hours need no more memory than a minute."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import soundfile
import torch
import torch.nn.functional as nnf
import torchaudio.functional as F
from torch import Tensor

from instglow.errors import AudioError, ConfigError, DependencyError, OutputError

SILENCE = 1e-6  # full scale ±1: -120 dBFS, below the noise of any converter

# Only here does libsndfile seek to the exact sample. Near the end of a Vorbis file it returns
# other samples than a reading from the start does; in an mp3 without a Xing header it cannot seek
# and guesses the length from the bit rate. So whatever is lossy is decoded once, by ffmpeg.
_EXACT = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
_UNKNOWN_LENGTH = 2**62  # libsndfile's length of a flac that was written into a pipe is 2^63 - 1
_BLOCK = 2**20  # values read at once by `AudioFile.check`

# A Kaiser-windowed sinc of 64 zero crossings. torchaudio's default (Hann, 6 crossings) takes 44.1
# to 22.05 kHz with an error of -14 dB for a tone at 9.7 kHz and leaves -13 dB of one at 12 kHz;
# this one leaves -115 and -136 dB, and costs the same 20 ms for 30 s.
_CROSSINGS, _ROLLOFF, _BETA = 64, 0.9475937167399596, 14.769656459379492
_MOST_TAPS = 2**20

_FORMATS = {".wav": "RF64", ".flac": "FLAC"}
_RF64_AUTO_DOWNGRADE = 0x1210  # sndfile.h: on closing, write a plain wav header where 4 GiB suffice


class AudioFile:
    """One recording, read piece by piece; a context manager.

    What libsndfile cannot seek in exactly (mp3, ogg, m4a, video, ...) is decoded once by `ffmpeg`
    into a temporary file (32-bit float, rate and channels of its first audio stream), which goes
    away on `close`.

    Attributes:
        path: the file as it was named.
        sample_rate: Hz.
        channels: 1 for mono, 2 for stereo.
        samples: per channel.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check_file(self.path)
        self._remove: weakref.finalize | None = None
        file = _open_exact(self.path)
        if file is None:
            decoded = _decode(self.path)
            self._remove = weakref.finalize(self, decoded.unlink, missing_ok=True)
            try:
                file = soundfile.SoundFile(decoded)
            except soundfile.SoundFileError:
                self._remove()
                raise AudioError(f"{self.path}: holds no samples; export it again") from None
        self._file = file
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.samples: int = file.frames
        if self.samples == 0:
            self.close()
            raise AudioError(f"{self.path}: holds no samples; check how it was exported")

    def read(self, start: int, count: int) -> Tensor:
        """Samples start ... start + count - 1 -> (channels, count) float32, full scale ±1."""
        assert 0 <= start <= start + count <= self.samples, (start, count, self.samples)
        try:
            self._file.seek(start)
            values = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise self._damaged(start, str(error).strip()) from None
        if len(values) < count:
            raise self._damaged(start + len(values), "it ends there")
        return torch.from_numpy(values).T.contiguous()

    def check(self) -> None:
        """Read all of it once, in bounded memory; AudioError if it is damaged or silent."""
        peak = 0.0
        block = max(1, _BLOCK // self.channels)
        for start in range(0, self.samples, block):
            wave = self.read(start, min(block, self.samples - start))
            bad = ~wave.isfinite().all(0)
            if bad.any():
                seconds = (start + int(bad.int().argmax())) / self.sample_rate
                raise AudioError(
                    f"{self.path}: not a number or infinite at {seconds:.3f} s; export it again"
                )
            peak = max(peak, float(wave.abs().max()))
        if peak < SILENCE:
            level = 20 * math.log10(peak) if peak else -math.inf
            raise AudioError(
                f"{self.path}: silent (peak {level:.0f} dBFS, at least "
                f"{20 * math.log10(SILENCE):.0f} dBFS needed); check the recording"
            )

    def close(self) -> None:
        """Close the file and delete what was decoded for it."""
        self._file.close()
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _damaged(self, sample: int, reason: str) -> AudioError:
        return AudioError(
            f"{self.path}: cannot be read beyond {sample / self.sample_rate:.3f} s of "
            f"{self.samples / self.sample_rate:.3f} s ({reason}); copy or export it again"
        )


def read(path: str | Path) -> tuple[Tensor, int]:
    """A whole file -> (channels, samples) float32 full scale ±1, and its sample rate in Hz."""
    with AudioFile(path) as file:
        return file.read(0, file.samples), file.sample_rate


def write(path: str | Path, wave: Tensor, sample_rate: int, subtype: str = "FLOAT") -> None:
    """(channels, samples) full scale ±1 -> a wav or flac file; one that is there is replaced."""
    target = {"wave": Path(path)}
    with StemWriter(target, sample_rate, wave.shape[0], subtype, overwrite=True) as writer:
        writer.write({"wave": wave})


def resample(wave: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """(..., samples) at source_rate Hz -> (..., ceil(samples * target / source)) at target_rate."""
    if min(source_rate, target_rate) < 1:
        raise ConfigError(f"cannot resample {source_rate} Hz to {target_rate} Hz: not positive")
    if source_rate == target_rate:
        return wave
    samples = wave.shape[-1]
    wanted = -(-samples * target_rate // source_rate)
    if samples == 0:
        return wave.new_empty(wave.shape)
    divisor = math.gcd(source_rate, target_rate)
    down, up = source_rate // divisor, target_rate // divisor
    width = math.ceil(_CROSSINGS * down / (min(down, up) * _ROLLOFF))
    if up * (2 * width + down) > _MOST_TAPS:
        return _resample_odd(wave, down, up)
    # torchaudio rounds the length it cuts to in float32, too short by up to 2^-24 of it:
    # more zeros at the end, which it would assume there anyway, then cut exactly.
    padded = nnf.pad(wave, (0, 1 + samples // 2**20))
    resampled = F.resample(
        padded,
        down,
        up,
        lowpass_filter_width=_CROSSINGS,
        rolloff=_ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=_BETA,
    )
    return resampled[..., :wanted]


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
        self._temporary: dict[str, Path] = {}
        self._files: dict[str, soundfile.SoundFile] = {}
        self._created: list[Path] = []
        for path in self.paths.values():
            _check_target(path, subtype)
        self._refuse_existing()

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

    def _refuse_existing(self) -> None:
        for path in self.paths.values():
            if not self.overwrite and path.exists():
                raise OutputError(f"{path} exists already; use --overwrite or another folder")

    def _open(self, stem: str, path: Path) -> None:
        missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._created.append(folder)
        temporary = path.with_name(f".instglow-{secrets.token_hex(6)}.part")
        temporary.touch(exist_ok=False)  # libsndfile would not say why it cannot create a file
        self._temporary[stem] = temporary
        format_ = _FORMATS[path.suffix.lower()]
        file = soundfile.SoundFile(
            temporary, "w", self.sample_rate, self.channels, self.subtype, format=format_
        )
        self._files[stem] = file
        if format_ == "RF64":
            # soundfile has no public name for this; without it players that know no RF64
            # (browsers among them) refuse even the shortest stem.
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)

    def _publish(self) -> None:
        for stem, file in self._files.items():
            with _as_output_error(self.paths[stem]):
                file.close()
        self._refuse_existing()  # someone else may have written there meanwhile
        for stem, path in self.paths.items():
            with _as_output_error(path):
                self._temporary[stem].replace(path)
            del self._temporary[stem]
        self._created.clear()

    def _discard(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(soundfile.SoundFileError, OSError):
                file.close()
        for temporary in self._temporary.values():
            temporary.unlink(missing_ok=True)
        for folder in reversed(self._created):
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(f"{path}: no such file; check the spelling") from None
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}; check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{path}: a folder, not a recording; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{path}: a pipe or device, not a file; save the recording first")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path}: no permission to read it; change that with chmod")
    if status.st_size == 0:
        raise AudioError(f"{path}: empty (0 bytes); copy or export it again")
    with path.open("rb") as file:
        # ffmpeg would follow a playlist, and wait for ever if it is one of a live stream.
        if file.read(7) == b"#EXTM3U":
            raise AudioError(f"{path}: a playlist, not a recording; name the files in it")


def _open_exact(path: Path) -> soundfile.SoundFile | None:
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file called .raw
        return None
    if file.subtype in _EXACT and file.frames < _UNKNOWN_LENGTH:
        return file
    file.close()
    return None


def _decode(path: Path) -> Path:
    """Any recording -> a temporary RF64 file of 32-bit floats."""
    if shutil.which("ffmpeg") is None:
        raise DependencyError(
            f"{path}: only the program ffmpeg could read this, and it is not installed; "
            "install it (apt install ffmpeg, brew install ffmpeg) or convert the file to wav"
        )
    handle, name = tempfile.mkstemp(prefix="instglow-", suffix=".wav")
    os.close(handle)
    # "file:" keeps a name like "-y.mp3" or "http:a.mp3" a file name.
    source = ["-protocol_whitelist", "file", "-i", f"file:{path}", "-map", "0:a:0"]
    # RF64 and not W64: libsndfile takes the floats of ffmpeg's W64 for integers.
    target = ["-c:a", "pcm_f32le", "-rf64", "always", "-f", "wav", "-y", f"file:{name}"]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", *source, *target]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            raise AudioError(_reason(path, name, done.stderr.decode(errors="replace")))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _reason(path: Path, decoded: str, complaint: str) -> str:
    if "matches no streams" in complaint:
        return f"{path}: holds no audio; name a recording"
    if "No space left" in complaint or "File too large" in complaint:
        folder = Path(decoded).parent
        return f"{path}: no room to decode it in {folder}; make room or set TMPDIR elsewhere"
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    last = lines[-1].removeprefix(f"file:{path}: ") if lines else "no reason given"
    return f"{path}: not a recording that ffmpeg can read ({last}); convert it to wav or flac"


def _resample_odd(wave: Tensor, down: int, up: int) -> Tensor:
    """Rates with hardly a common divisor, such as 44101 -> 22050 Hz: the same filter by SciPy.

    torchaudio tabulates every phase of the filter, up × down taps: here 4 GB, 70 s and, from
    single-precision phases, -70 dB of error. SciPy's one table takes 1 s and gives -97 dB.
    """
    from scipy.signal import firwin, resample_poly  # half a second that hardly anyone needs

    most = max(up, down)
    kernel = firwin(2 * _CROSSINGS * most + 1, _ROLLOFF / most, window=("kaiser", _BETA))
    values = wave.detach().cpu().numpy()
    resampled = resample_poly(values, up, down, axis=-1, window=kernel.astype(values.dtype))
    return torch.from_numpy(resampled).to(wave)


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
