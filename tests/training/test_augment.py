import torch

from instglow.training.augment import Augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_changes_where_nothing_is_asked_for():
    nothing = Augmentation(level=0, speed=0, equaliser=0)
    wave, magnitude = torch.randn(3, 100), torch.rand(3, 9, 5)
    assert torch.equal(nothing.wave(wave, generator()), wave)
    assert torch.equal(nothing.magnitude(magnitude, generator()), magnitude)


def test_levels_spread_as_asked_for():
    waves = Augmentation(level=4).wave(torch.ones(4000, 2), generator())
    decibels = 20 * waves[:, 0].log10()
    assert abs(float(decibels.mean())) < 0.3
    assert abs(float(decibels.std()) - 4) < 0.3


def test_speed_moves_the_pitch_and_never_lengthens():
    tone = torch.sin(2 * torch.pi * 0.05 * torch.arange(4000.0))[None]
    ratios = []
    for seed in range(200):
        played = Augmentation(level=0, speed=1.5).wave(tone, generator(seed))
        assert played.shape[1] <= 4000
        peak = torch.fft.rfft(played[0], 32000).abs().argmax() / 32000
        ratios.append(12 * torch.log2(peak / 0.05))
    spread = torch.stack(ratios)
    assert abs(float(spread.std()) - 1.5) < 0.25
    assert abs(float(spread.mean())) < 0.35


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
