import math

import numpy as np
import pytest
import torch
from songs import FREQUENCIES, RATE, tone
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from instglow.evaluation.bss import COLUMNS, FIGURES, MUSEVAL, bss_eval, score


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


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def noises():
    """Stereo stems and estimates of 4.5 s, silent in a frame each."""
    truth = {name: noise(2, 18000, seed=seed) for seed, name in enumerate(("bass", "drums"))}
    estimates = {name: wave + 0.4 * noise(2, 18000, seed=7) for name, wave in truth.items()}
    truth["bass"][:, RATE : 2 * RATE] = 0
    estimates["drums"][:, 2 * RATE : 3 * RATE] = 0
    return truth, estimates, truth["bass"] + truth["drums"]


@pytest.mark.parametrize("seconds", [0.5, 1.0, 4.5])
def test_museval_called_directly_agrees(noises, seconds):
    truth, estimates, mixture = noises
    names, samples = ("bass", "drums"), round(seconds * RATE)
    cut = [{n: stems[n][:, :samples] for n in names} for stems in (truth, estimates)]
    true, found = (np.stack([stems[name].T.numpy() for name in names]) for stems in cut)
    window = min(samples, RATE)
    framed, *parts, _ = bss_eval()(true, found, window=window, hop=window)
    whole, *_ = bss_eval()(true, found, window=np.inf, hop=np.inf)
    scores = score(*cut, mixture[:, :samples], RATE, museval=True)
    for number, name in enumerate(names):
        row = scores[name]
        assert row["sdr_frames"] == pytest.approx(np.nanmedian(framed[number]), abs=1e-3)
        assert row["sdr"] == pytest.approx(whole[number, 0], abs=1e-3)
        assert row["frames_left_out"] == np.isnan(framed[number]).sum()
        for figure, values in zip(MUSEVAL, parts, strict=True):
            assert row[figure] == pytest.approx(np.nanmedian(values[number]), abs=1e-3)


def test_torchmetrics_agrees(noises):
    truth, estimates, mixture = noises
    scores = score(truth, estimates, mixture, RATE)
    for name, row in scores.items():
        flat = estimates[name].flatten(), truth[name].flatten()
        assert row["sdr"] == pytest.approx(float(signal_noise_ratio(*flat)), abs=1e-3)
        assert row["si_sdr"] == pytest.approx(
            float(scale_invariant_signal_distortion_ratio(*flat)), abs=1e-3
        )


def singular(kind):
    """Stems on which museval's matrices have no inverse."""
    left, right = noise(2 * RATE, seed=1), noise(2 * RATE, seed=2)
    return {
        "equal channels": {"bass": [left, left], "drums": [right, 0.3 * left]},
        "opposite channels": {"bass": [left, -left], "drums": [right, left]},
        "equal stems": {"bass": [left, right], "drums": [left, right]},
        "proportional stems": {"bass": [left, right], "drums": [-2 * left, -2 * right]},
        "one channel silent": {"bass": [left, 0 * left], "drums": [right, left]},
    }[kind]


KINDS = (
    *("equal channels", "opposite channels", "equal stems", "proportional stems"),
    "one channel silent",
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_shape_of_the_true_stems_costs_a_figure(kind):
    truth = {name: torch.stack(channels) for name, channels in singular(kind).items()}
    # an error in the same channels, 10 dB below and orthogonal
    estimates = {}
    for name, wave in truth.items():
        error = noise(*wave.shape, seed=5)
        error -= wave * (error * wave).sum() / wave.square().sum()
        estimates[name] = wave + error * wave.norm() / error.norm() / 10**0.5
    for row in score(truth, estimates, sum(truth.values()), RATE).values():
        assert row["sdr"] == pytest.approx(10, abs=0.01)
        assert row["si_sdr"] == pytest.approx(10, abs=0.01)
        assert row["sdr_frames"] == pytest.approx(10, abs=0.5)
        assert row["frames_left_out"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_museval_raises_costs_its_figures_alone(kind):
    truth = {name: torch.stack(channels) for name, channels in singular(kind).items()}
    estimates = {name: wave + 0.1 * noise(*wave.shape, seed=5) for name, wave in truth.items()}
    for row in score(truth, estimates, sum(truth.values()), RATE, museval=True).values():
        assert all(row[figure] is not None for figure in FIGURES)
        assert set(MUSEVAL) <= row.keys()
        assert all(value is None or math.isfinite(value) for value in row.values())


def test_infinite_ratios_have_no_figure():
    truth = {"bass": noise(1, 3 * RATE), "drums": torch.zeros(1, 3 * RATE)}
    mixture = truth["bass"].clone()  # the bass alone
    truth["drums"][:, :10] = 0.1
    mixture[:, :10] += 0.1
    shared = {"bass": 0.5 * mixture, "drums": 0.5 * mixture}
    row = score(truth, shared, mixture, RATE)["bass"]
    assert row["sdr_i"] < 0  # of a mixture that is not quite the stem
    alone = truth["bass"]
    row = score({"bass": alone}, {"bass": 0.5 * alone}, alone, RATE)["bass"]
    assert row["sdr"] == row["sdr_frames"] == pytest.approx(20 * math.log10(2))
    assert [figure for figure in COLUMNS if row[figure] is None] == [
        *("si_sdr", "sdr_i", "sdr_frames_i", "si_sdr_i")
    ]
    exact = score({"bass": alone}, {"bass": alone}, alone + 0.1, RATE)["bass"]
    assert exact.pop("frames_left_out") == 3
    assert set(exact.values()) == {None}


def test_frames_in_which_the_estimate_is_exact_are_left_out_of_both_medians():
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0}, 20)
    for stems in (truth, estimates):
        stems["drums"] = stems["drums"].clone()
    estimates["bass"][:, :RATE] = truth["bass"][:, :RATE]
    row = score(truth, estimates, mixture, RATE)["bass"]
    assert row["sdr_frames"] == pytest.approx(20, abs=0.01)
    assert row["sdr_frames_i"] == pytest.approx(20, abs=0.01)
    assert row["frames_left_out"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_estimate_that_is_no_number_has_no_figure(value):
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0}, 10)
    estimates["bass"][0, 5] = value
    scores = score(truth, estimates, mixture, RATE)
    assert scores["bass"]["sdr"] is None
    assert scores["bass"]["si_sdr"] is None
    assert all(v is None or math.isfinite(v) for row in scores.values() for v in row.values())
    assert scores["drums"]["sdr_frames"] == pytest.approx(10, abs=0.01)


def test_the_accompaniment_is_the_sum_of_all_but_the_vocals():
    truth, estimates, mixture = known({"bass": 1.0, "drums": 1.0, "vocals": 1.0}, 10)
    estimates["bass"], estimates["drums"] = estimates["drums"], estimates["bass"]
    scores = score(truth, estimates, mixture, RATE)
    assert scores["bass"]["sdr"] < 0
    assert scores["accompaniment"]["sdr"] == pytest.approx(10, abs=0.01)
    assert scores["accompaniment"]["sdr_i"] == pytest.approx(10 - decibels(2**0.5), abs=0.01)


def test_the_accompaniment_is_measured_against_the_vocals_as_museval_does(noises):
    truth, estimates, mixture = noises
    truth["vocals"] = noise(2, 18000, seed=3)
    estimates["vocals"] = truth["vocals"] + 0.3 * noise(2, 18000, seed=4)
    scores = score(truth, estimates, mixture + truth["vocals"], RATE, museval=True)
    true, found = (
        np.stack([(stems["bass"] + stems["drums"]).T.numpy(), stems["vocals"].T.numpy()])
        for stems in (truth, estimates)
    )
    sdr, *parts, _ = bss_eval()(true, found, window=RATE, hop=RATE)
    row = scores["accompaniment"]
    assert row["sdr_frames"] == pytest.approx(np.nanmedian(sdr[0]), abs=1e-3)
    for figure, values in zip(MUSEVAL, parts, strict=True):
        assert row[figure] == pytest.approx(np.nanmedian(values[0]), abs=1e-3)


def test_a_stem_that_is_called_accompaniment_is_a_stem():
    truth, estimates, mixture = known({"vocals": 1.0, "drums": 1.0, "guitar": 1.0}, 10)
    for stems in (truth, estimates):
        stems["accompaniment"] = stems.pop("guitar")
    estimates["drums"] = 0 * estimates["drums"]
    scores = score(truth, estimates, mixture, RATE)
    assert list(scores) == ["vocals", "drums", "accompaniment"]
    assert scores["accompaniment"]["sdr"] == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize("gain", [0.5, 1 / 3])
def test_what_rounding_leaves_of_an_infinite_ratio_is_no_figure(gain):
    truth = {name: noise(2, 2 * RATE, seed=seed) for seed, name in enumerate(("bass", "drums"))}
    mixture = truth["bass"] + truth["drums"]
    rows = score(truth, dict.fromkeys(truth, gain * mixture), mixture, RATE, museval=True)
    for row in rows.values():
        assert row["sar"] is None  # nothing in it but the stems
        assert abs(row["sir"]) < 2


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
