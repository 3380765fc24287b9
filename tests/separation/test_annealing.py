from dataclasses import dataclass, field

import pytest
import torch
from toys import FRONTEND, BandPrior, low_and_high

from instglow.errors import ConfigError
from instglow.separation.annealing import AnnealedSearch, Annealing
from instglow.separation.search import LatentSearch


@dataclass
class Asked:
    noise: list[float] = field(default_factory=list)


class CleaningBand(BandPrior):
    """A band that hears nothing outside itself, and that remembers what it was asked."""

    denoises = True

    def __init__(self, low: int, high: int) -> None:
        super().__init__(FRONTEND, low, high)
        self.asked = Asked()

    def denoise(self, magnitude, noise, added, generator):
        self.asked.noise.append(noise)
        clean = torch.zeros_like(magnitude)
        drawn = torch.rand(magnitude.shape[1:], generator=generator)
        clean[:, self.low : self.high] = magnitude[:, self.low : self.high]
        return clean * (1 + 0.1 * added * drawn)

    def encode(self, magnitude):
        return magnitude[:, self.low : self.high].sqrt()


@pytest.fixture
def mixture() -> torch.Tensor:
    return 0.5 + torch.rand(3, 33, 8, generator=torch.Generator().manual_seed(0))


def bands() -> list[CleaningBand]:
    return [CleaningBand(0, 20), CleaningBand(10, 33)]


def test_shares_out_the_mixture_and_finds_who_alone_hears_a_bin(mixture):
    found = Annealing(steps=3)(bands(), mixture)
    torch.testing.assert_close(found.magnitudes.sum(1), mixture)
    torch.testing.assert_close(found.magnitudes[:, 0, :10], mixture[:, :10], rtol=1e-5, atol=1e-5)
    assert found.magnitudes[:, 0, 20:].max() < 1e-5
    assert found.objective.shape == (3, 3)
    # both hear the bins between: nothing tells them apart
    even = Annealing(steps=3, added=0.0)(bands(), mixture).magnitudes[:, :, 10:20]
    torch.testing.assert_close(even[:, 0], even[:, 1])


def test_noise_falls_by_equal_ratios_from_the_highest_to_the_lowest(mixture):
    priors, told = bands(), []
    search = Annealing(steps=4, highest=8.0, lowest=1.0)
    search(priors, mixture, lambda step, objective: told.append(step))
    assert priors[0].asked.noise == pytest.approx([8, 4, 2, 1])
    assert priors[1].asked.noise == priors[0].asked.noise
    assert told == [1, 2, 3, 4]
    assert search.iterations == 4
    priors = bands()
    Annealing(steps=1, highest=2.0, lowest=2.0)(priors, mixture)
    assert priors[0].asked.noise == [2.0]


def test_a_batch_changes_nothing(mixture):
    together = Annealing(steps=3)(bands(), mixture)
    alone = Annealing(steps=3)(bands(), mixture[1:2])
    torch.testing.assert_close(together.magnitudes[1], alone.magnitudes[0])
    torch.testing.assert_close(together.objective[:, 1], alone.objective[:, 0])


def test_a_latent_search_starts_from_what_annealing_found(mixture):
    search = AnnealedSearch(steps=1, start_scale=0.5, annealing=Annealing(steps=3))
    told = []
    found = search(bands(), mixture, lambda step, objective: told.append(step))
    start = Annealing(steps=3)(bands(), mixture).magnitudes
    expected = torch.zeros_like(start)
    # the toy's latent is the root of the magnitude
    expected[:, 0, :20], expected[:, 1, 10:] = start[:, 0, :20] / 4, start[:, 1, 10:] / 4
    torch.testing.assert_close(found.magnitudes, expected)
    assert told == [1, 2, 3, 4]
    assert search.iterations == 4


def test_without_a_denoiser_in_every_prior_it_is_a_latent_search(mixture):
    options = {"divergence": "l2", "steps": 5, "learning_rate": 0.1}
    for priors in (list(low_and_high().values()), [BandPrior(FRONTEND, 0, 20), bands()[1]]):
        found = AnnealedSearch(**options)(priors, mixture)
        expected = LatentSearch(**options)(priors, mixture)
        torch.testing.assert_close(found.magnitudes, expected.magnitudes)
        with pytest.raises(ConfigError, match="'band' without a denoiser cannot be annealed"):
            Annealing()(priors, mixture)


def test_the_seed_of_the_search_is_that_of_its_annealing(mixture):
    def found(**options) -> torch.Tensor:
        return AnnealedSearch(steps=1, **options)(bands(), mixture).magnitudes

    assert torch.equal(found(seed=3), found(seed=3, annealing=Annealing(seed=5)))
    assert not torch.equal(found(seed=3), found(seed=4))
    untrusted = found(start_scale=0.0)
    torch.testing.assert_close(untrusted, LatentSearch(steps=1)(bands(), mixture).magnitudes)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"highest": 0.01}, r"noise must be above 0, .* got \(0\.05, 0\.01\)"),
        ({"lowest": 0.0}, r"got \(0\.0, 4\.0\)"),
        ({"highest": float("inf")}, "finite .* inf"),
        ({"added": 1.5}, "added must be between 0 and 1, got 1.5"),
        ({"seed": -1}, r"seed must be .* got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Annealing(**options)
    with pytest.raises(ConfigError, match=r"start_scale must be .* got 1\.5"):
        AnnealedSearch(start_scale=1.5)
