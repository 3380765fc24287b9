"""Settings that belong together, by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from instglow import plugins
from instglow.errors import ConfigError
from instglow.separation.annealing import AnnealedSearch, Annealing
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values; search and refinement are named by their classes."""
        parts: dict[str, Search | Refinement] = {"search": self.search, "refine": self.refine}
        described = {
            name: {"class": type(part).__name__, **asdict(part)} for name, part in parts.items()
        }
        return {**described, "match_level": self.match_level}


PRESETS = {
    # Zhu et al. (2022), section IV: the yardstick. Do not tune.
    "paper": Preset(LatentSearch(), MixturePhase(), match_level=False),
    # The same with the prior's density, its "MAP" rows; the weight is the best of docs/results.md
    "paper-map": Preset(
        LatentSearch(latent_weight=0.01, space="data"), MixturePhase(), match_level=False
    ),
    # A dictionary of spectra takes larger steps than a flow, and more of them
    "nmf": Preset(
        LatentSearch("kl", steps=100, learning_rate=0.1, relative=True, signed=False), RatioMask()
    ),
    # Denoisers alone: far less time than a latent search, and no gradients (docs/speed.md). More
    # steps take more from sources that are quiet (docs/priors.md)
    "fast": Preset(Annealing(steps=10), RatioMask()),
    # What measured best at its cost: docs/results.md
    "default": Preset(
        AnnealedSearch(
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


GROUP = "instglow.presets"
"""Entry points of further ones."""


def preset_names() -> list[str]:
    """Ours, then those of installed packages."""
    return list(dict.fromkeys((*PRESETS, *plugins.offered(GROUP))))


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: for another name, and lists them; for one whose package cannot be imported.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name not in plugins.offered(GROUP):
        raise ConfigError(f"preset {name!r} is not one of {', '.join(preset_names())}")
    found = plugins.load(GROUP, name)
    if not isinstance(found, Preset):
        raise ConfigError(
            f"preset {name!r} of an installed package must be a Preset, got {found!r}"
        )
    return found
