"""The end of a run that no longer gets better."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from instglow.errors import ConfigError


class EarlyStop(EarlyStopping):
    """Ends a run when "held-out/loss" has not fallen for some validations, or is no number.

    Args:
        patience: in validations without a new lowest; without one, a run takes all its steps.

    Raises:
        ConfigError: for a patience below 1.
    """

    def __init__(self, patience: int | None = None) -> None:
        if patience is not None and patience < 1:
            raise ConfigError(
                f"early_stop.patience is {patience}; give at least 1 validation, or null for none"
            )
        super().__init__(
            "held-out/loss",
            patience=sys.maxsize if patience is None else patience,
            strict=False,  # a run without validation has no such loss
            check_finite=patience is not None,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting; the patience is that of now, so that a stopped run can be resumed."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why the run is over."""
        if self.stopping_reason.value and trainer.is_global_zero:
            reason = " ".join((self.stopping_reason_message or "").split())
            print(f"stopped early after {trainer.global_step} steps: {reason}")
