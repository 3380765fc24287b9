"""What every prior offers, and what some offer besides. Nothing here, or in a search, is
Glow-shaped."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError, FrontendMismatch, require

Space = Literal["latent", "data"]


@dataclass(frozen=True)
class Decoded:
    """What a latent stands for.

    Attributes:
        magnitude: (batch, bins, frames) linear amplitude. A flow over all real numbers can stray
            below zero where the data was near zero; who needs a magnitude takes the absolute value.
        energy: (batch,) negative log-probability in nats up to a constant, or None where the
            caller asked for none.
    """

    magnitude: Tensor
    energy: Tensor | None


class Prior(nn.Module, ABC):
    """A model of the magnitude spectrograms of one instrument.

    A subclass is constructed as `Family(frontend, **architecture)`, where `architecture` holds
    plain values only: it is what the card records, and with the weights all there is to a prior.

    Raises:
        ConfigError: for a level below 0.
    """

    family: ClassVar[str]
    """The name of the family's entry point in the group `instglow.families`."""

    frontend: Frontend
    architecture: dict[str, Any]
    level: float = 0.0
    """Root mean square, full scale ±1, that solos are scaled to in training and that a search
    scales the mixture by; 0 takes every recording as it is."""

    def __init__(self, frontend: Frontend, architecture: dict[str, Any]) -> None:
        """Keep what the prior is constructed from.

        Args:
            frontend: the spectrogram it models.
            architecture: all other arguments of the subclass by name; its `locals()` will do.
        """
        super().__init__()
        self.frontend = frontend
        self.architecture = {
            name: value
            for name, value in architecture.items()
            if name not in ("self", "frontend", "__class__")
        }
        self.level = self.architecture.get("level", self.level)
        require(0 <= self.level < math.inf, "level", "at least 0", self.level)

    @abstractmethod
    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """The latent, (batch, ...), that a search of so many frames starts from."""

    @abstractmethod
    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        """Latent (batch, ...) -> magnitude (batch, bins, frames) and what it costs.

        Args:
            latent: as `initial_latent(batch, frames)` shapes it.
            frames: how many frames to return.
            energy: "latent" for the cost of the latent alone (½‖z‖² of a flow), "data" for that
                of the magnitude it stands for (with the log-determinant), None for no cost.
        """

    def at_level(self, wave: Tensor) -> Tensor:
        """(..., channels, samples) -> the same, each solo at the level they have in training."""
        if not self.level:
            return wave
        rms = wave.square().mean((-2, -1), keepdim=True).sqrt()
        return wave * (self.level / rms.clamp(min=1e-6))

    def project(self, latent: Tensor) -> Tensor:
        """(batch, ...) -> the nearest latent that the prior allows; a search asks after each step.

        A flow allows all; a generator that was trained on a cube does not.
        """
        return latent


@runtime_checkable
class Encodes(Protocol):
    """A prior that finds the latent of a magnitude."""

    def encode(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) linear amplitude -> latent; the inverse of `Prior.decode`."""
        ...


@runtime_checkable
class HasDensity(Protocol):
    """A prior that says how likely a magnitude is."""

    def log_prob(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) linear amplitude -> (batch,) log-density in nats."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """A prior of a family that can have a denoiser; `can_denoise` asks whether this one has."""

    @property
    def denoises(self) -> bool:
        """Whether `denoise` answers."""
        ...

    def denoise(
        self, magnitude: Tensor, noise: float, added: float, generator: torch.Generator
    ) -> Tensor:
        """What the instrument most likely plays where only something like it is known.

        Args:
            magnitude: (batch, bins, frames) linear amplitude, a guess.
            noise: the standard deviation of Gaussian noise that the guess is taken to hold, in
                units of the size that compressed magnitudes usually have. Much noise leaves what
                all recordings of the instrument share, little leaves the guess.
            added: share of that noise which is drawn and added first.
            generator: of the noise, on the CPU; each item of the batch gets the same.

        Returns:
            (batch, bins, frames) linear amplitude, >= 0.
        """
        ...


@runtime_checkable
class ForInstruments(Protocol):
    """A model of several instruments, which share its weights."""

    instruments: list[str]

    def of(self, instrument: str) -> Prior:
        """The prior of one of `instruments`.

        Raises:
            ConfigError: for an instrument that the model does not know.
        """
        ...


def can_denoise(prior: object) -> TypeGuard[Denoises]:
    """Whether a prior is of a family that denoises, and has been given a denoiser."""
    return isinstance(prior, Denoises) and prior.denoises


class Trainable(Prior):
    """A prior that learns by gradient descent on one loss."""

    @abstractmethod
    def loss(
        self, magnitude: Tensor, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """(batch, bins, frames) solo magnitudes -> scalars; "loss" is the one to minimise.

        Trained on `BandData`, a model of several instruments is given one solo of each:
        (batch, instruments, bins, frames).

        "bits_per_dim" is the figure that runs are compared by, where the family has a density.
        What is drawn at random comes from `generator`, on the magnitude's device. That of a prior
        which `Denoises` also takes `mixture`, of the same shape: the solos among other sounds.
        """


def shared_frontend(priors: Mapping[str, Prior]) -> Frontend:
    """The frontend that all have; FrontendMismatch names two that differ, ConfigError none."""
    if not priors:
        raise ConfigError("no priors: name at least one, as in --priors bass,drums")
    first, *others = priors
    frontend = priors[first].frontend
    for name in others:
        other = priors[name].frontend
        if other != frontend:
            raise FrontendMismatch(
                f"prior {first!r} was trained at {_describe(frontend)}, {name!r} at "
                f"{_describe(other)}; retrain one of them or leave it out"
            )
    return frontend


def _describe(frontend: Frontend) -> str:
    return f"{frontend.sample_rate} Hz, n_fft {frontend.n_fft}, hop {frontend.hop_length}"
