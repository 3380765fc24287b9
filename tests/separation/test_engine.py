import math

import numpy as np
import pytest
import torch
from toys import FRONTEND, BandPrior, low_and_high, tone

from instglow.api import Separator
from instglow.audio.frontend import Frontend
from instglow.errors import AudioError, ConfigError, FrontendMismatch
from instglow.separation.engine import SeparationEngine
from instglow.separation.presets import PRESETS, Preset
from instglow.separation.refine import MixturePhase, RatioMask
from instglow.separation.search import LatentSearch

QUICK = Preset(LatentSearch(steps=60, learning_rate=0.1, relative=True), RatioMask())


def level(wave: torch.Tensor) -> float:
    return 10 * math.log10(float(wave.double().square().mean()) + 1e-30)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_stems_have_the_mixtures_rate_channels_and_length_and_sum_to_it(rate, channels):
    samples = rate + 137
    mixture = (tone(500, samples, rate) + tone(3000, samples, rate)).repeat(channels, 1)
    mixture[1:] *= 0.5
    stems = Separator(low_and_high(), QUICK).separate(mixture, rate)
    assert [stem.shape for stem in stems.values()] == [mixture.shape] * 2
    assert level(sum(stems.values()) - mixture) < level(mixture) - 60
    assert level(stems["low"][0] - tone(500, samples, rate)) < level(mixture[0]) - 15


def test_a_mono_array_comes_back_as_one():
    mixture = tone(500, 4000, 8000).numpy()
    stems = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    assert all(isinstance(stem, np.ndarray) and stem.shape == (4000,) for stem in stems.values())


def test_the_callers_array_is_left_alone():
    mixture = tone(500, 4000, 8000)
    before = mixture.clone()
    Separator(low_and_high(level=0.1), QUICK).separate(mixture, 8000)
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("samples", [1, 5, 100])
def test_very_short_mixtures(samples):
    mixture = 0.1 + 0.1 * torch.rand(2, samples)
    stems = Separator(low_and_high(), QUICK).separate(mixture, 44100)
    torch.testing.assert_close(sum(stems.values()), mixture, atol=1e-4, rtol=1e-3)


def test_chunks_join_without_a_seam():
    mixture = tone(500, 5 * 8000, 8000) + tone(3000, 5 * 8000, 8000)
    whole = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    chunked = Separator(low_and_high(), QUICK, segment=1.5, overlap=0.2).separate(mixture, 8000)
    torch.testing.assert_close(sum(chunked.values()), mixture, atol=1e-4, rtol=1e-3)
    for name in whole:
        assert level(whole[name] - chunked[name]) < level(whole[name]) - 20


def test_what_a_batch_holds_besides_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    mixtures = 0.1 * torch.randn(3, 2, 3000, generator=generator)
    mixtures[1] = 0  # silence beside sound
    engine = SeparationEngine(low_and_high(level=0.1), QUICK)
    together = engine.separate_chunk(mixtures, 8000).stems
    for index in (0, 2):
        alone = engine.separate_chunk(mixtures[index : index + 1], 8000).stems[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-4)
    assert together[1].abs().max() == 0


def test_loudness_does_not_matter_where_levels_are_matched():
    mixture = tone(500, 8000, 8000) + tone(3000, 8000, 8000)
    loud, quiet = (
        Separator(low_and_high(level=0.1), QUICK).separate(gain * mixture, 8000)["low"]
        for gain in (1.0, 0.01)
    )
    torch.testing.assert_close(100 * quiet, loud, atol=1e-3, rtol=1e-2)


def test_priors_of_different_spectrograms_are_refused():
    other = BandPrior(Frontend(44100, 64, 16), 0, 33)
    with pytest.raises(
        FrontendMismatch, match=r"'low' was trained at 8000 Hz.*'violin' at 44100 Hz"
    ):
        Separator({**low_and_high(), "violin": other})


@pytest.mark.parametrize(
    ("mixture", "rate", "says"),
    [
        (torch.zeros(100), 8000, "silent"),
        (torch.full((100,), math.nan), 8000, "no numbers"),
        (torch.zeros(0), 8000, r"shape \(0,\)"),
        (torch.zeros(2, 3, 100), 8000, r"shape \(2, 3, 100\)"),
        (torch.ones(100, dtype=torch.int16), 8000, "int16"),
        (torch.ones(100), 0, "sample rate of 0"),
    ],
)
def test_what_cannot_be_separated_is_refused_in_one_line(mixture, rate, says):
    with pytest.raises(AudioError, match=says) as error:
        Separator(low_and_high(), QUICK).separate(mixture, rate)
    assert "\n" not in str(error.value)


def test_strange_settings_are_refused():
    with pytest.raises(ConfigError, match="no priors"):
        Separator({})
    with pytest.raises(ConfigError, match="segment of 61"):
        Separator(low_and_high(), segment=61)
    with pytest.raises(ConfigError, match="overlap of 3"):
        Separator(low_and_high(), segment=5, overlap=3)
    with pytest.raises(ConfigError, match=r"'quick' is not one of paper, .*default"):
        Separator(low_and_high(), preset="quick")


def test_the_paper_preset_is_the_paper():
    """Zhu et al. (2022), section IV: Adam at 0.01, 150 iterations, no prior term, no mask."""
    paper = PRESETS["paper"]
    assert paper.search == LatentSearch("kl", 150, 0.01, 0.0, signed=True, relative=False)
    assert paper.refine == MixturePhase()
    assert not paper.match_level
    assert FRONTEND.bins == 33
