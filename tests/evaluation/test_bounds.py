import pytest
import torch
from songs import RATE, ToneSong

from instglow.evaluation.bounds import IdealMagnitude, IdealRatioMask, Mixture, MixtureShare
from instglow.evaluation.bss import score
from instglow.evaluation.method import Segment


@pytest.fixture
def segment():
    mixture, truth = ToneSong(stems=("bass", "drums", "guitar"), seconds=2.0).read(0, 2 * RATE)
    return Segment(mixture, RATE, truth)


def test_the_mixture_is_where_improvement_starts(segment):
    stems = Mixture().separate(segment, ["bass", "guitar"])
    scores = score(segment.truth, stems, segment.mixture, RATE)
    assert list(scores) == ["bass", "guitar"]
    assert all(row[f"{f}_i"] == 0 for row in scores.values() for f in ("sdr", "si_sdr"))


def test_shares_sum_to_the_mixture(segment):
    stems = MixtureShare().separate(segment, ["bass", "drums", "guitar"])
    torch.testing.assert_close(torch.stack(list(stems.values())).sum(0), segment.mixture)


@pytest.mark.parametrize("bound", [IdealRatioMask(), IdealMagnitude()])
def test_tones_far_apart_are_separated_by_what_knows_them(bound, segment):
    stems = bound.separate(segment, ["bass", "guitar"])
    for name, scores in score(segment.truth, stems, segment.mixture, RATE).items():
        assert scores["sdr"] > 20, name


def test_the_ratio_mask_keeps_channels_apart():
    left, right = (ToneSong(stems=(name,), seconds=1.0).waves[name] for name in ("bass", "drums"))
    silent = torch.zeros_like(left)
    truth = {"bass": torch.cat([left, silent]), "drums": torch.cat([silent, right])}
    segment = Segment(truth["bass"] + truth["drums"], RATE, truth)
    stems = IdealRatioMask().separate(segment, ["bass", "drums"])
    assert stems["bass"].shape == (2, RATE)
    torch.testing.assert_close(stems["bass"], truth["bass"], atol=1e-4, rtol=0)
