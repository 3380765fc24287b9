import pytest
import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError

FRONTENDS = [Frontend(), Frontend(44100, 2048, 512), Frontend(8000, 64, 32), Frontend(8000, 6, 2)]


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("samples", [1, 2, 255, 256, 257, 1024, 50001])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_waveform_inverts_spectrogram(samples, batch):
    frontend = Frontend()
    wave = noise(*batch, samples)
    spectrogram = frontend.spectrogram(wave)
    assert spectrogram.shape == (*batch, frontend.bins, frontend.frames(samples))
    again = frontend.waveform(spectrogram, samples)
    assert again.shape == wave.shape
    assert (again - wave).abs().max() < 1e-5 * wave.abs().max()  # -100 dB


@pytest.mark.parametrize("frontend", FRONTENDS, ids=str)
def test_agrees_with_torch_and_inverts(frontend):
    wave = noise(2, 5003, dtype=torch.float64)
    expected = torch.stft(
        wave,
        frontend.n_fft,
        frontend.hop_length,
        window=torch.hann_window(frontend.n_fft, dtype=torch.float64),
        pad_mode="constant",
        return_complex=True,
    )
    spectrogram = frontend.spectrogram(wave)
    torch.testing.assert_close(spectrogram, expected)
    torch.testing.assert_close(frontend.magnitude(wave), expected.abs())
    torch.testing.assert_close(frontend.waveform(spectrogram, 5003), wave)


def test_magnitude_of_a_sine_is_half_the_sum_of_the_window():
    frontend = Frontend(sample_rate=8000, n_fft=256, hop_length=64)
    bin_ = 32
    time = torch.arange(8000, dtype=torch.float64)
    wave = 0.5 * torch.sin(2 * torch.pi * bin_ / 256 * time)
    middle = frontend.magnitude(wave)[:, 60]
    assert middle.argmax() == bin_
    torch.testing.assert_close(middle[bin_], torch.tensor(0.5 * 256 / 4, dtype=torch.float64))


def test_leaves_the_waveform_alone():
    wave = noise(1000)
    before = wave.clone()
    Frontend().waveform(Frontend().spectrogram(wave), 1000)
    assert torch.equal(wave, before)


def test_survives_a_card():
    frontend = Frontend(44100, 2048, 512)
    assert frontend.to_dict() == {"sample_rate": 44100, "n_fft": 2048, "hop_length": 512}
    assert Frontend(**frontend.to_dict()) == frontend


@pytest.mark.parametrize(
    "values", [(0, 1024, 256), (22050, 1023, 256), (22050, 0, 1), (22050, 1024, 0)]
)
def test_refuses_what_is_no_frontend(values):
    with pytest.raises(ConfigError, match=r"not a frontend: .*need positive numbers and an even"):
        Frontend(*values)


def test_refuses_a_hop_that_cannot_be_inverted():
    with pytest.raises(ConfigError, match=r"hop_length 513 is more than half of n_fft 1024.*short"):
        Frontend(hop_length=513)


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.5, 2.0, 3.3])
def test_a_segment_has_an_even_number_of_frames_and_is_about_as_long(seconds):
    frontend = Frontend(8000, 64, 16)
    samples = frontend.segment(seconds)
    assert frontend.frames(samples) % 2 == 0
    assert abs(samples - seconds * 8000) <= 2 * 16
