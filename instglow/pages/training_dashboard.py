"""What a training run shows on Weights & Biases besides the losses that the module logs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor
from torch.nn.utils import get_total_norm

from instglow.errors import ConfigError
from instglow.pages.sounds import drawn, media, rebuilt
from instglow.training.base import PriorRun, TrainingRun
from instglow.training.discrimination import measured_others

_BATCHES = 10
"""That throughput is the mean of; as many as `trainer.yaml` logs once."""


class Work(NamedTuple):
    """One batch on all processes.

    Attributes:
        segments: trained on.
        audio: seconds that they last together.
        taken: seconds that it took, the wait for the data included.
    """

    segments: int
    audio: float
    taken: float


class Dashboard(Callback):
    """Norm of the gradient, learning rate, throughput; samples, reconstructions, likelihoods.

    It does nothing where the run has no `WandbLogger`, and draws nothing from the global random
    numbers: weights are the same with and without it. Samples and reconstructions are made while
    the held-out recordings are measured, with the very weights that are measured.

    Args:
        every: epochs between two rounds of samples, reconstructions and likelihoods.
        samples: drawn at each temperature, and held-out segments reconstructed.
        seconds: of one of them, at most.
        enabled: False logs nothing of all this.

    Raises:
        ConfigError: for no epochs, negative samples or no seconds.
    """

    def __init__(
        self, every: int = 5, samples: int = 3, seconds: float = 2.0, enabled: bool = True
    ) -> None:
        if every < 1 or samples < 0 or seconds <= 0:
            raise ConfigError(
                "dashboard.every must be at least 1, samples at least 0 and seconds above 0, got "
                f"{every}, {samples} and {seconds}; or pass --dashboard.enabled false"
            )
        self.every = every
        self.samples = samples
        self.seconds = seconds
        self.enabled = enabled
        self._logger: WandbLogger | None = None
        self._shown = -1  # the last epoch with samples
        self._compared = -1  # the last one with a table of likelihoods
        self._since = 0.0
        self._recent: deque[Work] = deque(maxlen=_BATCHES)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the logger to write to."""
        loggers = [one for one in trainer.loggers if isinstance(one, WandbLogger)]
        active = self.enabled and stage == "fit" and isinstance(pl_module, TrainingRun)
        self._logger = loggers[0] if active and loggers else None
        self._recent.clear()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log the gradient before it is clipped, and the learning rate of this very step."""
        if self._logger is None:
            return
        learned = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = get_total_norm([weight.grad for weight in learned if weight.grad is not None])
        several = len(trainer.optimizers) > 1
        which = f"/{trainer.optimizers.index(optimizer)}" if several else ""
        rate = optimizer.param_groups[0]["lr"]
        pl_module.log_dict(
            {f"train/gradient_norm{which}": norm, f"train/learning_rate{which}": rate}
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log how fast the last few batches went."""
        if self._logger is None or not isinstance(batch, Tensor):
            return
        assert isinstance(pl_module, TrainingRun)
        now = time.perf_counter()
        segments = trainer.world_size * batch.shape[:-2].numel()
        audio = segments * batch.shape[-1] / pl_module.sample_rate
        self._recent.append(Work(segments, audio, now - self._since))
        self._since = now
        taken = sum(work.taken for work in self._recent)
        pl_module.log_dict(
            {
                "throughput/segments_per_second": sum(w.segments for w in self._recent) / taken,
                "throughput/audio_hours_per_hour": sum(w.audio for w in self._recent) / taken,
            }
        )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log samples and reconstructions while averaged weights, if any, are in their place."""
        first = batch_idx == dataloader_idx == 0
        if not (
            first
            and self.samples
            and self._due(trainer, self._shown)
            and isinstance(pl_module, PriorRun)
        ):
            return
        sounds = {
            "samples": drawn(pl_module, self.samples, self.seconds),
            "reconstructions": rebuilt(pl_module, batch, self.samples, self.seconds),
        }
        self._log(media(sounds, pl_module.sample_rate))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log how likely the prior finds other instruments, where they were measured."""
        if self._due(trainer, self._shown):
            self._shown = trainer.current_epoch
        # they are not measured in every validation, so their epochs are not those of the samples
        if self._due(trainer, self._compared):
            assert isinstance(pl_module, TrainingRun)
            rows = likelihoods(pl_module.name, trainer.callback_metrics)
            if rows:
                import wandb  # slow to import

                self._compared = trainer.current_epoch
                columns: list[str | int] = ["prior", "instrument", "bits_per_dim", "gap"]
                self._log({"likelihood": wandb.Table(columns=columns, data=rows)})
        self._since = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the best checkpoint; an interrupted run does not come here."""
        checkpoints = trainer.checkpoint_callback
        if not (
            self._logger and trainer.is_global_zero and isinstance(checkpoints, ModelCheckpoint)
        ):
            return
        best = Path(checkpoints.best_model_path or checkpoints.last_model_path)
        if not best.is_file():
            return
        import wandb  # slow to import

        assert isinstance(pl_module, TrainingRun)
        score = checkpoints.best_model_score
        about = {} if score is None else {str(checkpoints.monitor): float(score)}
        artifact = wandb.Artifact(pl_module.name, type="checkpoint", metadata=about)
        for path in (best, best.with_name("config.yaml")):
            if path.is_file():
                # uploaded from where it lies: offline, a copy would stay on the disk for good
                artifact.add_file(str(path), policy="immutable")
        self._logger.experiment.log_artifact(artifact, aliases=["latest", "best"])

    def _due(self, trainer: Trainer, last: int) -> bool:
        return (
            self._logger is not None
            and trainer.is_global_zero
            and not trainer.sanity_checking
            and trainer.current_epoch - last >= self.every
        )

    def _log(self, entries: dict[str, Any]) -> None:
        # without a step of its own: wandb adds the one that the losses were last logged with
        if self._logger is not None and entries:
            self._logger.log_metrics(entries)


def likelihoods(prior: str, metrics: Mapping[str, Tensor]) -> list[list[Any]]:
    """Rows of prior, instrument, bits per dimension and how far they are above the prior's own.

    Args:
        prior: its name, and that of its own instrument.
        metrics: with "held-out/bits_per_dim" for the own instrument, and
            "held-out-<instrument>/bits_per_dim" for the others; without others there are no rows.
    """
    others = dict(measured_others({name: float(value) for name, value in metrics.items()}))
    own = metrics.get("held-out/bits_per_dim")
    if not others or own is None:
        return []
    return [
        [prior, name, bits, bits - float(own)]
        for name, bits in {prior: float(own), **others}.items()
    ]
