import pytest
import torch

from instglow.data.datamodule import EpochSampler
from instglow.data.recording import Decoded
from instglow.data.segments import Gate, Solo, SoloSegments, levels, spread


def noise(samples: int, gain: float = 0.1, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return gain * torch.randn(channels, samples, generator=generator).clamp(-3, 3)


def segments_of(*waves: torch.Tensor, gate: Gate = Gate()) -> SoloSegments:  # noqa: B008 - frozen
    return SoloSegments([Solo.of(Decoded.of(wave).wave, 100, gate) for wave in waves], 100)


def test_silence_is_left_out():
    wave = torch.cat([noise(1000), torch.zeros(1, 1000), noise(1000)], 1)
    segments = segments_of(wave)
    kept = torch.stack([segments[index] for index in range(len(segments))])
    assert kept.square().mean((1, 2)).min() > 1e-4
    assert 36 <= len(segments) <= 40
    assert len(segments_of(noise(3000))) == 59


def test_what_is_quiet_beside_the_rest_of_its_recording_is_silent():
    wave = torch.cat([noise(1000), noise(1000, 0.1 * 10 ** (-50 / 20))], 1)
    near, far = (
        len(segments_of(wave, gate=Gate(below_loudest=below, floor=-90))) for below in (40, 60)
    )
    assert near < far == 39


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [1, 99, 100, 149, 150, 1033])
def test_levels_are_the_root_mean_square_of_each_segment(length, channels):
    wave = Decoded.of(noise(length, channels=channels)).wave
    windows = wave.float().div(32767).unfold(1, min(length, 100), 50)
    expected = 10 * windows.square().mean((0, 2)).log10()
    torch.testing.assert_close(levels(wave, 100), expected, atol=1e-3, rtol=0)
    assert levels(torch.zeros_like(wave), 100).max() < -190


def test_a_segment_is_the_recording_to_16_bits_which_is_not_copied():
    wave = noise(1000, channels=2)
    kept = Decoded.of(wave).wave
    segments = SoloSegments([Solo.of(kept, 100, Gate())], 100)
    torch.testing.assert_close(segments[3], wave[:, 150:250], atol=2e-5, rtol=0)
    assert segments.waves[0].data_ptr() == kept.data_ptr()


def test_recordings_of_other_channels_become_segments_of_as_many_at_the_same_power():
    mono, stereo = noise(1000), noise(1000, channels=2)
    both = segments_of(mono, stereo)
    for index, alone in enumerate((segments_of(mono), segments_of(stereo))):
        segment = both[index * len(alone)]
        assert segment.shape == (2, 100)
        torch.testing.assert_close(segment.square().mean(), alone[0].square().mean())


@pytest.mark.parametrize("lengths", [(30, 40, 20, 60), (30,)])
def test_recordings_shorter_than_a_segment_are_joined_and_repeated(lengths):
    waves = [noise(length, channels=1 + index % 2) for index, length in enumerate(lengths)]
    segments = segments_of(*waves)
    most = max(len(wave) for wave in waves)
    joined = torch.cat([wave.expand(most, -1) for wave in waves], 1).repeat(1, 4)
    for index in range(len(segments)):
        torch.testing.assert_close(
            segments[index], joined[:, 50 * index : 50 * index + 100], atol=2e-5, rtol=0
        )
    assert len(segments) == (2 if len(lengths) > 1 else 1)
    assert (segments.recordings, segments.total) == (len(lengths), sum(lengths))


def test_a_short_recording_that_is_silent_is_none():
    assert len(segments_of(torch.zeros(1, 50))) == 0
    assert len(segments_of(torch.zeros(1, 50), noise(50))) == 1


def test_a_spread_sample_reaches_from_the_first_to_the_last():
    assert spread(36000, 400) == [45 + 90 * number for number in range(400)]
    assert spread(3, 400) == [0, 1, 2]
    assert spread(0, 400) == []


def test_an_epoch_is_decided_by_seed_and_number():
    sampler, again, later = (
        EpochSampler(range(10), lambda epoch=epoch: epoch, 25, seed=3) for epoch in (4, 4, 5)
    )
    assert list(sampler) == list(again)
    assert list(sampler) != list(later)
    assert len(list(sampler)) == len(sampler) == 25
    # without replacement until all were drawn
    assert sorted(list(sampler)[:10]) == list(range(10))
    assert set(EpochSampler(range(10), lambda: 0)) == set(range(10))
