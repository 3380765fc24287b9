import math
import shutil

import numpy as np
import pytest
import torch
from songs import FREQUENCIES, RATE, tone

from instglow.evaluation.bss import score

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="museval needs ffmpeg"
)


def decibels(amplitude):
    return 20 * math.log10(amplitude)


def known(gains, noise, seconds=3):
    """Stems of equal level; estimates are gain · (stem + orthogonal noise, so many dB below)."""
    truth = {name: tone(FREQUENCIES[name], seconds) for name in gains}
    estimates = {
        name: gain
        * (truth[name] + tone(FREQUENCIES[name], seconds, 10 ** (-noise / 20), torch.pi / 2))
        for name, gain in gains.items()
    }
    return truth, estimates, torch.stack(list(truth.values())).sum(0)


@pytest.mark.parametrize("noise", [3.0, 12.0, 30.0])
def test_scaled_copies_with_orthogonal_noise(noise):
    gains = {"bass": 1.0, "drums": 0.5, "guitar": 1.5}
    scores = score(*known(gains, noise), RATE)
    for name, gain in gains.items():
        error = (1 - gain) ** 2 + (gain * 10 ** (-noise / 20)) ** 2
        sdr = -10 * math.log10(error)
        assert scores[name]["sdr"] == pytest.approx(sdr, abs=0.01)
        assert scores[name]["sdr_frames"] == pytest.approx(sdr, abs=0.01)
        assert scores[name]["si_sdr"] == pytest.approx(noise, abs=0.01)
        # two other stems of equal level are the mixture's error
        before = -10 * math.log10(2)
        for figure, value in (("sdr", sdr), ("sdr_frames", sdr), ("si_sdr", noise)):
            assert scores[name][f"{figure}_i"] == pytest.approx(value - before, abs=0.01)


def test_the_frames_are_a_median():
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0}, 20)
    estimates["bass"][:, : RATE // 2] = 0  # half of the first of three frames
    scores = score(truth, estimates, mixture, RATE)["bass"]
    assert scores["sdr_frames"] == pytest.approx(20, abs=0.01)
    assert scores["sdr"] == pytest.approx(10 * math.log10(3 / (0.5 + 2.5 * 0.01)), abs=0.01)


def test_museval_called_directly_agrees():
    from museval.metrics import bss_eval

    generator = torch.Generator().manual_seed(0)
    truth = {name: torch.randn(2, 5 * RATE, generator=generator) for name in ("bass", "drums")}
    estimates = {
        name: wave + 0.4 * torch.randn(wave.shape, generator=generator)
        for name, wave in truth.items()
    }
    true, found = (
        np.stack([stems[name].T.numpy() for name in ("bass", "drums")])
        for stems in (truth, estimates)
    )
    framed, *_ = bss_eval(true, found, window=RATE, hop=RATE)
    whole, *_ = bss_eval(true, found, window=np.inf, hop=np.inf)
    scores = score(truth, estimates, truth["bass"] + truth["drums"], RATE)
    for number, name in enumerate(("bass", "drums")):
        assert scores[name]["sdr_frames"] == pytest.approx(np.median(framed[number]), abs=0.01)
        assert scores[name]["sdr"] == pytest.approx(whole[number, 0], abs=0.01)


def test_the_accompaniment_is_the_sum_of_all_but_the_vocals():
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0, "vocals": 1.0}, 10)
    estimates["bass"], estimates["drums"] = estimates["drums"], estimates["bass"]
    scores = score(truth, estimates, mixture, RATE)
    assert scores["bass"]["sdr"] < 0
    assert scores["accompaniment"]["sdr"] == pytest.approx(10, abs=0.01)
    assert scores["accompaniment"]["sdr_i"] == pytest.approx(10 - decibels(2**0.5), abs=0.01)


def test_silence_has_no_score_and_does_not_cost_the_others_theirs():
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0, "guitar": 1.0}, 10)
    truth["drums"] = torch.zeros_like(mixture)
    estimates["guitar"] = torch.zeros_like(mixture)
    scores = score(truth, estimates, mixture, RATE)
    assert scores["drums"] is None
    assert scores["guitar"]["sdr"] == pytest.approx(0, abs=0.01)
    assert scores["guitar"]["si_sdr"] is None
    assert scores["guitar"]["sdr_frames"] is None
    assert scores["bass"]["sdr_frames"] == pytest.approx(10, abs=0.01)


def test_only_what_was_estimated_is_scored():
    truth, estimates, mixture = known({"bass": 1.0, "vocals": 1.0}, 10)
    del estimates["bass"]
    assert list(score(truth, estimates, mixture, RATE)) == ["vocals"]
