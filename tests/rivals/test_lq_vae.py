import math

import pytest
import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.rivals.families.lq_vae import Codec, LQVAEPrior

FRONTEND = Frontend(8000, 64, 16)
SMALL = {"codebook": 16, "embedding": 8, "hidden": 16, "groups": 2}


def prior(**changes) -> LQVAEPrior:
    torch.manual_seed(0)
    return LQVAEPrior(FRONTEND, **{**SMALL, **changes})


def predictor(codec: LQVAEPrior | None = None) -> LQVAEPrior:
    member = prior(learns="prior")
    if codec is not None:
        member.load_state_dict(codec.state_dict())
    else:
        member.codec.usage.fill_(1)
    return member


def solos(*shape: int) -> torch.Tensor:
    """One of three spectra in each frame, in turn."""
    spectra = torch.rand(3, FRONTEND.bins, generator=torch.Generator().manual_seed(1)).square()
    order = torch.arange(12).div(2, rounding_mode="floor") % 3
    return spectra[order].T.expand(*shape, -1, -1).clone()


def test_codes_are_those_of_the_nearest_entries():
    codec = Codec(33, codebook=16, embedding=8, hidden=4, groups=2)
    latent = torch.randn(3, 8, 5)
    codes = codec.nearest(latent)
    for item in range(3):
        for position in range(5):
            for group in range(2):
                vector = latent[item, 4 * group : 4 * group + 4, position]
                distance = (codec.codebook[group] - vector).norm(dim=1)
                assert codes[item, position, group] == distance.argmin()


def test_codes_of_entries_are_themselves():
    codec = Codec(33, codebook=16, embedding=8, hidden=4, groups=2)
    codes = torch.randint(16, (3, 5, 2))
    torch.testing.assert_close(codec.nearest(codec.embed(codes)), codes)


def test_the_energy_is_that_of_a_mixture_of_gaussians():
    codec = Codec(33, codebook=16, embedding=8, hidden=4, groups=2).double()
    latent = torch.randn(2, 8, 3, dtype=torch.float64)
    expected = torch.zeros(2, dtype=torch.float64)
    for group in range(2):
        entries = codec.codebook[group]
        deviation = entries.var(0, unbiased=False).mean().sqrt()
        vectors = latent[:, 4 * group : 4 * group + 4].transpose(1, 2)  # (batch, positions, 4)
        log = torch.distributions.Normal(entries, deviation).log_prob(vectors[:, :, None]).sum(-1)
        constant = 4 * (deviation.log() + 0.5 * math.log(2 * math.pi))
        expected -= (log.logsumexp(-1) + constant).sum(1)
    torch.testing.assert_close(codec.energy(latent), expected)


def test_entries_follow_the_mean_of_what_is_nearest():
    codec = Codec(33, codebook=2, embedding=1, hidden=4, groups=1)
    codec.codebook.copy_(torch.tensor([[[-1.0], [1.0]]]))
    codec.usage.fill_(2.0)
    latent = torch.tensor([[[-3.0, -2.0, 2.0, 4.0]]])
    for _ in range(800):
        codec.follow(latent, codec.nearest(latent))
    torch.testing.assert_close(
        codec.codebook.flatten(), torch.tensor([-2.5, 3.0]), rtol=1e-3, atol=0
    )


def test_entries_that_nothing_is_near_to_start_anew():
    codec = Codec(33, codebook=2, embedding=1, hidden=4, groups=1)
    codec.codebook.copy_(torch.tensor([[[50.0], [1.0]]]))
    codec.usage.copy_(torch.tensor([[0.0, 2.0]]))
    latent = torch.tensor([[[-3.0, -2.0, 2.0, 4.0]]])
    codec.revive(latent, torch.Generator().manual_seed(0))
    assert codec.codebook[0, 0, 0] in latent
    assert codec.codebook[0, 1, 0] == 1.0


@pytest.mark.parametrize("shape", [(4, 33, 12), (4, 3, 33, 12), (4, 1, 33, 12), (1, 33, 7)])
def test_a_codec_learns_from_solos_and_from_bands(shape):
    terms = prior().train().loss(torch.rand(shape), torch.Generator().manual_seed(0))
    assert all(term.isfinite() and term.ndim == 0 for term in terms.values())


def test_the_generator_decides_the_loss_of_a_band():
    magnitude = torch.rand(4, 3, 33, 12)
    one, same, other = (
        prior().eval().loss(magnitude, torch.Generator().manual_seed(seed))["loss"]
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_measuring_a_codec_leaves_it_as_it_is():
    codec = prior().eval()
    before = {key: tensor.clone() for key, tensor in codec.state_dict().items()}
    codec.loss(torch.rand(2, 33, 12))
    for key, tensor in codec.state_dict().items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0)


def test_a_codec_learns_to_reconstruct_and_to_average():
    codec = prior(hidden=32).train()
    optimizer = torch.optim.Adam(codec.codec.parameters(), 3e-3)
    # each of two instruments plays one of two spectra at a time
    draws = torch.Generator().manual_seed(2)
    spectra = torch.rand(2, 2, 33, generator=draws).square()
    notes = torch.randint(2, (8, 2, 6), generator=draws).repeat_interleave(2, -1)
    band = torch.stack([spectra[i][notes[:, i]].transpose(1, 2) for i in range(2)], 1)
    terms = []
    for step in range(80):
        terms.append(codec.loss(band, torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        terms[-1]["loss"].backward()
        optimizer.step()
    for name in ("reconstruction", "linearity"):
        course = torch.stack([term[name] for term in terms])
        assert course[-5:].mean() < 0.5 * course[:5].mean(), (name, course)


@pytest.mark.parametrize("told", [False, True])
def test_a_prior_leaves_the_codec_alone(told):
    member = predictor(prior_with_usage())
    if told:  # Lightning leaves a module in the mode that it was made in
        member.train()
    before = {key: tensor.clone() for key, tensor in member.codec_state().items()}
    member.loss(solos(2))["loss"].backward()
    assert all(parameter.grad is None for parameter in member.codec.parameters())
    assert all(parameter.grad is not None for parameter in member.sequence.parameters())
    for key, tensor in member.codec_state().items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0)


def prior_with_usage() -> LQVAEPrior:
    codec = prior()
    codec.train().loss(solos(4), torch.Generator().manual_seed(0))
    return codec


def test_a_prior_learns_what_follows_what():
    member = predictor(prior_with_usage()).train()
    optimizer = torch.optim.Adam(member.sequence.parameters(), 0.02)
    for _ in range(60):
        loss = member.loss(solos(2))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # the order repeats, so all is known once it has begun
    assert loss.item() < 0.1


def test_step_by_step_the_codes_are_as_likely_as_at_once():
    member = predictor().eval().requires_grad_(False)
    codes = torch.randint(16, (3, 5, 2), generator=torch.Generator().manual_seed(0))
    flat, state, log_prob = codes.flatten(1), None, []
    for now in range(flat.shape[1]):
        logits, state = member.next_logits(flat[:, :now], state)
        log_prob.append(logits.log_softmax(-1).gather(1, flat[:, now : now + 1]))
    torch.testing.assert_close(-torch.cat(log_prob).mean(), member.sequence.loss(codes))


def test_the_codes_to_come_do_not_change_what_is_likely_now():
    member = predictor().eval().requires_grad_(False)
    codes = torch.randint(16, (1, 5, 2), generator=torch.Generator().manual_seed(0))
    changed = codes.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % 16

    def log_probs(c: torch.Tensor) -> torch.Tensor:
        return torch.stack([member.sequence.loss(c[:, :n]) * n for n in (1, 2, 3)])

    torch.testing.assert_close(log_probs(codes), log_probs(changed))


@pytest.mark.parametrize("frames", [1, 7, 12])
def test_what_codes_stand_for_has_the_frames_asked_for(frames):
    member = prior().eval().requires_grad_(False)
    magnitude = torch.rand(2, 33, frames)
    codes = member.codes(magnitude)
    assert codes.shape == (2, -(-frames // member.stride), 2)
    decoded = member.decode_codes(codes, frames)
    assert decoded.shape == magnitude.shape
    assert decoded.min() >= 0


def test_a_prior_on_an_untrained_codec_is_refused():
    with pytest.raises(ConfigError, match=r"name the result as model\.init"):
        prior(learns="prior").loss(torch.rand(2, 33, 12))


def test_a_codec_alone_predicts_nothing():
    with pytest.raises(ConfigError, match="the codec alone"):
        prior().next_logits(torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize(
    ("wrong", "text"), [({"groups": 3}, "got 3 and 8"), ({"learns": "x"}, "'x'")]
)
def test_an_architecture_that_is_none_is_refused(wrong, text):
    with pytest.raises(ConfigError, match=text):
        prior(**wrong)
