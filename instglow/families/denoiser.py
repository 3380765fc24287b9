"""A network that removes noise of a known level: what a prior knows, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from instglow.flows.coupling import GatedWaveNet

LOWEST, HIGHEST = 0.02, 4.0
"""Levels of noise that a denoiser learns, in units of the signal's root mean square."""
_FREQUENCIES = 16
_LEAST_ADDED = 0.25
_CLUTTER = 0.05
"""Mean squared error of a guess that noise has nothing to do with, in units of the signal's; keeps
the lowest levels of noise, where it is all there is to be removed, from ruling the loss."""

Guess = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(batch,) levels of noise -> what a denoiser is given to make better at them, (batch, channels,
frames), and which of these are the clean signal, (batch,) bool."""


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

    def loss(
        self,
        clean: Tensor,
        generator: torch.Generator | None = None,
        guess: Guess | None = None,
    ) -> Tensor:
        """(batch, channels, frames) -> scalar: the squared error in units of what is to be guessed.

        Levels are log-uniform and spread over the batch, which halves what the loss varies by.

        Args:
            clean: the signal.
            generator: of the noise.
            guess: what the noise is added to, instead of the signal; noise there is as in a search,
                which adds a share of what it speaks of.
        """
        if self.training and not self.scale:
            self._start_from(clean)
        batch = len(clean)
        drawn = torch.rand(batch, generator=generator, device=clean.device)
        place = (torch.arange(batch, device=clean.device) + drawn) / batch
        noise = LOWEST * (HIGHEST / LOWEST) ** place
        start, added, least = clean, torch.ones_like(noise), 0.0
        if guess is not None:
            start, is_clean = guess(noise)
            share = torch.rand(batch, generator=generator, device=clean.device)
            added = torch.where(is_clean, 1.0, _LEAST_ADDED + (1 - _LEAST_ADDED) * share)
            least = _CLUTTER
        normal = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = start + (self.size * noise * added)[:, None, None] * normal
        error = (self(noisy, noise) - clean).square().mean((1, 2)) / self.size.square()
        return ((1 + noise.square()) / (least + noise.square()) * error).mean()

    @torch.no_grad()
    def _start_from(self, clean: Tensor) -> None:
        power = clean.square().mean()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(power)
            power /= dist.get_world_size()
        self.scale.copy_(power.sqrt())
