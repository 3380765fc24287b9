"""Wave-U-Net (Stoller et al., 2018): a U-Net on the waveform itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instglow.rivals.networks.base import Network


class WaveUNet(Network):
    """Convolution and decimation down, linear interpolation and convolution up, with skips.

    The paper's M1 has depth 12 and channels 24; its M2 adds the difference output. Both pad with
    zeros, as this does, so that a stem is as long as its mixture; M3 and later crop the borders.

    Args:
        sources: see `Network`.
        sample_rate: Hz.
        depth: how often the rate is halved.
        channels: that each level has more than the one above it.
        down_kernel: taps of the convolutions before decimation; odd.
        up_kernel: taps of the convolutions after interpolation; odd.
        difference: whether the last source is what the others leave of the mixture.
    """

    name = "wave-u-net"

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: int,
        depth: int = 10,
        channels: int = 8,
        down_kernel: int = 15,
        up_kernel: int = 5,
        difference: bool = False,
    ) -> None:
        super().__init__(
            sources,
            sample_rate,
            depth=depth,
            channels=channels,
            down_kernel=down_kernel,
            up_kernel=up_kernel,
            difference=difference,
        )
        self.difference = difference
        widths = [channels * (level + 1) for level in range(depth + 1)]  # the last: the bottom
        self.down = nn.ModuleList(
            _convolution(before, after, down_kernel)
            for before, after in zip([1, *widths[:-2]], widths[:-1], strict=True)
        )
        self.bottom = _convolution(widths[-2], widths[-1], down_kernel)
        self.up = nn.ModuleList(
            _convolution(below + skip, skip, up_kernel)
            for below, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.output = nn.Conv1d(channels + 1, len(self.sources) - difference, 1)

    def stems(self, mixture: Tensor) -> Tensor:
        """See `Network`."""
        samples = mixture.shape[1]
        # k · 2^depth + 1 samples: of an odd count, decimation keeps the first and the last, and
        # interpolation between those that were kept meets the very samples that were dropped
        stride = 2 ** len(self.down)
        wave = F.pad(mixture, (0, 1 + -samples % stride))[:, None]
        skips, features = [], wave
        for convolution in self.down:
            features = convolution(features)
            skips.append(features)  # (batch, channels, samples)
            features = features[..., ::2]
        features = self.bottom(features)
        for convolution in self.up:
            skip = skips.pop()
            features = F.interpolate(
                features, size=skip.shape[2], mode="linear", align_corners=True
            )
            features = convolution(torch.cat([features, skip], 1))
        stems = self.output(torch.cat([features, wave], 1)).tanh()[..., :samples]
        if self.difference:
            rest = mixture[:, None] - stems.sum(1, keepdim=True)
            stems = torch.cat([stems, rest], 1)
        return stems


def _convolution(before: int, after: int, kernel: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.LeakyReLU(0.2))
