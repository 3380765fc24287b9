"""Sounds around a solo, and the denoiser that learns to take them away."""

import pytest
import torch
from tiny import RATE, training

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.families.glow import GlowPrior
from instglow.training.clutter import Clutter

FEW = {"scenes": 3, "seconds": 0.5}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decibels(wave: torch.Tensor) -> torch.Tensor:
    return 10 * wave.square().mean(-1).log10()


@pytest.mark.parametrize("samples", [100, RATE // 2, 2 * RATE])  # also longer than a scene
def test_its_level_is_relative_to_each_segment(samples):
    wave = torch.randn(16, samples) * torch.logspace(-3, 0, 16)[:, None]
    clutter = Clutter(quietest=-6, loudest=3, **FEW)(wave, draws(), RATE)
    assert clutter.shape == wave.shape
    relative = decibels(clutter) - decibels(wave)
    assert ((relative > -6.01) & (relative < 3.01)).all()
    assert relative.max() - relative.min() > 4  # it is spread, not the same for all
    assert (clutter.unfold(-1, 50, 50).square().mean(-1) > 0).any(-1).all()


def test_the_generator_and_the_seed_decide_it():
    wave = torch.ones(4, 500)
    first = Clutter(**FEW)(wave, draws(), RATE)
    assert torch.equal(first, Clutter(**FEW)(wave, draws(), RATE))
    assert not torch.equal(first, Clutter(**FEW)(wave, draws(1), RATE))
    assert not torch.equal(first, Clutter(seed=1, **FEW)(wave, draws(), RATE))


def test_no_clutter_around_silence():
    assert not Clutter(**FEW)(torch.zeros(2, 500), draws(), RATE).any()


def test_scenes_hold_all_kinds_of_sound():
    wave = torch.ones(40, RATE)
    clutter = Clutter(scenes=20, seconds=1.0, most=1)(wave, draws(), RATE)
    power = torch.fft.rfft(clutter).abs().square()
    # geometric over arithmetic mean: 0 for a tone, more than half for noise
    flatness = (power + 1e-9).log().mean(-1).exp() / power.mean(-1)
    assert flatness.min() < 0.02
    assert flatness.max() > 0.1
    assert torch.isfinite(clutter).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scenes": 0}, "clutter.scenes is 0"),
        ({"seconds": float("nan")}, "clutter.seconds is nan"),
        ({"most": 0}, "clutter.most is 0"),
        ({"quietest": 3.0, "loudest": 2.0}, "from 3.0 to 2.0 dB"),
        ({"loudest": float("inf")}, "to inf dB"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Clutter(**options)


def test_a_prior_without_a_denoiser_has_no_use_for_it():
    with pytest.raises(ConfigError, match="clutter is for a prior with a denoiser"):
        training(clutter=Clutter())


def with_denoiser() -> GlowPrior:
    torch.manual_seed(0)
    sizes = {"hidden": 8, "layers": 1, "kernel": 3}
    return GlowPrior(
        Frontend(RATE, 64, 16),
        steps=1,
        hidden=4,
        layers=1,
        amplitude="power:0.5",
        denoiser=sizes,
    )


def test_a_run_measures_the_same_clutter_every_time():
    module = training(clutter=Clutter(**FEW), prior=with_denoiser()).eval()
    wave = 0.1 * torch.randn(4, 2, 2000)
    with torch.no_grad():
        first, again, other = (module.terms(wave, batch)["denoising"] for batch in (3, 3, 4))
    assert first == again != other


def test_a_mixture_is_the_equalised_solo_and_what_is_around_it():
    wave = 0.1 * torch.randn(2, 1, 2000)
    faint = training(clutter=Clutter(quietest=-90, loudest=-90, **FEW), prior=with_denoiser())
    spectrogram = 0.5 * faint.spectrogram(wave)  # as through an equaliser
    magnitude = spectrogram.abs()[:, 0]
    torch.testing.assert_close(
        faint._among_others(wave, spectrogram, draws())["mixture"], magnitude, atol=1e-3, rtol=0
    )
    loud = training(clutter=Clutter(quietest=20, loudest=20, **FEW), prior=with_denoiser())
    mixture = loud._among_others(wave, spectrogram, draws())["mixture"]
    assert mixture.square().sum() > 50 * magnitude.square().sum()


def test_a_denoiser_that_has_heard_mixtures_takes_the_others_away():
    """The instrument plays low, everything else high."""
    shape, low = (16, 33, 16), torch.arange(33)[:, None] < 16

    def leaked(learns_from_mixtures: bool) -> float:
        prior = with_denoiser().train()
        optimizer = torch.optim.Adam(prior.denoiser.parameters(), 1e-2)
        for step in range(100):
            sounds = torch.rand(shape, generator=draws(step))
            solo = sounds * low
            terms = prior.loss(solo, draws(step), sounds if learns_from_mixtures else None)
            optimizer.zero_grad()
            terms["denoising"].backward()
            optimizer.step()
        sounds = torch.rand(shape, generator=draws(1000))
        with torch.no_grad():
            answer = prior.eval().denoise(sounds / 2, 0.5, 0.5, draws())
        return float((answer * ~low).sum() / (answer * low).sum())

    assert leaked(True) < 0.5 * leaked(False)
