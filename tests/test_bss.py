import math

import pytest
import torch

from instglow.evaluation.bss import median_over_frames, score


def test_closed_forms():
    """Orthogonal noise 12 dB below the stem; then a gain that SI-SDR alone forgives."""
    time = torch.arange(8000) / 8000
    stem = torch.sin(2 * torch.pi * 100 * time)[None]
    noise = 10 ** (-12 / 20) * torch.cos(2 * torch.pi * 100 * time)[None]
    scores = score(stem, stem + noise)
    assert scores.sdr == pytest.approx(12, abs=0.01)
    assert scores.si_sdr == pytest.approx(12, abs=0.01)
    half = score(stem, 0.5 * (stem + noise))
    error = 10 * math.log10(1 / (0.25 + 0.25 * 10 ** (-1.2)))
    assert half.sdr == pytest.approx(error, abs=0.01)
    assert half.si_sdr == pytest.approx(12, abs=0.01)


def test_a_silent_reference_has_no_score():
    assert score(torch.zeros(1, 100), torch.ones(1, 100)).sdr is None


def test_museval_agrees_that_noise_is_noise():
    pytest.importorskip("musdb", exc_type=Exception, reason="musdb needs ffmpeg")
    generator = torch.Generator().manual_seed(0)
    stems = torch.randn(2, 1, 4 * 8000, generator=generator)
    noise = 10 ** (-10 / 20) * torch.randn(2, 1, 4 * 8000, generator=generator)
    # v4 forgives a filter of 512 taps, which white noise hardly offers
    assert median_over_frames(stems, stems + noise, 8000) == pytest.approx(10, abs=0.6)
