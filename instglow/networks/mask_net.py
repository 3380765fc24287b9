"""A convolutional network that shares out the mixture's spectrogram: the plain modern baseline."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.flows.coupling import GatedWaveNet
from instglow.networks.base import Network


class MaskNet(Network):
    """Square roots of the mixture's magnitudes in, one ratio mask for each source out.

    It is what the denoiser of a prior would be if it were trained on mixtures of everybody: the
    same layers, on the same spectrogram. A bin's masks sum to 1, so the stems sum to the mixture.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        n_fft: window and FFT length in samples.
        hop_length: samples between frames.
        hidden, layers, kernel: see `GatedWaveNet`.
    """

    name = "mask-net"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        n_fft: int = 1024,
        hop_length: int = 256,
        hidden: int = 192,
        layers: int = 8,
        kernel: int = 5,
    ) -> None:
        sizes = {"hidden": hidden, "layers": layers, "kernel": kernel}
        super().__init__(sources, sample_rate, n_fft=n_fft, hop_length=hop_length, **sizes)
        self.frontend = Frontend(sample_rate, n_fft, hop_length)
        bins = self.frontend.bins
        self.body = GatedWaveNet(bins, len(self.sources) * bins, **sizes)
        self.body.end.reset_parameters()  # zeros are for couplings

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, samples) full scale ±1 -> (batch, sources, samples)."""
        spectrogram = self.frontend.spectrogram(mixture)  # (batch, bins, frames)
        roots = (spectrogram.abs() + 1e-8).sqrt()
        level = roots.square().mean((1, 2), keepdim=True).sqrt()
        answer = self.body(roots / level.clamp(min=1e-4))
        masks = answer.unflatten(1, (len(self.sources), -1)).softmax(1)
        return self.frontend.waveform(masks * spectrogram[:, None], mixture.shape[1])
