"""The methods that can be evaluated, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from instglow import plugins
from instglow.errors import ConfigError
from instglow.evaluation.bounds import IdealMagnitude, IdealRatioMask, Mixture, MixtureShare
from instglow.evaluation.method import Method
from instglow.evaluation.source_only import SourceOnly
from instglow.names import OWN
from instglow.registry import Registry
from instglow.separation.presets import Preset, preset

BOUNDS: dict[str, Callable[[], Method]] = {
    bound.name: bound for bound in (Mixture, MixtureShare, IdealRatioMask, IdealMagnitude)
}

GROUP = "instglow.methods"
"""Entry points of further ones, each a function from a `Request` to a `Method`."""

_OTHER_PRIORS = {"fast": "{stem}", "paper": "{stem}", "paper-map": "{stem}", "nmf": "{stem}-nmf"}
"""Preset, and name of a method -> the name of a stem's prior."""


def method_names() -> list[str]:
    """Ours, those of installed packages, then the bounds."""
    return list(dict.fromkeys((OWN, *_OTHER_PRIORS, *plugins.offered(GROUP), *BOUNDS)))


@dataclass(frozen=True)
class Request:
    """What methods are built from.

    Args:
        registry: of the priors.
        priors: stem -> prior, as the user chose; other families have priors of their own.
        preset: of our method.
        adapt: applied to the preset of every method that searches, for steps and rates asked for.
        weights: method -> checkpoint; what it is without one is the method's to say.
        root: folder that has `runs/`.
        device: where to compute.
    """

    registry: Registry
    priors: dict[str, str] = field(default_factory=dict)
    preset: str = "default"
    adapt: Callable[[Preset], Preset] = lambda preset: preset
    weights: dict[str, Path] = field(default_factory=dict)
    root: Path = Path()
    device: torch.device | str = "cpu"


def method(name: str, request: Request) -> Method:
    """The method of that name, ready to separate.

    Raises:
        ConfigError: for another name; lists the near ones.
        DependencyError: for a network without weights.
    """
    if name == OWN:
        return source_only(name, request, request.preset, "{stem}")
    if name in _OTHER_PRIORS:
        return source_only(name, request, name, _OTHER_PRIORS[name])
    if name in BOUNDS:
        return BOUNDS[name]()
    if name not in plugins.offered(GROUP):
        near = difflib.get_close_matches(name, method_names()) or method_names()
        raise ConfigError(f"no method {name!r}; there are: {', '.join(near)}")
    found: Method = plugins.load(GROUP, name)(request)
    return found


def source_only(name: str, request: Request, preset_name: str, naming: str) -> SourceOnly:
    """A method that searches over priors.

    Args:
        name: of the method.
        request: what it is built from.
        preset_name: of the preset.
        naming: the prior of a stem; the user's choice counts for priors named as their stems.
    """
    return SourceOnly(
        name,
        request.adapt(preset(preset_name)),
        preset_name,
        request.registry,
        request.priors if naming == "{stem}" else {},
        naming,
        request.device,
    )
