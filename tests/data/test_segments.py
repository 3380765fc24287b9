import pytest
import soundfile
import torch

from instglow.data.datamodule import EpochSampler
from instglow.data.segments import Gate, SoloSegments
from instglow.data.solo import SoloFolder
from instglow.errors import DataError


def noise(samples: int, gain: float = 0.1) -> torch.Tensor:
    return gain * torch.randn(samples, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)


def test_silence_is_left_out():
    wave = torch.cat([noise(1000), torch.zeros(1000), noise(1000)])
    segments = SoloSegments([wave], 100, Gate())
    kept = torch.stack([segments[index] for index in range(len(segments))])
    assert kept.square().mean(1).min() > 1e-4
    assert 36 <= len(segments) <= 40
    assert len(SoloSegments([noise(3000)], 100, Gate())) == 59


def test_what_is_quiet_beside_the_rest_of_its_recording_is_silent():
    wave = torch.cat([noise(1000), noise(1000, 0.1 * 10 ** (-50 / 20))])
    near, far = (
        len(SoloSegments([wave], 100, Gate(below_loudest=below, floor=-90))) for below in (40, 60)
    )
    assert near < far == 39


def test_a_segment_is_the_recording_to_16_bits():
    wave = noise(1000)
    segments = SoloSegments([wave], 100, Gate())
    torch.testing.assert_close(segments[3], wave[150:250], atol=2e-5, rtol=0)


def test_a_recording_of_16_bits_gives_the_same_segments_and_is_not_copied():
    wave = torch.cat([noise(1000), noise(1000, 1e-4), noise(1000)])
    sixteen = (wave * 32767).round().to(torch.int16)
    ours, theirs = SoloSegments([wave], 100, Gate()), SoloSegments([sixteen], 100, Gate())
    assert theirs.recordings[0].data_ptr() == sixteen.data_ptr()
    assert len(ours) == len(theirs) < 59
    for index in range(len(ours)):
        assert torch.equal(ours[index], theirs[index])


@pytest.mark.parametrize("recordings", [[], [torch.zeros(1000)], [torch.ones(50)]])
def test_nothing_to_train_on_is_said(recordings):
    with pytest.raises(DataError, match=f"{len(recordings)} recordings.*needs 100"):
        SoloSegments(recordings, 100, Gate())


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


def folder_of(tmp_path, count: int, rate: int = 8000) -> SoloFolder:
    for number in range(count):
        wave = torch.full((rate, 2), (number + 1) / 100).numpy()
        soundfile.write(tmp_path / f"{number:02}.wav", wave, rate, subtype="FLOAT")
    return SoloFolder(str(tmp_path))


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (9, 1), (10, 1), (25, 2)])
def test_every_tenth_recording_is_held_out_and_none_is_in_both(tmp_path, count, held_out):
    source = folder_of(tmp_path, count)
    levels = {
        split: [round(100 * float(r.wave(8000).mean())) for r in source.recordings(split, 8000)]
        for split in ("train", "held-out")
    }
    assert len(levels["held-out"]) == held_out
    assert sorted(levels["train"] + levels["held-out"]) == list(range(1, count + 1))


def test_a_lone_recording_is_divided(tmp_path):
    source = folder_of(tmp_path, 1)
    (train,), (held_out,) = (list(source.recordings(s, 8000)) for s in ("train", "held-out"))
    assert (len(train.wave(8000)), len(held_out.wave(8000))) == (7200, 800)


def test_recordings_come_mono_at_the_rate_asked_for(tmp_path):
    (recording,) = folder_of(tmp_path, 2).recordings("held-out", 4000)
    wave = recording.wave(4000)
    assert wave.shape == (4000,)
    torch.testing.assert_close(wave[1000:3000], torch.full((2000,), 0.02), atol=1e-4, rtol=0)


def test_a_missing_folder_and_an_empty_one_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no folder '.*nowhere'.*--data.source.folder"):
        list(SoloFolder(str(tmp_path / "nowhere")).recordings("train", 8000))
    with pytest.raises(DataError, match="no recordings in"):
        list(SoloFolder(str(tmp_path)).recordings("train", 8000))
