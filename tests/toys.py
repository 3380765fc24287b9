"""Priors small enough to reason about."""

from __future__ import annotations

import torch
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.families.glow import GlowPrior
from instglow.prior import Decoded, Prior, Space


class BandPrior(Prior):
    """Any magnitude within a band of bins, nothing outside: the square of the latent.

    Two of them with different bands can explain a mixture in one way only.
    """

    family = "band"

    def __init__(self, frontend: Frontend, low: int, high: int, level: float = 0.0) -> None:
        super().__init__(frontend, {"low": low, "high": high, "level": level})
        self.level = level
        self.low, self.high = low, high

    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.ones(batch, self.high - self.low, frames)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        magnitude = latent.new_zeros(len(latent), self.frontend.bins, frames)
        magnitude[:, self.low : self.high] = latent.square()
        return Decoded(magnitude, 0.5 * latent.square().flatten(1).sum(1) if energy else None)


FRONTEND = Frontend(8000, 64, 16)


def low_and_high(level: float = 0.0) -> dict[str, Prior]:
    """Two priors that share out the spectrum at 1500 Hz."""
    return {
        "low": BandPrior(FRONTEND, 0, 12, level),
        "high": BandPrior(FRONTEND, 12, 33, level),
    }


def glows() -> list[GlowPrior]:
    """Two small flows with denoisers, at random, frozen."""
    torch.manual_seed(0)
    found = []
    for _ in range(2):
        prior = GlowPrior(
            FRONTEND,
            **{"steps": 2, "hidden": 8, "layers": 2, "amplitude": "power:0.5", "level": 0.1},
            denoiser={"hidden": 8, "layers": 2},
        )
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        prior.denoiser.scale.fill_(0.5)
        found.append(prior.eval().requires_grad_(False))
    return found


def tone(hertz: float, samples: int, rate: int, phase: float = 0.0) -> Tensor:
    """(samples,) full scale ±0.5."""
    return 0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / rate + phase)
