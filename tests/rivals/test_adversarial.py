from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer

from instglow.audio.frontend import Frontend
from instglow.data.datamodule import SoloData
from instglow.errors import ConfigError
from instglow.registry import Registry
from instglow.registry.layer import Layer
from instglow.rivals.adversarial import AdversarialTraining, energy_score, slope_penalty
from instglow.rivals.families.spec_gan import Critic, SpecGANPrior
from instglow.separation.search import LatentSearch
from instglow.training.augment import Augmentation
from instglow.training.callbacks import Checkpoints
from instglow.training.publish import load_checkpoint, publish

FRONTEND = Frontend(8000, 64, 16)
BATCHES = 5  # of an epoch; cycles of 2 + 1 steps, so that an epoch ends in the middle of one


class Noises:
    """Solo recordings of nothing but noise, softer towards the end."""

    def recordings(self, split, sample_rate):
        generator = torch.Generator().manual_seed(len(split))
        for _ in range(2):
            noise = torch.randn(8000, generator=generator)
            yield 0.1 * noise * torch.linspace(1, 0.3, 8000)


def data() -> SoloData:
    return SoloData(Noises(), seconds=0.05, batch_size=4, segments_per_epoch=4 * BATCHES)


def run(**settings) -> AdversarialTraining:
    torch.manual_seed(0)
    prior = SpecGANPrior(FRONTEND, latent_size=4, width=2, layers=2, block=8, level=0.1)
    return AdversarialTraining("noise", prior, critic_steps=2, **settings)


def trainer(epochs: int, **settings) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def fit(module, folder: Path, epochs: int, resume: Path | None = None) -> Path:
    """-> a checkpoint of the end, whether or not it is the best."""
    training = trainer(epochs, callbacks=[Checkpoints(str(folder))])
    training.fit(module, data(), ckpt_path=str(resume) if resume else None, weights_only=True)
    assert (folder / "best.ckpt").is_file()
    training.save_checkpoint(folder / "end.ckpt")
    return folder / "end.ckpt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return fit(run(), tmp_path_factory.mktemp("whole"), 4)


def test_stopped_and_resumed_equals_uninterrupted(trained, tmp_path):
    half = fit(run(), tmp_path / "half", 1)
    # weights, data statistics and all else come from the checkpoint
    other = run()
    torch.nn.init.zeros_(other.critic.end.weight)
    resumed = fit(other, tmp_path / "resumed", 4, half)
    one, two = (torch.load(path, weights_only=True) for path in (trained, resumed))
    assert one["global_step"] == two["global_step"]
    for key, tensor in one["state_dict"].items():
        assert torch.equal(tensor, two["state_dict"][key]), key


def test_the_generator_steps_once_in_a_cycle(trained):
    loaded = torch.load(trained, weights_only=True)
    # 4 epochs of 5 batches: 20 steps of the critic, 10 of the generator
    assert loaded["global_step"] == 30
    counts = [
        {int(state["step"]) for state in optimizer["state"].values()}
        for optimizer in loaded["optimizer_states"]
    ]
    assert counts == [{20}, {10}]


def test_the_statistics_are_those_of_the_training_data(trained):
    prior, _ = load_checkpoint(trained)
    wave = torch.cat(list(Noises().recordings("train", 8000)))
    level = wave.unfold(0, 500, 500)
    level = 0.1 * level / level.square().mean(1, keepdim=True).sqrt()
    logarithm = FRONTEND.magnitude(level)[:, :-1].log()
    torch.testing.assert_close(prior.mean, logarithm.mean((0, 2)), rtol=0, atol=0.1)
    torch.testing.assert_close(prior.deviation, logarithm.std((0, 2)), rtol=0, atol=0.1)


def test_it_is_registered_loaded_and_searched_with(trained, tmp_path):
    registry = Registry([Layer(tmp_path, "test")])
    publish(trained, registry, "noise")
    card = registry.list()[0].require_card()
    assert (card.family, card.training["critic_steps"]) == ("gan", 2)
    loaded = registry.load("noise")
    # the card holds the generator and the statistics, not the critic
    assert set(loaded.state_dict()) == set(run().prior.state_dict())
    mixture = FRONTEND.magnitude(0.1 * torch.randn(1, 300))
    found = LatentSearch(steps=20, learning_rate=0.05)(
        [loaded.eval().requires_grad_(False)], mixture
    )
    assert found.objective[-1] < found.objective[0]


def test_it_learns():
    module = run(learning_rate=5e-3, augmentation=Augmentation(level=0))
    trainer(25, enable_checkpointing=False, limit_val_batches=0).fit(module, data())
    untrained = run()
    untrained.prior.mean.copy_(module.prior.mean)
    untrained.prior.deviation.copy_(module.prior.deviation)
    before, after = (
        trainer(1).validate(either, data(), verbose=False)[0]["held-out/loss"]
        for either in (untrained, module)
    )
    assert after < 0.95 * before


def test_segments_make_whole_blocks_whose_windows_end_within():
    module = run(augmentation=Augmentation(speed=0))
    for seconds in (0.001, 0.03, 0.05, 0.2):
        magnitude = FRONTEND.magnitude(torch.randn(3, module.segment(seconds)))
        inner = (magnitude.shape[-1] - 4) / 8
        assert inner == int(inner) >= 1
        assert module.blocks(magnitude).shape == (3 * inner, 32, 8)
    # a constant has the same magnitudes wherever no window meets the end
    steady = FRONTEND.magnitude(torch.ones(1, module.segment(0.05)))
    module.prior.measure(torch.rand(4, 33, 20))
    blocks = module.blocks(steady)
    torch.testing.assert_close(blocks[:, 0], blocks[:1, 0, :1].expand(len(blocks), 8))


def test_blocks_are_in_order():
    module = run()
    magnitude = torch.rand(2, 33, 4 + 16) + 0.5
    blocks = module.blocks(magnitude)
    expected = module.prior.normalised(magnitude[1, :, 10:18])
    torch.testing.assert_close(blocks[3], expected)


def test_a_segment_without_a_block_says_what_to_change():
    with pytest.raises(ConfigError, match="segment of 11 frames is shorter than a block of 8"):
        run().blocks(torch.rand(1, 33, 11))


def test_data_that_cannot_be_measured_is_refused():
    class Other(LightningDataModule):
        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.zeros(4, 500))

    with pytest.raises(ConfigError, match="which only SoloData allows, got Other"):
        trainer(1, enable_checkpointing=False).fit(run(), Other())


def test_the_penalty_wants_a_slope_of_one():
    weight = torch.rand(32, 8)

    class Plane(torch.nn.Module):
        def forward(self, picture):
            return (picture * weight).sum((1, 2))

    slope = float(weight.norm())
    penalty = slope_penalty(Plane(), torch.randn(3, 32, 8))
    assert float(penalty) == pytest.approx((slope - 1) ** 2, rel=1e-5)


def test_the_penalty_trains_the_critic():
    torch.manual_seed(0)
    critic = Critic((32, 8), 2, 2)
    slope_penalty(critic, torch.randn(3, 32, 8)).backward()
    assert critic.halvings[0].weight.grad.abs().max() > 0


def test_the_energy_score_prefers_the_true_distribution():
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(400, 20, generator=generator)
    drawn = torch.randn(400, 20, generator=generator)
    right = energy_score(real, drawn).mean()
    for wrong in (0.5 * drawn, 2 * drawn, drawn + 0.5, torch.zeros_like(drawn)):
        assert energy_score(real, wrong).mean() > right + 0.01
