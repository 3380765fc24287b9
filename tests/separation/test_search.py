import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import glows, low_and_high

from instglow.errors import ConfigError
from instglow.separation.objective import DIVERGENCES, kullback_leibler
from instglow.separation.optimiser import SharedScaleAdam
from instglow.separation.presets import PRESETS
from instglow.separation.search import LatentSearch


@pytest.fixture
def mixture() -> torch.Tensor:
    return 0.5 + torch.rand(3, 33, 8, generator=torch.Generator().manual_seed(0))


def priors() -> list:
    return list(low_and_high().values())


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_divergence_is_zero_at_the_mixture_and_above_elsewhere(divergence, mixture):
    measure = DIVERGENCES[divergence]
    torch.testing.assert_close(measure(mixture, mixture), torch.zeros_like(mixture))
    assert (measure(mixture, mixture * 1.1) > 0).all()
    assert (measure(mixture, mixture * 0.9) > 0).all()


def test_kullback_leibler_is_the_poisson_likelihood(mixture):
    counts = (mixture * 10).round()
    rate, other = torch.full_like(counts, 7.0), torch.full_like(counts, 9.0)
    expected = [-torch.distributions.Poisson(r).log_prob(counts) for r in (rate, other)]
    ours = [kullback_leibler(counts, r) for r in (rate, other)]
    torch.testing.assert_close(ours[1] - ours[0], expected[1] - expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_finds_the_only_explanation(divergence, mixture):
    found = LatentSearch(divergence, steps=400, learning_rate=0.02)(priors(), mixture)
    torch.testing.assert_close(found.magnitudes.sum(1), mixture, rtol=0.02, atol=0.02)
    assert found.magnitudes[:, 0, 12:].abs().max() == 0
    assert (found.objective[-1] < 0.01 * found.objective[0]).all()


def test_a_batch_changes_nothing(mixture):
    search = LatentSearch(steps=20, learning_rate=0.05, latent_weight=0.1, relative=True)
    together = search(priors(), mixture)
    for index in range(len(mixture)):
        alone = search(priors(), mixture[index : index + 1])
        torch.testing.assert_close(together.magnitudes[index], alone.magnitudes[0])
        torch.testing.assert_close(together.objective[:, index], alone.objective[:, 0])


def test_a_shared_scale_keeps_the_batch_apart_and_finds_the_mixture_too(mixture):
    search = LatentSearch("root-l2", steps=300, learning_rate=0.02, shared_scale=True)
    together = search(priors(), mixture)
    torch.testing.assert_close(together.magnitudes.sum(1), mixture, rtol=0.02, atol=0.02)
    alone = search(priors(), mixture[1:2])
    torch.testing.assert_close(together.magnitudes[1], alone.magnitudes[0])


def test_a_shared_scale_moves_in_proportion_to_the_gradient():
    latents = [torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 1, requires_grad=True)]
    slopes = [torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), torch.tensor([[4.0], [40.0]])]
    optimizer = SharedScaleAdam(latents, learning_rate=0.1)
    for latent, slope in zip(latents, slopes, strict=True):
        latent.grad = slope
    optimizer.step()
    moved = torch.cat(latents, 1).detach()
    expected = -0.1 * torch.tensor([1.0, 2.0, 3.0, 4.0]) / (30 / 4) ** 0.5
    torch.testing.assert_close(moved, expected.expand(2, 4))


def test_the_first_iteration_is_what_the_initial_latents_generate(mixture):
    found = LatentSearch(steps=1)(priors(), mixture)
    torch.testing.assert_close(found.magnitudes.sum(1), torch.ones_like(mixture))
    expected = kullback_leibler(mixture, torch.ones_like(mixture)).mean((1, 2))
    torch.testing.assert_close(found.objective[0], expected)


def test_a_heavier_latent_is_a_quieter_one(mixture):
    quiet, free = (
        LatentSearch(steps=100, learning_rate=0.05, latent_weight=weight)(priors(), mixture)
        for weight in (1.0, 0.0)
    )
    assert (quiet.magnitudes.sum((1, 2, 3)) < 0.9 * free.magnitudes.sum((1, 2, 3))).all()


def test_relative_means_that_loudness_does_not_matter(mixture):
    """Twice the mixture with twice the model gives the same objective."""
    for scale in (1.0, 2.0):
        search = LatentSearch(steps=1, relative=True)
        start = search(priors(), scale * mixture).objective
        model = torch.ones_like(mixture)
        expected = kullback_leibler(scale * mixture, model).mean((1, 2))
        torch.testing.assert_close(start[0], expected / (scale * mixture).mean((1, 2)))


def test_progress_is_reported(mixture):
    seen = []
    LatentSearch(steps=5)(priors(), mixture, lambda step, objective: seen.append((step, objective)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert (seen[-1][1] < seen[0][1]).all()


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"latent_weight": -1.0}, {"divergence": "l3"}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        LatentSearch(**wrong)


class NoWaiting(TorchDispatchMode):
    """Refuses what would make a device wait for the CPU: a CPU's imitation of that mode."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        assert name not in (
            "aten::_local_scalar_dense",
            "aten::nonzero",
            "aten::masked_select",
            "aten::_linalg_check_errors",
            "aten::equal",
        ), name
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("preset", ["fast", "default"])
def test_no_step_of_a_search_asks_for_a_number(preset):
    members, mixture = glows(), torch.rand(2, 33, 20)
    with NoWaiting():
        PRESETS[preset].search(members, mixture, lambda step, objective: None)
