"""What happens around the training of a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor

from instglow.errors import ConfigError
from instglow.files import check_writable
from instglow.registry import Registry, validate_name
from instglow.registry.runs import RUNS, next_number
from instglow.registry.weights import Storage
from instglow.training.base import PriorRun, TrainingRun
from instglow.training.publish import publish, source_from


class Checkpoints(ModelCheckpoint):
    """Keeps `last.ckpt` and `best.ckpt`, the one that did best on held-out recordings.

    Args:
        folder: of this run; by default the next free number below `runs/<name>/`.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor="held-out/loss",
            save_last=True,
            enable_version_counter=False,
        )
        self._newest = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder, now that the name is known."""
        if self.dirpath is None and stage == "fit":
            runs = Path(trainer.default_root_dir) / RUNS / _name(pl_module)
            self.dirpath = trainer.strategy.broadcast(str(next_number(runs)))
        if self.dirpath is not None and stage == "fit":
            check_writable(Path(self.dirpath) / "last.ckpt")
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set right what Lightning gets wrong about a run resumed from the end of an epoch."""
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path is None:
            return
        progress = trainer.fit_loop.epoch_progress
        # it ends that epoch once more: nothing is new, and `max_epochs` must not count it twice
        self._newest = self._last_global_step_saved = trainer.global_step
        for count in (progress.current, progress.total):
            assert isinstance(count, _ProcessedTracker)
            count.processed = min(count.processed, count.completed)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning writes `last.ckpt` beside a new best alone; a resumed run needs the newest."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._newest != trainer.global_step and not getattr(trainer, "fast_dev_run", False):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_last_checkpoint(
        self, trainer: Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        # a validation in the middle of an epoch writes none: the loader starts an epoch from its
        # beginning, so that only a run resumed from the end of one equals a run never killed
        if not trainer.validating:
            super()._save_last_checkpoint(trainer, monitor_candidates)
            self._newest = trainer.global_step


def _name(module: LightningModule) -> str:
    assert isinstance(module, TrainingRun)
    return module.name


class Publish(Callback):
    """Registers the best checkpoint when the training of a prior ends.

    Args:
        enabled: False leaves it to `instglow add-prior`.
        replace: whether a prior of that name may be replaced; by default only by a resumed run.
        registry: folder to register in; by default the first that can be written.
        trained_on: what the recordings are: mappings of name, hours, licence and note.
        licence: of the weights.
        storage: of the weights: float16 is as good as float32, int7 takes less than half of it.
    """

    def __init__(
        self,
        enabled: bool = True,
        replace: bool | None = None,
        registry: str | None = None,
        trained_on: list[dict[str, Any]] | None = None,
        licence: str = "unstated",
        storage: Storage = "float16",
    ) -> None:
        self.enabled = enabled
        self.replace = replace
        self.registry = Registry.default(Path(registry) if registry else None)
        self.trained_on = [source_from(values) for values in trained_on or []]
        self.licence = licence
        self.storage: Storage = storage

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse before hours of training, not after."""
        name = validate_name(_name(pl_module))
        self.enabled &= isinstance(pl_module, PriorRun) and not getattr(
            trainer, "fast_dev_run", False
        )
        if stage != "fit" or not self.enabled:
            return
        if self.replace is None:
            self.replace = trainer.ckpt_path is not None
        if not self.replace:
            self.registry.require_free(
                name,
                "pass --publish.replace true to replace it when training ends, or another name as "
                "--model.instrument",
            )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register what did best; an interrupted run does not come here."""
        if not (self.enabled and trainer.is_global_zero):
            return
        checkpoints = trainer.checkpoint_callback
        assert isinstance(checkpoints, Checkpoints)
        checkpoint = checkpoints.best_model_path or checkpoints.last_model_path
        if not checkpoint:
            raise ConfigError(
                "nothing was trained, so there is nothing to register; let trainer.max_steps, "
                "max_epochs, max_time and limit_train_batches leave a step to train"
            )
        folder = publish(
            Path(checkpoint),
            self.registry,
            _name(pl_module),
            replace=bool(self.replace),
            trained_on=self.trained_on,
            licence=self.licence,
            storage=self.storage,
        )
        print(f"registered prior {_name(pl_module)!r} in {folder}")
