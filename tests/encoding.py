"""Files of any format, made by PyAV: what tests read needs no program."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import torch


def encode(
    path: Path,
    *waves: torch.Tensor,
    rate: int = 44100,
    codec: str | None = None,
    late: float = 0.0,
    film: bool = False,
    format: str | None = None,
    options: dict[str, str] | None = None,
    **settings: object,
) -> Path:
    """One sound stream for each (channels, samples), all starting `late` s after the picture.

    Options are the container's, settings the sound encoder's.
    """
    with av.open(f"file:{path}", "w", format=format, options=options or {}) as container:
        # every stream before the first packet, which writes the header
        picture = container.add_stream("mpeg4", rate=25, width=16, height=16) if film else None
        streams = [
            container.add_stream(codec or container.default_audio_codec, rate=rate, **settings)
            for _ in waves
        ]
        for stream, wave in zip(streams, waves, strict=True):
            stream.layout = {1: "mono", 2: "stereo"}[len(wave)]
        for stream, wave in zip(streams, waves, strict=True):
            frame = av.AudioFrame.from_ndarray(wave.numpy(), "fltp", stream.layout.name)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(late * rate)
            container.mux([*stream.encode(frame), *stream.encode(None)])
        seconds = late + (waves[0].shape[1] / rate if waves else 0.2)
        for number in range(round(25 * seconds) if picture else 0):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.time_base, frame.pts = Fraction(1, 25), number
            container.mux(picture.encode(frame))
        if picture:
            container.mux(picture.encode(None))
    return path
