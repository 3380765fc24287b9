"""Annealed denoising: each prior cleans its share of the mixture, which is then shared out anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from instglow.errors import ConfigError, require
from instglow.prior import Encodes, Prior, can_denoise
from instglow.separation.objective import root_squared_error
from instglow.separation.search import LatentSearch, OnStep, SearchResult, require_seed

_FLOOR = 1e-8


@dataclass(frozen=True)
class Annealing:
    """Denoise each source's share of the mixture, share the mixture out by the answers, repeat.

    With much noise a prior answers what all recordings of its instrument have in common, and the
    mixture is split roughly; as the noise falls, the split gets finer. No gradient is needed: the
    denoisers point along the score of each prior's density at that noise, and sharing out projects
    on what explains the mixture. Annealed sampling (Song & Ermon, 2019; for separation Jayaram &
    Thickstun, 2020), with the posterior mean of each source in place of a Langevin step.

    Args:
        steps: iterations; levels of noise fall by equal ratios.
        highest, lowest: the first level and the last, see `Denoises.denoise`.
        added: share of the noise that is drawn; 0 makes the search deterministic.
        seed: of the noise.

    Raises:
        ConfigError: for a number out of range.
    """

    steps: int = 20
    highest: float = 4.0
    lowest: float = 0.05
    added: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(
            0 < self.lowest <= self.highest < math.inf,
            "lowest and highest noise",
            "above 0, finite and in this order",
            (self.lowest, self.highest),
        )
        require(0 <= self.added <= 1, "added", "between 0 and 1", self.added)
        require_seed(self.seed)

    @property
    def iterations(self) -> int:
        """See `Search`."""
        return self.steps

    @torch.no_grad()
    def __call__(
        self, priors: Sequence[Prior], mixture: Tensor, on_step: OnStep | None = None
    ) -> SearchResult:
        """See `LatentSearch`; the sources sum to the mixture. The objective is that of "root-l2",
        between the mixture and what the priors answered last.

        Raises:
            ConfigError: for priors that do not denoise.
        """
        denoisers = [prior for prior in priors if can_denoise(prior)]
        if len(denoisers) < len(priors):
            lacking = next(prior.family for prior in priors if not can_denoise(prior))
            raise ConfigError(
                f"a prior of family {lacking!r} without a denoiser cannot be annealed; choose "
                "another preset, or priors that have one"
            )
        generator = torch.Generator().manual_seed(self.seed)
        shares = mixture[:, None].expand(-1, len(priors), -1, -1) / len(priors)
        history = []
        ratio = (self.lowest / self.highest) ** (1 / max(1, self.steps - 1))
        for step in range(self.steps):
            noise = self.highest * ratio**step
            answers = torch.stack(
                [
                    prior.denoise(shares[:, number], noise, self.added, generator)
                    for number, prior in enumerate(denoisers)
                ],
                1,
            )
            history.append(root_squared_error(mixture, answers.sum(1)).mean((1, 2)))
            answers = answers + _FLOOR
            shares = mixture[:, None] * answers / answers.sum(1, keepdim=True)
            if on_step:
                on_step(step + 1, history[-1])
        return SearchResult(shares, torch.stack(history))


@dataclass(frozen=True)
class AnnealedSearch(LatentSearch):
    """A latent search that starts where annealing has come to, if every prior denoises and
    encodes; else a latent search.

    Args:
        annealing: how the start is found.
        start_scale: of the latents of that start; 0 starts as a latent search does. The flow finds
            what the denoisers agreed on too unlikely to start from it as it is.
        **latent: see `LatentSearch`.

    Raises:
        ConfigError: for a number out of range.
    """

    annealing: Annealing = Annealing()
    start_scale: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.start_scale <= 1, "start_scale", "between 0 and 1", self.start_scale)

    @property
    def iterations(self) -> int:
        """See `Search`."""
        return self.annealing.iterations + self.steps

    def __call__(
        self, priors: Sequence[Prior], mixture: Tensor, on_step: OnStep | None = None
    ) -> SearchResult:
        """See `LatentSearch`; also the seed is that of the annealing."""
        encoders = [prior for prior in priors if isinstance(prior, Encodes)]
        usable = len(encoders) == len(priors) and all(can_denoise(prior) for prior in priors)
        if not (self.start_scale and usable):
            return super().__call__(priors, mixture, on_step)
        annealing = replace(self.annealing, seed=self.seed)
        shares = annealing(priors, mixture, _without_objective(on_step)).magnitudes
        with torch.no_grad():
            starts = [
                self.start_scale * prior.encode(shares[:, number])
                for number, prior in enumerate(encoders)
            ]
        return self._descend(priors, mixture, starts, _after(annealing.steps, on_step))


def _without_objective(on_step: OnStep | None) -> OnStep | None:
    """The same, told of steps of another stage than the objective's."""
    if on_step is None:
        return None
    return lambda step, _: on_step(step, None)


def _after(steps: int, on_step: OnStep | None) -> OnStep | None:
    """The same, told of steps that come after so many."""
    if on_step is None:
        return None
    return lambda step, objective: on_step(steps + step, objective)
