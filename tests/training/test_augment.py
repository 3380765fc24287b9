import math
import random
from dataclasses import asdict

import numpy as np
import pytest
import torch

from instglow.errors import ConfigError
from instglow.training.augment import Augmentation

EVERYTHING = Augmentation(level=4, speed=1.5, equaliser=4, pitch=0.5, room=0.5, drive=6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def solos(batch: int = 4, samples: int = 11008) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=generator(9))


def test_nothing_changes_where_nothing_is_asked_for():
    nothing = Augmentation(level=0)
    wave, magnitude = torch.randn(3, 100), torch.rand(3, 9, 5)
    assert torch.equal(nothing.wave(wave, generator()), wave)
    assert torch.equal(nothing.magnitude(magnitude, generator()), magnitude)


def test_cards_of_the_first_version_are_read_and_new_ones_are_plain_values():
    old = {"level": 4.0, "speed": 1.5, "equaliser": 4.0}
    assert asdict(Augmentation(**old)) == {**old, "pitch": 0.0, "room": 0.0, "drive": 0.0}
    assert Augmentation(**asdict(EVERYTHING)) == EVERYTHING


def test_the_given_generator_decides_alone():
    # caches are filled on the first call: the second must not hear of it
    wave = solos()
    first = EVERYTHING.wave(wave, generator(3))
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    again = EVERYTHING.wave(wave, generator(3))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()
    assert torch.equal(first, again)
    other = EVERYTHING.wave(wave, generator(4))
    assert other.shape != first.shape or not torch.equal(other, first)
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(*pair) for pair in zip(before[2], after[2], strict=True))


def test_an_effect_that_is_off_leaves_the_draws_of_the_others():
    wave = solos()
    loud, quiet = Augmentation(level=4), Augmentation(level=4, equaliser=3)
    assert torch.equal(loud.wave(wave, generator()), quiet.wave(wave, generator()))
    expected = 4 * torch.randn(len(wave), 1, generator=generator())
    found = 20 * (loud.wave(wave, generator()) / wave).log10().mean(1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_the_callers_tensor_stays():
    wave = solos()
    kept = wave.clone()
    EVERYTHING.wave(wave, generator())
    assert torch.equal(wave, kept)


def test_segments_never_lengthen_and_only_speed_shortens():
    for seed in range(5):
        for samples in (11008, 12345):
            wave = solos(2, samples)
            assert EVERYTHING.wave(wave, generator(seed)).shape[1] <= samples
            kept = Augmentation(pitch=1, room=1, drive=6).wave(wave, generator(seed))
            assert kept.shape == wave.shape


@pytest.mark.parametrize("effect", ["speed", "pitch", "room", "drive"])
def test_silence_stays_silent(effect):
    changed = Augmentation(**{effect: 1}).wave(torch.zeros(2, 11008), generator())
    assert changed.abs().max() == 0


def test_half_precision_elsewhere_does_not_blur_the_waves():
    wave = solos(2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = EVERYTHING.wave(wave, generator())
    assert torch.equal(mixed, EVERYTHING.wave(wave, generator()))


def test_amounts_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"augmentation.drive is -3; give 0 \(off\) or more"):
        Augmentation(drive=-3)
    with pytest.raises(ConfigError, match=r"augmentation.speed is nan"):
        Augmentation(speed=math.nan)
    with pytest.raises(ConfigError, match=r"augmentation.room is 1.5, a share; give 0 .* to 1"):
        Augmentation(room=1.5)


def test_levels_spread_as_asked_for():
    waves = Augmentation(level=4).wave(torch.ones(4000, 2), generator())
    decibels = 20 * waves[:, 0].log10()
    assert abs(float(decibels.mean())) < 0.3
    assert abs(float(decibels.std()) - 4) < 0.3


def test_room_and_drive_leave_the_spread_of_levels_to_level():
    wave = solos()
    changed = Augmentation(level=0, room=1, drive=12).wave(wave, generator())
    torch.testing.assert_close(changed.norm(dim=1), wave.norm(dim=1))
    assert (changed - wave).norm(dim=1).min() > 0.1 * wave.norm(dim=1).min()


def test_speed_moves_the_pitch_and_never_lengthens():
    tone = torch.sin(2 * torch.pi * 0.05 * torch.arange(4000.0))[None]
    ratios = []
    for seed in range(150):
        played = Augmentation(level=0, speed=1.5).wave(tone, generator(seed))
        assert played.shape[1] <= 4000
        peak = torch.fft.rfft(played[0], 32000).abs().argmax() / 32000
        ratios.append(12 * torch.log2(peak / 0.05))
    spread = torch.stack(ratios)
    assert abs(float(spread.std()) - 1.5) < 0.25
    assert abs(float(spread.mean())) < 0.35


def test_as_many_segments_sound_in_a_room_as_asked_for():
    wave = solos(400, 512)
    changed = Augmentation(level=0, room=0.3).wave(wave, generator())
    share = (changed != wave).any(1).float().mean()
    assert abs(float(share) - 0.3) < 0.07


def test_drive_takes_from_the_peaks_what_a_half_normal_draw_says():
    # a soft second half beside one loud tone: how much it gains is what the peak lost
    time = torch.arange(2048)
    tone = torch.sin(2 * torch.pi * time / 64)
    wave = torch.where(time < 1024, tone, 1e-3 * tone).repeat(600, 1)
    changed = Augmentation(level=0, drive=6).wave(wave, generator())
    lost = (
        20
        * (changed[:, 1200:1900].abs().amax(1) / changed[:, 100:900].abs().amax(1) / 1e-3).log10()
    )
    assert float(lost.min()) > -0.1
    assert abs(float(lost.square().mean().sqrt()) - 6) < 0.5


def test_an_equaliser_is_smooth_and_the_same_for_all_frames():
    magnitude = torch.ones(2000, 513, 2)
    changed = Augmentation(equaliser=4).magnitude(magnitude, generator())
    assert torch.equal(changed[..., 0], changed[..., 1])
    decibels = 20 * changed[..., 0].log10()
    # bins 2^k − 1 are the points between which it interpolates
    at_points = decibels[:, [2**k - 1 for k in range(10)]]
    assert ((at_points.std(0) - 4).abs() < 0.4).all()
    assert decibels[:, 256:].diff(dim=1).abs().max() < 0.5
    correlation = torch.corrcoef(at_points.T) - torch.eye(10)
    assert correlation.abs().max() < 0.12
