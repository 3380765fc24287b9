"""The latent search: what must each prior generate for the sum to be the mixture?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from instglow.errors import ConfigError, require
from instglow.prior import Prior, Space
from instglow.separation.objective import DIVERGENCES
from instglow.separation.optimiser import SharedScaleAdam

_MAX_RATE = 1000.0
"""Latents are of the order of 1; far above this, Adam leaves the range of 32-bit numbers."""

OnStep = Callable[[int, Tensor | None], None]
"""Called after each iteration with its number, from 1, and the objective, (batch,), on the search's
device; None in a stage before the one that `SearchResult.objective` is of. Who reads the tensor
waits for the device, so do it rarely."""


def require_seed(seed: int) -> None:
    """A ConfigError for a seed that torch does not take."""
    require(0 <= seed < 2**63, "seed", "between 0 and 2^63 - 1", seed)


@dataclass(frozen=True)
class SearchResult:
    """What the last iteration generated.

    Attributes:
        magnitudes: (batch, sources, bins, frames) linear amplitude, in the order of the priors.
        objective: (iterations, batch), of the search's last stage.
    """

    magnitudes: Tensor
    objective: Tensor


class Search(Protocol):
    """Finds what each prior generates; a frozen dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def iterations(self) -> int:
        """How often `on_step` is called, at most."""
        ...

    def __call__(
        self, priors: Sequence[Prior], mixture: Tensor, on_step: OnStep | None = None
    ) -> SearchResult:
        """See `LatentSearch`."""
        ...


@dataclass(frozen=True)
class LatentSearch:
    """Minimises D(mixture ‖ Σ decodeᵢ(zᵢ)) + γ Σ energyᵢ(zᵢ) over the latents by Adam.

    D is the mean over bins and frames; an energy is divided by the number of the latent's elements.
    Every mixture of a batch is searched as if it were alone.

    Args:
        divergence: "kl", "l2" or "root-l2".
        steps: iterations.
        learning_rate: of Adam.
        latent_weight: γ. 0 is the paper's maximum likelihood, which only the start at zero and
            the early stop regularise.
        space: of the energy: "data" is the paper's maximum a posteriori, "latent" ½‖z‖² alone.
        relative: D in units of the mixture's mean magnitude, so that γ means the same however loud
            the mixture is.
        signed: sources may cancel below zero and D sees |Σ|, as in the paper; otherwise D sees the
            sum of their absolute values, which keeps the gradient of a divergence finite.
        shared_scale: one step size for all coordinates (`SharedScaleAdam`) instead of Adam's one
            for each.
        seed: of those initial latents that are drawn.

    Raises:
        ConfigError: for an unknown divergence, or a number out of range.
    """

    divergence: str = "kl"
    steps: int = 150
    learning_rate: float = 0.01
    latent_weight: float = 0.0
    space: Space = "latent"
    relative: bool = False
    signed: bool = True
    shared_scale: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.divergence not in DIVERGENCES:
            raise ConfigError(
                f"divergence {self.divergence!r} is not one of {', '.join(DIVERGENCES)}"
            )
        rate, weight = self.learning_rate, self.latent_weight
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(0 < rate <= _MAX_RATE, "learning rate", f"above 0 and at most {_MAX_RATE:g}", rate)
        require(0 <= weight < math.inf, "latent weight", "at least 0 and finite", weight)
        require_seed(self.seed)

    @property
    def iterations(self) -> int:
        """See `Search`."""
        return self.steps

    def __call__(
        self, priors: Sequence[Prior], mixture: Tensor, on_step: OnStep | None = None
    ) -> SearchResult:
        """Search.

        Args:
            priors: frozen, one for each source.
            mixture: (batch, bins, frames) linear amplitude, >= 0.
            on_step: told of progress.
        """
        batch, _, frames = mixture.shape
        generator = torch.Generator().manual_seed(self.seed)
        # drawn for one mixture and repeated: what a batch holds besides must not matter
        drawn = [prior.initial_latent(1, frames, generator) for prior in priors]
        starts = [latent.expand(batch, *latent.shape[1:]) for latent in drawn]
        return self._descend(priors, mixture, starts, on_step)

    def _descend(
        self,
        priors: Sequence[Prior],
        mixture: Tensor,
        starts: list[Tensor],
        on_step: OnStep | None,
    ) -> SearchResult:
        """Search from these latents, each (batch, ...)."""
        latents = [start.clone().requires_grad_() for start in starts]
        adam = SharedScaleAdam if self.shared_scale else torch.optim.Adam
        optimizer = adam(latents, self.learning_rate)
        history = []
        for step in range(1, self.steps + 1):
            with torch.enable_grad():
                magnitudes, objective = self._evaluate(priors, latents, mixture)
                optimizer.zero_grad()
                objective.sum().backward()
            optimizer.step()
            with torch.no_grad():
                for prior, latent in zip(priors, latents, strict=True):
                    latent.copy_(prior.project(latent))
            history.append(objective.detach())
            if on_step:
                on_step(step, history[-1])
        return SearchResult(magnitudes.detach(), torch.stack(history))

    def _evaluate(
        self, priors: Sequence[Prior], latents: Sequence[Tensor], mixture: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> (batch, sources, bins, frames) magnitudes and (batch,) objective."""
        space = self.space if self.latent_weight else None
        frames = mixture.shape[-1]
        decoded = [
            prior.decode(latent, frames, space)
            for prior, latent in zip(priors, latents, strict=True)
        ]
        magnitudes = torch.stack([source.magnitude for source in decoded], 1)
        model = magnitudes.sum(1).abs() if self.signed else magnitudes.abs().sum(1)
        objective = DIVERGENCES[self.divergence](mixture, model).mean((1, 2))
        if self.relative:
            objective = objective / mixture.mean((1, 2)).clamp(min=1e-8)
        for source, latent in zip(decoded, latents, strict=True):
            if source.energy is not None:
                objective = objective + self.latent_weight * source.energy / latent[0].numel()
        return magnitudes, objective
