import numpy as np
import pytest
from scipy.stats import bootstrap

from instglow.evaluation.bss import COLUMNS, FRAMES_LEFT_OUT
from instglow.evaluation.results import SongResult
from instglow.evaluation.summary import summarise


def song(name, *segments):
    """Segments of stem -> SDR; all figures alike, the improvement 1 dB less."""
    rows = {}
    for number, stems in enumerate(segments):
        scores = {
            stem: None
            if value is None
            else {f: value - f.endswith("_i") for f in COLUMNS} | {FRAMES_LEFT_OUT: 0}
            for stem, value in stems.items()
        }
        rows[f"{60 * number}.000"] = {"seconds": 60.0, "scores": scores, "residual": None}
    return SongResult(name, "key", rows)


def test_medians_over_segments_then_over_songs():
    songs = [
        song("a", {"bass": 1.0}, {"bass": 2.0}, {"bass": 9.0}),
        song("b", {"bass": 5.0, "vocals": 3.0, "accompaniment": 20.0}),
        song("c", {"bass": 12.0, "vocals": None}),
    ]
    summary = summarise(songs)
    assert summary["bass"]["median_sdr"] == 5
    assert summary["bass"]["mean_sdr"] == pytest.approx((2 + 5 + 12) / 3)
    assert summary["bass"]["median_sdr_i"] == 4
    assert summary["vocals"]["songs"] == 1
    assert summary["accompaniment"]["mean_sdr"] == 20
    assert summary["all"]["mean_sdr"] == pytest.approx((2 + 5 + 12 + 3) / 4)
    assert songs[2].silent == 1
    assert songs[0].seconds == 180


def test_the_interval_is_the_bootstraps():
    values = np.random.default_rng(3).normal(5, 2, 40)
    found = summarise([song(f"{i}", {"bass": float(v)}) for i, v in enumerate(values)])["bass"][
        "ci95"
    ]
    wanted = bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found == pytest.approx([wanted.low, wanted.high], abs=0.1)


def test_one_song_has_no_interval():
    assert summarise([song("a", {"bass": 1.0})])["all"]["ci95"] is None


def test_an_accompaniment_that_is_no_sum_of_other_stems_is_one_of_all():
    summary = summarise([song("a", {"vocals": 1.0, "accompaniment": 4.0})])
    assert list(summary) == ["vocals", "accompaniment", "all"]
    assert summary["all"]["mean_sdr"] == 2.5
