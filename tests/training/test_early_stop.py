import pytest
import torch
from lightning.pytorch import Callback
from tiny import BATCHES, data, read, trainer, training

from instglow.errors import ConfigError
from instglow.training.callbacks import Checkpoints
from instglow.training.early_stop import EarlyStop


class Losses(Callback):
    """Replaces the held-out loss of each epoch."""

    def __init__(self, *losses: float):
        self.losses = losses

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("held-out/loss", self.losses[trainer.current_epoch])


class Silent:
    """Steps that log no loss of their own."""

    def __init__(self, module):
        module.validation_step = lambda wave, batch_idx: None


def fit(folder, losses, stop, resume=None):
    module = training()
    Silent(module)
    runner = trainer(len(losses), [Losses(*losses), stop, Checkpoints(str(folder))])
    runner.fit(module, data(), ckpt_path=resume, weights_only=True)
    return runner.global_step // BATCHES


FALLING_THEN_NOT = (5.0, 4.0, 4.5, 4.2, 3.0, 2.0)


@pytest.mark.parametrize(("patience", "epochs"), [(None, 6), (3, 6), (2, 4), (1, 3)])
def test_it_waits_for_so_many_validations(tmp_path, capsys, patience, epochs):
    assert fit(tmp_path, FALLING_THEN_NOT, EarlyStop(patience)) == epochs
    said = capsys.readouterr().out
    assert ("stopped early" in said) == (epochs < 6)
    if epochs < 6:
        assert f"stopped early after {epochs * BATCHES} steps: " in said
        assert "4.000" in said  # the best loss


@pytest.mark.parametrize(("patience", "epochs"), [(4, 2), (None, 4)])
def test_a_loss_that_is_no_number_ends_it(tmp_path, patience, epochs):
    losses = (1.0, float("nan"), 0.5, 0.4)
    assert fit(tmp_path, losses, EarlyStop(patience)) == epochs


def test_a_resumed_run_goes_on_waiting(tmp_path):
    assert fit(tmp_path / "one", FALLING_THEN_NOT[:3], EarlyStop(2)) == 3
    last = tmp_path / "one" / "last.ckpt"
    assert read(tmp_path / "one")["epoch"] == 2
    assert fit(tmp_path / "two", FALLING_THEN_NOT, EarlyStop(2), resume=last) == 4
    # with more patience than then, it goes on
    stopped = tmp_path / "two" / "last.ckpt"
    assert fit(tmp_path / "three", FALLING_THEN_NOT, EarlyStop(3), resume=stopped) == 6


def test_a_run_without_validation_never_stops_early(tmp_path):
    runner = trainer(3, [EarlyStop(1)], limit_val_batches=0)
    runner.fit(training(), data())
    assert runner.global_step == 3 * BATCHES
    assert torch.isfinite(torch.cat([w.flatten() for w in runner.model.parameters()])).all()


def test_no_patience_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"early_stop\.patience is 0; give at least 1 validation"):
        EarlyStop(0)
