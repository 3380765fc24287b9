import math

import pytest
import soundfile
import torch

from instglow.audio.frontend import Frontend
from instglow.data.recording import Decoded, Recording, in_few_channels
from instglow.separation.refine import pooled_magnitude

RATE = 8000
FRONTEND = Frontend(RATE, 64, 16)


def noise(channels: int, samples: int = 2000) -> torch.Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def pooled(wave: torch.Tensor) -> torch.Tensor:
    return pooled_magnitude(FRONTEND.spectrogram(wave))


@pytest.mark.parametrize(
    "gains", [(1.0, 1.0), (1.0, -1.0), (0.2, 0.9), (0.0, -0.5), (1.0, -1.0, 0.3)]
)
def test_channels_that_differ_by_a_factor_become_one_of_the_pooled_spectrogram(gains):
    wave = torch.tensor(gains)[:, None] * noise(1)
    one = in_few_channels(wave)
    assert one.shape == (1, 2000)
    torch.testing.assert_close(pooled(one), pooled(wave), atol=1e-5, rtol=1e-4)


def test_other_channels_and_silence_stay_as_they_are():
    wave = noise(2)
    assert in_few_channels(wave) is wave
    assert torch.equal(in_few_channels(torch.zeros(2, 50)), torch.zeros(1, 50))


@pytest.mark.parametrize(("right", "channels"), [(1.0, 1), (-1.0, 1), (0.0, 1), (None, 2)])
def test_a_file_is_decoded_at_the_rate_in_few_channels(tmp_path, right, channels):
    time = torch.arange(RATE) / RATE
    left = 0.5 * torch.sin(2 * math.pi * 440 * time)
    other = 0.5 * torch.sin(2 * math.pi * 300 * time) if right is None else right * left
    path = tmp_path / "take.wav"
    soundfile.write(path, torch.stack([left, other], 1).numpy(), RATE)
    wave, _ = Recording.of_file(path).decoded(RATE // 2)
    assert (wave.shape, wave.dtype) == ((channels, RATE // 2), torch.int16)
    power = (wave / 32767).square().mean()
    expected = torch.stack([left, other]).square().mean()
    torch.testing.assert_close(power, expected, rtol=1e-2, atol=0)


def test_the_digest_is_that_of_the_samples():
    wave = noise(2)
    assert Decoded.of(wave).digest == Decoded.of(wave.T.contiguous().T).digest
    assert Decoded.of(wave).digest != Decoded.of(wave.flip(1)).digest
    assert Decoded.of(torch.tensor([0.0, 1.0, -2.0])).wave.tolist() == [[0, 32767, -32767]]
