"""What all training runs share: a name, seeded draws, and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from instglow.prior import Prior
from instglow.training.augment import Augmentation


class TrainingRun(LightningModule):
    """A LightningModule that `instglow fit` can run.

    Args:
        name: of the run's folder, and of the prior where it trains one.
        learning_rate: of Adam, at its highest.
        warmup_steps: in which the learning rate rises from 0; then it falls to 0 as a cosine.
        augmentation: of the training segments.
        seed: of what is drawn; together with the step it decides all.
    """

    def __init__(
        self,
        name: str,
        learning_rate: float,
        warmup_steps: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.augmentation = augmentation
        self.seed = seed

    @property
    def sample_rate(self) -> int:
        """Of the segments that it is trained on, Hz."""
        raise NotImplementedError

    def segment(self, seconds: float) -> int:
        """-> samples of a training segment that lasts about so long."""
        return max(1, round(seconds * self.sample_rate))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, warmed up, then cooled down over the steps that the trainer plans."""
        return self.scheduled(torch.optim.Adam(self.learned(), lr=self.learning_rate, fused=True))

    def learned(self) -> Iterator[nn.Parameter]:
        """The parameters that Adam changes."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def scheduled(self, optimizer: torch.optim.Optimizer) -> OptimizerLRScheduler:
        """An optimizer with the course of its learning rate, as Lightning wants them."""
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

    def draw(self, number: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers that the seed and a number alone decide."""
        return torch.Generator(device).manual_seed(self.seed * 1_000_003 + number)

    @property
    def draw_number(self) -> int:
        """Of this step on this process: a run killed and resumed draws what a whole one would."""
        return self.global_step * self.trainer.world_size + self.global_rank


class PriorRun(TrainingRun):
    """A run whose result is a prior; its checkpoints are what `add-prior` reads.

    Args:
        name: that the prior is registered under.
        prior: to train.
        learning_rate, warmup_steps, augmentation, seed: see `TrainingRun`.
    """

    def __init__(
        self,
        name: str,
        prior: Prior,
        learning_rate: float,
        warmup_steps: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__(name, learning_rate, warmup_steps, augmentation, seed)
        self.prior = prior

    @property
    def sample_rate(self) -> int:
        """Of the prior, Hz."""
        return self.prior.frontend.sample_rate

    def segment(self, seconds: float) -> int:
        """-> samples of a training segment, whole frames; see `Frontend.segment`."""
        return self.prior.frontend.segment(seconds)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what `add-prior` needs, as plain values: `weights_only` loads nothing else."""
        checkpoint["instglow"] = {
            "instrument": self.name,
            "family": self.prior.family,
            "architecture": dict(self.prior.architecture),
            "frontend": self.prior.frontend.to_dict(),
            "training": self.settings(),
            "scores": {
                name: float(value)
                for name, value in self.trainer.callback_metrics.items()
                if name.startswith(("held-out/", "held-out-"))
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

    def spectrogram(self, wave: Tensor) -> Tensor:
        """(batch, samples) full scale ±1 -> (batch, bins, frames) complex, in full precision."""
        with torch.autocast(wave.device.type, enabled=False):
            return self.prior.frontend.spectrogram(wave.float())

    def magnitude(self, wave: Tensor) -> Tensor:
        """(batch, samples) full scale ±1 -> (batch, bins, frames), in full precision."""
        return self.spectrogram(wave).abs()

    def at_level(self, wave: Tensor) -> Tensor:
        """(..., samples) -> the same, each segment at the level that the prior is trained at."""
        return self.prior.at_level(wave)
