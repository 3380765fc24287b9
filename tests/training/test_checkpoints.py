import pytest
import torch
from lightning.pytorch import Callback
from tiny import BATCHES, KillAfter, Killed, data, read, trainer, training

from instglow.training.averaging import WeightAverage
from instglow.training.callbacks import Checkpoints


def fit(folder, *callbacks, resume=None, **options):
    module = training()
    callbacks = [*callbacks, WeightAverage(0.9), Checkpoints(str(folder))]
    runner = trainer(4, callbacks, **options)
    runner.fit(module, data(), ckpt_path=resume, weights_only=True)
    return module, runner


@pytest.mark.parametrize(
    "options",
    [{}, {"val_check_interval": 0.5}, {"check_val_every_n_epoch": 2}],
    ids=["validated every epoch", "twice an epoch", "every other epoch"],
)
def test_killed_in_the_middle_of_an_epoch_and_resumed_equals_uninterrupted(tmp_path, options):
    whole, _ = fit(tmp_path / "whole", **options)
    with pytest.raises(Killed):
        fit(tmp_path / "killed", KillAfter(2 * BATCHES + 4), **options)
    # it goes on from the end of an epoch, whether or not that was the best
    assert read(tmp_path / "killed")["global_step"] == 2 * BATCHES
    last = tmp_path / "killed" / "last.ckpt"
    resumed, runner = fit(tmp_path / "killed", resume=last, **options)
    assert runner.global_step == 4 * BATCHES
    for (name, one), (_, two) in zip(
        whole.state_dict().items(), resumed.state_dict().items(), strict=True
    ):
        assert torch.equal(one, two), name
    one, two = read(tmp_path / "whole"), read(tmp_path / "killed")
    assert one["instglow"]["scores"] == two["instglow"]["scores"]
    assert one["lr_schedulers"] == two["lr_schedulers"]
    best, best_again = (read(tmp_path / run, "best") for run in ("whole", "killed"))
    assert best["global_step"] == best_again["global_step"]


def test_the_newest_epoch_is_last_even_if_it_is_not_the_best(tmp_path):
    class Rising(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            pl_module.log("held-out/loss", float(trainer.current_epoch))

    module = training()
    module.validation_step = lambda wave, batch_idx: None
    runner = trainer(3, [Rising(), Checkpoints(str(tmp_path))])
    runner.fit(module, data())
    assert read(tmp_path, "best")["global_step"] == BATCHES
    assert read(tmp_path)["global_step"] == 3 * BATCHES
