"""Settings that belong together, by name."""

from __future__ import annotations

from dataclasses import dataclass

from instglow.errors import ConfigError
from instglow.separation.refine import MixturePhase, RatioMask, Refinement
from instglow.separation.search import LatentSearch, Search


@dataclass(frozen=True)
class Preset:
    """How to separate.

    Attributes:
        search: finds the magnitudes of the sources.
        refine: makes stems of them.
        match_level: whether the mixture is scaled to the level that the priors were trained at.
    """

    search: Search
    refine: Refinement
    match_level: bool = True


PRESETS = {
    # Zhu et al. (2022), section IV: the yardstick. Do not tune.
    "paper": Preset(LatentSearch(), MixturePhase(), match_level=False),
    # What measured best at its cost: docs/results.md
    "default": Preset(
        LatentSearch(
            divergence="root-l2",
            steps=60,
            learning_rate=0.005,
            latent_weight=16.0,
            relative=True,
            signed=False,
            shared_scale=True,
        ),
        RatioMask(),
    ),
}


def preset(name: str) -> Preset:
    """By name, or a ConfigError that lists them."""
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is not one of {', '.join(PRESETS)}")
    return PRESETS[name]
