"""What all training runs share: a name, seeded draws, and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from instglow.errors import ConfigError, require, require_seed
from instglow.prior import Prior
from instglow.separation.refine import pooled_magnitude
from instglow.training.augment import Augmentation


class TrainingRun(LightningModule):
    """A LightningModule that `instglow fit` can run.

    Args:
        name: of the run's folder, and of the prior where it trains one.
        learning_rate: of Adam, at its highest.
        warmup_steps: in which the learning rate rises from 0; then it falls to 0 as a cosine.
        augmentation: of the training segments.
        seed: of what is drawn; together with the step it decides all.

    Raises:
        ConfigError: for a learning rate that is not above 0, fewer than 0 steps of warm-up, or a
            seed that is too large or below 0.
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
        require(
            0 < learning_rate < math.inf, "model.learning_rate", "above 0 and finite", learning_rate
        )
        require(warmup_steps >= 0, "model.warmup_steps", "at least 0", warmup_steps)
        require_seed("model.seed", seed)
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

    def setup(self, stage: str) -> None:
        """Refuse weights of less than 32 bits, which small steps of Adam would leave as they are,
        and what Lightning would divide by.

        Raises:
            ConfigError: for a precision other than full or mixed, or an interval of 0.
        """
        for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval"):
            interval = getattr(self.trainer, name)
            if isinstance(interval, (int, float)):
                require(interval > 0, f"trainer.{name}", "above 0", interval)
        precision = str(self.trainer.precision)
        if precision not in ("32-true", "16-mixed", "bf16-mixed"):
            raise ConfigError(
                f"cannot train with trainer.precision {precision}; use 32-true, or bf16-mixed on a "
                "GPU"
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, warmed up, then cooled down over the steps that the trainer plans."""
        # fused, Adam would unscale gradients itself, and Lightning not clip them
        fused = "mixed" not in str(self.trainer.precision)
        return self.scheduled(torch.optim.Adam(self.learned(), lr=self.learning_rate, fused=fused))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model, and say so if nothing is left to train.

        Raises:
            ConfigError: for weights of other names or shapes, or without an optimizer's state.
        """
        require_same_shapes(checkpoint["state_dict"], self.state_dict())
        if self.trainer.training and not checkpoint.get("optimizer_states"):
            raise ConfigError("the checkpoint holds weights alone, so no run can go on from it")
        done, most = checkpoint["global_step"], self.trainer.max_steps
        if self.trainer.training and 0 <= most <= done:
            rank_zero_only(print)(
                f"nothing to train: the checkpoint has {done} steps, trainer.max_steps is {most}"
            )

    def on_train_start(self) -> None:
        """The learning rate is the one configured, also where a checkpoint has brought another."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] = self.learning_rate
        for config in self.trainer.lr_scheduler_configs:
            schedule = config.scheduler
            assert isinstance(schedule, LambdaLR)
            schedule.base_lrs = [self.learning_rate for _ in schedule.base_lrs]
            for group, factor in zip(
                schedule.optimizer.param_groups, schedule.lr_lambdas, strict=True
            ):
                group["lr"] = self.learning_rate * factor(schedule.last_epoch)

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

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def draw(self, number: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers that the seed and a number alone decide."""
        return torch.Generator(device).manual_seed(self.seed * 1_000_003 + number)

    @property
    def draw_number(self) -> int:
        """Of this batch on this process: a run killed and resumed draws what a whole one would."""
        batches = self.trainer.accumulate_grad_batches  # a step
        number = self.global_step * batches
        number += self.trainer.fit_loop.epoch_loop.batch_idx % batches
        return number * self.trainer.world_size + self.global_rank


def require_same_shapes(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise a ConfigError that names the first weight of a checkpoint that does not fit."""
    for name in {**wanted, **found}:
        there, here = (
            "none" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
            for tensor in (found.get(name), wanted.get(name))
        )
        if there != here:
            raise ConfigError(
                f"the checkpoint is of another model: {name} is {there} in it, {here} here; "
                "give the configuration that it was trained with"
            )


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
        """(..., samples) full scale ±1 -> (..., bins, frames) complex, in full precision."""
        with torch.autocast(wave.device.type, enabled=False):
            return self.prior.frontend.spectrogram(wave.float())

    def magnitude(self, wave: Tensor) -> Tensor:
        """(..., channels, samples) full scale ±1 -> (..., bins, frames), in full precision."""
        return pooled_magnitude(self.spectrogram(wave))

    def at_level(self, wave: Tensor) -> Tensor:
        """(..., channels, samples) -> the same, each solo at the level that the prior is for."""
        return self.prior.at_level(wave)
