"""A prior, recordings and a trainer so small that a run takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.data.datamodule import SoloData
from instglow.families.glow import GlowPrior
from instglow.training.augment import Augmentation
from instglow.training.module import PriorTraining

RATE = 8000
BATCHES = 6  # of an epoch


@dataclass
class Hum:
    """Recordings of one tone in noise, at a frequency in Hz."""

    hertz: float

    def recordings(self, split: str, sample_rate: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(len(split))
        moments = torch.arange(sample_rate) / sample_rate
        for _ in range(2):
            tone = torch.sin(2 * torch.pi * self.hertz * moments)
            yield 0.2 * tone + 0.01 * torch.randn(sample_rate, generator=generator)


def training(instrument: str = "low", prior: GlowPrior | None = None, **options) -> PriorTraining:
    torch.manual_seed(0)
    prior = prior or GlowPrior(
        Frontend(RATE, 64, 16), steps=1, hidden=4, layers=1, noise=0.05, amplitude="power:0.5"
    )
    options = {"learning_rate": 2e-3, "warmup_steps": 2, **options}
    return PriorTraining(instrument, prior, augmentation=Augmentation(level=2.0), **options)


def data(hertz: float = 200.0, **options) -> SoloData:
    options = {"seconds": 0.05, "batch_size": 4, "segments_per_epoch": 4 * BATCHES, **options}
    return SoloData(Hum(hertz), cache=None, **options)


def trainer(epochs: int, callbacks: list[Callback], **options) -> Trainer:
    options = {"accelerator": "cpu", **options}
    return Trainer(
        max_steps=100 * BATCHES,  # as the command has it: a number of steps, and perhaps of epochs
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=any("Checkpoints" in type(c).__name__ for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


class Killed(Exception):
    """As the machine would kill a run: nothing is saved any more."""


@dataclass
class KillAfter(Callback):
    step: int

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise Killed


def read(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / f"{name}.ckpt", weights_only=True)
