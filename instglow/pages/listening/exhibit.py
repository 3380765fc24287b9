"""What the listening page shows: excerpts of songs, and what every method made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Estimates:
    """One method's result on one excerpt.

    Attributes:
        method: as the page names it.
        stems: each (channels, samples) full scale ±1; may lack some, or have others than the truth.
        scores: by stem, in dB: `sdr`, `si_sdr`, `sdr_i` (gain over the mixture), `sdr_frames`
            (median over frames); whatever is missing is not shown, None stands for no score.
    """

    method: str
    stems: Mapping[str, Tensor]
    scores: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Exhibit:
    """One excerpt of a song.

    Attributes:
        song: as the page names it.
        sample_rate: Hz.
        mixture: (channels, samples) full scale ±1.
        truth: the true stems, as the mixture; empty where nobody has them.
        estimates: one for each method, in the order of the columns.
    """

    song: str
    sample_rate: int
    mixture: Tensor
    truth: Mapping[str, Tensor]
    estimates: Sequence[Estimates]
