import pytest
import soundfile
import torch

from instglow.data.loading import load
from instglow.data.segments import Gate
from instglow.data.stems import MultitrackStem
from instglow.errors import DataError

RATE = 8000


def make(folder, **songs):
    for number, (song, names) in enumerate(songs.items(), 1):
        (folder / song).mkdir(parents=True)
        for name in names:
            wave = torch.full((RATE,), number / 10).numpy()
            soundfile.write(folder / song / name, wave, RATE)


def loaded(source):
    return load(source, ("train", "held-out"), RATE, 1000, Gate(), None)


def test_a_lone_song_is_divided(tmp_path):
    make(tmp_path, a=["bass.wav"], b=["drums.wav"])
    segments, _ = loaded(MultitrackStem(str(tmp_path), "bass"))
    assert {split: found.total for split, found in segments.items()} == {
        "train": 7000,
        "held-out": 1000,
    }


def test_a_stem_that_is_there_twice_is_left_out(tmp_path):
    make(tmp_path, a=["bass.wav"], b=["bass.wav", "Bass.flac"], c=["bass.wav"])
    segments, notes = loaded(MultitrackStem(str(tmp_path), "bass"))
    assert segments["train"].recordings == 1
    assert "Bass.flac and bass.wav are one stem; remove one of them" in notes[0]


def test_a_stem_that_no_song_has(tmp_path):
    make(tmp_path, a=["bass.wav", "mixture.wav"], b=["Drums.flac"])
    source = MultitrackStem(str(tmp_path), "Guitar")
    with pytest.raises(DataError, match=r"no stem 'guitar' in .*; its stems are: bass, drums$"):
        list(source.recordings("train", RATE))
    with pytest.raises(DataError, match="no folder"):
        list(MultitrackStem(str(tmp_path / "none"), "bass").recordings("train", RATE))
