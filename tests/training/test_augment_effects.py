import math

import numpy as np
import pytest
import torch

from instglow.training.augment_effects import nearest_ratio, play, reverberate, soft_clip

RATE = 22050
SAMPLES = 2 * RATE


def tone(hertz: float, samples: int = SAMPLES) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz / RATE * torch.arange(samples, dtype=torch.float64))


def spectrum(wave: torch.Tensor) -> torch.Tensor:
    # Blackman-Harris: side lobes below -92 dB
    turn = 2 * torch.pi * torch.arange(wave.shape[-1], dtype=torch.float64) / wave.shape[-1]
    terms = zip((0.35875, -0.48829, 0.14128, -0.01168), range(4), strict=True)
    window = sum(weight * torch.cos(order * turn) for weight, order in terms)
    return torch.fft.rfft(wave.double() * window).abs()


def frequency(wave: torch.Tensor) -> float:
    """Of one steady tone, Hz: the peak of a parabola through the logarithms around it."""
    logs = spectrum(wave).log()
    top = int(logs.argmax())
    left, middle, right = logs[top - 1 : top + 2].tolist()
    offset = 0.5 * (left - right) / (left - 2 * middle + right)
    return (top + offset) * RATE / wave.shape[-1]


def inner(wave: torch.Tensor) -> torch.Tensor:
    return wave[..., 3000:-3000]


def decibels(ratio: torch.Tensor) -> float:
    return float(20 * ratio.log10())


@pytest.mark.parametrize("semitones", [-2.71, -0.013, 0.2, 1.37, 3.3])
@pytest.mark.parametrize("hertz", [110.0, 2000.0, 7900.0])
def test_speed_moves_a_tone_by_its_ratio_and_makes_no_images(semitones, hertz):
    played = inner(play(tone(hertz)[None].float(), semitones)[0])
    expected = hertz * float(nearest_ratio(semitones))
    assert abs(1200 * math.log2(frequency(played) / expected)) < 0.1
    found = spectrum(played)
    peak = round(expected / RATE * played.shape[-1])
    apart = torch.cat((found[: max(0, peak - 8)], found[peak + 9 :]))
    assert decibels(apart.max() / found.max()) < -70
    # as loud, up to the highs
    torch.testing.assert_close(played.std(), tone(hertz).std().float(), rtol=0.005, atol=0)


def test_played_faster_what_would_fold_back_is_taken_away():
    played = inner(play(tone(10500.0)[None].float(), 2.0)[0])
    assert decibels(played.norm() / tone(10500.0).norm()) < -50


def test_ratios_miss_the_semitones_by_less_than_two_cents_and_mostly_by_far_less():
    drawn = 1.5 * torch.randn(2000, generator=torch.Generator().manual_seed(0))
    missed = torch.tensor([1200 * math.log2(nearest_ratio(s)) - 100 * s for s in drawn.tolist()])
    assert missed.abs().max() < 1.75
    assert missed.abs().quantile(0.95) < 0.5
    assert nearest_ratio(0) == 1


@pytest.mark.parametrize("samples", [SAMPLES, 43776])
@pytest.mark.parametrize("semitones", [-1.3, 0.4])
def test_pitch_moves_a_tone_and_keeps_its_time(semitones, samples):
    wave = tone(440.0, samples)
    wave[: samples // 2] = 0
    moved = play(wave[None].float(), 0.0, semitones)
    assert moved.shape == (1, samples)
    sounding = moved[0, samples // 2 + 2000 : -2000]
    expected = 440 * float(nearest_ratio(semitones))
    assert abs(1200 * math.log2(frequency(sounding) / expected)) < 1
    assert abs(decibels(sounding.std() / tone(440.0).std())) < 0.5
    assert moved[0, : samples // 2 - 1500].norm() < 0.01 * moved.norm()
    # to the end: a missing last frame would leave zeros there
    assert moved[0, -700:].std() > 0.5 * sounding.std()


def test_pitch_and_speed_together_move_by_both_and_end_when_speed_does():
    wave = tone(440.0)[None].float()
    both, alone = play(wave, 1.0, 0.7), play(wave, 1.0)
    assert abs(both.shape[1] - alone.shape[1]) <= 0.001 * SAMPLES
    expected = 440 * float(nearest_ratio(1.7))
    assert abs(1200 * math.log2(frequency(inner(both[0])) / expected)) < 1
    assert play(wave, -1.0, 0.7).shape == wave.shape


def test_a_room_is_a_direct_sound_and_a_decay_of_60_db_in_a_tenth_to_four_tenths_of_a_second():
    click = torch.zeros(300, RATE // 2)
    click[:, 0] = 1
    sounding = reverberate(click, torch.Generator().manual_seed(0), RATE).double()
    returned = 10 * (sounding[:, 1:].square().sum(1) / sounding[:, 0].square()).log10()
    assert -15.1 < float(returned.min()) < -14
    assert -4 < float(returned.max()) < -2.9
    # the slope of Schroeder's integral, whose end the cut tail bends down
    left = sounding[:, 1:].square().flip(1).cumsum(1).flip(1)
    assert (left.diff(dim=1) <= 1e-12).all()
    at = (0.005, 0.035)
    early, late = (10 * left[:, round(seconds * RATE)].log10() for seconds in at)
    seconds = 60 * (at[1] - at[0]) / (early - late)
    assert 0.08 < float(seconds.quantile(0.02)) < 0.14
    assert 0.34 < float(seconds.quantile(0.98)) < 0.5
    # none sounds on for longer than the tail that the docstring of _TAIL speaks of
    assert sounding[:, round(0.36 * RATE) :].abs().max() < 0.003


def test_a_room_lasts_as_long_at_another_sample_rate():
    lasted = []
    for rate in (RATE, 2 * RATE):
        click = torch.zeros(1, rate)
        click[:, 0] = 1
        energy = reverberate(click, torch.Generator().manual_seed(2), rate)[0, 1:].square()
        lasted.append(float((energy * torch.arange(len(energy))).sum() / energy.sum() / rate))
    assert abs(lasted[0] / lasted[1] - 1) < 0.1


def test_a_room_is_a_convolution():
    wave, click = tone(300.0, 2000), torch.eye(1, 2000, dtype=torch.float64)[0]
    rooms = reverberate(torch.stack((click, click)), torch.Generator().manual_seed(0), RATE)
    heard = reverberate(torch.stack((wave, wave)), torch.Generator().manual_seed(0), RATE)
    for found, room in zip(heard, rooms, strict=True):
        expected = np.convolve(wave, room)[:2000]
        expected *= float(wave.norm()) / np.linalg.norm(expected)
        torch.testing.assert_close(found, torch.from_numpy(expected))
    assert not torch.allclose(heard[0], heard[1])


def test_drive_adds_odd_harmonics_alone_and_keeps_the_level():
    hertz = 40 * RATE / 2048
    wave = tone(hertz, 2048)[None]
    driven = soft_clip(wave, torch.tensor([9.0], dtype=torch.float64))
    torch.testing.assert_close(driven.norm(), wave.norm())
    lines = torch.fft.rfft(driven[0]).abs()
    assert decibels(lines[120] / lines[40]) > -20
    assert decibels(lines[200] / lines[40]) > -35
    assert decibels(lines[120] / lines[200]) > 3
    for even in (0, 80, 160):
        assert decibels(lines[even].clamp(min=1e-30) / lines[40]) < -120


def test_drive_presses_the_peak_by_what_it_is_told_and_leaves_soft_sounds():
    envelope = torch.where(torch.arange(8192) < 4096, 1.0, 1e-3)
    wave = envelope * tone(RATE / 64, 8192).float()
    for lost in (0.0, 3.0, 12.0):
        driven = soft_clip(wave[None], torch.tensor([lost]))[0]
        loud, soft = (driven[part].abs().max() for part in (slice(500, 3500), slice(5000, 8000)))
        assert abs(decibels(soft / loud) + 60 - lost) < 0.3
    torch.testing.assert_close(soft_clip(wave[None], torch.zeros(1))[0], wave)


@pytest.mark.parametrize("lost", [3.0, 9.0])
def test_drive_hardly_aliases(lost):
    # 41 whole periods of 2048 samples: harmonics fall on multiples of 41, folded ones elsewhere
    wave = tone(41 * RATE / 2048, 2048)[None]
    lines = torch.fft.rfft(soft_clip(wave, torch.tensor([lost], dtype=torch.float64))[0]).abs()
    folded = lines.clone()
    folded[::41] = 0
    assert decibels(folded.max() / lines.max()) < -50


def test_segments_are_driven_apart_and_at_any_level():
    wave = torch.stack((tone(200.0, 4096), 1e-4 * tone(200.0, 4096)))
    lost = torch.tensor([6.0, 6.0], dtype=torch.float64)
    driven = soft_clip(wave, lost)
    torch.testing.assert_close(driven[1] * 1e4, driven[0])
    torch.testing.assert_close(driven[:1], soft_clip(wave[:1], lost[:1]))
