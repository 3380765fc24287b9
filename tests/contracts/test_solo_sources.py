"""What holds of every source of solo recordings. Each recording has a level of its own."""

import inspect
import json

import pytest
import soundfile
import torch
import yaml
from jsonargparse import ArgumentParser

import instglow.synthesis.synthesised as synthesised
from instglow.data.cache import Cache
from instglow.data.loading import load
from instglow.data.musdb import STEMS, MusdbStem
from instglow.data.recording import Recording
from instglow.data.segments import Gate, SoloSegments
from instglow.data.slakh import SlakhInstrument
from instglow.data.solo import SoloFolder, SoloSource
from instglow.data.stems import MultitrackStem

RATE, TO_RATE, SECONDS = 11025, 8000, 0.4
SAMPLES = {RATE: 4410, TO_RATE: 3200}
VALIDATION = ("Actions - One Minute Smile", "Clara Berry And Wooldog - Waltz For My Victims")


def write(path, level):
    """Stereo, panned and of opposite sign; the root mean square of its channels is the level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = torch.tensor([1.4 * level, -0.2 * level]).repeat(SAMPLES[RATE], 1)
    soundfile.write(path, wave.numpy(), RATE, subtype="PCM_24")


def solo_folder(root):
    for number in range(1, 13):
        write(root / "sub" / f"{number:02}.wav", number / 100)
    return SoloFolder(str(root)), {10}, 12


def solo_folders(root):
    for number in range(1, 4):
        write(root / "a" / f"{number}.flac", number / 100)
    write(root / "b" / "4.flac", 4 / 100)
    return SoloFolder(str(root / "a"), str(root / "b")), {4}, 4


def multitracks(root):
    for number in range(1, 12):
        write(
            root / f"song {number:02}" / ("Bass.wav" if number % 2 else "bass.flac"), number / 100
        )
        write(root / f"song {number:02}" / "guitar.wav", 0.5)
    write(root / "song 12" / "guitar.wav", 0.5)  # lacks the bass
    return MultitrackStem(str(root), "bass"), {10}, 11


def multitracks_apart(root):
    for number in range(1, 4):
        write(root / "abc"[number // 3] / f"song {number}" / "bass.wav", number / 100)
    return MultitrackStem(str(root / "a"), "bass", str(root / "b")), {3}, 3


def musdb(root):
    for number, song in enumerate(("A - One", *VALIDATION, "B - Two"), 1):
        for stem in STEMS:
            write(root / "train" / song / f"{stem}.wav", number / 100 if stem == "bass" else 0.5)
    write(root / "test" / "C - Three" / "bass.wav", 0.9)
    return MusdbStem(str(root), "bass"), {2, 3}, 4


def slakh(root):
    splits = {"train": (1, 2, 3), "validation": (4, 5), "test": (6,)}
    for split, numbers in splits.items():
        for number in numbers:
            track = root / split / f"Track{number:05}"
            kinds = {"S00": "Organ", "S01": "Bass", "S02": "Organ"}  # two that make up the level
            for name in kinds:
                level = 0.4 if kinds[name] == "Bass" else number / 200
                write(track / "stems" / f"{name}.flac", level)
            stems = {name: {"inst_class": kind} for name, kind in kinds.items()}
            (track / "metadata.yaml").write_text(yaml.safe_dump({"stems": stems}))
    return SlakhInstrument(str(root), "organ"), {4, 5}, 5


def make_solos(out):
    first = 1 if out.name == "train" else 4
    for number in range(first, first + 3):
        write(out / f"{number:05}.flac", number / 100)


def rendered(root, monkeypatch):
    monkeypatch.setattr(synthesised, "render", lambda *args: make_solos(args[3]))
    source = synthesised.Rendered("bass", "midi", "banks", str(root))
    return source, {4, 5, 6}, 6


def sung(root, monkeypatch):
    monkeypatch.setattr(synthesised, "sing", lambda *args: make_solos(args[2]))
    return synthesised.Sung("speech", str(root)), {4, 5, 6}, 6


SOURCES = [solo_folder, solo_folders, multitracks, multitracks_apart, musdb, slakh, rendered, sung]


@pytest.fixture(params=SOURCES, ids=lambda build: build.__name__)
def made(request, tmp_path, monkeypatch):
    """A source, the levels in hundredths that it holds out, and how many recordings it has."""
    build = request.param
    extra = (monkeypatch,) if build in (rendered, sung) else ()
    return build(tmp_path / "data", *extra)


def levels(segments: SoloSegments) -> list[int]:
    """Hundredths, in the middle of each recording: the ends ring."""
    return [round(100 * float(w[0, 500:-500].float().mean()) / 32767) for w in segments.waves]


def loaded(source, cache=None):
    return load(source, ("train", "held-out"), TO_RATE, 1000, Gate(), cache)


def test_a_configuration_can_name_it(made):
    source = made[0]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--source", type=SoloSource)
    options = {"midi": "m", "soundfonts": "s", "folder": "f", "root": "r", "speech": "w"}
    options |= {"instrument": "bass", "stem": "bass"}
    accepted = inspect.signature(type(source)).parameters
    entry = {
        "class_path": f"{type(source).__module__}.{type(source).__name__}",
        "init_args": {name: value for name, value in options.items() if name in accepted},
    }
    parsed = parser.parse_args(["--source", json.dumps(entry)])
    assert parsed.source.class_path == entry["class_path"]


@pytest.mark.parametrize("rate", [RATE, TO_RATE])
def test_all_are_decoded_at_the_rate(made, rate):
    for split in ("train", "held-out"):
        for recording in made[0].recordings(split, rate):
            wave = recording.decoded(rate).wave
            assert wave.shape == (1, SAMPLES[rate])
            middle = wave[0, 500:-500] / 32767
            level = (100 * middle.mean()).round() / 100
            torch.testing.assert_close(middle, level.expand(len(middle)), atol=1e-4, rtol=0)


def test_splits_share_nothing_and_leave_nothing_out(made):
    source, held_out, count = made
    found = {split: levels(segments) for split, segments in loaded(source).segments.items()}
    assert set(found["held-out"]) == held_out
    assert sorted(found["train"] + found["held-out"]) == list(range(1, count + 1))


def test_the_order_is_always_the_same(made):
    for split in ("train", "held-out"):
        files = [[r.files for r in made[0].recordings(split, TO_RATE)] for _ in range(2)]
        assert files[0] == files[1] == sorted(files[0])


def test_nothing_is_decoded_before_it_is_asked_for(made, monkeypatch):
    def refuse(*_):
        pytest.fail("decoded")

    monkeypatch.setattr("instglow.audio.io.AudioFile.__init__", refuse)
    for split in ("train", "held-out"):
        found = list(made[0].recordings(split, TO_RATE))
        assert all(isinstance(recording, Recording) for recording in found)
        assert all(path.exists() for recording in found for path in recording.files)


def test_the_cache_gives_what_decoding_gives(made, tmp_path):
    cache = Cache(tmp_path / "cache")
    plain, first, second = (loaded(made[0], one).segments for one in (None, cache, cache))
    for split in ("train", "held-out"):
        for waves in zip(*(found[split].waves for found in (plain, first, second)), strict=True):
            assert torch.equal(waves[0], waves[1])
            assert torch.equal(waves[0], waves[2])


def test_a_broken_recording_is_left_out_by_name(made):
    source, _, count = made
    if isinstance(source, synthesised.Rendered | synthesised.Sung):
        pytest.skip("makes its recordings again")
    first = next(iter(source.recordings("train", TO_RATE)))
    first.files[0].write_bytes(b"")
    segments, (said, total) = loaded(source)
    assert 1 not in levels(segments["train"]) + levels(segments["held-out"])
    assert first.files[0].name in said
    assert total.startswith(f"1 of {count} recordings are left out")
