"""Long recordings as overlapping chunks of equal length, and their joining by cross-fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instglow.errors import ConfigError


@dataclass(frozen=True)
class Chunk:
    """Samples start ... stop - 1 of a recording."""

    start: int
    stop: int

    @property
    def samples(self) -> int:
        """Its length."""
        return self.stop - self.start


def plan(samples: int, longest: int, overlap: int) -> list[Chunk]:
    """The fewest chunks of equal length that cover a recording, as short as that allows.

    Args:
        samples: of the recording.
        longest: samples that no chunk exceeds.
        overlap: samples that neighbours share at least; less than half of longest.

    >>> plan(samples=10, longest=5, overlap=1)
    [Chunk(start=0, stop=4), Chunk(start=3, stop=7), Chunk(start=6, stop=10)]
    """
    if min(samples, longest, overlap) < 1:
        raise ConfigError(
            f"chunks of at most {longest} samples with {overlap} of overlap in a recording of "
            f"{samples}: all three must be positive"
        )
    if 2 * overlap >= longest:
        raise ConfigError(
            f"an overlap of {overlap} samples is not less than half of the longest chunk, "
            f"{longest} samples; use longer chunks or a shorter overlap"
        )
    if samples <= longest:
        return [Chunk(0, samples)]
    count = _ceil_divide(samples - overlap, longest - overlap)
    length = _ceil_divide(samples + (count - 1) * overlap, count)
    last = samples - length
    starts = [index * last // (count - 1) for index in range(count)]
    return [Chunk(start, start + length) for start in starts]


class CrossFade:
    """Joins processed chunks, one after the other, holding no more than one overlap of them.

    The fade is one of amplitude: the weights of neighbours sum to one, because both are versions
    of the same signal and nearly identical (coherent); weights of equal power would add up to
    +3 dB in the middle. It is a raised cosine rather than a line, for a chunk is least certain
    at its very ends.

    Args:
        chunks: of `plan`; in order, of any overlap.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = list(chunks)
        self._next = 0
        self._tail: Tensor | None = None

    def add(self, index: int, wave: Tensor) -> Tensor:
        """(..., samples of chunk index) -> (..., finished): what no later chunk touches.

        The pieces returned for all the chunks, one after the other, are the whole recording.
        """
        chunk = self.chunks[index]
        assert index == self._next, f"chunk {index} came where {self._next} was due"
        assert wave.shape[-1] == chunk.samples, (tuple(wave.shape), chunk)
        self._next += 1
        joined = wave.clone()  # the caller's tensor is not ours to change, nor to keep alive
        if self._tail is not None:
            fade = _rise(self._tail.shape[-1]).to(wave.dtype).to(wave.device)  # MPS lacks float64
            # lerp: exactly the common value where both agree, whatever the weight's rounding
            joined[..., : len(fade)] = torch.lerp(self._tail, wave[..., : len(fade)], fade)
            self._tail = None
        if index + 1 == len(self.chunks):
            return joined
        finished = self.chunks[index + 1].start - chunk.start
        self._tail = joined[..., finished:].clone()
        return joined[..., :finished]


def _rise(samples: int) -> Tensor:
    """(samples,) float64: half a raised cosine from 0 to 1, the mirror image of 1 minus itself."""
    position = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    return torch.sin(0.5 * math.pi * position).square()


def _ceil_divide(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
