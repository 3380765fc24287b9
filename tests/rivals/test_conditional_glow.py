"""One Glow for several instruments: exact for each, different for each, one set of weights."""

import pytest
import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.flows import Glow
from instglow.registry import Layer, Registry
from instglow.rivals.families.conditional_glow import ConditionalGlowPrior

FRONTEND = Frontend(8000, 8, 4)
SMALL = {"embedding": 3, "steps": 2, "hidden": 5, "layers": 2, "kernel": 3}
BAND = ["bass", "drums", "flute"]


def band(**options) -> ConditionalGlowPrior:
    """Randomised: a fresh coupling is the identity, whatever the instrument."""
    torch.manual_seed(0)
    prior = ConditionalGlowPrior(FRONTEND, BAND, **{**SMALL, **options})
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior.double().eval()


def magnitudes(batch: int, frames: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, FRONTEND.bins, frames)
    return 0.2 + torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bounded", [False, True])
def test_log_determinants_are_those_of_the_jacobian_under_each_condition(bounded):
    torch.manual_seed(1)
    glow = Glow(4, 3, hidden=5, layers=3, kernel=3, bounded=bounded, condition=2).double()
    for parameter in glow.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    glow.eval()
    x, condition = (torch.randn(*shape, dtype=torch.float64) for shape in [(3, 4, 6), (3, 2)])
    z, ladj = glow(x, condition)
    back, inverse_ladj = glow.inverse(z, condition)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inverse_ladj, -ladj)
    for item, told, expected in zip(x, condition, ladj, strict=True):

        def alone(data: torch.Tensor, told: torch.Tensor = told) -> torch.Tensor:
            return glow(data[None], told[None])[0][0]

        jacobian = torch.autograd.functional.jacobian(alone, item).reshape(item.numel(), -1)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, expected)


def test_a_glow_without_a_condition_has_no_weights_for_one():
    plain, told = Glow(4, 1).state_dict(), Glow(4, 1, condition=2).state_dict()
    extra = "steps.0.coupling.network.conditioning."
    assert told.keys() - plain.keys() == {extra + "weight", extra + "bias"}
    assert plain.keys() < told.keys()


def test_each_instrument_decodes_encodes_and_scores_in_its_own_way():
    prior, magnitude = band(), magnitudes(2)
    scores, latents = [], []
    for instrument in BAND:
        own = prior.of(instrument)
        latents.append(own.encode(magnitude))
        again = own.decode(latents[-1], 4, "data")
        # the bin at half the sample rate is dropped
        torch.testing.assert_close(again.magnitude[:, :-1], magnitude[:, :-1])
        scores.append(own.log_prob(magnitude))
    for one, other in [(0, 1), (1, 2), (0, 2)]:
        assert ((latents[one] - latents[other]).abs().amax((1, 2)) > 1e-3).all()
        assert ((scores[one] - scores[other]).abs() > 1e-3).all()
        decoded = [prior.of(BAND[i]).decode(latents[0], 4).magnitude for i in (one, other)]
        assert not torch.allclose(*decoded)


def test_before_it_is_asked_it_is_the_first_instrument_and_asking_does_not_change_it():
    prior, magnitude = band(), magnitudes(2)
    flute = prior.of("flute")
    torch.testing.assert_close(prior.log_prob(magnitude), prior.of("bass").log_prob(magnitude))
    torch.testing.assert_close(
        flute.of("drums").log_prob(magnitude), prior.of("drums").log_prob(magnitude)
    )
    assert not torch.allclose(flute.log_prob(magnitude), prior.log_prob(magnitude))


def test_of_shares_the_weights_through_moves_and_freezing():
    prior = band()
    drums = prior.of("drums")
    engine = torch.nn.ModuleDict({"bass": prior.of("bass"), "drums": drums})
    assert {id(p) for p in engine.parameters()} == {id(p) for p in prior.parameters()}
    engine.float()
    drums.eval().requires_grad_(False)
    with torch.no_grad():
        next(drums.parameters()).fill_(7.0)
    for parameter, shared in zip(prior.parameters(), drums.parameters(), strict=True):
        assert parameter is shared
        assert parameter.dtype == torch.float32
        assert not parameter.requires_grad
    assert prior.architecture == drums.architecture
    assert prior.architecture["instruments"] == BAND


def test_the_loss_of_a_band_is_the_mean_of_its_members_as_themselves():
    prior = band(noise=0.0)
    solos = magnitudes(2 * 3).unflatten(0, (2, 3))
    alone = [prior.of(name).loss(solos[:, i])["loss"] for i, name in enumerate(BAND)]
    torch.testing.assert_close(prior.loss(solos)["loss"], torch.stack(alone).mean())
    torch.testing.assert_close(prior.loss(solos[:, 0])["loss"], alone[0])
    swapped = prior.loss(solos.flip(1))["loss"]
    assert not torch.allclose(swapped, torch.stack(alone).mean())


def test_training_makes_each_likelier_as_itself():
    torch.manual_seed(2)
    prior = ConditionalGlowPrior(FRONTEND, ["low", "high"], **{**SMALL, "hidden": 16}, noise=0.1)

    def draw(count: int) -> torch.Tensor:
        """(count, 2, bins, frames), one loud in the lower half of the bins, one in the upper."""
        solos = 0.1 * torch.rand(count, 2, FRONTEND.bins, 8)
        solos[:, 0, :2] += 1
        solos[:, 1, 2:] += 1
        return solos

    prior.train()
    optimizer = torch.optim.Adam(prior.parameters(), 0.01)
    for step in range(150):
        optimizer.zero_grad()
        prior.loss(draw(8), torch.Generator().manual_seed(step))["loss"].backward()
        optimizer.step()
    prior.eval()
    held_out = draw(16)
    with torch.no_grad():
        as_low, as_high = (
            prior.of(name).log_prob(held_out.flatten(0, 1)) for name in ("low", "high")
        )
    difference = (as_low - as_high).unflatten(0, (16, 2))
    assert (difference[:, 0] > 0).all()
    assert (difference[:, 1] < 0).all()


def test_it_comes_back_from_the_registry(tmp_path):
    registry = Registry([Layer(tmp_path / "priors", "")])
    prior, magnitude = band().float(), magnitudes(1).float()
    registry.add("band", prior.of("drums"), licence="CC0")
    again = registry.load("band")
    assert isinstance(again, ConditionalGlowPrior)
    for name in BAND:
        torch.testing.assert_close(
            again.of(name).log_prob(magnitude), prior.of(name).log_prob(magnitude)
        )


def test_an_instrument_it_does_not_know_is_refused_with_those_it_knows():
    with pytest.raises(
        ConfigError, match="unknown instrument 'harp': this prior knows bass, drums, flute"
    ):
        band().of("harp")


def test_data_of_another_number_of_instruments_are_refused():
    with pytest.raises(ConfigError, match="the data has 2 instruments, the prior 3 "):
        band().loss(magnitudes(2)[None])


@pytest.mark.parametrize("instruments", [[], ["bass", "bass"]])
def test_instruments_that_cannot_be_told_apart_are_refused(instruments):
    with pytest.raises(ConfigError, match="must be distinct and at least one"):
        ConditionalGlowPrior(FRONTEND, instruments)
