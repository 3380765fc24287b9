"""What other programs use: a separator made of registered priors, arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from instglow.devices import resolve
from instglow.errors import ConfigError
from instglow.prior import Prior
from instglow.registry import Registry, validate_name
from instglow.separation.engine import SeparationEngine
from instglow.separation.presets import Preset
from instglow.separation.search import OnStep


class Separator:
    """Takes mixtures apart with any subset of the registered priors.

    Args:
        priors: by the name of the stem; all of one frontend.
        preset: "default", "paper", or a `Preset` of your own.
        segment: seconds of the longest chunk, at most 60.
        overlap: seconds that neighbouring chunks share.
        device: where to search: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        ConfigError: for no priors, settings that make no sense, or a device that is not there.
        FrontendMismatch: where two priors were trained on different spectrograms.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        preset: Preset | str = "default",
        segment: float = 60.0,
        overlap: float = 1.0,
        device: str | torch.device = "auto",
    ) -> None:
        self.device = resolve(device)
        self.engine = SeparationEngine(priors, preset, segment, overlap).to(self.device)

    @classmethod
    def from_registry(
        cls,
        names: Sequence[str],
        preset: Preset | str = "default",
        registry: str | Path | None = None,
        segment: float = 60.0,
        overlap: float = 1.0,
        device: str | torch.device = "auto",
    ) -> Separator:
        """With priors that are looked up by name, as `instglow separate --priors` does.

        Args:
            names: "stem" or "stem=prior", see `parse_priors`.
            preset, segment, overlap, device: see `Separator`.
            registry: folder to look in first.

        Raises:
            PriorNotFound: names the near ones.
            ConfigError: for one stem from two priors, or an instrument that its prior lacks.
            FrontendMismatch: where two were trained on different spectrograms.
        """
        priors = load_priors(names, Registry.default(Path(registry) if registry else None))
        return cls(priors, preset, segment, overlap, device)

    def separate(
        self, mixture: Tensor | np.ndarray, sample_rate: int, on_step: OnStep | None = None
    ) -> dict[str, Tensor] | dict[str, np.ndarray]:
        """(samples,) or (channels, samples) full scale ±1 -> stems of that shape, by name.

        Arrays of NumPy come back as such, tensors as tensors on the CPU.

        Raises:
            AudioError: for samples that are no numbers, none at all, or silence.
        """
        wave = torch.as_tensor(mixture).to(self.device)
        stems = self.engine.separate(wave, sample_rate, on_step)
        if isinstance(mixture, np.ndarray):
            return {name: stem.cpu().numpy() for name, stem in stems.items()}
        return {name: stem.cpu() for name, stem in stems.items()}


def load_priors(names: Sequence[str] | str, registry: Registry) -> dict[str, Prior]:
    """The prior of each stem, in order, as `parse_priors` reads the names.

    A prior of several stems is loaded once, and they share its weights.
    """
    named = parse_priors(names)
    loaded = {name: registry.load(name) for name in dict.fromkeys(named.values())}
    return {stem: loaded[name].of(stem) for stem, name in named.items()}


def parse_priors(names: Sequence[str] | str) -> dict[str, str]:
    """Stem -> name of its prior, in order; what is given twice counts once.

    >>> parse_priors("bass=bass-nmf, drums")
    {'bass': 'bass-nmf', 'drums': 'drums'}

    Args:
        names: each "stem=prior", or "stem" for the prior of that name; in one text, with commas.

    Raises:
        InvalidName: for a stem that cannot be the name of a file.
        ConfigError: where two priors are named for one stem.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    named: dict[str, str] = {}
    for name in names:
        stem, equals, prior = name.partition("=")
        prior = prior if equals else stem
        if named.setdefault(validate_name(stem), prior) != prior:
            raise ConfigError(
                f"stem {stem!r} is to come from prior {named[stem]!r} and from {prior!r}; leave "
                "one out, or give it a stem of another name"
            )
    return named
