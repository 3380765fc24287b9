import pytest
import torch
from toys import FRONTEND, tone

from instglow.separation.refine import MixturePhase, RatioMask, native_frontend, pooled_magnitude


def noise(channels: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, channels, samples, generator=torch.Generator().manual_seed(0))


def magnitudes(samples: int, rate: int) -> torch.Tensor:
    """(2, 3 sources, bins, frames) of nothing in particular."""
    frames = FRONTEND.frames(-(-samples * FRONTEND.sample_rate // rate))
    return torch.rand(2, 3, FRONTEND.bins, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rate", [8000, 4000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_masks_share_out_the_mixture(rate, channels):
    mixture = noise(channels, rate // 2 + 1)
    stems = RatioMask()(magnitudes(mixture.shape[-1], rate), mixture, rate, FRONTEND)
    assert stems.shape == (2, 3, channels, rate // 2 + 1)
    error = (stems.sum(1) - mixture).square().mean() / mixture.square().mean()
    assert 10 * error.log10() < -100


@pytest.mark.parametrize("samples", [1, 3, 17])
def test_the_shortest_of_mixtures(samples):
    mixture = noise(2, samples)
    stems = RatioMask()(magnitudes(samples, 44100), mixture, 44100, FRONTEND)
    torch.testing.assert_close(stems.sum(1), mixture, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_a_mask_lands_on_its_frequencies_at_any_rate(rate):
    """Low and high tone, masks that part them: each stem holds one."""
    low, high = tone(500, rate, rate), tone(3000, rate, rate)
    sources = torch.zeros(1, 2, FRONTEND.bins, FRONTEND.frames(8000))
    sources[:, 0, :14] = 1
    sources[:, 1, 14:] = 1
    stems = RatioMask()(sources, (low + high)[None, None], rate, FRONTEND)[0, :, 0]
    middle = slice(rate // 10, -rate // 10)
    for stem, wanted in zip(stems, (low, high), strict=True):
        error = (stem - wanted)[middle].square().mean() / wanted[middle].square().mean()
        assert 10 * error.log10() < -30


def test_a_mask_lands_on_its_moments_at_any_rate():
    rate = 48000
    mixture = tone(1000, 4 * rate, rate)
    sources = torch.zeros(1, 2, FRONTEND.bins, FRONTEND.frames(4 * 8000))
    half = sources.shape[-1] // 2
    sources[:, 0, :, :half] = 1
    sources[:, 1, :, half:] = 1
    first, second = RatioMask()(sources, mixture[None, None], rate, FRONTEND)[0, :, 0]
    before, after = slice(0, 2 * rate - 600), slice(2 * rate + 600, None)
    torch.testing.assert_close(first[before], mixture[before], atol=1e-3, rtol=0)
    torch.testing.assert_close(second[after], mixture[after], atol=1e-3, rtol=0)
    assert first[after].abs().max() < 1e-3


def test_above_the_priors_band_goes_by_the_highest_octave_that_they_know():
    rate = 44100
    mixture = tone(15000, rate, rate)
    sources = torch.full((1, 2, FRONTEND.bins, FRONTEND.frames(8000)), 1e-3)
    sources[:, 0, 20:] = 1.0
    stems = RatioMask()(sources, mixture[None, None], rate, FRONTEND)[0, :, 0]
    assert stems[0].square().mean() > 0.99 * mixture.square().mean()


@pytest.mark.parametrize("channels", [1, 2])
def test_mixture_phase_returns_a_lone_source_exactly(channels):
    mixture = noise(channels, 8000)
    source = pooled_magnitude(FRONTEND.spectrogram(mixture))[:, None]
    stems = MixturePhase()(source, mixture, 8000, FRONTEND)
    torch.testing.assert_close(stems[:, 0], mixture, atol=1e-5, rtol=1e-4)


def test_mixture_phase_keeps_rate_and_length_and_cuts_the_band():
    mixture = tone(1000, 44100, 44100)[None, None].expand(2, -1, -1)
    stems = MixturePhase()(magnitudes(44100, 44100), mixture, 44100, FRONTEND)
    assert stems.shape == (2, 3, 1, 44100)
    spectrum = torch.fft.rfft(stems).abs()
    assert spectrum[..., 5000:].max() < 0.01 * spectrum.max()


def test_out_of_phase_channels_are_heard():
    wave = noise(1, 4000)
    pooled = pooled_magnitude(FRONTEND.spectrogram(torch.cat([wave, -wave], 1)))
    torch.testing.assert_close(pooled, FRONTEND.magnitude(wave[:, 0]))


def test_windows_last_as_long_at_every_rate():
    for rate in (8000, 11025, 16000, 44100, 48000, 192000):
        native = native_frontend(FRONTEND, rate)
        assert abs(native.n_fft / rate - FRONTEND.n_fft / 8000) <= 1.0 / rate
        assert abs(native.hop_length / rate - FRONTEND.hop_length / 8000) <= 0.5 / rate
