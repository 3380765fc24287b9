"""Open-Unmix (Stöter et al., 2019), of the package openunmix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.rivals.networks.base import Network
from instglow.rivals.networks.packages import package


class OpenUnmix(Network):
    """A recurrent network for each source that masks the magnitudes; the mixture lends its phase.

    The original trains the four of them one by one on magnitudes. Here they learn together from
    waveforms, by the same loss as every other network.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        n_fft: window and FFT length in samples.
        hop_length: samples between frames.
        hidden: units of each layer; even.
        layers: recurrent ones.

    Raises:
        DependencyError: without the package.
    """

    name = "openunmix"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        n_fft: int = 2048,
        hop_length: int = 512,
        hidden: int = 256,
        layers: int = 3,
    ) -> None:
        super().__init__(
            sources,
            sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            hidden=hidden,
            layers=layers,
        )
        self.frontend = Frontend(sample_rate, n_fft, hop_length)
        self.models = nn.ModuleList(
            package("openunmix.model").OpenUnmix(
                nb_bins=self.frontend.bins, nb_channels=1, hidden_size=hidden, nb_layers=layers
            )
            for _ in self.sources
        )

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        spectrogram = self.frontend.spectrogram(mixture)  # (batch, bins, frames)
        magnitude = spectrogram.abs()
        phase = torch.polar(torch.ones_like(magnitude), spectrogram.angle())
        magnitudes = torch.cat([model(magnitude[:, None]) for model in self.models], 1)
        return self.frontend.waveform(magnitudes * phase[:, None], mixture.shape[1])
