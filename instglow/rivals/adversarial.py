"""The LightningModule that trains a GAN-prior against a critic."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from instglow.data.datamodule import SoloData
from instglow.data.segments import spread
from instglow.errors import ConfigError
from instglow.rivals.families.spec_gan import Critic, SpecGANPrior
from instglow.training.augment import Augmentation
from instglow.training.base import PriorRun

_MEASURED = 256
"""Segments, evenly spread over the training data, whose log-magnitudes are measured."""

_FAKES = 64
"""Blocks that the held-out recordings are compared with; the same latents every time."""


class AdversarialTraining(PriorRun):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017), as SpecGAN is trained.

    Every batch is one step of the critic; after every `critic_steps` of them the generator makes
    one. The trainer counts both, so a cycle of 5 + 1 takes 6 of its `max_steps`, and every step of
    either has a number, thus draws, of its own. Where a cycle stands follows from the count
    alone: a resumed run goes on in the middle of one.

    "held-out/loss", by which the best checkpoint is chosen, is the energy score (Gneiting &
    Raftery, 2007) of the held-out blocks, smallest in expectation for a generator of the very
    distribution. The critic's own distance would not do: the critic changes, and a poor one finds
    all generators good.

    The trainer must not clip gradients (`gradient_clip_val: null`): Lightning leaves that to the
    module where there are two optimizers, and the penalty bounds them.

    Args:
        instrument: the name that the prior is registered under.
        prior: to train.
        learning_rate: of both Adams, from the first step to the last.
        critic_steps: for each of the generator.
        penalty: weight of the critic's squared deviation from a slope of 1.
        augmentation: of the training segments.
        seed: of all that is drawn; together with the step it decides it.

    Raises:
        ConfigError: for no steps of the critic.
    """

    def __init__(
        self,
        instrument: str,
        prior: SpecGANPrior,
        learning_rate: float = 1e-4,
        critic_steps: int = 5,
        penalty: float = 10.0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
    ) -> None:
        super().__init__(instrument, prior, learning_rate, 0, augmentation, seed)
        if critic_steps < 1:
            raise ConfigError(f"critic_steps must be at least 1, got {critic_steps}")
        self.prior: SpecGANPrior = prior
        self.critic = Critic(
            (prior.channels, prior.block),
            prior.architecture["width"],
            prior.architecture["layers"],
        )
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.automatic_optimization = False

    def segment(self, seconds: float) -> int:
        """-> samples that make whole blocks of frames, and the frames that `blocks` cuts off."""
        frontend, block = self.prior.frontend, self.prior.block
        edges = 2 * self._edge
        # played faster, a single block would end early
        fewest = 2 if self.augmentation.speed else 1
        frames = seconds * self.sample_rate / frontend.hop_length - edges
        return (max(fewest, round(frames / block)) * block + edges - 1) * frontend.hop_length

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """SpecGAN's Adam for the critic and for the generator."""
        return [
            torch.optim.Adam(part.parameters(), self.learning_rate, betas=(0.5, 0.9))
            for part in (self.critic, self.prior.generator)
        ]

    def on_fit_start(self) -> None:
        """Measure the log-magnitudes of the training data; a resumed run keeps what it had."""
        if self.trainer.ckpt_path is not None:
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, SoloData):
            raise ConfigError(
                "adversarial training measures its data first, which only SoloData allows, got "
                f"{type(data).__name__}"
            )
        train = data.segments["train"]
        magnitudes = [
            self.magnitude(self.at_level(train[number].to(self.device)))
            for number in spread(len(train), _MEASURED)
        ]
        self.prior.measure(torch.cat(magnitudes, -1))

    def training_step(self, wave: Tensor) -> None:
        """(batch, channels, samples) full scale ±1: a step of the critic, then perhaps one of
        the generator."""
        random = self.draw(~self.draw_number)
        solos = self.augmentation.wave(self.at_level(wave), random, self.sample_rate)
        real = self.blocks(self.augmentation.magnitude(self.magnitude(solos), random))
        critic, generator = self._optimizers()
        random = self.draw(self.draw_number)
        with torch.no_grad():
            fake = self.fakes(len(real), random)
        mixed = torch.lerp(fake, real, torch.rand(len(real), 1, 1, generator=random).to(real))
        distance = self.critic(real).mean() - self.critic(fake).mean()
        slope = slope_penalty(self.critic, mixed)
        self._step(critic, self.penalty * slope - distance)
        self.log_dict({"train/distance": distance, "train/slope": slope}, prog_bar=True)
        # the trainer has counted the step above
        if self.global_step % (self.critic_steps + 1) == self.critic_steps:
            self.toggle_optimizer(generator)
            loss = -self.critic(self.fakes(len(real), self.draw(self.draw_number))).mean()
            self._step(generator, loss)
            self.untoggle_optimizer(generator)
            self.log("train/generator", loss, prog_bar=True)

    def blocks(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) linear amplitude -> (blocks, bins - 1, block) in [-1, 1].

        Frames that look beyond the ends of a segment are left out, and what makes no whole block.

        Raises:
            ConfigError: where no block is left.
        """
        inner = magnitude[..., self._edge : magnitude.shape[-1] - self._edge]
        count = inner.shape[-1] // self.prior.block
        if not count:
            raise ConfigError(
                f"a segment of {magnitude.shape[-1]} frames is shorter than a block of "
                f"{self.prior.block}; raise data.seconds or lower model.augmentation.speed"
            )
        whole = self.prior.normalised(inner[..., : count * self.prior.block])
        return whole.unflatten(-1, (count, -1)).transpose(1, 2).flatten(0, 1)

    def fakes(self, count: int, random: torch.Generator) -> Tensor:
        """-> (count, bins - 1, block) in [-1, 1], generated."""
        return self.prior.generator(self.prior.initial_latent(count, 1, random)[..., 0])

    def on_validation_epoch_start(self) -> None:
        """Generate once what every batch is compared with."""
        self._compared = self.fakes(_FAKES, self.draw(0)).flatten(1)

    def on_test_epoch_start(self) -> None:
        """The same."""
        self.on_validation_epoch_start()

    def validation_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, channels, samples) held-out segments; logs their energy score."""
        self._evaluate("held-out", wave)

    def test_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, channels, samples) held-out segments; logs their energy score."""
        self._evaluate("test", wave)

    def settings(self) -> dict[str, Any]:
        """What the card records of this run; plain values."""
        return {
            **super().settings(),
            "critic_steps": self.critic_steps,
            "penalty": self.penalty,
        }

    @property
    def _edge(self) -> int:
        """Frames at either end whose window reaches beyond the segment."""
        frontend = self.prior.frontend
        return -(-frontend.n_fft // (2 * frontend.hop_length))

    def _evaluate(self, stage: str, wave: Tensor) -> None:
        real = self.blocks(self.magnitude(self.at_level(wave)))
        score = energy_score(real.flatten(1), self._compared)
        self.log(f"{stage}/loss", score.mean(), prog_bar=True, batch_size=len(wave), sync_dist=True)

    def _optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers

    def _step(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


def slope_penalty(critic: nn.Module, picture: Tensor) -> Tensor:
    """(batch, bins, frames) -> the mean of (‖d critic / d picture‖ − 1)²."""
    at = picture.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def energy_score(real: Tensor, fake: Tensor) -> Tensor:
    """E‖x − Y‖ − ½ E‖Y − Y'‖ for each x, divided by the root of the dimensions.

    Args:
        real: (observations, dimensions), each an x.
        fake: (samples, dimensions), at least two draws of Y.

    Returns:
        (observations,).

    >>> energy_score(torch.tensor([[3.0], [5.0]]), torch.tensor([[3.0], [5.0]]))
    tensor([0., 0.])
    """
    count, dimensions = fake.shape
    spread = torch.cdist(fake, fake).sum() / (count * (count - 1))
    return (torch.cdist(real, fake).mean(1) - 0.5 * spread) / math.sqrt(dimensions)
