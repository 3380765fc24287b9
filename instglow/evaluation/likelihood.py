"""How likely priors find the solos of their own and of other instruments: the paper's Figure 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from instglow.data.segments import Gate
from instglow.errors import AudioError, ConfigError, DataError
from instglow.evaluation.solos import SegmentSampling, SoloSet, cut
from instglow.prior import HasDensity, Prior, Trainable
from instglow.separation.refine import pooled_magnitude

OnSegment = Callable[[], None]


@torch.no_grad()
def bits_per_dim(
    prior: Prior,
    segments: Tensor,
    seed: int = 0,
    first: int = 0,
    on_segment: OnSegment | None = None,
) -> Tensor:
    """(segments, channels, samples) solos, full scale ±1, at the prior's rate -> (segments,) bits.

    −log₂ of the density of the magnitudes, a dimension of the spectrogram; lower is likelier. It is
    a density over real numbers, not a probability: the bits may be negative, they rise by log₂ of a
    gain that the prior expects, and on silence they have no lower bound but for the noise added to
    the magnitudes. So only figures of one level and one noise compare, and these are those of
    training: each segment is scaled to the prior's level, and the noise is that of the loss. That
    is the figure that `instglow validate` logs and the cards keep. A family whose loss tells no
    bits is measured by its `log_prob`, without noise.

    One segment is measured at a time, because a loss tells only the mean of its batch.

    Args:
        prior: with a density (`HasDensity`), in evaluation mode, as the registry loads it.
        segments: of equal length, loud enough for `Gate`.
        seed: of the noise; together with the number of the segment it decides it, as in training.
        first: number of the first segment.
        on_segment: told of each segment done.
    """
    found = segments.new_empty(len(segments))
    for index, wave in enumerate(prior.at_level(segments)):
        noise = torch.Generator(wave.device).manual_seed(seed * 1_000_003 + first + index)
        found[index] = _bits(prior, pooled_magnitude(prior.frontend.spectrogram(wave[None])), noise)
        if on_segment:
            on_segment()
    return found


class NotDiscriminative(NamedTuple):
    """A prior for which solos of another instrument are at least as likely as those of its own.

    Attributes:
        prior: its name.
        instrument: the other.
        gap: bits per dimension between the medians, 0 for a tie.
    """

    prior: str
    instrument: str
    gap: float


@dataclass
class LikelihoodTable:
    """Bits per dimension of every prior on every instrument's solos.

    The own instrument of a prior is that of its name.

    Attributes:
        values: prior -> instrument -> one figure a segment; see `bits_per_dim`. An instrument
            without a segment is not there.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def instruments(self) -> list[str]:
        """Those measured on: first those that have a prior, in the order of the priors."""
        found = {name for row in self.values.values() for name in row}
        own = [name for name in self.values if name in found]
        return [*own, *sorted(found - set(own))]

    def median(self, prior: str, instrument: str) -> float:
        """Over segments."""
        return median(self.values[prior][instrument])

    def quartiles(self, prior: str, instrument: str) -> tuple[float, float]:
        """The lower and the upper one over segments, interpolated."""
        values = torch.tensor(self.values[prior][instrument], dtype=torch.float64)
        lower, upper = values.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64)).tolist()
        return lower, upper

    def without_own(self) -> list[str]:
        """Priors whose own instrument was not measured: nobody can tell how they discriminate."""
        return [prior for prior, row in self.values.items() if prior not in row]

    def not_discriminative(self) -> list[NotDiscriminative]:
        """The medians that are not above that of the prior's own instrument, widest gap first."""
        found = [
            NotDiscriminative(prior, instrument, gap)
            for prior, row in self.values.items()
            if prior in row
            for instrument in row
            if instrument != prior
            and (gap := self.median(prior, prior) - self.median(prior, instrument)) >= 0
        ]
        return sorted(found, key=lambda row: -row.gap)

    def likeliest(self, instrument: str) -> str:
        """The prior with the lowest median: a fair choice among priors of one level and noise."""
        measured = [prior for prior, row in self.values.items() if instrument in row]
        return min(measured, key=lambda prior: self.median(prior, instrument))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        priors = {
            prior: {
                instrument: {
                    "median": self.median(prior, instrument),
                    "quartiles": list(self.quartiles(prior, instrument)),
                    "values": list(values),
                }
                for instrument, values in row.items()
            }
            for prior, row in self.values.items()
        }
        return {
            "bits_per_dim": priors,
            "likeliest": {name: self.likeliest(name) for name in self.instruments},
            "not_discriminative": [row._asdict() for row in self.not_discriminative()],
            "without_own": self.without_own(),
        }


def measure(
    priors: Mapping[str, Prior],
    solos: SoloSet,
    seconds: float = 2.0,
    segments: int = 100,
    gate: Gate = Gate(),  # noqa: B008 - frozen
    seed: int = 0,
    on_segment: OnSegment | None = None,
    device: torch.device | str = "cpu",
) -> LikelihoodTable:
    """Every prior on every instrument's solos, in the memory of one recording.

    Args:
        priors: by the name of their own instrument; of any frontends.
        solos: to measure on.
        seconds: of a segment, about.
        segments: of each instrument, spread over its recordings; 0 takes all.
        gate: which segments are silent; those are left out.
        seed: of the noise.
        on_segment: told of each segment that a prior has done.
        device: that the priors are on.

    Raises:
        ConfigError: for a family without a density, or a prior that has no number for a segment.
        DataError: where no segment is loud and long enough.

    What cannot be read is added to the set's `skipped`.
    """
    table = LikelihoodTable({name: {} for name in priors})
    groups: dict[tuple[int, int], list[str]] = {}  # what can share segments
    for name, prior in priors.items():
        require_density(name, prior)
        key = (prior.frontend.sample_rate, prior.frontend.segment(seconds))
        groups.setdefault(key, []).append(name)
    broken: list[str] = []
    samplings = {key: SegmentSampling(solos.recordings, segments) for key in groups}
    for recording in solos.recordings:
        wanted = {key: one.wanted(recording) for key, one in samplings.items()}
        if not any(any(counts.values()) for counts in wanted.values()):
            continue
        try:
            waves, rate = recording.read()
        except AudioError as error:
            what, _, reason = str(error).partition(": ")
            solos.skipped[what] = reason
            broken.append(str(error))
            continue
        for (to_rate, samples), names in groups.items():
            found = samplings[to_rate, samples].found
            for instrument, most in wanted[to_rate, samples].items():
                chosen = cut(waves[instrument], rate, to_rate, samples, most, gate).to(device)
                for name in names if len(chosen) else ():
                    bits = bits_per_dim(priors[name], chosen, seed, found[instrument], on_segment)
                    _require_numbers(name, instrument, bits)
                    table.values[name].setdefault(instrument, []).extend(bits.tolist())
                found[instrument] += len(chosen)
    if not table.instruments and broken:
        raise DataError(f"no segment to measure in {solos.name}: {broken[0]}")
    if not table.instruments:
        raise DataError(
            f"no segment to measure in {solos.name}: of {len(solos.recordings)} recordings none "
            f"has {seconds} s that are not silent; add recordings or shorten the segments"
        )
    return table


def require_density(name: str, prior: Prior) -> None:
    """A ConfigError where no likelihood can be had of a prior."""
    if not isinstance(prior, HasDensity):
        raise ConfigError(
            f"prior {name!r} is of family {prior.family!r}, which has no density and so no "
            "likelihood; leave it out"
        )


def _bits(prior: Prior, magnitude: Tensor, noise: torch.Generator) -> Tensor:
    """(1, bins, frames) -> one number."""
    terms = prior.loss(magnitude, noise) if isinstance(prior, Trainable) else {}
    if "bits_per_dim" in terms:
        return terms["bits_per_dim"]
    assert isinstance(prior, HasDensity), prior.family
    return -prior.log_prob(magnitude)[0] / (magnitude.numel() * math.log(2))


def _require_numbers(name: str, instrument: str, bits: Tensor) -> None:
    if not bits.isfinite().all():
        raise ConfigError(
            f"prior {name!r} gives a solo of {instrument!r} {float(bits[~bits.isfinite()][0])} "
            "bits per dimension; train it again or leave it out"
        )
