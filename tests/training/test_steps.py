"""What every step of a run gets: its precision, its draws, its learning rate."""

import math

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from tiny import BATCHES, data, read, trainer, training

from instglow.errors import ConfigError
from instglow.training.augment import Augmentation
from instglow.training.callbacks import Checkpoints
from instglow.training.configs import configs


def shipped_precisions() -> list[str]:
    """What any of our configurations asks for, and what they train with if they ask for nothing."""
    found = {"32-true"}
    for path in configs().rglob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        trainer = values.get("trainer") if isinstance(values.get("trainer"), dict) else values
        found |= {trainer["precision"]} if trainer and "precision" in trainer else set()
    return sorted(found)


def fit(precision, accelerator="cpu", **options):
    module = training(learning_rate=1e-2)
    before = [weight.detach().clone() for weight in module.parameters()]
    runner = trainer(
        1, [], precision=precision, accelerator=accelerator, limit_train_batches=2, **options
    )
    runner.fit(module, data())
    return before, [weight.detach().cpu() for weight in module.parameters()], runner


@pytest.mark.parametrize("accelerator", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("precision", shipped_precisions())
def test_every_shipped_precision_trains_with_its_gradients_clipped(precision, accelerator):
    clip = 1e-3
    before, after, runner = fit(precision, accelerator, gradient_clip_val=clip)
    assert runner.global_step == 2
    assert all(weight.isfinite().all() and weight.dtype == torch.float32 for weight in after)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    (adam,) = runner.optimizers
    moments = torch.cat([state["exp_avg"].flatten() for state in adam.state.values()])
    assert 0 < moments.norm() < clip  # a mean of gradients, none longer than that


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_a_precision_that_cannot_train_is_refused(precision):
    with pytest.raises(ConfigError, match=f"cannot train with trainer.precision {precision}; use"):
        fit(precision)


class Numbers(Callback):
    """Keeps the number that the draws of every batch come from, and the learning rate."""

    def __init__(self):
        self.numbers, self.rates = [], []

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.numbers.append(pl_module.draw_number)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_no_two_batches_share_their_draws(batches):
    seen = Numbers()
    trainer(2, [seen], accumulate_grad_batches=batches).fit(training(), data())
    assert len(set(seen.numbers)) == len(seen.numbers) == 2 * BATCHES
    assert seen.numbers[:4] == [0, 1, 2, 3]


def run(folder, epochs, resume=None, **options):
    seen = Numbers()
    module = training(**options)
    trainer(epochs, [seen, Checkpoints(str(folder))]).fit(
        module, data(), ckpt_path=resume, weights_only=True
    )
    return seen.rates


def test_a_resumed_run_has_the_learning_rate_that_it_is_given(tmp_path):
    run(tmp_path, 1, learning_rate=2e-3)
    whole = run(tmp_path / "whole", 2, learning_rate=2e-3)
    assert run(tmp_path / "same", 2, tmp_path / "last.ckpt", learning_rate=2e-3) == whole[BATCHES:]
    other = run(tmp_path / "other", 2, tmp_path / "last.ckpt", learning_rate=5e-4)
    assert other == pytest.approx([rate / 4 for rate in whole[BATCHES:]])
    assert read(tmp_path / "other")["instglow"]["training"]["learning_rate"] == 5e-4


@pytest.mark.parametrize(
    "options", [{"learning_rate": 0.0}, {"learning_rate": math.inf}, {"warmup_steps": -1}]
)
def test_a_learning_rate_that_is_none_is_refused(options):
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(options))} must be "):
        training(**options)


@pytest.mark.parametrize("other", [1.0, -1.0])
def test_channels_are_pooled_whatever_their_sign(other):
    """A stereo segment of one signal trains as that signal does; opposite ones do not cancel."""
    module, augmentation = training(), Augmentation(level=4, speed=1, equaliser=4, room=1, drive=6)
    mono = 0.1 * torch.randn(4, 1, 2000, generator=torch.Generator().manual_seed(0))
    stereo = torch.cat([mono, other * mono], 1)
    changed = [
        augmentation.wave(wave, torch.Generator().manual_seed(1), 8000) for wave in (mono, stereo)
    ]
    for one, both in ((mono, stereo), changed):
        alone, together = (module.terms(module.at_level(wave), 0)["loss"] for wave in (one, both))
        torch.testing.assert_close(together, alone)
