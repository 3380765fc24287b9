import pytest
import soundfile
import torch

from instglow.data.loading import load
from instglow.data.stems import MultitrackStem
from instglow.errors import DataError

RATE = 8000


def make(folder, **songs):
    for song, names in songs.items():
        (folder / song).mkdir(parents=True)
        for name in names:
            soundfile.write(folder / song / name, torch.full((RATE,), 0.1).numpy(), RATE)


def test_a_lone_song_is_divided(tmp_path):
    make(tmp_path, a=["bass.wav"], b=["drums.wav"])
    source = MultitrackStem(str(tmp_path), "bass")
    lengths = {s: [len(w) for w in load(source, s, RATE, None)] for s in ("train", "held-out")}
    assert lengths == {"train": [7200], "held-out": [800]}


def test_a_stem_that_is_there_twice_is_left_out(tmp_path, capsys):
    make(tmp_path, a=["bass.wav"], b=["bass.wav", "Bass.flac"], c=["bass.wav"])
    assert len(load(MultitrackStem(str(tmp_path), "bass"), "train", RATE, None)) == 1
    said = capsys.readouterr().err
    assert "Bass.flac and bass.wav are one stem; remove one of them" in said


def test_a_stem_that_no_song_has(tmp_path):
    make(tmp_path, a=["bass.wav", "mixture.wav"], b=["Drums.flac"])
    source = MultitrackStem(str(tmp_path), "Guitar")
    with pytest.raises(DataError, match=r"no stem 'guitar' in .*; its stems are: bass, drums$"):
        list(source.recordings("train", RATE))
    with pytest.raises(DataError, match="no folder"):
        list(MultitrackStem(str(tmp_path / "none"), "bass").recordings("train", RATE))
