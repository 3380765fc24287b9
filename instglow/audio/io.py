"""Recordings out of files, streaming: three hours need no more memory than a minute."""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import tempfile
import weakref
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from instglow.errors import AudioError, DependencyError

SILENCE = 1e-6  # full scale ±1: -120 dBFS, below the noise of any converter

# Only here does libsndfile seek to the exact sample. Near the end of a Vorbis file it returns
# other samples than a reading from the start does; in an mp3 without a Xing header it cannot seek
# and guesses the length from the bit rate. So whatever is lossy is decoded once, from the start.
_EXACT = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
_UNKNOWN_LENGTH = 2**62  # libsndfile's length of a flac that was written into a pipe is 2^63 - 1
_BLOCK = 2**20  # values read at once by `AudioFile.check`


class AudioFile:
    """One recording, read piece by piece; a context manager.

    What libsndfile cannot seek in exactly (mp3, ogg) is decoded once into a temporary file of
    32-bit floats, which goes away on `close`; so is what it cannot read (m4a, video, ...), by the
    program ffmpeg, at the rate and with the channels of the first audio stream.

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
        file = _open(self.path)
        if file is None or not _seeks_exactly(file):
            decoded = _decode(self.path, file)
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


def _open(path: Path) -> soundfile.SoundFile | None:
    """What libsndfile can read, from its start at least; None for the rest."""
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file called .raw
        return None


def _seeks_exactly(file: soundfile.SoundFile) -> bool:
    return file.subtype in _EXACT and file.frames < _UNKNOWN_LENGTH


def _decode(path: Path, file: soundfile.SoundFile | None) -> Path:
    """Any recording -> a temporary RF64 file of 32-bit floats."""
    handle, name = tempfile.mkstemp(prefix="instglow-", suffix=".wav")
    os.close(handle)
    try:
        # libsndfile ends early in an mp3 without a Xing header, so it is the second choice
        if file is None or shutil.which("ffmpeg"):
            _decode_with_ffmpeg(path, name)
        else:
            _decode_from_start(path, file, name)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _decode_from_start(path: Path, file: soundfile.SoundFile, name: str) -> None:
    try:
        with (
            file,
            soundfile.SoundFile(
                name, "w", file.samplerate, file.channels, "FLOAT", format="RF64"
            ) as decoded,
        ):
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                decoded.write(block)
    except soundfile.SoundFileError as error:
        reason = str(error).strip()
        raise AudioError(f"{path}: cannot be decoded ({reason}); export it again") from None
    except (OSError, AssertionError):  # AssertionError: soundfile's for a short write
        raise AudioError(_no_room(path, name)) from None


def _decode_with_ffmpeg(path: Path, name: str) -> None:
    if shutil.which("ffmpeg") is None:
        raise DependencyError(
            f"{path}: only the program ffmpeg could read this, and it is not installed; "
            "install it (apt install ffmpeg, brew install ffmpeg) or convert the file to wav"
        )
    # "file:" keeps a name like "-y.mp3" or "http:a.mp3" a file name.
    source = ["-protocol_whitelist", "file", "-i", f"file:{path}", "-map", "0:a:0"]
    # RF64 and not W64: libsndfile takes the floats of ffmpeg's W64 for integers.
    target = ["-c:a", "pcm_f32le", "-rf64", "always", "-f", "wav", "-y", f"file:{name}"]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", *source, *target]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise AudioError(_reason(path, name, done.stderr.decode(errors="replace")))


def _no_room(path: Path, decoded: str) -> str:
    folder = Path(decoded).parent
    return f"{path}: no room to decode it in {folder}; make room or set TMPDIR elsewhere"


def _reason(path: Path, decoded: str, complaint: str) -> str:
    if "matches no streams" in complaint:
        return f"{path}: holds no audio; name a recording"
    if "No space left" in complaint or "File too large" in complaint:
        return _no_room(path, decoded)
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    last = lines[-1].removeprefix(f"file:{path}: ") if lines else "no reason given"
    return f"{path}: not a recording that ffmpeg can read ({last}); convert it to wav or flac"
