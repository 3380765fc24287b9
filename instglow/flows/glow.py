"""Glow: the layers stacked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instglow.errors import require
from instglow.flows.actnorm import ActNorm
from instglow.flows.bijection import Bijection
from instglow.flows.conv1x1 import GroupedConv1x1
from instglow.flows.coupling import AffineCoupling
from instglow.flows.squeeze import Squeeze


class FlowStep(Bijection):
    """Activation normalisation, 1×1 convolution, affine coupling."""

    def __init__(self, channels: int, groups: int, bounded: bool, **network: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv1x1 = GroupedConv1x1(channels, groups)
        self.coupling = AffineCoupling(channels, bounded, **network)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dy/dx|."""
        ladj = x.new_zeros(x.shape[0])
        for layer in (self.actnorm, self.conv1x1):
            x, term = layer(x)
            ladj = ladj + term
        x, term = self.coupling(x, condition)
        return x, ladj + term

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dx/dy|."""
        y, ladj = self.coupling.inverse(y, condition)
        for layer in (self.conv1x1, self.actnorm):
            y, term = layer.inverse(y)
            ladj = ladj + term
        return y, ladj


class Glow(nn.Module):
    """GlowTTS's decoder without text (Kim et al., 2020), in the sizes of Zhu et al. (2022).

    Args:
        channels: of the data; a multiple of 2.
        steps: flow steps.
        groups: channels that one 1×1 convolution mixes.
        hidden, layers, kernel, dilation_rate, condition: of each coupling's `GatedWaveNet`.
        bounded: see `AffineCoupling`.

    Raises:
        ConfigError: for a size below 1.
    """

    def __init__(
        self,
        channels: int,
        steps: int = 12,
        groups: int = 4,
        hidden: int = 192,
        layers: int = 4,
        kernel: int = 5,
        dilation_rate: int = 1,
        bounded: bool = False,
        condition: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("steps", steps), ("groups", groups)):
            require(value >= 1, name, "at least 1", value)
        self.channels = channels
        self.squeeze = Squeeze()
        self.steps = nn.ModuleList(
            FlowStep(
                2 * channels,
                groups,
                bounded,
                hidden=hidden,
                layers=layers,
                kernel=kernel,
                dilation_rate=dilation_rate,
                condition=condition,
            )
            for _ in range(steps)
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data (batch, channels, frames) -> latent of even frames, and (batch,) log|dz/dx|.

        Args:
            x: the data.
            condition: (batch, condition channels), where the flow has some.
        """
        frames = x.shape[-1]
        y, ladj = self.squeeze(x), x.new_zeros(x.shape[0])
        for step in self.steps:
            y, term = step(y, condition)
            ladj = ladj + term
        return self.squeeze.inverse(y, frames + frames % 2), ladj

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latent (batch, channels, even frames) -> data of that shape, and (batch,) log|dx/dz|."""
        x, ladj = self.squeeze(z), z.new_zeros(z.shape[0])
        for step in reversed(self.steps):
            assert isinstance(step, FlowStep)
            x, term = step.inverse(x, condition)
            ladj = ladj + term
        return self.squeeze.inverse(x, z.shape[-1]), ladj


def standard_normal_energy(latent: Tensor) -> Tensor:
    """(batch, ...) -> (batch,) ½‖z‖²: the negative log-density of N(0, I) without its constant."""
    return 0.5 * torch.square(latent).flatten(1).sum(1)
