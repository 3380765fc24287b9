"""What no method can fall below, or exceed: they are told the true stems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.evaluation.method import Segment
from instglow.separation.refine import RatioMask, native_frontend

_FLOOR = 1e-8


class Mixture:
    """The mixture itself as every stem: what improvements are measured from."""

    name = "mixture"

    def settings(self, stems: Sequence[str]) -> dict[str, Any]:
        """See `Method`."""
        return {}

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`."""
        return dict.fromkeys(stems, segment.mixture)


class MixtureShare:
    """An equal share of the mixture as every stem: what knowing nothing scores, with a mask."""

    name = "mixture-share"

    def settings(self, stems: Sequence[str]) -> dict[str, Any]:
        """See `Method`."""
        return {}

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`."""
        return dict.fromkeys(stems, segment.mixture / len(segment.truth))


class _OnSpectrograms:
    """A bound that is found on spectrograms of the truth.

    Args:
        frontend: at a song of another rate, its windows last as long.
    """

    def __init__(self, frontend: Frontend = Frontend()) -> None:  # noqa: B008 - frozen
        self.frontend = frontend

    def settings(self, stems: Sequence[str]) -> dict[str, Any]:
        """See `Method`."""
        return self.frontend.to_dict()


class IdealRatioMask(_OnSpectrograms):
    """Ratio masks of the true magnitudes: the ceiling of every mask of that kind."""

    name = "ideal-ratio-mask"

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`; what none of the stems asked for explains has a mask of its own."""
        frontend = native_frontend(self.frontend, segment.sample_rate)
        rest = segment.mixture - torch.stack([segment.truth[name] for name in stems]).sum(0)
        waves = torch.stack([*(segment.truth[name] for name in stems), rest])
        # channel by channel: a mask for each, as the true magnitudes differ between them
        sources = frontend.magnitude(waves).transpose(0, 1)  # (channels, stems, bins, frames)
        masked = RatioMask()(sources, segment.mixture[:, None], segment.sample_rate, frontend)
        return dict(zip(stems, masked[:, :, 0].transpose(0, 1), strict=False))


class IdealMagnitude(_OnSpectrograms):
    """The true magnitudes with the mixture's phase: the ceiling of models of magnitudes."""

    name = "ideal-magnitude"

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`."""
        frontend = native_frontend(self.frontend, segment.sample_rate)
        mixture = frontend.spectrogram(segment.mixture)
        phase = mixture / mixture.abs().clamp(min=_FLOOR)
        samples = segment.mixture.shape[-1]
        return {
            name: frontend.waveform(frontend.magnitude(segment.truth[name]) * phase, samples)
            for name in stems
        }
