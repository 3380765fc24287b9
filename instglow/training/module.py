"""The LightningModule that trains any Trainable prior."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from instglow.prior import Trainable
from instglow.training.augment import Augmentation


class PriorTraining(LightningModule):
    """Maximum likelihood, or whatever loss the prior's family brings, on solo recordings.

    Args:
        instrument: the name that the prior is registered under.
        prior: to train.
        learning_rate: of Adam, at its highest.
        warmup_steps: in which the learning rate rises from 0; then it falls to 0 as a cosine.
        augmentation: of the training segments.
        seed: of the gains and the noise; together with the step it decides them.
    """

    def __init__(
        self,
        instrument: str,
        prior: Trainable,
        learning_rate: float = 1e-3,
        warmup_steps: int = 50,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.instrument = instrument
        self.prior = prior
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.augmentation = augmentation
        self.seed = seed

    def training_step(self, wave: Tensor) -> Tensor:
        """(batch, samples) full scale ±1 -> the loss."""
        # seeded by the step alone: a run killed and resumed draws what the whole run would have
        number = self.global_step * self.trainer.world_size + self.global_rank
        generator = self._generator(~number)
        magnitude = self._magnitude(self.augmentation.wave(self._at_level(wave), generator))
        magnitude = self.augmentation.magnitude(magnitude, generator)
        terms = self.prior.loss(magnitude, self._generator(number, wave.device))
        self.log_dict({f"train/{name}": term for name, term in terms.items()}, prog_bar=True)
        return terms["loss"]

    def validation_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, samples) held-out segments; logs the mean of each term."""
        self._evaluate("held-out", wave, batch_index)

    def test_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, samples) held-out segments; logs the mean of each term."""
        self._evaluate("test", wave, batch_index)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, warmed up, then cooled down over the steps that the trainer plans."""
        optimizer = torch.optim.Adam(self.prior.parameters(), lr=self.learning_rate)
        total = self.trainer.estimated_stepping_batches

        def factor(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / self.warmup_steps
            share = (step - self.warmup_steps) / max(1.0, total - self.warmup_steps)
            return 0.5 + 0.5 * math.cos(math.pi * min(1.0, share))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what `add-prior` needs, as plain values: `weights_only` loads nothing else."""
        checkpoint["instglow"] = {
            "instrument": self.instrument,
            "family": self.prior.family,
            "architecture": dict(self.prior.architecture),
            "frontend": self.prior.frontend.to_dict(),
            "training": self.settings(),
            "scores": {
                name: float(value)
                for name, value in self.trainer.callback_metrics.items()
                if name.startswith("held-out/")
            },
        }

    def settings(self) -> dict[str, Any]:
        """What the card records of this run; plain values."""
        data = getattr(self.trainer, "datamodule", None)
        return {
            "learning_rate": self.learning_rate,
            "augmentation": asdict(self.augmentation),
            "seed": self.seed,
            "steps": self.global_step,
            "batch_size": getattr(data, "batch_size", None),
            "seconds": getattr(data, "seconds", None),
            "precision": str(self.trainer.precision),
        }

    def _evaluate(self, stage: str, wave: Tensor, batch_index: int) -> None:
        magnitude = self._magnitude(self._at_level(wave))
        terms = self.prior.loss(magnitude, self._generator(batch_index, wave.device))
        self.log_dict(
            {f"{stage}/{name}": term for name, term in terms.items()},
            prog_bar=True,
            batch_size=len(wave),
            sync_dist=True,
        )

    def _magnitude(self, wave: Tensor) -> Tensor:
        # the spectrogram stays in full precision
        with torch.autocast(wave.device.type, enabled=False):
            return self.prior.frontend.magnitude(wave.float())

    def _at_level(self, wave: Tensor) -> Tensor:
        if not self.prior.level:
            return wave
        rms = wave.square().mean(-1, keepdim=True).sqrt()
        return wave * (self.prior.level / rms.clamp(min=1e-6))

    def _generator(self, number: int, device: torch.device | str = "cpu") -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed * 1_000_003 + number)
