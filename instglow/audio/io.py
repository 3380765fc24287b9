"""Recordings out of files, streaming: three hours need no more memory than a minute."""

from __future__ import annotations

import math
import os
import re
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from instglow.audio.decode import Decoder, ends_early, no_stream
from instglow.errors import AudioError
from instglow.files import as_bytes

SILENCE = 1e-6  # full scale ±1: -120 dBFS, below the noise of any converter

# Only here does libsndfile seek to the exact sample. Near the end of a Vorbis file it returns
# other samples than a reading from the start does; in an mp3 without a Xing header it cannot seek
# and guesses the length from the bit rate. So whatever is lossy FFmpeg decodes, from the start.
_EXACT = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
_UNKNOWN_LENGTH = 2**62  # libsndfile's length of a flac that was written into a pipe is 2^63 - 1
_BLOCK = 2**20  # values read at once by `AudioFile.check`
_SHORT = 0.02  # seconds; what is less can be padding that a program forgot to write
# Sizes in bytes (wav, w64, aiff, svx, au), or frames (rf64). A program that writes into a pipe puts
# a size that no file has, since it cannot know: 2^32 - 1, or a little less than 2^31.
_LESS = re.compile(
    r"^\s*(?:data|riff|SSND|BODY|Data Size)\s*: (?P<bytes>\d+) \(should be (?P<bytes_there>\d+)\)"
    r"|frame count (?P<frames_there>\d+) does not match value from 'ds64' chunk of (?P<frames>\d+)",
    re.MULTILINE,
)


class AudioFile:
    """One recording, read piece by piece; a context manager.

    What libsndfile cannot seek in exactly (mp3, ogg) or cannot read (m4a, video, ...) FFmpeg's
    libraries decode once into a temporary file of 32-bit floats, which goes away on `close`.

    Args:
        path: of the file.
        stream: which of its sound streams, from 1.

    Attributes:
        path: the file as it was named.
        sample_rate: Hz.
        channels: 1 for mono, 2 for stereo.
        samples: per channel.
        streams: how many sound streams the file has.
        damage: what is missing, a line each; silence stands where the rest keeps its time.

    Raises:
        AudioError: for what is no recording, or one that is damaged beyond that.
    """

    def __init__(self, path: str | Path, stream: int = 1) -> None:
        self.path = Path(path)
        _check_file(self.path)
        self._remove: weakref.finalize | None = None
        file = _open(self.path)
        if file and _seeks_exactly(file):
            self.streams, self.damage = 1, _cut_short(file)
            if stream != 1:
                raise AudioError(f"{self.path}: {no_stream(stream, 1)}")
        else:
            decoder = Decoder(self.path, stream)
            decoded = _decode(decoder)
            self.streams, self.damage = decoder.streams, decoder.damage
            self._remove = weakref.finalize(self, decoded.unlink, missing_ok=True)
            file = soundfile.SoundFile(decoded)
        self._file = file
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.samples: int = file.frames

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

    def refuse_damage(self) -> None:
        """AudioError where anything is missing: for what is learnt from or scored against."""
        for what in self.damage:
            raise AudioError(f"{self.path}: {what}; copy or export it again")

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
    """A whole file -> (channels, samples) float32 full scale ±1, and its sample rate in Hz.

    Raises:
        AudioError: for what is no recording, or damaged.
    """
    with AudioFile(path) as file:
        file.refuse_damage()
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
        # FFmpeg would follow a playlist, and wait for ever if it is one of a live stream.
        if file.read(7) == b"#EXTM3U":
            raise AudioError(f"{path}: a playlist, not a recording; name the files in it")


def _open(path: Path) -> soundfile.SoundFile | None:
    """What libsndfile can read, from its start at least; None for the rest."""
    try:
        return soundfile.SoundFile(as_bytes(path))
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file called .raw
        return None


def _seeks_exactly(file: soundfile.SoundFile) -> bool:
    # no frames: a recorder that was switched off left a header which says so
    return file.subtype in _EXACT and 0 < file.frames < _UNKNOWN_LENGTH


def _decode(decoder: Decoder) -> Path:
    """Any recording -> a temporary RF64 file of 32-bit floats."""
    handle, name = tempfile.mkstemp(prefix="instglow-", suffix=".wav")
    os.close(handle)
    file: soundfile.SoundFile | None = None
    try:
        for rate, block in decoder:
            with _full_disk_said(decoder.path, name):
                file = file or soundfile.SoundFile(
                    name, "w", rate, block.shape[1], "FLOAT", format="RF64"
                )
                file.write(block)
        assert file is not None, "a decoder that gave nothing raises"
        with _full_disk_said(decoder.path, name):
            file.close()
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


@contextmanager
def _full_disk_said(path: Path, decoded: str) -> Iterator[None]:
    try:
        yield
    # AssertionError: soundfile's for a short write
    except (soundfile.SoundFileError, OSError, AssertionError):
        raise AudioError(
            f"{path}: no room to decode it in {Path(decoded).parent}; make room or set TMPDIR "
            "elsewhere"
        ) from None


def _cut_short(file: soundfile.SoundFile) -> list[str]:
    """Whether the file holds less than its header says, which libsndfile notes in its log alone."""
    for line in _LESS.finditer(file.extra_info):
        promised = int(line["bytes"] or line["frames"])
        there = int(line["bytes_there"] or line["frames_there"])
        streamed = promised >= 0xFFFFFF00 or 0x7FFFF000 <= promised <= 0x7FFFFFFF
        seconds = file.frames / file.samplerate
        expected = seconds * promised / max(1, there)
        if not streamed and expected - seconds > _SHORT:
            return [ends_early(seconds, expected)]
    return []
