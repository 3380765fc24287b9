"""The LightningModule that trains any Trainable prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.errors import ConfigError
from instglow.prior import ForInstruments, Prior, Trainable, can_denoise
from instglow.registry import Registry
from instglow.separation.refine import pooled_magnitude
from instglow.training.augment import Augmentation
from instglow.training.base import PriorRun
from instglow.training.clutter import Clutter


class PriorTraining(PriorRun):
    """Maximum likelihood, or whatever loss the prior's family brings, on solo recordings.

    Args:
        instrument: the name that the prior is registered under.
        prior: to train.
        learning_rate: of Adam, at its highest.
        warmup_steps: in which the learning rate rises from 0; then it falls to 0 as a cosine.
        augmentation: of the training segments.
        clutter: put around the solos, for a prior whose denoiser is to find them; None for none.
        seed: of the gains and the noise; together with the step it decides them.
        init: name of a registered prior to start from, of the same architecture or one that lacks
            a part of it.
        registry: a folder of priors to look for it in before all others.
        frozen: parts of the prior that stay as `init` has them, "flow" or "denoiser" of a Glow.

    Raises:
        ConfigError: for an `init` that does not fit, parts that are none, or all there are, or
            clutter for a prior without a denoiser.
    """

    def __init__(
        self,
        instrument: str,
        prior: Trainable,
        learning_rate: float = 1e-3,
        warmup_steps: int = 50,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
        init: str | None = None,
        registry: str | None = None,
        frozen: Sequence[str] = (),
        clutter: Clutter | None = None,
    ) -> None:
        super().__init__(instrument, prior, learning_rate, warmup_steps, augmentation, seed)
        self.prior: Trainable = prior
        self.clutter = clutter
        if clutter and not can_denoise(prior):
            raise ConfigError(
                f"clutter is for a prior with a denoiser, which this one of family "
                f"{prior.family!r} lacks; leave out model.clutter, or give it one"
            )
        self.init, self.frozen = init, list(frozen)
        if init:
            start_from(prior, init, Path(registry) if registry else None)
        if frozen:
            freeze(prior, frozen, init)

    def setup(self, stage: str) -> None:
        """Refuse data of other instruments than the prior's, or in another order."""
        super().setup(stage)
        known = self.prior.instruments if isinstance(self.prior, ForInstruments) else None
        sources = getattr(getattr(self.trainer, "datamodule", None), "sources", None)
        if known and sources and list(sources) != list(known):
            raise ConfigError(
                f"data.sources are {', '.join(sources)}, the prior's instruments "
                f"{', '.join(known)}; name the same ones in the same order"
            )

    def settings(self) -> dict[str, Any]:
        """See `PriorRun`; also what it started from."""
        started = {"init": self.init, "frozen": self.frozen} if self.init else {}
        clutter = {"clutter": asdict(self.clutter)} if self.clutter else {}
        return {**super().settings(), **started, **clutter}

    def training_step(self, wave: Tensor) -> Tensor:
        """(batch, [instruments,] channels, samples) full scale ±1 -> the loss."""
        generator = self.draw(~self.draw_number)
        solos = self.augmentation.wave(
            self.at_level(wave).flatten(0, -3), generator, self.sample_rate
        )
        spectrogram = self.augmentation.magnitude(self.spectrogram(solos), generator)
        terms = self.prior.loss(
            pooled_magnitude(spectrogram).unflatten(0, wave.shape[:-2]),
            self.draw(self.draw_number, wave.device),
            **self._among_others(solos, spectrogram, generator),
        )
        for name, term in terms.items():  # all of them would break the bar into columns
            self.log(f"train/{name}", term, prog_bar=name == "loss")
        return terms["loss"]

    def validation_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, [instruments,] channels, samples) held out; logs the mean of each term."""
        self._evaluate("held-out", wave, batch_index)

    def test_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, [instruments,] channels, samples) held out; logs the mean of each term."""
        self._evaluate("test", wave, batch_index)

    def terms(self, wave: Tensor, batch_index: int) -> dict[str, Tensor]:
        """(batch, [instruments,] channels, samples) as they are -> the batch's mean of each term.

        Noise and clutter are those of the batch of this number in every validation.
        """
        solos = self.at_level(wave)
        spectrogram = self.spectrogram(solos)
        others = self._among_others(solos, spectrogram, self.draw(~batch_index))
        magnitude = pooled_magnitude(spectrogram)
        return self.prior.loss(magnitude, self.draw(batch_index, wave.device), **others)

    def _among_others(
        self, solos: Tensor, spectrogram: Tensor, generator: torch.Generator
    ) -> dict[str, Any]:
        """(batch, channels, samples), (batch, channels, bins, frames) complex of them, perhaps
        equalised -> what a loss takes besides: with clutter, the pooled magnitude of the solos in
        it as "mixture"."""
        if self.clutter is None:
            return {}
        around = self.clutter(solos, generator, self.sample_rate)
        return {"mixture": pooled_magnitude(spectrogram + self.spectrogram(around)[:, None])}

    def _evaluate(self, stage: str, wave: Tensor, batch_index: int) -> None:
        for name, term in self.terms(wave, batch_index).items():
            self.log(
                f"{stage}/{name}",
                term,
                prog_bar=name == "loss",
                batch_size=len(wave),
                sync_dist=True,
            )


def freeze(prior: Prior, frozen: Sequence[str], init: str | None) -> None:
    """Keep parts of a prior from learning, or a ConfigError."""
    parts = [name for name, part in prior.named_children() if any(True for _ in part.parameters())]
    for part in frozen:
        if part not in parts:
            raise ConfigError(f"no part {part!r} of the prior to freeze: {', '.join(parts)}")
        prior.get_submodule(part).requires_grad_(False)
    if not init or not any(parameter.requires_grad for parameter in prior.parameters()):
        raise ConfigError(
            f"with {', '.join(frozen)} frozen "
            + (
                "nothing is left to learn"
                if init
                else "at random weights nothing can be learnt; name a prior as model.init"
            )
        )


def start_from(prior: Prior, name: str, registry: Path | None = None) -> None:
    """Copy the weights of a registered prior of the same family and shapes, or a ConfigError.

    A whole part that the other lacks, such as a denoiser, keeps its random start.
    """
    other = Registry.default(registry).load(name)
    found = {key: tensor.shape for key, tensor in other.state_dict().items()}
    parts = {key.partition(".")[0] for key in found}
    wanted = {
        key: tensor.shape
        for key, tensor in prior.state_dict().items()
        if key.partition(".")[0] in parts
    }
    amplitude, other_amplitude = (p.architecture.get("amplitude") for p in (prior, other))
    if (prior.family, wanted, amplitude) != (other.family, found, other_amplitude):
        raise ConfigError(
            f"prior {name!r} is a {other.family!r} of {other.architecture}, the one in training a "
            f"{prior.family!r} of {prior.architecture}; make them equal to start from it"
        )
    prior.load_state_dict(other.state_dict(), strict=False)
