"""Demucs (Défossez et al., 2019), of the package demucs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from instglow.rivals.networks.base import Network
from instglow.rivals.networks.packages import package


class Demucs(Network):
    """A U-Net on the waveform, with recurrent and attention layers at its bottom.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        channels: of the first level, a multiple of 4; each level has twice those above.
        depth: levels, each of a quarter of the rate above.
        oversample: whether it works at twice the sample rate, as the original does.

    Raises:
        DependencyError: without the package.
    """

    name = "demucs"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        channels: int = 16,
        depth: int = 6,
        oversample: bool = False,
    ) -> None:
        super().__init__(
            sources, sample_rate, channels=channels, depth=depth, oversample=oversample
        )
        self.model = package("demucs.demucs").Demucs(
            self.sources,
            audio_channels=1,
            channels=channels,
            depth=depth,
            resample=oversample,
            samplerate=sample_rate,
        )

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        stems: Tensor = self.model(mixture[:, None])  # (batch, sources, 1, samples)
        return stems[:, :, 0]
