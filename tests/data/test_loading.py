from types import SimpleNamespace

import pytest
import soundfile
import torch

import instglow.data.loading as loading
from instglow.data.cache import Cache
from instglow.data.datamodule import SoloData
from instglow.data.loading import load
from instglow.data.recording import Recording
from instglow.data.solo import SoloFolder
from instglow.errors import DataError
from instglow.rivals.band import BandData

RATE = 8000


def make(folder, count, broken=()):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"{number:02}.wav"
        if number in broken:
            path.write_bytes(b"")
        else:
            wave = torch.rand(RATE, generator=torch.Generator().manual_seed(number)) - 0.5
            soundfile.write(path, wave.numpy(), RATE)
    return SoloFolder(str(folder))


@pytest.fixture(params=["cache", "memory"])
def cache(request, tmp_path):
    return Cache(tmp_path / "cache") if request.param == "cache" else None


def test_broken_recordings_are_named_counted_and_left_out(tmp_path, cache, capsys):
    source = make(tmp_path / "solo", 8, broken=(2, 5))
    waves = load(source, "train", RATE, cache)
    assert [len(wave) for wave in waves] == 5 * [RATE]
    out, err = capsys.readouterr()
    assert out == ""
    first, second, count = err.splitlines()
    for line, name in ((first, "02.wav"), (second, "05.wav")):
        assert line.startswith("instglow: left out: ")
        assert name in line
    assert count == "instglow: 2 of 7 recordings (train) are left out"


def test_nothing_is_said_where_nothing_is_broken(tmp_path, cache, capsys):
    assert len(load(make(tmp_path / "solo", 3), "train", RATE, cache)) == 2
    assert capsys.readouterr() == ("", "")


def test_numbers_that_are_none_are_broken(tmp_path, cache, capsys):
    source = make(tmp_path / "solo", 4)
    wave = torch.full((RATE,), 0.1)
    wave[77] = float("nan")
    soundfile.write(tmp_path / "solo" / "01.wav", wave.numpy(), RATE, subtype="FLOAT")
    assert len(load(source, "train", RATE, cache)) == 2
    assert "01.wav: not a number or infinite" in capsys.readouterr().err


def test_a_source_of_broken_recordings_alone_is_refused(tmp_path, cache):
    source = make(tmp_path / "solo", 4, broken=range(4))
    with pytest.raises(DataError, match=r"none of the 3 recordings \(train\).*00\.wav"):
        load(source, "train", RATE, cache)


def test_only_the_first_process_speaks(tmp_path, cache, capsys, monkeypatch):
    monkeypatch.setattr(loading.rank_zero_only, "rank", 1, raising=False)
    assert len(load(make(tmp_path / "solo", 4, broken=(1,)), "train", RATE, cache)) == 2
    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_once_it_takes_long(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loading, "_PATIENCE", 0.0)
    load(make(tmp_path / "solo", 3), "train", RATE, None)
    assert "reading recordings (train)" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path, capsys):
    source = make(tmp_path / "solo", 3)
    cache = Cache(tmp_path / "solo" / "00.wav")
    for split in ("train", "held-out"):
        assert load(source, split, RATE, cache)
    (line,) = capsys.readouterr().err.splitlines()
    assert "00.wav" in line
    assert "--data.cache" in line


def test_waves_out_of_nothing_are_taken_as_they_are(cache):
    source = SimpleNamespace(recordings=lambda split, rate: iter([torch.tensor([0.0, 1.0, -2.0])]))
    (wave,) = load(source, "train", RATE, cache)
    assert wave.tolist() == [0, 32767, -32767]


class Learner(SimpleNamespace):
    sample_rate = RATE

    def segment(self, seconds):
        return round(seconds * RATE)


@pytest.mark.parametrize("kind", ["solo", "band"])
def test_with_and_without_a_cache_training_sees_the_same(tmp_path, kind, monkeypatch):
    source = make(tmp_path / "solo", 12)

    def batches(cache):
        data = (
            SoloData(source, seconds=0.1, cache=cache)
            if kind == "solo"
            else BandData({"a": source, "b": source}, 0.1, draws_per_epoch=20, cache=cache)
        )
        data.trainer = SimpleNamespace(lightning_module=Learner(), current_epoch=0)
        data.setup("fit")
        return torch.cat([*data.train_dataloader(), *data.val_dataloader()])

    plain = batches(None)
    assert torch.equal(plain, batches(str(tmp_path / "cache")))
    monkeypatch.setattr(Recording, "whole", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(plain, batches(str(tmp_path / "cache")))
