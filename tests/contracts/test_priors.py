"""One contract over every family and every shipped prior: what a search may rely on."""

from pathlib import Path

import pytest
import torch

from instglow import plugins
from instglow.audio.frontend import Frontend
from instglow.families import family
from instglow.prior import (
    Encodes,
    ForInstruments,
    HasDensity,
    Prior,
    Trainable,
    can_denoise,
)
from instglow.registry import Registry
from instglow.registry.layer import Layer

SMALL = {
    "glow": {
        **{"steps": 2, "hidden": 8, "layers": 2, "amplitude": "power:0.5", "level": 0.1},
        "denoiser": {"hidden": 8, "layers": 2},
    },
    "music-glow": {"instruments": ["bass", "drums"], "embedding": 4, "steps": 2, "hidden": 8},
    "nmf": {"atoms": 4, "level": 0.1},
    "lq-vae": {"codebook": 8, "embedding": 4, "hidden": 8, "groups": 2},
    "gan": {"latent_size": 6, "width": 2, "layers": 2, "block": 8, "level": 0.1},
}
SHIPPED = Registry([Layer(Path(__file__).parents[2] / "priors", "shipped", read_only=True)])
MEMBERS = [f"family {name}" for name in plugins.offered("instglow.families")] + [
    f"prior {entry.name}" for entry in SHIPPED.list()
]


@pytest.fixture(params=MEMBERS)
def prior(request) -> Prior:
    kind, name = request.param.split()
    if kind == "prior":
        return SHIPPED.load(name).eval().requires_grad_(False)
    torch.manual_seed(0)
    member = family(name)(Frontend(8000, 64, 16), **SMALL.get(name, {}))
    for parameter in member.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    if can_denoise(member):
        member.denoiser.scale.fill_(0.5)
    return member.eval().requires_grad_(False)


def perturbed(prior: Prior, batch: int, frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    latent = prior.initial_latent(batch, frames, generator)
    return latent + 0.3 * torch.randn(latent.shape, generator=generator)


@pytest.mark.parametrize("frames", [1, 2, 7, 12])
def test_decodes_to_the_frontends_grid(prior, frames):
    for energy in (None, "latent", "data"):
        decoded = prior.decode(perturbed(prior, 2, frames), frames, energy)
        assert decoded.magnitude.shape == (2, prior.frontend.bins, frames)
        assert decoded.magnitude.isfinite().all()
        if energy is None:
            assert decoded.energy is None
        else:
            assert decoded.energy.shape == (2,)
            assert decoded.energy.isfinite().all()


def test_items_of_a_batch_do_not_see_each_other(prior):
    latent = perturbed(prior, 3, 6)
    together = prior.decode(latent, 6, "latent")
    alone = prior.decode(latent[1:2], 6, "latent")
    torch.testing.assert_close(together.magnitude[1:2], alone.magnitude, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.energy[1:2], alone.energy, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_latent_and_not_the_weights(prior):
    latent = perturbed(prior, 1, 6).requires_grad_()
    prior.decode(latent, 6).magnitude.square().sum().backward()
    assert latent.grad.isfinite().all()
    assert latent.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in prior.parameters())


def test_gradients_are_those_of_finite_differences(prior):
    prior = prior.double()
    latent = perturbed(prior, 1, 4).double().requires_grad_()
    weights = torch.randn(prior.frontend.bins, 4, dtype=torch.float64)

    def scalar(z: torch.Tensor) -> torch.Tensor:
        decoded = prior.decode(z, 4, "data")
        return (decoded.magnitude * weights).sum() + decoded.energy.sum()

    (gradient,) = torch.autograd.grad(scalar(latent), latent)
    direction = torch.randn_like(latent)
    step = 1e-6
    with torch.no_grad():
        slope = (scalar(latent + step * direction) - scalar(latent - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-6)


def test_an_exact_encoder_is_the_inverse(prior):
    if not isinstance(prior, Encodes):
        pytest.skip(f"family {prior.family} has no encoder")
    magnitude = prior.decode(perturbed(prior, 2, 6), 6).magnitude
    again = prior.decode(prior.encode(magnitude), 6).magnitude
    torch.testing.assert_close(again, magnitude, rtol=1e-3, atol=1e-3)


def test_the_data_energy_is_the_negative_log_density(prior):
    if not isinstance(prior, HasDensity):
        pytest.skip(f"family {prior.family} has no log-density")
    prior = prior.double()
    one, other = (
        prior.decode(perturbed(prior, 1, 6).double() * scale, 6, "data") for scale in (1.0, 0.5)
    )
    difference = prior.log_prob(one.magnitude) - prior.log_prob(other.magnitude)
    torch.testing.assert_close(difference, other.energy - one.energy, rtol=1e-6, atol=1e-3)


def test_a_denoiser_answers_magnitudes_and_leaves_the_batch_apart(prior):
    if not can_denoise(prior):
        pytest.skip("it has none")
    magnitude = prior.decode(perturbed(prior, 3, 7), 7).magnitude.abs()
    together, alone = (
        prior.denoise(guess, 0.5, 0.5, torch.Generator().manual_seed(0))
        for guess in (magnitude, magnitude[1:2])
    )
    assert together.shape == magnitude.shape
    assert together.isfinite().all()
    assert (together >= 0).all()
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_a_model_of_several_instruments_has_a_prior_of_each(prior):
    if not isinstance(prior, ForInstruments):
        pytest.skip(f"family {prior.family} is of one instrument")
    latent = perturbed(prior, 1, 6)
    answers = [prior.of(name).decode(latent, 6).magnitude for name in prior.instruments]
    assert len(answers) > 1
    assert not torch.allclose(answers[0], answers[1])


def test_the_card_is_all_there_is_to_it(prior):
    again = family(prior.family)(prior.frontend, **prior.architecture)
    again.load_state_dict(prior.state_dict())
    latent = perturbed(prior, 1, 5)
    torch.testing.assert_close(
        again.eval().requires_grad_(False).decode(latent, 5).magnitude,
        prior.decode(latent, 5).magnitude,
    )


def test_it_learns(prior):
    if not isinstance(prior, Trainable):
        pytest.skip(f"family {prior.family} has no loss")
    torch.manual_seed(0)
    learner = family(prior.family)(prior.frontend, **prior.architecture).train()
    magnitude = 0.5 + torch.rand(2, prior.frontend.bins, 8)
    optimizer = torch.optim.Adam(learner.parameters(), 0.01)
    losses = []
    for step in range(12):
        loss = learner.loss(magnitude, torch.Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
