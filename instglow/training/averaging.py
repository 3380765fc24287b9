"""An average of the weights over the last steps, which finds held-out recordings likelier."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from instglow.errors import ConfigError
from instglow.training.base import PriorRun


class WeightAverage(WeightAveraging):
    """Exponential moving average of a prior's weights; buffers stay those of the last step.

    Validation, the checkpoints' `state_dict` and so the registered prior have the averages. The
    weights that training goes on from are in a checkpoint too, so a resumed run is exact. What
    measures the average when a validation ends must come before it in `Trainer(callbacks=...)`.

    Args:
        decay: share of the average that a step keeps, in [0, 1); 0 averages nothing. After n steps
            it is (1 + n) / (10 + n) where that is less: a short run averages its last tenth.

    Raises:
        ConfigError: for a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"averaging.decay is {decay}; give a number from 0 to less than 1")
        super().__init__(use_buffers=False, multi_avg_fn=self._approach)
        self.decay = decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Of runs other than a prior's, take the last weights: their buffers fit no others."""
        if not isinstance(pl_module, PriorRun):
            self.decay = 0.0
        super().setup(trainer, pl_module, stage)

    def _approach(self, averages: list[Tensor], weights: list[Tensor], steps: Tensor) -> None:
        kept = decay_after(int(steps), self.decay)
        torch._foreach_lerp_(averages, weights, 1 - kept)


def decay_after(steps: int, decay: float) -> float:
    """-> what the average keeps in the step after so many.

    >>> [round(decay_after(steps, 0.999), 3) for steps in (1, 90, 4000, 10**6)]
    [0.182, 0.91, 0.998, 0.999]
    """
    return min(decay, (1 + steps) / (10 + steps))
