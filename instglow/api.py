"""What other programs use: a separator made of registered priors, arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from instglow.audio.io import SILENCE
from instglow.devices import resolve
from instglow.errors import AudioError, ConfigError
from instglow.prior import ForInstruments, Prior
from instglow.registry import Registry, validate_name
from instglow.separation.engine import OnProgress, SeparationEngine
from instglow.separation.presets import Preset

_MOST_CHANNELS = 64
"""Of a recording; an array with more rows, and fewer columns than rows, is a transposed one."""


class Separator:
    """Takes mixtures apart with any subset of the registered priors.

    Args:
        priors: by the name of the stem; all of one frontend. They are copied: the caller's are
            neither moved nor frozen.
        preset: name of a preset, such as "default", "fast" or "paper", or a `Preset` of your own.
        segment: seconds of the longest chunk, at most 60.
        overlap: seconds that neighbouring chunks share; by default 1, and less for a segment
            shorter than 3 s.
        device: to search on: "auto", "cpu", "cuda", "cuda:N" or "mps".
        batch_size: chunks searched side by side; the stems do not depend on it.

    Raises:
        ConfigError: for no priors, an unknown preset, a segment or an overlap out of range, or a
            device that this machine lacks.
        FrontendMismatch: where two priors were trained on different spectrograms.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        preset: Preset | str = "default",
        segment: float = 60.0,
        overlap: float | None = None,
        device: str | torch.device = "auto",
        batch_size: int = 1,
    ) -> None:
        self.engine = SeparationEngine(priors, preset, segment, overlap, resolve(device))
        self.batch_size = batch_size

    @classmethod
    def from_registry(
        cls,
        names: Sequence[str] | str,
        preset: Preset | str = "default",
        registry: str | Path | None = None,
        **settings: Any,
    ) -> Separator:
        """With priors that are looked up by name, as `instglow separate --priors` does.

        Args:
            names: "stem" or "stem=prior", see `parse_priors`.
            preset: see `Separator`.
            registry: folder to look in first.
            **settings: segment, overlap, device and batch_size; see `Separator`.

        Raises:
            InvalidName: for the name of a stem or prior that cannot be one.
            PriorNotFound: names the near ones.
            ConfigError: for one stem from two priors, or an instrument that its prior lacks; see
                also `Separator`.
            FrontendMismatch: where two were trained on different spectrograms.
            RegistryError: for a card or weights that cannot be read.
        """
        priors = load_priors(names, Registry.default(Path(registry) if registry else None))
        return cls(priors, preset, **settings)

    @overload
    def separate(
        self, mixture: Tensor, sample_rate: int, on_progress: OnProgress | None = None
    ) -> dict[str, Tensor]: ...

    @overload
    def separate(
        self, mixture: np.ndarray, sample_rate: int, on_progress: OnProgress | None = None
    ) -> dict[str, np.ndarray]: ...

    def separate(
        self,
        mixture: Tensor | np.ndarray,
        sample_rate: int,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Tensor] | dict[str, np.ndarray]:
        """(samples,) or (channels, samples) full scale ±1 -> stems of that shape, by name.

        Arrays of NumPy come back as such, tensors as tensors on the CPU, both as float32.

        Args:
            mixture: any length and number of channels.
            sample_rate: Hz.
            on_progress: told of each iteration; see `instglow.separation.engine.OnProgress`.

        Raises:
            AudioError: for samples that are not finite, none at all, silence, or an array of shape
                (samples, channels).
            ConfigError: for a batch size below 1, or a search that diverged.
            OutOfMemory: where the device has no memory even for a short chunk.
        """
        wave = check_mixture(mixture, sample_rate)
        recording = _InMemory(wave.reshape(-1, wave.shape[-1]), int(sample_rate))
        pieces = self.engine.separate(recording, self.batch_size, on_progress)
        joined = torch.cat([piece.stems for piece in pieces], -1)  # (sources, channels, samples)
        stems = dict(zip(self.engine.stems, joined.view(-1, *wave.shape), strict=True))
        if isinstance(mixture, np.ndarray):
            return {name: stem.numpy() for name, stem in stems.items()}
        return stems


class _InMemory(NamedTuple):
    """A recording whose samples, (channels, samples), are there."""

    wave: Tensor
    sample_rate: int

    @property
    def samples(self) -> int:
        return self.wave.shape[-1]

    def read(self, start: int, count: int) -> Tensor:
        return self.wave[:, start : start + count]


def check_mixture(mixture: Tensor | np.ndarray, sample_rate: int) -> Tensor:
    """The mixture as float32.

    Raises:
        AudioError: see `Separator.separate`.
    """
    if not sample_rate >= 1 or sample_rate % 1:
        raise AudioError(
            f"sample rate must be a whole number of Hz and at least 1, got {sample_rate}"
        )
    if isinstance(mixture, np.ndarray) and mixture.dtype.kind == "f":
        # a copy: torch takes no reversed, read-only or byte-swapped array
        mixture = mixture.astype(np.float32)
    mixture = torch.as_tensor(mixture)
    if not mixture.is_floating_point():
        raise AudioError(f"samples must be floating point, full scale ±1, got {mixture.dtype}")
    shape = tuple(mixture.shape)
    if mixture.ndim not in (1, 2) or not mixture.numel():
        raise AudioError(f"a mixture must be (samples,) or (channels, samples), got shape {shape}")
    if mixture.ndim == 2 and max(shape[1], _MOST_CHANNELS) < shape[0]:
        raise AudioError(
            f"a mixture of shape {shape} is (samples, channels), as soundfile.read returns it; "
            "pass its transpose, mixture.T"
        )
    wave = mixture.detach().float()  # before it is moved: MPS has no float64
    if not wave.isfinite().all():
        raise AudioError("the mixture holds samples that are not numbers (NaN or infinite)")
    if float(wave.abs().max()) <= SILENCE:
        raise AudioError("the mixture is silent: there is nothing to separate")
    return wave


def load_priors(names: Sequence[str] | str, registry: Registry) -> dict[str, Prior]:
    """The prior of each stem, in order, as `parse_priors` reads the names.

    A prior of several stems is loaded once, and they share its weights.

    Raises:
        InvalidName, PriorNotFound: for a name that cannot be one, or that no registry has.
        ConfigError: for one stem from two priors, or an instrument that its prior lacks.
        RegistryError: for a card or weights that cannot be read.
    """
    named = parse_priors(names)
    loaded = {name: registry.load(name) for name in dict.fromkeys(named.values())}
    return {
        stem: prior.of(stem) if isinstance(prior := loaded[name], ForInstruments) else prior
        for stem, name in named.items()
    }


def parse_priors(names: Sequence[str] | str) -> dict[str, str]:
    """Stem -> name of its prior, in order; what is given twice counts once.

    >>> parse_priors("bass=bass-nmf, drums")
    {'bass': 'bass-nmf', 'drums': 'drums'}

    Args:
        names: each "stem=prior", or "stem" for the prior of that name; in one text, with commas.

    Raises:
        InvalidName: for a stem or a prior that cannot be the name of a file.
        ConfigError: where none is named, or two for one stem.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    named: dict[str, str] = {}
    for name in names:
        stem, equals, prior = name.partition("=")
        prior = prior if equals else stem
        if named.setdefault(validate_name(stem), validate_name(prior)) != prior:
            raise ConfigError(
                f"stem {stem!r} is to come from prior {named[stem]!r} and from {prior!r}; leave "
                "one out, or give it a stem of another name"
            )
    if not named:
        raise ConfigError("no priors: name at least one, as in bass,drums")
    return named
