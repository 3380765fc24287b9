"""A network that removes noise of a known level: what a prior knows, coarse to fine."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from instglow.flows.coupling import GatedWaveNet

LOWEST, HIGHEST = 0.02, 4.0
"""Levels of noise that a denoiser learns, in units of the signal's root mean square."""
_FREQUENCIES = 16


class Denoiser(nn.Module):
    """D(y, σ) ≈ E[x | y = x + σ·n], n ~ N(0, I), which is x's density smoothed: its score is
    (D(y, σ) − y) / σ² (Vincent, 2011). Preconditioned as by Karras et al., 2022 ("EDM", table 1).

    The first batch seen in training sets the signal's size; it is part of the state dict.

    Args:
        channels: of the signal.
        hidden, layers, kernel, dilation_rate: see `GatedWaveNet`.
        embedding: numbers that tell the network the level of the noise.
    """

    scale: Tensor
    frequencies: Tensor

    def __init__(
        self,
        channels: int,
        hidden: int = 160,
        layers: int = 8,
        kernel: int = 5,
        dilation_rate: int = 1,
        embedding: int = 64,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2 * _FREQUENCIES, embedding), nn.SiLU())
        self.network = GatedWaveNet(
            channels, channels, hidden, layers, kernel, dilation_rate, embedding
        )
        self.register_buffer("scale", torch.tensor(0.0))
        frequencies = torch.linspace(0, math.log(50), _FREQUENCIES).exp()
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """(batch, channels, frames), (batch,) in units of the signal's size -> the clean signal."""
        size = self.size
        total = (1 + noise.square()).sqrt()[:, None, None]  # of signal and noise, in those units
        phase = noise.log()[:, None] / 4 * self.frequencies
        told = self.embed(torch.cat([phase.sin(), phase.cos()], 1))
        answer = self.network(noisy / (size * total), told).to(noisy.dtype)
        return noisy / total.square() + answer * size * noise[:, None, None] / total

    @property
    def size(self) -> Tensor:
        """Root mean square of the signal; 1 before training."""
        return torch.where(self.scale > 0, self.scale, 1.0)

    def loss(self, clean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(batch, channels, frames) -> scalar: the squared error in units of what is to be guessed.

        Levels are log-uniform and spread over the batch, which halves what the loss varies by.
        """
        if self.training and not self.scale:
            self._start_from(clean)
        batch = len(clean)
        drawn = torch.rand(batch, generator=generator, device=clean.device)
        place = (torch.arange(batch, device=clean.device) + drawn) / batch
        noise = LOWEST * (HIGHEST / LOWEST) ** place
        normal = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = clean + (self.size * noise)[:, None, None] * normal
        error = (self(noisy, noise) - clean).square().mean((1, 2)) / self.size.square()
        return ((1 + noise.square()) / noise.square() * error).mean()

    @torch.no_grad()
    def _start_from(self, clean: Tensor) -> None:
        power = clean.square().mean()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(power)
            power /= dist.get_world_size()
        self.scale.copy_(power.sqrt())
