from types import SimpleNamespace

import pytest
import soundfile
import torch

import instglow.data.loading as loading
from instglow.data.cache import Cache
from instglow.data.datamodule import SoloData
from instglow.data.loading import divide, load, say
from instglow.data.recording import Recording
from instglow.data.segments import Gate, Solo
from instglow.data.solo import SoloFolder
from instglow.errors import DataError
from instglow.rivals.band import BandData

RATE = 8000
SEGMENT = 2000
BOTH = ("train", "held-out")


def noise(seed: int, seconds: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(round(seconds * RATE), generator=generator) - 0.5


def write(path, wave=None):
    """A recording of noise; of a wave; of nothing, which is broken."""
    path.parent.mkdir(exist_ok=True)
    if wave is None:
        path.write_bytes(b"")
    else:
        soundfile.write(path, wave.numpy(), RATE, subtype="FLOAT")


def make(folder, count, broken=()):
    for number in range(count):
        write(folder / f"{number:02}.wav", None if number in broken else noise(number))
    return SoloFolder(str(folder))


def found(source, splits=BOTH, cache=None, samples=SEGMENT):
    return load(source, splits, RATE, samples, Gate(), cache)


@pytest.fixture(params=["cache", "memory"])
def cache(request, tmp_path):
    return Cache(tmp_path / "cache") if request.param == "cache" else None


def test_what_cannot_be_used_is_left_out_and_said_in_recordings_and_seconds(tmp_path, cache):
    folder = tmp_path / "solo"
    source = make(folder, 8, broken=(2, 5))
    write(folder / "08.wav", torch.zeros(2 * RATE))
    write(folder / "09.wav", 1e-4 * noise(9))
    write(folder / "10.wav", noise(10, 0.01))
    write(folder / "11.wav", noise(3))
    nan = noise(12)
    nan[77] = float("nan")
    write(folder / "12.wav", nan)
    segments, notes = found(source, cache=cache)
    assert [segments[split].recordings for split in BOTH] == [5, 1]
    assert [segments[split].total for split in BOTH] == [5 * RATE, RATE]
    expected = [
        ("1 recording: ", "02.wav: empty (0 bytes)"),
        ("1 recording: ", "05.wav: empty (0 bytes)"),
        ("2 recordings (3.0 s): silent, below -60 dBFS (", "08.wav, "),
        ("1 recording (0.0 s): shorter than 0.01 s (", "10.wav)"),
        ("1 recording (1.0 s): the same sound twice (", "11.wav is "),
        ("1 recording: ", "12.wav: not a number or infinite"),
        ("7 of 13 recordings are left out; ", "5 recordings (5.0 s) to train on and 1 recording"),
    ]
    for note, (start, part) in zip(notes, expected, strict=True):
        assert start in note
        assert part in note


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, cache):
    segments, notes = found(make(tmp_path / "solo", 3), cache=cache)
    assert (segments["train"].recordings, notes) == (2, [])


def test_many_are_counted_and_a_few_named(tmp_path):
    source = make(tmp_path / "solo", 2)
    for number in range(5):
        write(tmp_path / "solo" / f"z{number}.wav", torch.zeros(RATE))
    line, _ = found(source).notes
    assert line.startswith("left out 5 recordings (5.0 s): silent")
    assert line.endswith("z2.wav and 2 more)")


@pytest.mark.parametrize(
    ("wave", "reason"),
    [(None, "empty"), (torch.zeros(RATE), r"2 recordings \(2.0 s\): silent, below -60 dBFS")],
)
@pytest.mark.parametrize("split", BOTH)
def test_a_split_of_which_nothing_can_be_used_is_named(tmp_path, wave, reason, split):
    for half in BOTH:
        for number in range(2):
            write(tmp_path / half / f"{number}.wav", wave if half == split else noise(number))
    what = {"train": "to train on", "held-out": "held out"}[split]
    with pytest.raises(DataError, match=f"no recording {what} can be used.*{reason}"):
        found(SoloFolder(str(tmp_path / "train"), str(tmp_path / "held-out")))


def test_a_copy_of_what_is_held_out_is_not_trained_on(tmp_path):
    for number in range(3):
        write(tmp_path / "train" / f"{number}.wav", noise(number))
    write(tmp_path / "held-out" / "take.wav", noise(1))
    source = SoloFolder(str(tmp_path / "train"), str(tmp_path / "held-out"))
    segments, notes = found(source)
    assert [segments[split].recordings for split in BOTH] == [2, 1]
    assert "train/1.wav is " in notes[0]
    assert notes[0].endswith("held-out/take.wav)")
    with pytest.raises(DataError, match=r"to train on can be used.*the same sound twice"):
        found(SoloFolder(str(tmp_path / "train"), str(tmp_path / "train")))


@pytest.mark.parametrize(
    ("seconds", "held_out"),
    [
        ([3, 3], [1]),
        (9 * [3], [8]),
        (10 * [3], [9]),
        (25 * [3], [9, 19]),
        ([60, 3, 5], [1]),
        ([60, 3, 1, 5], [1]),  # the one of 1 s fills no segment
        (20 * [1], [9, 19]),
        ([3, *(9 * [5]), 9], [0]),
    ],
)
def test_of_ten_recordings_the_shortest_that_fills_a_segment_is_held_out(seconds, held_out):
    samples = 20
    solos = [
        Solo.of(torch.full((1, 10 * one), 9999 + number, dtype=torch.int16), samples, Gate())
        for number, one in enumerate(seconds)
    ]
    train, rest = divide(solos, samples, Gate())
    numbers = [[int(solo.wave[0, 0]) - 9999 for solo in side] for side in (train, rest)]
    assert numbers[1] == held_out
    assert sorted(numbers[0] + numbers[1]) == list(range(len(seconds)))


@pytest.mark.parametrize(
    ("seconds", "silence", "train", "held_out"),
    [
        (15.0, 0.0, 13.5, 1.5),
        (1.0, 0.0, 0.75, 0.25),
        (0.3, 0.0, 0.15, 0.15),
        (15.0, 5.0, 13.5, 1.5),  # it ends silent
    ],
)
def test_of_a_lone_recording_the_end_that_sounds_is_held_out(
    tmp_path, seconds, silence, train, held_out
):
    write(
        tmp_path / "solo" / "a.wav",
        torch.cat([noise(0, seconds), torch.zeros(int(silence * RATE))]),
    )
    write(tmp_path / "solo" / "b.wav", None)
    write(tmp_path / "solo" / "c.wav", torch.zeros(RATE))
    segments, _ = found(SoloFolder(str(tmp_path / "solo")))
    for split, expected in zip(BOTH, (train, held_out), strict=True):
        assert segments[split].total / RATE == pytest.approx(expected, abs=0.2)
        assert len(segments[split])
    last = segments["held-out"]
    assert float(last[len(last) - 1].square().mean()) > 0.01


def test_beside_shorter_ones_the_end_of_the_only_long_recording_is_held_out(tmp_path):
    write(tmp_path / "solo" / "a.wav", noise(0, 0.1))
    write(tmp_path / "solo" / "b.wav", noise(1, 3.0))
    segments, _ = found(SoloFolder(str(tmp_path / "solo")))
    assert [segments[split].recordings for split in BOTH] == [2, 1]


def test_a_lone_recording_that_cannot_be_divided_is_refused(tmp_path):
    click = torch.zeros(SEGMENT)
    click[:50] = 0.5
    write(tmp_path / "solo" / "a.wav", click)
    with pytest.raises(DataError, match="too short to hold its end out; add recordings"):
        found(SoloFolder(str(tmp_path / "solo")))


def test_only_the_first_process_speaks_and_shows_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loading, "_PATIENCE", 0.0)
    source = make(tmp_path / "solo", 4, broken=(1,))
    say(found(source).notes)
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading recordings to train on" in err
    assert err.count("instglow: left out 1 recording: ") == 1
    monkeypatch.setattr(loading.rank_zero_only, "rank", 1, raising=False)
    say(found(source).notes)
    assert capsys.readouterr() == ("", "")


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path):
    source = make(tmp_path / "solo", 3)
    cache = Cache(tmp_path / "solo" / "00.wav")
    (line,) = found(source, cache=cache).notes
    assert "00.wav" in line
    assert "--data.cache" in line
    assert found(source, cache=cache).notes == []


def test_waves_out_of_nothing_are_taken_as_they_are(cache):
    waves = {"train": [noise(0), noise(1)], "held-out": [torch.stack([noise(2), noise(3)])]}
    source = SimpleNamespace(recordings=lambda split, rate: iter(waves[split]))
    segments, notes = found(source, cache=cache)
    assert segments["held-out"][0].shape == (2, SEGMENT)
    torch.testing.assert_close(segments["train"][0][0], noise(0)[:SEGMENT], atol=2e-5, rtol=0)
    assert notes == []


def test_what_is_not_wanted_is_not_decoded(tmp_path, monkeypatch):
    for number, split in enumerate(BOTH):
        write(tmp_path / split / "0.wav", noise(number))
    source = SoloFolder(*(str(tmp_path / split) for split in BOTH))
    monkeypatch.setattr(
        Recording, "decoded", lambda self, rate, of=Recording.decoded: decoded(self, rate, of)
    )

    def decoded(recording, rate, original):
        assert recording.files[0].parent.name == "held-out"
        return original(recording, rate)

    assert set(found(source, ("held-out",)).segments) == {"held-out"}


class Learner(SimpleNamespace):
    sample_rate = RATE

    def segment(self, seconds):
        return round(seconds * RATE)


def ready(data, stage="fit"):
    data.trainer = SimpleNamespace(lightning_module=Learner(), current_epoch=0)
    data.setup(stage)
    return data


@pytest.mark.parametrize("kind", ["solo", "band"])
def test_with_and_without_a_cache_training_sees_the_same(tmp_path, kind, monkeypatch):
    source = make(tmp_path / "solo", 12)

    def batches(cache):
        data = ready(
            SoloData(source, seconds=0.1, cache=cache)
            if kind == "solo"
            else BandData({"a": source, "b": source}, 0.1, draws_per_epoch=20, cache=cache)
        )
        return torch.cat([*data.train_dataloader(), *data.val_dataloader()])

    plain = batches(None)
    assert torch.equal(plain, batches(str(tmp_path / "cache")))
    monkeypatch.setattr(Recording, "decoded", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(plain, batches(str(tmp_path / "cache")))


def test_a_validation_takes_a_spread_sample_and_a_test_takes_all(tmp_path):
    source = make(tmp_path / "solo", 2)
    data = ready(SoloData(source, 0.01, held_out_segments=7, batch_size=4, cache=None), "test")
    every = torch.cat(list(data.test_dataloader()))
    sample = torch.cat(list(data.val_dataloader()))
    assert len(every) == 199
    assert torch.equal(sample, every[[14, 42, 71, 99, 127, 156, 184]])


def test_instruments_of_other_channels_meet_in_one_batch(tmp_path):
    make(tmp_path / "mono", 3)
    for number in range(3):
        stereo = torch.stack([noise(number), noise(number + 9)], 1)
        write(tmp_path / "stereo" / f"{number}.wav", stereo)
    sources = {name: SoloFolder(str(tmp_path / name)) for name in ("mono", "stereo")}
    data = ready(BandData(sources, 0.1, 4, cache=None))
    (batch, *_) = data.train_dataloader()
    assert batch.shape == (4, 2, 2, 800)
    assert torch.equal(batch[:, 0, 0], batch[:, 0, 1])
    assert not torch.equal(batch[:, 1, 0], batch[:, 1, 1])
