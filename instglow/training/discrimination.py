"""Whether a prior in training tells its instrument from others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from instglow.data.cache import Cache
from instglow.data.datamodule import SoloData, wanted
from instglow.data.loading import load, say
from instglow.data.segments import spread
from instglow.data.solo import SoloSource
from instglow.errors import ConfigError
from instglow.training.module import PriorTraining

BITS = "bits_per_dim"


class Discrimination(Callback):
    """Measures how likely the prior finds held-out recordings of other instruments.

    Logs "held-out-<other>/bits_per_dim", as "held-out/bits_per_dim" is measured, and the smallest
    of them minus the own one as "held-out/gap": positive where the prior prefers its own. They are
    kept in the checkpoint, and the card of the prior shows them.

    Args:
        others: recordings by instrument; one of the prior's own name is left out.
        every: how many validations apart; a new best checkpoint is measured in any case.
        segments: of each instrument at most, evenly spread over its recordings.

    Raises:
        ConfigError: for numbers below 1.
    """

    def __init__(
        self,
        others: dict[str, SoloSource] | None = None,
        every: int = 5,
        segments: int = 64,
    ) -> None:
        for name, value in (("every", every), ("segments", segments)):
            if value < 1:
                raise ConfigError(f"discrimination.{name} is {value}; give at least 1")
        self.others = others or {}
        self.every = every
        self.segments = segments
        self.validations = 0
        self._heard: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Decode and cut the recordings; refuse a prior that cannot be measured."""
        if not self.others or stage not in ("fit", "validate"):
            return
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, PriorTraining) or not isinstance(data, SoloData):
            raise ConfigError(
                f"discrimination.others is for priors of one instrument, not for "
                f"{type(pl_module).__name__} on {type(data).__name__}; leave it out"
            )
        sample_rate, samples = wanted(data, data.seconds)
        cache = Cache.named(data.cache)
        for name, source in self.others.items():
            if name != pl_module.name:
                loaded = load(source, ("held-out",), sample_rate, samples, data.gate, cache)
                say(f"{name}: {note}" for note in loaded.notes)
                found = loaded.segments["held-out"]
                chosen = spread(len(found), self.segments)
                self._heard[name] = torch.stack([found[number] for number in chosen])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, where it is time to."""
        if not self._heard or trainer.sanity_checking:
            return
        assert isinstance(pl_module, PriorTraining)
        self.validations += 1
        figures, own = trainer.callback_metrics, f"held-out/{BITS}"
        if own not in figures:
            raise ConfigError(
                f"family {pl_module.prior.family!r} tells no bits per dimension; "
                "leave out discrimination.others"
            )
        training = trainer.state.fn == TrainerFn.FITTING
        if training and self.validations % self.every and not _is_best(trainer):
            # a checkpoint of now must not keep what was measured on weights of before
            for name in ("held-out/gap", *map(metric, self._heard)):
                figures.pop(name, None)
            return
        batch = trainer.datamodule.batch_size  # type: ignore[attr-defined]
        with trainer.precision_plugin.val_step_context():
            found = {
                name: _mean_bits(pl_module, waves.split(batch))
                for name, waves in self._heard.items()
            }
        gap = min(found.values()) - float(figures[own])
        logged = {metric(name): bits for name, bits in found.items()}
        pl_module.log_dict({**logged, "held-out/gap": gap})

    def state_dict(self) -> dict[str, Any]:
        """How many validations there were."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.validations = state_dict["validations"]


def metric(other: str) -> str:
    """-> what the bits per dimension on another instrument are logged as."""
    return f"held-out-{other}/{BITS}"


def measured_others(scores: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Logged figures -> each other instrument and the bits per dimension on it."""
    for name, value in scores.items():
        other = name.removeprefix("held-out-").removesuffix(f"/{BITS}")
        if name == metric(other):
            yield other, value


def _is_best(trainer: Trainer) -> bool:
    checkpoints = trainer.checkpoint_callback
    loss = trainer.callback_metrics.get("held-out/loss")
    check = getattr(checkpoints, "check_monitor_top_k", None)
    return check is not None and bool(check(trainer, loss))


def _mean_bits(module: PriorTraining, batches: tuple[Tensor, ...]) -> float:
    """The mean over all segments, each batch with the noise that held-out ones have."""
    total = sum(
        len(wave) * float(_terms(module, wave.to(module.device), number)[BITS])
        for number, wave in enumerate(batches)
    )
    return total / sum(map(len, batches))


@torch.no_grad()
def _terms(module: PriorTraining, wave: Tensor, number: int) -> dict[str, Tensor]:
    return module.terms(wave, number)
