import pytest
import soundfile
import torch

from instglow.data.datasets import open_dataset
from instglow.errors import DataError

MUSDB = ("vocals", "drums", "bass", "other", "mixture")


def make_song(folder, stems, suffix="wav"):
    folder.mkdir(parents=True)
    for stem in stems:
        soundfile.write(folder / f"{stem}.{suffix}", torch.full((4000,), 0.1).numpy(), 8000)


def make_track(folder):
    make_song(folder / "stems", ["S00"], "flac")
    (folder / "metadata.yaml").write_text("stems: {S00: {inst_class: Bass}}")


def opened(path, split="test"):
    songs = open_dataset(path, split)
    assert songs.skipped == {}
    return songs.name, [song.name for song in songs.songs]


def test_musdb18_hq(tmp_path):
    make_song(tmp_path / "test" / "A - One", MUSDB)
    make_song(tmp_path / "train" / "B - Two", MUSDB)
    assert opened(tmp_path) == ("MUSDB18-HQ test", ["A - One"])
    assert opened(tmp_path, "train") == ("MUSDB18-HQ train", ["B - Two"])
    with pytest.raises(DataError, match="no part 'validation': train and test"):
        open_dataset(tmp_path, "validation")


def test_one_part_of_musdb18_hq_is_musdb_still(tmp_path):
    make_song(tmp_path / "train" / "B - Two", MUSDB)
    with pytest.raises(DataError, match=r"no MUSDB18 .* its folder 'test'"):
        open_dataset(tmp_path)


def test_musdb18_by_the_name_of_its_files(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "A - One.stem.mp4").write_bytes(b"no audio at all")
    with pytest.raises(DataError, match="MUSDB18 test: none of its 1 songs can be used"):
        open_dataset(tmp_path)


def test_slakh(tmp_path):
    make_track(tmp_path / "validation" / "Track01501")
    assert opened(tmp_path, "validation") == ("Slakh2100 validation", ["Track01501"])
    assert opened(tmp_path / "validation") == ("Slakh2100 validation", ["Track01501"])
    with pytest.raises(DataError, match="no Slakh2100"):
        open_dataset(tmp_path, "test")


@pytest.mark.parametrize("suffix", ["wav", "FLAC"])
def test_a_folder_of_songs(tmp_path, suffix):
    make_song(tmp_path / "band" / "Two", ["guitar"], suffix)
    make_song(tmp_path / "band" / "One", MUSDB, suffix)
    assert opened(tmp_path / "band") == ("band", ["One", "Two"])


def test_nothing_recognised_says_what_was_looked_for(tmp_path):
    (tmp_path / "test" / "Track01501").mkdir(parents=True)
    make_song(tmp_path / "deep" / "er" / "song", MUSDB)
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    for word in ("MUSDB18", "*.stem.mp4", "vocals.wav", "metadata.yaml", "<song>/<stem>.wav"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"absent: no such folder"):
        open_dataset(tmp_path / "absent")
    (tmp_path / "file.wav").touch()
    with pytest.raises(DataError, match=r"file\.wav: a file, not a folder"):
        open_dataset(tmp_path / "file.wav")
