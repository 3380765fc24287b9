"""Whatever FFmpeg's libraries can read, decoded by PyAV from its start to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from instglow.errors import AudioError

# These hold frames one after the other and no times: whatever is lost moves all that follows.
_UNTIMED = {"mp3", "aac", "ac3", "eac3", "dts", "mlp", "truehd", "loas"}
_TAGS = (b"ID3", b"TAG", b"APE")  # between the parts of files that were joined
# Times are rounded, to a millisecond by some containers; a frame of sound lasts 20 ms and more.
_JITTER = 0.015  # seconds
_SHORT = 0.1  # seconds by which a container may promise more than there is
_BLOCK = 2**16  # samples of silence at once


class Decoder:
    """One sound stream of a file, block by block, in bounded memory; to be iterated over once.

    Sound keeps its time: what starts later than the picture, or is missing in between, is
    silence. Nothing is ever sought, since after seeking FFmpeg does not decode the same samples
    in every format.

    Args:
        path: of the file.
        stream: which of its sound streams, from 1.

    Attributes:
        streams: how many sound streams the file has.
        damage: what is missing, once all has been read; a line each.

    Raises:
        AudioError: for what holds no sound or no such stream, and, while it is iterated over,
            where sound is missing and nothing tells how much.
    """

    def __init__(self, path: Path, stream: int = 1) -> None:
        self.path = path
        self.damage: list[str] = []
        self._container = _open(path)
        found = self._container.streams.audio
        self.streams = len(found)
        if not 1 <= stream <= self.streams:
            self._container.close()
            raise AudioError(
                f"{path}: " + no_stream(stream, self.streams)
                if found
                else f"{path}: holds no audio; name a recording"
            )
        self._stream = found[stream - 1]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Sample rate in Hz and (samples, channels) float32, full scale ±1, of each block."""
        rate = channels = position = start = 0
        gaps: list[tuple[float, float]] = []  # where and how long, in seconds
        broken = joined = False
        with self._container:
            for frame in self._frames():
                if frame is None:
                    broken = True
                    continue
                block = _full_scale(frame)
                if not rate:
                    rate, channels = frame.sample_rate, block.shape[1]
                    origin = self._origin(frame)
                elif (frame.sample_rate, block.shape[1]) != (rate, channels):
                    raise AudioError(
                        f"{self.path}: changes from {rate} Hz × {channels} to {frame.sample_rate} "
                        f"Hz × {block.shape[1]} at {position / rate:.3f} s; cut it there"
                    )
                elif broken and self._container.format.name in _UNTIMED:
                    raise AudioError(
                        f"{self.path}: damaged at {position / rate:.3f} s, and nothing tells how "
                        "much is missing there; copy or export it again"
                    )
                broken = False
                if frame.time is not None and self._container.format.name not in _UNTIMED:
                    gap = round((frame.time - origin) * rate) - position
                    if self._plausible(gap / rate, position / rate):
                        if position:
                            gaps.append((position / rate, gap / rate))
                        else:
                            start = gap
                        yield from ((rate, silence) for silence in _silence(gap, channels))
                        position += gap
                    elif abs(gap) > _JITTER * rate:  # another recording follows: its own clock
                        origin, joined = frame.time - position / rate, True
                yield rate, block
                position += len(block)
            if not rate:
                raise AudioError(f"{self.path}: holds no samples; check how it was exported")
            promised = 0.0 if joined else self._promised()
        if gaps:
            self.damage.append(_missing(gaps))
        if promised - (position - start) / rate > _SHORT:
            self.damage.append(ends_early(position / rate, promised + start / rate))

    def _frames(self) -> Iterator[Any]:
        """Frames in order; None where the data make no sense."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:  # noqa: PERF203 - one packet each
                    if not bytes(packet).startswith(_TAGS):
                        yield None
        except av.FFmpegError:  # beyond all reading; `_promised` tells what is missing
            yield None

    def _origin(self, frame: Any) -> float:
        """Seconds, in the file's own times, at which sample 0 is due."""
        shown = [
            stream
            for stream in self._container.streams
            if not stream.disposition & Disposition.attached_pic
        ]
        if len(shown) > 1 and self._container.start_time is not None:
            return max(0, self._container.start_time) / av.time_base
        return frame.time or 0.0

    def _plausible(self, gap: float, position: float) -> bool:
        """Whether so many seconds of silence are due; clocks of joined recordings jump further."""
        length = (self._container.duration or 0) / av.time_base
        return _JITTER < gap <= length - position + 1

    def _promised(self) -> float:
        """Seconds that the file says the stream lasts; 0 where it does not say."""
        stream, container = self._stream, self._container
        lengths = []
        if stream.duration is not None and stream.time_base is not None:
            lengths.append(float(stream.duration * stream.time_base))
        if container.duration is not None and len(container.streams) == 1:
            lengths.append(container.duration / av.time_base)
        promised = min(lengths, default=0.0)
        if container.format.name in _UNTIMED:
            # either from a header, or guessed from the size: what the file is too small for is not
            needed = 0.99 * promised * (stream.codec_context.bit_rate or 0) / 8
            return promised if container.size < needed else 0.0
        return promised


@dataclass(frozen=True)
class StreamFormat:
    """What the header of a file says of one of its sound streams; samples are per channel."""

    sample_rate: int
    channels: int
    samples: int


def stream_formats(path: Path) -> list[StreamFormat]:
    """Of every sound stream in a file; AudioError where FFmpeg cannot read it."""
    with _open(path) as container:
        return [
            StreamFormat(
                stream.rate or 0,
                stream.channels,
                round((stream.duration or 0) * (stream.time_base or 0) * (stream.rate or 0)),
            )
            for stream in container.streams.audio
        ]


def excerpt(path: Path, stream: int, start: int, count: int) -> np.ndarray:
    """Samples start ... start + count - 1 of a sound stream, from 1 -> (samples, channels) float32.

    Fewer where the stream ends before. Decodes from the start on: exact, in bounded memory.
    """
    pieces, position = [], 0
    for _, block in Decoder(path, stream):
        pieces.append(block[max(0, start - position) : max(0, start + count - position)])
        position += len(block)
        if position >= start + count:
            break
    return np.concatenate(pieces)


def _open(path: Path) -> av.container.InputContainer:
    try:
        # "file:" keeps a name such as "http:a.mp3" a file name, and no playlist leaves the disk
        return av.open(
            f"file:{path}",
            metadata_errors="ignore",  # tags in an old encoding are no reason to refuse
            options={"protocol_whitelist": "file"},
        )
    except av.FFmpegError as error:
        raise AudioError(
            f"{path}: not a recording that FFmpeg can read ({error.strerror}); convert it to wav "
            "or flac"
        ) from None


def no_stream(wanted: int, there: int) -> str:
    """What is wrong with asking for a sound stream, from 1, that is not there."""
    return f"no sound stream {wanted}: it has {there}, counted from 1"


def ends_early(seconds: float, promised: float) -> str:
    """What is wrong with a file that holds less than its header says."""
    return f"ends at {seconds:.3f} s, its header says {promised:.3f} s"


def _missing(gaps: list[tuple[float, float]]) -> str:
    start, length = gaps[0]
    first = f"no sound can be decoded from {start:.3f} to {start + length:.3f} s"
    if len(gaps) == 1:
        return first
    total = sum(length for _, length in gaps)
    return f"{first} and in {len(gaps) - 1} more places, {total:.3f} s in all"


def _full_scale(frame: Any) -> np.ndarray:
    """-> (samples, channels) float32, full scale ±1."""
    values = frame.to_ndarray()  # planar: (channels, samples), packed: (1, samples × channels)
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    values = values.astype(np.float32)
    if kind == "f":
        return values
    full = np.float32(2 ** (bits - 1))
    return (values - full) / full if kind == "u" else values / full


def _silence(samples: int, channels: int) -> Iterator[np.ndarray]:
    for start in range(0, samples, _BLOCK):
        yield np.zeros((min(_BLOCK, samples - start), channels), np.float32)
