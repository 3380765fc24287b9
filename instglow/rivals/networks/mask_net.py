"""A convolutional network that shares out the mixture's spectrogram: the plain modern baseline."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.flows.coupling import GatedWaveNet
from instglow.rivals.networks.base import Network


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

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        spectrogram = self.frontend.spectrogram(mixture)  # (batch, bins, frames)
        masks, _ = self._masks(spectrogram.abs())
        return self.frontend.waveform(masks * spectrogram[:, None], mixture.shape[1])

    def loss(self, solos: Tensor) -> Tensor:
        """The squared error of square roots of magnitudes, relative to the mixture's: the scale
        that the network hears on. That of waveforms hardly teaches a mask (docs/results.md)."""
        mixture = self.frontend.magnitude(solos.sum(1))
        masks, level = self._masks(mixture)
        wanted = _root(self.frontend.magnitude(solos))
        return ((_root(masks * mixture[:, None]) - wanted) / level[:, None]).square().mean()

    def _masks(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, bins, frames) -> (batch, sources, bins, frames), and (batch, 1, 1) the root mean
        square of the square roots."""
        roots = _root(magnitude)
        level = roots.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-4)
        answer = self.body(roots / level)
        return answer.unflatten(1, (len(self.sources), -1)).softmax(1), level


def _root(magnitude: Tensor) -> Tensor:
    # the gradient of a square root has no bound at 0
    return (magnitude + 1e-8).sqrt()
