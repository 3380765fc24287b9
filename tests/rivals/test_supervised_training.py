import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from instglow.data.solo import Split
from instglow.errors import ConfigError
from instglow.rivals.band import BandData
from instglow.rivals.networks import network
from instglow.rivals.supervised_training import SupervisedTraining
from instglow.training.augment import Augmentation
from instglow.training.callbacks import Checkpoints

RATE = 8000
TONES = {"low": 200.0, "high": 2000.0}


@dataclass
class Tones:
    """Recordings of one tone, near a frequency in Hz."""

    near: float

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Tensor]:
        detunings = [0.9, 1.0, 1.1] if split == "train" else [0.95, 1.05]
        for detuning in detunings:
            moments = torch.arange(2 * sample_rate) / sample_rate
            yield 0.3 * torch.sin(2 * math.pi * self.near * detuning * moments)


def band(names: list[str], **options) -> BandData:
    options = {"seconds": 0.128, "draws_per_epoch": 40, "held_out_draws": 8, **options}
    return BandData({name: Tones(TONES[name]) for name in names}, **options)


def training(name: str = "wave-u-net", **options) -> SupervisedTraining:
    seed_everything(0, verbose=False)
    sizes = {
        "wave-u-net": {"depth": 3, "channels": 6},
        "openunmix": {"n_fft": 256, "hop_length": 64, "hidden": 16, "layers": 2},
    }
    built = network(name)(list(TONES), RATE, **sizes[name])
    options = {"learning_rate": 5e-3, "warmup_steps": 5, **options}
    return SupervisedTraining(built, **options)


def trainer(folder, steps: int, **options) -> Trainer:
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing="callbacks" in options,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


@dataclass
class StopAfter(Callback):
    """Ends a run early."""

    step: int

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        trainer.should_stop |= trainer.global_step == self.step


@pytest.mark.slow
def test_it_learns_to_tell_two_tones_apart(tmp_path):
    learner, data, runner = training(), band(list(TONES)), trainer(tmp_path, 120)
    runner.fit(learner, datamodule=data)
    measured = runner.callback_metrics
    assert float(measured["held-out/sdr"]) > 10  # the mixture itself has about 0 dB
    assert float(measured["held-out/loss"]) < 0.06
    assert "train/loss" in measured
    # the order of the sources is that of the data
    moments = torch.arange(1024) / RATE
    low, high = (0.3 * torch.sin(2 * math.pi * hertz * moments) for hertz in TONES.values())
    with torch.inference_mode():
        stems = learner.network((low + high)[None])[0]
    for stem, true, other in zip(stems, (low, high), (high, low), strict=True):
        assert abs(float(stem @ true)) > 10 * abs(float(stem @ other))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wave-u-net", "openunmix"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, name):
    if name == "openunmix":  # it drops out at random, and keeps running means
        pytest.importorskip("openunmix")
    changes = Augmentation(level=4, speed=1, equaliser=3)
    names = list(TONES)  # an epoch of five steps
    whole = training(name, augmentation=changes)
    trainer(tmp_path, 20).fit(whole, datamodule=band(names))

    # killed after two epochs; the course of the learning rate is that of all twenty steps
    first = training(name, augmentation=changes)
    callbacks = [StopAfter(10), Checkpoints(str(tmp_path / "first"))]
    trainer(tmp_path, 20, callbacks=callbacks).fit(first, datamodule=band(names))
    assert first.global_step == 10

    second = training(name, augmentation=changes)
    torch.rand(5)  # what a fresh process draws before it resumes is anybody's guess
    last = tmp_path / "first" / "last.ckpt"
    trainer(tmp_path, 20).fit(second, datamodule=band(names), ckpt_path=last)
    assert second.global_step == 20
    for (key, resumed), (_, uninterrupted) in zip(
        second.state_dict().items(), whole.state_dict().items(), strict=True
    ):
        assert torch.equal(resumed, uninterrupted), key


def test_its_checkpoint_says_what_the_network_is_in_plain_values(tmp_path):
    learner, runner = training(), trainer(tmp_path, 1)
    runner.fit(learner, datamodule=band(list(TONES)))
    runner.save_checkpoint(tmp_path / "some.ckpt")
    about = torch.load(tmp_path / "some.ckpt", weights_only=True)["network"]
    assert about["name"] == learner.name == "wave-u-net"
    again = network(about["name"])(about["sources"], about["sample_rate"], **about["architecture"])
    assert again.state_dict().keys() == learner.network.state_dict().keys()
    assert about["sources"] == ["low", "high"]


def test_every_solo_is_equalised_on_its_own():
    learner = training(augmentation=Augmentation(level=0, equaliser=6))
    solos = 0.1 * torch.randn(3, 2, 4096, generator=torch.Generator().manual_seed(0))
    changed = learner._augmented(solos, learner.draw(1))
    assert changed.shape == solos.shape
    gains = (changed.square().mean(-1) / solos.square().mean(-1)).log10().mul(10)
    assert gains.flatten().std() > 0.5
    plain = training(augmentation=Augmentation(level=0))
    assert torch.equal(plain._augmented(solos, plain.draw(1)), solos)


def test_data_in_another_order_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the data has high, low, the network separates low, hi"):
        trainer(tmp_path, 1).fit(training(), datamodule=band(["high", "low"]))
