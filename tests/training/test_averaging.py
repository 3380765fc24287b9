import pytest
import torch
from lightning.pytorch import Callback
from tiny import BATCHES, KillAfter, Killed, data, read, trainer, training

from instglow.errors import ConfigError
from instglow.training.averaging import WeightAverage, decay_after
from instglow.training.callbacks import Checkpoints
from instglow.training.publish import load_checkpoint


class Weights(Callback):
    """Keeps the weights after every step, and those of the first and last held-out batch."""

    def __init__(self):
        self.steps, self.measured = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append(copy(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.measured.append(copy(pl_module))


def copy(module):
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def averages(steps, decay):
    """The definition, one weight after the other in double precision."""
    found = {name: weight.double() for name, weight in steps[0].items()}
    for count, weights in enumerate(steps[1:], start=1):
        kept = min(decay, (1 + count) / (10 + count))
        found = {k: kept * found[k] + (1 - kept) * weights[k].double() for k in found}
    return {name: weight.float() for name, weight in found.items()}


def fit(folder, epochs, *callbacks, resume=None, decay=0.5):
    module = training()
    callbacks = [*callbacks, WeightAverage(decay), Checkpoints(str(folder))]
    trainer(epochs, callbacks).fit(module, data(), ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_checkpoints_and_validation_have_the_average_and_training_goes_on_without(tmp_path, decay):
    seen = Weights()
    fit(tmp_path, 2, seen, decay=decay)
    expected = averages(seen.steps, decay)
    checkpoint = read(tmp_path)
    prior, _ = load_checkpoint(tmp_path / "last.ckpt")
    for name, weight in expected.items():
        torch.testing.assert_close(checkpoint["state_dict"][name], weight)
        torch.testing.assert_close(seen.measured[-1][name], weight)
        assert torch.equal(checkpoint["current_model_state"][name], seen.steps[-1][name])
        torch.testing.assert_close(prior.state_dict()[name.removeprefix("prior.")], weight)
    # it averages something
    assert any(not torch.allclose(expected[k], seen.steps[-1][k], atol=1e-5) for k in expected)
    # without it, the course of training is the same
    plain = Weights()
    fit(tmp_path / "plain", 2, plain, decay=0.0)
    for one, two in zip(seen.steps, plain.steps, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    alone = read(tmp_path / "plain")
    for name, weight in alone["current_model_state"].items():
        assert torch.equal(weight, alone["state_dict"][name])


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = fit(tmp_path / "whole", 3)
    with pytest.raises(Killed):
        fit(tmp_path / "killed", 3, KillAfter(BATCHES + 3))
    resumed = fit(tmp_path / "resumed", 3, resume=tmp_path / "killed" / "last.ckpt")
    one, two = read(tmp_path / "whole"), read(tmp_path / "resumed")
    assert one["global_step"] == two["global_step"]
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert one[part].keys() == two[part].keys()
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part]), part
    # when training has ended, the module has the average
    for name, weight in whole.named_parameters():
        assert torch.equal(weight, one["state_dict"][name])
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )


def test_the_first_batch_starts_the_actnorm_of_the_average_too(tmp_path):
    fit(tmp_path, 1)
    prior, _ = load_checkpoint(tmp_path / "last.ckpt")
    started = [b for name, b in prior.named_buffers() if name.endswith("initialized")]
    assert started
    assert all(started)


def test_a_checkpoint_is_measured_without_a_run(tmp_path):
    fit(tmp_path, 1)
    loss = read(tmp_path)["instglow"]["scores"]["held-out/loss"]
    other = training()
    (found,) = trainer(1, [WeightAverage(0.5)]).validate(
        other, data(), ckpt_path=tmp_path / "last.ckpt", verbose=False, weights_only=True
    )
    assert found["held-out/loss"] == pytest.approx(loss, rel=1e-6)


def test_decay_grows_to_its_value():
    decays = [decay_after(steps, 0.99) for steps in range(2000)]
    assert decays == sorted(decays)
    assert decays[0] == 0.1
    assert decays[-1] == 0.99


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(ConfigError, match=rf"averaging\.decay is {decay}; give a number from 0"):
        WeightAverage(decay)
