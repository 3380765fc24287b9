"""A way to take a mixture apart, whatever is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """What is separated at once: at most a minute of a song.

    Attributes:
        mixture: (channels, samples) full scale ±1.
        sample_rate: Hz.
        truth: the true stems, each of the mixture's shape. Only a bound may look at them.
    """

    mixture: Tensor
    sample_rate: int
    truth: Mapping[str, Tensor]


class Method(Protocol):
    """Mixture in, stems out.

    Attributes:
        name: as the option --method has it.
    """

    name: str

    def settings(self) -> dict[str, Any]:
        """All that decides the result, as plain values: a change makes old results void."""
        ...

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """The stems asked for, each of the mixture's shape; without those it cannot make."""
        ...
