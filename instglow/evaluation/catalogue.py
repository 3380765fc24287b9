"""The methods that can be evaluated, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from instglow.errors import ConfigError
from instglow.evaluation.bounds import IdealMagnitude, IdealRatioMask, Mixture, MixtureShare
from instglow.evaluation.method import Method
from instglow.evaluation.source_only import SourceOnly
from instglow.evaluation.supervised import supervised
from instglow.networks import NETWORKS
from instglow.registry import Registry
from instglow.separation.presets import Preset, preset
from instglow.separation.search import OnStep

OWN = "instglow"
"""The method that separates as `instglow separate` does."""

BOUNDS: dict[str, Callable[[], Method]] = {
    bound.name: bound for bound in (Mixture, MixtureShare, IdealRatioMask, IdealMagnitude)
}

SOURCE_ONLY = {
    # name -> (preset, the name of a stem's prior)
    "fast": ("fast", "{stem}"),
    "paper": ("paper", "{stem}"),
    "paper-map": ("paper-map", "{stem}"),
    "musicglow": ("paper", "musicglow"),
    "gan-prior": ("gan-prior", "{stem}-gan"),
    "lq-vae": ("lq-vae", "{stem}-lq-vae"),
    "nmf": ("nmf", "{stem}-nmf"),
}

METHODS = (OWN, *SOURCE_ONLY, *NETWORKS, *BOUNDS)


@dataclass(frozen=True)
class Request:
    """What methods are built from.

    Args:
        registry: of the priors.
        priors: stem -> prior, as the user chose; other methods than ours have priors of their own.
        preset: of our method.
        adapt: applied to the preset of every method that searches, for steps and rates asked for.
        weights: network -> checkpoint; without it the newest run, or the package's own weights.
        root: folder that has `runs/`.
        device: where to compute.
        on_step: told of the progress of a search.
    """

    registry: Registry
    priors: dict[str, str] = field(default_factory=dict)
    preset: str = "default"
    adapt: Callable[[Preset], Preset] = lambda preset: preset
    weights: dict[str, Path] = field(default_factory=dict)
    root: Path = Path()
    device: torch.device | str = "cpu"
    on_step: OnStep | None = None


def method(name: str, request: Request) -> Method:
    """The method of that name, ready to separate.

    Raises:
        ConfigError: for another name; lists the near ones.
        DependencyError: for a network without weights.
    """
    if name in BOUNDS:
        return BOUNDS[name]()
    if name in NETWORKS:
        return supervised(name, request.weights.get(name), request.root, request.device)
    if name == OWN:
        chosen, how, naming = request.priors, request.preset, "{stem}"
    elif name in SOURCE_ONLY:
        how, naming = SOURCE_ONLY[name]
        # the paper's search is run with the user's priors; the others' are of another family
        chosen = request.priors if naming == "{stem}" else {}
    else:
        near = difflib.get_close_matches(name, METHODS) or METHODS
        raise ConfigError(f"no method {name!r}; there are: {', '.join(near)}")
    return SourceOnly(
        name,
        request.adapt(preset(how)),
        how,
        request.registry,
        chosen,
        naming,
        request.device,
        request.on_step,
    )
