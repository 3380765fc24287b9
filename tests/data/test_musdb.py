import shutil

import pytest
import soundfile
import torch

from instglow.data.musdb import MusdbStem
from instglow.errors import DataError

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def musdb_hq(tmp_path):
    """Two songs to train on, one of musdb's own validation songs; stem k is a constant k / 10."""
    for song in ("A - One", "B - Two", "Actions - One Minute Smile"):
        folder = tmp_path / "train" / song
        folder.mkdir(parents=True)
        for number, stem in enumerate((*STEMS, "mixture"), 1):
            wave = torch.full((44100, 2), number / 10).numpy()
            soundfile.write(folder / f"{stem}.wav", wave, 44100)
    return tmp_path


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="musdb needs ffmpeg and ffprobe")
def test_the_stem_of_every_song_by_musdbs_split(musdb_hq):
    source = MusdbStem(str(musdb_hq), "bass")
    train = list(source.recordings("train", 22050))
    held_out = list(source.recordings("held-out", 22050))
    assert (len(train), len(held_out)) == (2, 1)
    for wave in train + held_out:
        assert wave.shape == (22050,)
        torch.testing.assert_close(wave[5000:17000], torch.full((12000,), 0.3), atol=1e-3, rtol=0)


def test_no_such_folder_or_stem(tmp_path):
    with pytest.raises(DataError, match="looked for its folder 'train'"):
        list(MusdbStem(str(tmp_path), "bass").recordings("train", 22050))
    with pytest.raises(DataError, match="no stem 'guitar'"):
        MusdbStem(str(tmp_path), "guitar")
