"""Two networks as torchaudio has them, at sizes that a CPU can train."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchaudio import models

from instglow.rivals.networks.base import Network


class ConvTasNet(Network):
    """Conv-TasNet (Luo and Mesgarani, 2019): masks on a learnt, finely hopped filter bank.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        kernel: of the filter bank, in samples; it hops by half of that.
        filters: of the filter bank.
        channels: between the blocks of the mask's network.
        hidden: within a block.
        layers: of a stack, each dilated twice as much as the one before.
        stacks: one after the other.
    """

    name = "conv-tasnet"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        kernel: int = 64,
        filters: int = 128,
        channels: int = 64,
        hidden: int = 128,
        layers: int = 7,
        stacks: int = 2,
    ) -> None:
        super().__init__(
            sources,
            sample_rate,
            kernel=kernel,
            filters=filters,
            channels=channels,
            hidden=hidden,
            layers=layers,
            stacks=stacks,
        )
        self.model = models.ConvTasNet(
            num_sources=len(self.sources),
            enc_kernel_size=kernel,
            enc_num_feats=filters,
            msk_num_feats=channels,
            msk_num_hidden_feats=hidden,
            msk_num_layers=layers,
            msk_num_stacks=stacks,
            msk_activate="relu",  # as torchaudio's own recipe; a sigmoid cannot reach 1
        )

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        stems: Tensor = self.model(mixture[:, None])
        return stems


class HDemucs(Network):
    """Hybrid Demucs (Défossez, 2021): a U-Net on the waveform and one on the spectrogram.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        channels: of the first level, a multiple of 4; each level has twice those above.
        n_fft: FFT size in samples: 1024 with depth 5, or 2048 or 4096 with depth 6; torchaudio
            allows no others.
        depth: levels.
    """

    name = "hdemucs"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        channels: int = 16,
        n_fft: int = 1024,
        depth: int = 5,
    ) -> None:
        super().__init__(sources, sample_rate, channels=channels, n_fft=n_fft, depth=depth)
        self.model = models.HDemucs(
            self.sources, audio_channels=1, channels=channels, nfft=n_fft, depth=depth
        )

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        stems: Tensor = self.model(mixture[:, None])  # (batch, sources, 1, samples)
        return stems[:, :, 0]
