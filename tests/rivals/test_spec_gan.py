import pytest
import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.rivals.families.spec_gan import Critic, SpecGANPrior
from instglow.separation.search import LatentSearch

FRONTEND = Frontend(8000, 64, 16)


def small(**architecture) -> SpecGANPrior:
    torch.manual_seed(0)
    return SpecGANPrior(
        FRONTEND, **{"latent_size": 6, "width": 2, "layers": 2, "block": 8, **architecture}
    )


def test_the_defaults_are_specgans_shapes():
    prior = SpecGANPrior(Frontend(22050, 256, 128))
    assert prior.generator.start_shape == (256, 4, 4)
    assert prior.initial_latent(2, 129).shape == (2, 100, 2)
    assert Critic((128, 128), 16, 5).end.in_features == 256 * 4 * 4


def test_latents_fill_the_cube_and_no_more():
    latent = small().initial_latent(50, 80, torch.Generator().manual_seed(0))
    assert latent.abs().max() <= 1
    assert abs(float(latent.mean())) < 0.05
    # the variance of a uniform distribution on [-1, 1]
    assert abs(float(latent.var()) - 1 / 3) < 0.02


def test_projection_is_the_nearest_point_of_the_cube():
    latent = torch.tensor([[-3.0, -1.0, 0.2, 1.5]])
    assert torch.equal(small().project(latent), torch.tensor([[-1.0, -1.0, 0.2, 1.0]]))


def test_a_vector_makes_its_own_block_and_no_other():
    prior = small()
    latent = prior.initial_latent(1, 24)
    changed = latent.clone()
    changed[..., 1] = 0.5
    before, after = prior.decode(latent, 22).magnitude, prior.decode(changed, 22).magnitude
    different = (before != after).any(1)[0]
    assert different.tolist() == [False] * 8 + [True] * 8 + [False] * 6


def test_an_odd_count_is_the_beginning_of_a_whole_block():
    prior = small()
    latent = prior.initial_latent(2, 11)
    torch.testing.assert_close(
        prior.decode(latent, 11).magnitude, prior.decode(latent, 16).magnitude[..., :11]
    )


def test_normalised_is_what_specgan_says_and_can_be_undone():
    prior = small(floor=1e-6)
    magnitude = (torch.randn(5, FRONTEND.bins, 40) * 1.5 - 2).exp()
    prior.measure(magnitude)
    logarithm = magnitude[:, :-1].log()
    mean = logarithm.mean((0, 2))[:, None]
    deviation = logarithm.transpose(0, 1).flatten(1).std(1)[:, None]
    expected = ((logarithm - mean) / deviation / 3).clamp(-1, 1)
    normalised = prior.normalised(magnitude)
    torch.testing.assert_close(normalised, expected)
    inside = expected.abs() < 1
    assert inside.float().mean() > 0.99
    again = prior.denormalised(normalised)
    torch.testing.assert_close(again[inside], magnitude[:, :-1][inside], rtol=1e-4, atol=1e-6)


def test_silence_is_finite_and_stays_silence():
    prior = small(floor=1e-6)
    prior.measure(torch.zeros(2, FRONTEND.bins, 10))
    silence = prior.denormalised(prior.normalised(torch.zeros(1, FRONTEND.bins, 4)))
    assert silence.max() < 1.1e-6


def test_the_bin_at_half_the_rate_is_zero():
    prior = small()
    magnitude = prior.decode(prior.initial_latent(1, 8), 8).magnitude
    assert not magnitude[:, -1].any()
    assert (magnitude[:, :-1] > 0).all()


def test_a_search_stays_in_the_cube():
    seen = []

    class Watched(SpecGANPrior):
        def decode(self, latent, frames, energy=None):
            seen.append(latent.detach().clone())
            return super().decode(latent, frames, energy)

    torch.manual_seed(0)
    prior = (
        Watched(FRONTEND, latent_size=6, width=2, layers=2, block=8).eval().requires_grad_(False)
    )
    mixture = 50 * torch.rand(1, FRONTEND.bins, 10)
    LatentSearch(steps=20, learning_rate=0.5)([prior], mixture)
    assert torch.stack(seen).abs().max() == 1


def test_a_search_finds_what_the_prior_can_generate():
    prior = small(width=4).eval().requires_grad_(False)
    wanted = prior.decode(prior.initial_latent(1, 8, torch.Generator().manual_seed(7)), 8)
    found = LatentSearch(divergence="root-l2", steps=150, learning_rate=0.05)(
        [prior], wanted.magnitude
    )
    assert found.objective[-1] < 0.05 * found.objective[0]


@pytest.mark.parametrize("sizes", [{"layers": 6}, {"block": 10}])
def test_sizes_that_cannot_be_halved_are_named(sizes):
    with pytest.raises(
        ConfigError, match=r"n_fft must be a multiple of \d+ and block of \d+, .* got 64 and \d+"
    ):
        small(**sizes)
