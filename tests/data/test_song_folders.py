import math
import shutil

import pytest
import soundfile
import torch

from instglow.data.stems import folder_songs
from instglow.errors import AudioError, DataError

RATE = 8000


def noise(seed, samples=2 * RATE, channels=2):
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed)) / 10


def write(path, wave, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.T.numpy(), rate, subtype="PCM_24")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_parts_of_the_files_and_of_their_sum(tmp_path, suffix):
    bass, drums = noise(1), noise(2)
    write(tmp_path / "B" / f"bass.{suffix}", bass)
    write(tmp_path / "B" / f"Drums.{suffix.upper()}", drums)
    (tmp_path / "B" / f"._bass.{suffix}").write_bytes(b"macOS")
    (tmp_path / ".cache").mkdir()
    songs = folder_songs(tmp_path)
    assert (songs.name, songs.skipped) == (tmp_path.name, {})
    (song,) = songs.songs
    assert (song.name, song.stems, song.sample_rate) == ("B", ("bass", "drums"), RATE)
    assert song.samples == 2 * RATE
    for start, count in ((0, song.samples), (12345, 67), (song.samples - 1, 1)):
        excerpt = song.read(start, count)
        part = slice(start, start + count)
        assert set(excerpt.stems) == {"bass", "drums"}
        torch.testing.assert_close(excerpt.stems["bass"], bass[:, part], atol=1e-6, rtol=0)
        torch.testing.assert_close(excerpt.stems["drums"], drums[:, part], atol=1e-6, rtol=0)
        torch.testing.assert_close(excerpt.mixture, (bass + drums)[:, part], atol=1e-6, rtol=0)


def test_a_mixture_of_its_own(tmp_path):
    write(tmp_path / "A" / "bass.wav", noise(1))
    write(tmp_path / "A" / "mixture.flac", noise(2))
    (song,) = folder_songs(tmp_path).songs
    excerpt = song.read(10, 20)
    assert song.stems == ("bass",)
    torch.testing.assert_close(excerpt.mixture, noise(2)[:, 10:30], atol=1e-6, rtol=0)
    torch.testing.assert_close(excerpt.stems["bass"], noise(1)[:, 10:30], atol=1e-6, rtol=0)


def test_ends_that_differ_a_little_are_cut(tmp_path):
    late = 2 * RATE + RATE // 20  # 0.05 s more
    write(tmp_path / "A" / "bass.wav", noise(1, late))
    write(tmp_path / "A" / "drums.wav", noise(2))
    (song,) = folder_songs(tmp_path).songs
    assert song.samples == 2 * RATE
    excerpt = song.read(0, song.samples)
    both = noise(1, late)[:, : 2 * RATE] + noise(2)
    torch.testing.assert_close(excerpt.mixture, both, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("file", "wave", "rate", "reason"),
    [
        ("drums.wav", noise(2, RATE), RATE // 2, "bass.wav has 8000 Hz, drums.wav has 4000"),
        ("drums.wav", noise(2, channels=1), RATE, "bass.wav has 2 channels, drums.wav has 1"),
        (
            "drums.flac",
            noise(2, 2 * RATE + RATE // 20 + 1),
            RATE,
            r"drums.flac lasts 2.050 s, bass.wav 2.000 s",
        ),
        ("mixture.wav", noise(2, RATE), RATE, "bass.wav lasts 2.000 s, mixture.wav 1.000 s"),
        ("bass.flac", noise(2), RATE, "bass.flac and bass.wav are one stem"),
    ],
    ids=["rate", "channels", "length", "mixture", "twice"],
)
def test_files_that_do_not_fit_leave_the_song_out(tmp_path, file, wave, rate, reason):
    write(tmp_path / "Bad" / "bass.wav", noise(1))
    write(tmp_path / "Bad" / file, wave, rate)
    write(tmp_path / "Good" / "bass.wav", noise(1))
    songs = folder_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["Good"]
    assert list(songs.skipped) == ["Bad"]
    assert reason in songs.skipped["Bad"]
    assert "\n" not in songs.skipped["Bad"]


@pytest.mark.parametrize("program", ["with ffmpeg", "without"])
def test_broken_and_empty_songs_are_left_out(tmp_path, monkeypatch, program):
    if program == "without":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    write(tmp_path / "Z" / "bass.wav", noise(1))
    write(tmp_path / "A" / "bass.wav", noise(1))
    write(tmp_path / "Broken" / "bass.wav", noise(1))
    (tmp_path / "Broken" / "drums.wav").write_bytes(b"no audio at all")
    write(tmp_path / "Mixture only" / "mixture.wav", noise(1))
    (tmp_path / "Empty").mkdir()
    songs = folder_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["A", "Z"]
    assert "drums.wav" in songs.skipped.pop("Broken")
    nothing = "no stems: looked for <stem>.wav and .flac"
    assert songs.skipped == {"Empty": nothing, "Mixture only": nothing}


def test_a_file_damaged_after_its_start(tmp_path):
    path = tmp_path / "A" / "bass.flac"
    write(path, noise(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (song,) = folder_songs(tmp_path).songs
    assert math.isfinite(song.read(0, 100).mixture.sum())
    with pytest.raises(AudioError, match=r"bass\.flac: cannot be read beyond"):
        song.read(0, song.samples)


def test_a_folder_without_songs(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*absent"):
        folder_songs(tmp_path / "absent")
    (tmp_path / "A").mkdir()
    with pytest.raises(DataError, match=r"no songs in .*<song>/<stem>"):
        folder_songs(tmp_path)
    (tmp_path / "A" / "bass.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataError, match=r"none of its 1 songs can be used; 'A': .*bass\.wav"):
        folder_songs(tmp_path)
